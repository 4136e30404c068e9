"""Names of values, graphs cut at one of them, and which outputs are made of chance."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.elaborate import parse_module
from chainrule.compiler.graph import Graph
from chainrule.compiler.nodes import cut, find, generative, names, only, reading, reconstructing
from chainrule.compiler.pipeline import forward
from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.source import Source
from chainrule.runtime.plain import evaluate

VAE = """\
block encoder(latent) {
  input x: [n]
  h = x -> dense(6) -> relu
  output mean = h -> dense(latent), spread = exp(h -> dense(latent))
}
block decoder {
  input z: [k]
  h = z -> dense(6) -> tanh
  output h -> dense(9) -> sigmoid
}
net vae {
  input image: [9]
  encode = encoder(2)
  decode = decoder()
  m, s = encode(image)
  z = m + s * normal([2])
  hidden = image -> dense(5)
  output reconstruction = decode(z), sampled = decode(normal([2]))
  loss mean((reconstruction - image)^2) + 0 * sum(softmax(hidden))
  metric off = mean(abs(reconstruction - image))
}
"""


def graph_of(text: str) -> Graph:
    return forward(parse_module(Source("t.net", text)))


@pytest.fixture(scope="module")
def vae() -> Graph:
    return graph_of(VAE)


def drawn(graph: Graph, batch: int) -> dict[str, np.ndarray]:
    """Parameters and inputs at random; each is the same in every graph."""
    found = {}
    for f in graph.leaves.values():
        shape = (batch, *f.value.shape) if f.kind == "input" else f.value.shape
        found[f.name] = np.random.default_rng(len(f.name)).normal(size=shape).astype(np.float32)
    return found


def test_an_output_an_equation_a_layer_an_input_and_a_loss_have_names(vae: Graph) -> None:
    assert find(vae, "sampled") is vae.outputs[1].value
    assert find(vae, "z").op.name == "add"
    assert find(vae, "hidden").shape == (5,)
    assert find(vae, "image").op.name == "input"
    assert find(vae, "decode") is find(vae, "reconstruction")
    assert find(vae, "loss").shape == () and find(vae, "off").shape == ()


def test_an_equation_inside_of_a_block_is_named_with_the_path_of_the_instance(vae: Graph) -> None:
    assert find(vae, "encode.h").origin.block == "relu"
    assert find(vae, "decode.h").op.name == "tanh"


def test_what_a_block_calls_it_and_what_the_net_calls_it_are_the_same_value(vae: Graph) -> None:
    assert find(vae, "encode.mean") is find(vae, "m")
    assert find(vae, "encode.spread") is find(vae, "s")


def test_a_name_alone_means_the_least_deep_of_that_name() -> None:
    text = """\
block inner {
  input x: [n]
  u = exp(x)
  output u * 2
}
block outer {
  input x: [n]
  a = inner()
  u = a(x) + 1
  output u * 3
}
net n {
  input x: [2]
  b = outer()
  output b(x)
}
"""
    graph = graph_of(text)
    assert find(graph, "u") is find(graph, "outer.u")
    assert find(graph, "outer.inner.u").op.name == "exp"


def test_a_block_that_is_applied_twice_has_two_results(vae: Graph) -> None:
    assert find(vae, "decode:1") is vae.outputs[0].value
    assert find(vae, "decode:2") is vae.outputs[1].value
    assert find(vae, "decode.h") is not find(vae, "decode.h:2")


@pytest.mark.parametrize("name", ["decode:3", "decode:0", "decode:x"])
def test_a_third_application_that_there_is_not_is_said(vae: Graph, name: str) -> None:
    with pytest.raises(Failure, match="E617") as caught:
        find(vae, name)
    assert "`decode:2`" in str(caught.value)


def test_a_typo_in_a_name_suggests_the_nearest_and_lists_the_names(vae: Graph) -> None:
    with pytest.raises(Failure, match="E617") as caught:
        find(vae, "hiden")
    assert "did you mean `hidden`" in str(caught.value)
    assert "`sampled`" in str(caught.value)


def test_every_name_that_is_listed_is_found(vae: Graph) -> None:
    listed = names(vae)
    assert len(listed) == len(set(listed))
    for name in listed:
        find(vae, name)


def test_the_librarys_own_equations_are_found_but_not_listed(vae: Graph) -> None:
    assert find(vae, "softmax.e").op.name == "exp"
    assert "softmax.e" not in names(vae)
    assert {"encode.h", "decode.h", "z", "hidden"} <= set(names(vae))


def test_names_are_the_same_in_the_same_file(vae: Graph) -> None:
    assert names(vae) == names(graph_of(VAE))


def test_a_net_names_its_parts_in_the_order_of_depth(vae: Graph) -> None:
    depths = [name.count(".") for name in names(vae)]
    assert depths == sorted(depths)


def test_a_cut_graph_is_given_what_the_whole_one_computes(vae: Graph) -> None:
    z = find(vae, "z")
    changed = cut(vae, z, "code")
    rest = only(changed, {"y": changed.outputs[0].value})
    assert [f.name for f in rest.inputs] == ["code"]
    assert not any(v.op.name == "normal" for v in rest.nodes)
    code, wanted = evaluate([z, vae.outputs[0].value], drawn(vae, 3), batch=3)
    given = {**drawn(rest, 3), "code": code}
    (found,) = evaluate([rest.outputs[0].value], given, batch=3)
    np.testing.assert_array_equal(found, wanted)


def test_a_cut_leaves_what_does_not_depend_on_it(vae: Graph) -> None:
    changed = cut(vae, find(vae, "z"), "code")
    assert changed.outputs[1].value is vae.outputs[1].value
    assert changed.outputs[0].value is not vae.outputs[0].value


def test_a_cut_takes_no_name_that_is_taken(vae: Graph) -> None:
    with pytest.raises(ValueError, match="image"):
        cut(vae, find(vae, "z"), "image")


def test_reading_nodes_needs_the_leaves_before_them_only(vae: Graph) -> None:
    graph = reading(vae, ["encode.h", "hidden"])
    assert [o.name for o in graph.outputs] == ["encode.h", "hidden"]
    assert not any(name.startswith("decode") for name in graph.leaves)


def test_an_output_of_draws_alone_is_generative(vae: Graph) -> None:
    (found,) = generative(vae)
    assert found.name == "sampled" and found.given == ()
    assert found.latent.shape == (2,) and found.latent.op.name == "normal"


def test_an_output_of_draws_and_labels_is_generative_behind_those_of_draws_alone() -> None:
    text = """\
net n {
  input digit: class[3]
  input x: [2]
  output both = one_hot(digit, 3) + normal([3]), alone = normal([4]) -> dense(2)
  output label = one_hot(digit, 3), given = x + normal([2])
}
"""
    found = generative(graph_of(text))
    assert [g.name for g in found] == ["alone", "both"]
    assert [f.name for f in found[1].given] == ["digit"]


def test_the_latent_draw_is_the_one_farthest_from_the_output() -> None:
    text = """\
net n {
  output y = uniform([4]) + (normal([3]) -> dense(5) -> tanh -> dense(4))
}
"""
    (found,) = generative(graph_of(text))
    assert [v.op.name for v in found.draws] == ["normal", "uniform"]


def test_an_output_of_the_shape_of_its_input_is_a_reconstruction(vae: Graph) -> None:
    ((output, leaf),) = reconstructing(vae)
    assert (output.name, leaf.name) == ("reconstruction", "image")


def test_a_prediction_of_a_target_is_no_reconstruction() -> None:
    text = """\
net n {
  input x: [2]
  input y: class[2]
  scores = x -> dense(2)
  output softmax(scores)
  loss cross_entropy(scores, y)
}
"""
    assert list(reconstructing(graph_of(text))) == []
