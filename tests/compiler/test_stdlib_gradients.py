"""Every block of the standard library: its gradient equals finite differences in f64."""

from __future__ import annotations

import pytest

from chainrule.compiler.elaborate.instances import inputs_of
from chainrule.compiler.elaborate.module import library_block, library_names
from chainrule.dsl import syntax as s
from tests.compiler.netcase import check_gradients, net

# How a block is called where its defaults do not say enough; any other block is found by itself.
CALLS = {
    "dropout": "dropout(0.3)",
    "mlp": "mlp([4, 3], activation = tanh)",
    "residual": "residual(3, activation = tanh)",
    "leaky_relu": "leaky_relu(0.1)",
    "elu": "elu(0.7)",
    "swish": "swish(1.3)",
    "maxout": "maxout(3, pieces = 3)",
    "huber": "huber(s, y, delta = 0.6)",
    "binary_cross_entropy": "binary_cross_entropy(sigmoid(s), sigmoid(y))",
    "binary_cross_entropy_with_logits": "binary_cross_entropy_with_logits(s, sigmoid(y))",
    "kl_normal": "kl_normal(s, tanh(s))",
    "gradient_penalty": "gradient_penalty(s, y, critic = mlp([4, 1], activation = tanh))",
    "gumbel_softmax": "gumbel_softmax(0.7)",
    "relaxed_bernoulli": "relaxed_bernoulli(0.7)",
}
# Their gradient is not that of what they compute: that is what they are for (test_draws.py).
STRAIGHT_THROUGH = ("straight_through", "bernoulli_st")
# Metrics count: they have no gradient. Blocks of sequences have tests of their own.
APART = ("metrics.net", "sequences.net", "recurrent.net", "attention.net")

# Layers of images [4, 5, 6], and how each is called: plain, and strided, dilated, grouped, padded.
IMAGES = {
    "conv": (
        "conv(3, 3)",
        "conv(4, (3, 2), stride = 2, padding = 1, groups = 2)",
        "conv(2, 2, dilation = (2, 1), padding = valid, bias = false)",
        "conv(2, 3, stride = (1, 2), padding = ((1, 0), (2, 1)))",
    ),
    "depthwise_conv": ("depthwise_conv(3)", "depthwise_conv(3, stride = 2, multiplier = 2)"),
    "conv_transpose": (
        "conv_transpose(3, 4, stride = 2)",
        "conv_transpose(4, 3, stride = (2, 1), padding = 1, groups = 2, bias = false)",
        "conv_transpose(2, 2, stride = 3, padding = valid, dilation = 2)",
    ),
    "max_pool": ("max_pool(2)", "max_pool(3, stride = 2, padding = 1)"),
    "avg_pool": (
        "avg_pool(2)",
        "avg_pool(3, stride = 2, padding = same)",
        "avg_pool(3, stride = 2, padding = 1, counted = false)",
    ),
    "global_avg_pool": ("global_avg_pool",),
    "global_max_pool": ("global_max_pool",),
    "upsample": ("upsample", "upsample((1, 3))", "upsample((2, 3), mode = bilinear)"),
    "interpolate_rows": ("interpolate_rows(2)",),
    "spatial_dropout": ("spatial_dropout(0.4)",),
    "dropout": ("dropout(0.4)",),
    "batchnorm": ("batchnorm",),
    "groupnorm": ("groupnorm(2)", "groupnorm(1)"),
    "instancenorm": ("instancenorm",),
    "layernorm": ("layernorm",),
    "lrn": ("lrn(size = 3, alpha = 0.3, beta = 0.75, k = 1)",),
    "prelu": ("prelu",),
    "flat": ("flat",),
    "pad": ("pad(1)", "pad(((0, 1), (1, 0), 2), value = 0.5)"),
}
IMAGE_ONLY = set(IMAGES) - {"dropout", "batchnorm", "layernorm", "prelu", "flat", "spatial_dropout"}


def blocks(inputs: int) -> dict[str, str]:
    """Name -> call, of every layer (one input) or loss (two) of the library."""
    found = {}
    for name in library_names():
        block = library_block(name)
        if isinstance(block, s.Optimizer) or block.span.source.name.endswith(APART):
            continue
        if name in STRAIGHT_THROUGH:
            continue
        if len(inputs_of(block)) == inputs and name not in IMAGE_ONLY:
            found[name] = CALLS.get(name) or default_call(block, inputs)
    return found


def default_call(block: s.Block, inputs: int) -> str:
    """A setting without a default is a width."""
    given = ["s", "y"] if inputs == 2 else []
    given += [f"{x.name.id} = 3" for x in block.settings if x.default is None]
    return f"{block.name.id}({', '.join(given)})" if given else block.name.id


LAYERS, LOSSES = blocks(1), blocks(2)


def test_the_library_is_not_empty() -> None:
    assert len(LAYERS) >= 20
    assert len(LOSSES) >= 8


@pytest.mark.parametrize("sizes", [(1, 1), (5, 3)], ids=["ones", "primes"])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
def test_the_gradient_through_a_layer_equals_finite_differences(layer, sizes) -> None:
    n, units = sizes
    graph = net(f"""
net t {{
  input x: [{n}]
  z = x -> dense({units})
  y = z -> {layer}
  loss sum(y * y * 0.5 + y)
}}
""")
    check_gradients(graph, batch=3)


def test_every_layer_of_images_is_checked() -> None:
    files = ("images.net", "normalisation.net")
    found = {n for n in library_names() if library_block(n).span.source.name.endswith(files)}
    assert found - set(IMAGES) == set()


@pytest.mark.parametrize("layer", [call for calls in IMAGES.values() for call in calls])
def test_the_gradient_through_a_layer_of_images_equals_finite_differences(layer) -> None:
    graph = net(f"""
net t {{
  input x: [2, 5, 6]
  z = x -> conv(4, 1)
  y = z -> {layer}
  loss sum(y * y * 0.5 + y)
}}
""")
    check_gradients(graph, batch=2)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_the_gradient_of_a_loss_equals_finite_differences(loss) -> None:
    graph = net(f"""
net t {{
  input x: [5]
  input y: [3]
  s = x -> dense(3)
  loss {loss}
}}
""")
    check_gradients(graph, batch=7)


@pytest.mark.parametrize("loss", ["cross_entropy(s, y)", "squared_error(s, one_hot(y))"])
def test_the_gradient_of_a_loss_of_labels_equals_finite_differences(loss) -> None:
    graph = net(f"""
net t {{
  input x: [5]
  input y: class[3]
  s = x -> dense(3)
  loss {loss}
}}
""")
    check_gradients(graph, batch=7)


def test_the_gradient_of_a_gradient_penalty_equals_finite_differences() -> None:
    graph = net("""
net t {
  input x: [3]
  s = x -> dense(4) -> tanh -> dense(1)
  slope = grad(sum(s), x)
  loss (sqrt(sum(slope^2)) - 1)^2
}
""")
    check_gradients(graph, batch=4)


def test_shared_weights_and_fan_out_add_up() -> None:
    graph = net("""
net t {
  input x: [3]
  D = dense(3)
  a = D(x) -> tanh
  b = D(a) + a
  loss sum(b * a) + sum(D.W * D.W)
}
""")
    assert set(graph.leaves) == {"x", "D.W", "D.b"}
    check_gradients(graph, batch=4)


def test_a_gradient_by_a_parameter_is_one_for_each_example() -> None:
    graph = net("""
net t {
  input x: [3]
  D = dense(2)
  y = D(x)
  g = grad(sum(y^2), D.W)
  loss sum(g^2)
}
""")
    check_gradients(graph, batch=4)
