"""The circuit view: its numbers are right, and it shows them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule.dsl.diagnostics import Failure
from chainrule.numbers import Given, integers, local, numbers
from chainrule.runtime.plain import evaluate
from chainrule.viz.amounts import brief, number, whole
from chainrule.viz.circuit import Circuit, circuit, circuit_of

from .nets import ALL, DIGITS, SIGMOIDS, net

GOLDEN = Path(__file__).parent.parent / "golden" / "viz"
RELU = """net gate {
  input x: []
  input y: []
  param w: [] = 2
  a = relu(w * x)
  output a
  loss 0.5 * (a - y)^2
}
"""


def made(text: str) -> Circuit:
    graph = net(text, dtype="f64")
    return circuit_of(graph, graph.of_kind("loss")[0])


def point(of: Circuit, **leaves: Any) -> Given:
    """Random numbers for the leaves that are not given."""
    draw = np.random.default_rng(3)
    found = {}
    for leaf in of.graph.leaves.values():
        t = leaf.value.type
        shape = (1, *t.shape) if t.batched else t.shape
        found[leaf.name] = (draw.integers(0, t.classes, shape) if t.classes is not None
                            else draw.normal(size=shape))  # fmt: skip
        if leaf.name in leaves:
            found[leaf.name] = np.full(shape, leaves[leaf.name], t.numpy)
    return Given(found, 1, "here")


def shown(dot: str) -> str:
    return re.sub(r"<[^<>]*>", " ", dot)


def test_values_are_those_of_numpy() -> None:
    of = made(DIGITS)
    given = point(of)
    found = numbers(of.loss, of.values, given)
    by_name = {str(of.names[v].text): found[v].value for v in of.equations.steps}
    w = sorted(n for n in given.leaves if "W" in n)
    b = sorted(n for n in given.leaves if n.endswith("b"))
    assert len(w) == len(b) == 2
    z1 = given.leaves[w[0]] @ given.leaves["image"][0] + given.leaves[b[0]]
    a1 = np.maximum(z1, 0)
    z2 = given.leaves[w[1]] @ a1 + given.leaves[b[1]]
    p = np.exp(z2) / np.exp(z2).sum()
    for name, truth in (("z_1", z1), ("a_1", a1), ("z_2", z2), ("a_2", p)):
        np.testing.assert_allclose(by_name[name], truth, rtol=1e-12)
    assert found[of.loss].value == pytest.approx(-np.log(p[given.leaves["digit"][0]]))


@pytest.mark.parametrize("text", [DIGITS, SIGMOIDS, ALL["logistic"], ALL["tied"]])
def test_gradients_by_parameters_are_those_of_finite_differences(text: str) -> None:
    of = made(text)
    given = point(of, **({"y": 0.3} if text is not DIGITS else {}))
    found = numbers(of.loss, of.values, given)
    assert of.loss is not None
    for leaf in of.graph.params:
        slope = found[leaf.value].gradient
        assert slope is not None
        for place in list(np.ndindex(leaf.value.shape))[:5]:
            ends = []
            for step in (1e-6, -1e-6):
                moved = given.leaves[leaf.name].copy()
                moved[place] += step
                (end,) = evaluate([of.loss], {**given.leaves, leaf.name: moved})
                ends.append(float(np.sum(end)))
            assert slope[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_the_gradient_of_an_inner_value_obeys_the_chain_rule() -> None:
    of = made(DIGITS)
    found = numbers(of.loss, of.values, point(of))
    at = {of.names[v].text: found[v] for v in of.names}
    p, y = at["a_2"].value, at["y"].value
    np.testing.assert_allclose(at["z_2"].gradient, p - y, rtol=1e-9)
    np.testing.assert_allclose(at["a_1"].gradient, at["W_2"].value.T @ (p - y), rtol=1e-9)
    np.testing.assert_allclose(
        at["z_1"].gradient, at["a_1"].gradient * (at["z_1"].value > 0), rtol=1e-9
    )


def test_a_shut_gate_is_grey_and_says_so() -> None:
    of = made(RELU)
    for x, is_shut in ((-3.0, True), (3.0, False)):
        found = numbers(of.loss, of.values, point(of, x=x, y=1.0, w=2.0))
        dot = circuit(of, found, fit=False)
        assert ("shut</FONT>" in dot) is is_shut
        gate = next(line for line in dot.splitlines() if "max(" in shown(line))
        assert ("dashed" in gate) is is_shut


def test_the_elements_that_a_relu_shuts_are_grey() -> None:
    of = made(DIGITS)
    dot = circuit(of, numbers(of.loss, of.values, point(of)), fit=False)
    assert re.search(r"\d+ of 16 open", dot)


def test_local_derivatives_are_written_where_asked_for() -> None:
    of = made(RELU)
    given = point(of, x=3.0, y=1.0, w=2.0)
    found = numbers(of.loss, of.values, given)
    assert "∂/∂w" not in circuit(of, found, fit=False)
    dot = shown(circuit(of, found, slopes=local(of.slopes, given), fit=False))
    assert "∂/∂w = 3" in dot
    assert "∂/∂x = 2" in dot


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_small_integers_come_out_even(theme: str) -> None:
    of = made(ALL["linear"])
    found = numbers(of.loss, of.values, integers(of.graph, of.loss))
    leaves = [found[leaf.value] for leaf in of.graph.params]
    assert all((a.value == np.round(a.value)).all() for a in leaves)
    assert any((a.gradient != 0).any() for a in leaves if a.gradient is not None)
    assert circuit(of, found, theme=theme, fit=False).count("->") > 5


def test_dot_of_a_circuit_is_what_it_was() -> None:
    """UPDATE_GOLDEN=1 writes it anew after a change that was meant."""
    of = made(RELU)
    given = point(of, x=3.0, y=1.0, w=2.0)
    text = circuit(of, numbers(of.loss, of.values, given), given.words, fit=False)
    path = GOLDEN / "gate-circuit.dot"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_a_net_of_many_numbers_is_refused_with_a_way_out() -> None:
    big = "net b {\n  input x: [4000]\n  input y: [4000]\n  h = x -> dense(4000)\n"
    graph = net(big + "  output h\n  loss mse(h, y)\n}\n")
    with pytest.raises(Failure, match=r"E581.*too large"):
        circuit_of(graph, graph.of_kind("loss")[0])


def test_numbers_are_short_in_the_picture_and_whole_in_the_tooltip() -> None:
    assert number(-1.25) == "−1.25"
    assert number(3.0) == "3"
    assert number(2.5e-7) == "2.5·10⁻⁷"
    assert number(1e-4) == "10⁻⁴"
    assert number(-1e-4) == "−10⁻⁴"
    assert number(float("inf")) == "∞"
    assert brief(np.array([0.2, -1.3, 5, 6, 0.4])) == "[0.2, −1.3, …, 0.4]"
    assert brief(np.array(0.25)) == "0.25"
    assert brief(np.zeros((3, 8, 8))) == "0 … 0"
    assert whole(np.array([1.0, 2.0])) == "[1, 2]"
    assert whole(np.zeros((20, 20))).startswith("20 × 20, from 0 to 0")


def test_an_example_that_there_is_not_is_refused() -> None:
    from chainrule.numbers import of_data

    model = chainrule.load(Path(__file__).parents[2] / "examples" / "xor.net")
    with pytest.raises(Failure, match=r"E580.*no example 99"):
        of_data(model, model.evaluation, [99])
