"""Losses of generative networks and gradient penalties: PyTorch's numbers, and what is compiled.

`tests/reference/generative.npz` and `penalty.npz` hold the numbers
(`scripts/references_generative.py` says how).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule.compiler.graph import Graph, topological
from chainrule.compiler.patterns import number
from chainrule.compiler.pipeline import compile_plan, gradients, optimise
from chainrule.compiler.text import print_graph
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.plain import evaluate
from tests.compiler.netcase import check_gradients, net, random_values
from tests.recorded import Arrays, numbers

LOSSES = {
    "smoothed": "cross_entropy(scores, labels, smoothing = 0.1)",
    "smoothed_bits": "binary_cross_entropy_with_logits(scores, y, smoothing = 0.1)",
    "discriminator": "gan_discriminator(real, fake, smoothing = 0.1)",
    "generator": "gan_generator(fake)",
    "minimax": "gan_generator_minimax(fake)",
    "bernoulli": "bernoulli_nll(scores, y)",
    "gaussian": "gaussian_nll(mu, log_variance, x)",
    "kl": "kl_normal(mu, log_variance)",
    "kls": "kl_normals(mu, log_variance, mu_2, log_variance_2)",
}
CRITICS = {
    "leaky": "D = mlp([7, 5, 1], activation = leaky)",
    "tanh": "D = mlp([7, 5, 1], activation = tanh)",
    "conv": "D = critic()",
}
BLOCKS = """
block leaky {
  input x: [...]
  output x -> leaky_relu(0.2)
}
block critic {
  input x: [2, 6, 5]
  a = x -> conv(3, 3, stride = 2, padding = 1) -> leaky_relu(0.2)
  b = a -> conv(4, 3, padding = 1) -> tanh
  c = b -> flat -> dense(1)
  output c
}
"""
# Written out, and as the block: between an example and itself lies the example.
PENALTIES = {
    "equations": "slope = grad(sum(D(x)), x)\n  loss (sqrt(sum(slope^2) + 1e-12) - 1)^2",
    "block": "loss gradient_penalty(x, x, critic = D)",
}


def graph_of(lines: list[str], expected: dict[str, Arrays], dtype: str) -> tuple[Graph, Arrays]:
    """A net of what is given, each times a parameter of ones, and its leaves."""
    head, leaves = [], dict[str, NDArray[Any]]()
    for name, x in expected["given"].items():
        if name == "labels":
            head.append("input labels: class[5]")
            leaves[name] = x.astype(np.int32)
            continue
        shape = list(x.shape[1:])
        head += [f"input {name}_given: {shape}", f"param S_{name}: {shape} = 1"]
        head += [f"{name} = {name}_given * S_{name}"]
        leaves |= {f"{name}_given": x, f"S_{name}": np.ones(shape)}
    leaves |= {f"D.{name}": p for name, p in expected.get("param", {}).items()}
    text = "\n  ".join(head + lines)
    graph = net(f"{BLOCKS}net t {{\n  {text}\n}}\n", dtype=dtype)
    assert set(leaves) == set(graph.leaves)
    return gradients(graph), leaves


def check(found: Arrays, expected: dict[str, Arrays], tolerance: float) -> None:
    """The mean loss, and gradients by parameters and by the ones."""
    factor = float(expected["factor"]["loss"])
    loss = expected["result"]["loss"].mean()
    np.testing.assert_allclose(found["loss"], loss, rtol=tolerance, atol=tolerance)
    for name, g in expected["grad"].items():
        given = expected["given"].get(name)
        path = f"D.{name}" if given is None else f"S_{name}"
        want = (g if given is None else (given * g).sum(0)) / factor
        got = found[f"grad {path}"]
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance, err_msg=name)


def interpreted(graph: Graph, leaves: Arrays) -> Arrays:
    values = evaluate([o.value for o in graph.outputs], leaves, batch=3)
    return {o.name: v for o, v in zip(graph.outputs, values, strict=True)}


def compiled(graph: Graph, leaves: Arrays) -> Arrays:
    loaded = CpuDevice(threads=2).load(compile_plan(graph, 4))
    for name, value in leaves.items():
        loaded.write(name, value)
    loaded.run(3)
    return {o.name: loaded.read(o.name) for o in graph.outputs}


@pytest.mark.parametrize("case", LOSSES)
def test_a_loss_and_its_gradients_are_those_of_pytorch(case: str) -> None:
    expected = numbers("generative", case)
    graph, leaves = graph_of([f"loss {LOSSES[case]}"], expected, "f64")
    check(interpreted(graph, leaves), expected, 1e-12)


@pytest.mark.parametrize("case", ["smoothed", "discriminator", "bernoulli", "kls"])
def test_a_compiled_loss_is_that_of_pytorch(case: str) -> None:
    expected = numbers("generative", case)
    graph, leaves = graph_of([f"loss {LOSSES[case]}"], expected, "f32")
    check(compiled(graph, leaves), expected, 3e-6)


@pytest.mark.parametrize("written", PENALTIES)
@pytest.mark.parametrize("case", CRITICS)
def test_a_gradient_penalty_has_the_gradients_of_double_backward(case: str, written: str) -> None:
    expected = numbers("penalty", case)
    graph, leaves = graph_of([CRITICS[case], PENALTIES[written]], expected, "f64")
    check(interpreted(graph, leaves), expected, 1e-10)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("case", CRITICS)
def test_a_compiled_gradient_penalty_has_the_gradients_of_double_backward(case, dtype) -> None:
    expected = numbers("penalty", case)
    graph, leaves = graph_of([CRITICS[case], PENALTIES["equations"]], expected, dtype)
    check(compiled(graph, leaves), expected, 1e-10 if dtype == "f64" else 3e-5)


def test_the_second_derivative_of_leaky_relu_leaves_no_work_behind() -> None:
    """With W₁, a of the slopes and W₂: the slope is W₁ᵀ(w₂ ∘ a), and its gradient by W₁ and W₂ is
    one outer product and one product with W₁; the biases have none."""
    graph = optimise(
        gradients(
            net("""
net t {
  input x: [4]
  D = mlp([5, 1], activation = leaky_relu)
  slope = grad(sum(D(x)), x)
  loss (sqrt(sum(slope^2) + 1e-12) - 1)^2
}
""")
        )
    )
    values = topological(o.value for o in graph.outputs)
    words = [v.op.name for v in values]
    assert words.count("matmul") == 3  # W₁ x for the slopes a, W₁ᵀ(w₂ ∘ a), W₁ ∂L/∂slope
    assert words.count("outer") == 1
    assert words.count("where") == 1
    # What stands for every example is no vector of ones: only the biases' zeros are repeated.
    assert {number(v) for v in values if v.op.name == "broadcast"} == {0}


def test_a_gradient_penalty_of_a_flat_critic_has_finite_gradients() -> None:
    """At slope 0 the root of Σ g² would have the derivative 0/0."""
    graph = gradients(
        net("""
net t {
  input x: [3]
  D = mlp([4, 1], activation = relu)
  loss gradient_penalty(x, x, critic = D)
}
""")
    )
    leaves = {name: np.zeros_like(v) for name, v in random_values(graph, 3).items()}
    found = interpreted(graph, leaves)
    assert found["loss"] == pytest.approx(1, abs=1e-5)
    assert all(np.isfinite(v).all() for v in found.values())


def test_the_gradient_penalty_of_drawn_points_equals_finite_differences() -> None:
    graph = net("""
net t {
  input x: [3]
  input y: [3]
  G = dense(3)
  D = mlp([4, 1], activation = tanh)
  loss gradient_penalty(x, G(y), critic = D)
}
""")
    check_gradients(graph, batch=4)


def test_smoothed_labels_give_the_softmax_less_the_smoothed_label() -> None:
    """Σ q = 1 is known, so nothing multiplies the softmax."""
    graph = optimise(
        gradients(
            net("""
net t {
  input x: [5]
  input y: class[3]
  z = x -> dense(3)
  loss cross_entropy(z, y, smoothing = 0.1)
}
""")
        )
    )
    text = print_graph(graph)
    (line,) = [x for x in text.splitlines() if " - cross_entropy__q" in x]
    (quotient,) = [
        x for x in text.splitlines() if x.strip().startswith(line.split("=")[1].split()[0] + " =")
    ]
    assert "/" in quotient and "*" not in quotient


@pytest.mark.parametrize("loss", ["bernoulli_nll(s, y)", "gan_discriminator(s, y)",
                                  "gan_generator(s)", "gan_generator_minimax(s)"])  # fmt: skip
def test_losses_of_scores_are_finite_however_sure_the_scores(loss: str) -> None:
    graph = gradients(
        net(f"net t {{\n  input y: [2]\n  param s: [2] = 0\n  loss {loss}\n}}", dtype="f32")
    )
    leaves = {"s": np.array([500.0, -500.0], "f4"), "y": np.array([[0.0, 1.0]] * 3, "f4")}
    found = compiled(graph, leaves)
    assert all(np.isfinite(v).all() for v in found.values())
    if "bernoulli" in loss:
        assert found["loss"] == pytest.approx(1000)
