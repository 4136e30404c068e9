"""The flow view: its norms are right, and widths follow them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from chainrule.compiler.scans.disturbed import disturbed
from chainrule.dsl.diagnostics import Failure
from chainrule.gradient_flow import norms, strips
from chainrule.numbers import Given
from chainrule.runtime.plain import evaluate
from chainrule.viz.flow import Strip, chosen_steps, flow, flow_of, scale_of, verdict

from .nets import DEEP, DIGITS, net

GOLDEN = Path(__file__).parent.parent / "golden" / "viz"
STEPS = 6
RECURRENT = f"""net chain {{
  input x: [{STEPS}, 1]
  input y: [1]
  param w: [1] = 0.5
  param u: [1] = 1
  scan p in x with h: [1] = 0 {{
    h = tanh(w * h + u * p)
  }}
  output h
  loss sum(0.5 * (h - y)^2)
}}
"""


def point(graph: object, batch: int = 3) -> Given:
    draw = np.random.default_rng(5)
    found = {}
    for leaf in graph.leaves.values():  # type: ignore[attr-defined]
        t = leaf.value.type
        shape = (batch, *t.shape) if t.batched else t.shape
        found[leaf.name] = (draw.integers(0, t.classes, shape) if t.classes is not None
                            else 0.5 * draw.normal(size=shape))  # fmt: skip
    return Given(found, batch, "here")


def test_the_norm_of_a_parameters_gradient_is_that_of_the_mean_loss() -> None:
    graph = net(DIGITS, dtype="f64")
    of = flow_of(graph, graph.of_kind("loss")[0])
    given = point(of.graph)
    found = norms(of.loss, of.values, given)
    w = next(leaf.value for leaf in of.graph.params if leaf.value.shape == (10,))
    slope = np.zeros(10)
    for k in range(10):
        ends = []
        for step in (1e-6, -1e-6):
            moved = given.leaves[w.attrs["name"]].copy()
            moved[k] += step
            (each,) = evaluate([of.loss], {**given.leaves, w.attrs["name"]: moved}, batch=3)
            ends.append(each.mean())
        slope[k] = (ends[0] - ends[1]) / 2e-6
    assert found[w] == pytest.approx(float(np.linalg.norm(slope)), rel=1e-6)


def test_the_gradient_by_each_state_is_the_product_of_local_derivatives() -> None:
    graph = net(RECURRENT, dtype="f64")
    given = point(graph, batch=1)
    (strip,) = strips(graph, graph.of_kind("loss")[0].name, given)
    w, u = given.leaves["w"][0], given.leaves["u"][0]
    h, states = 0.0, []
    for x in given.leaves["x"][0, :, 0]:
        h = float(np.tanh(w * h + u * x))
        states.append(h)
    slope, truth = states[-1] - given.leaves["y"][0, 0], []
    for state in reversed(states):
        truth.append(abs(slope))
        slope *= w * (1 - state**2)
    np.testing.assert_allclose(strip.norms, truth[::-1], rtol=1e-12)


def test_added_zeros_change_nothing() -> None:
    graph = net(RECURRENT, dtype="f64")
    given = point(graph)
    other, carried = disturbed(graph)
    zeros = {c.zeros.attrs["name"]: np.zeros((3, *c.zeros.shape)) for c in carried}
    before = evaluate([graph.of_kind("loss")[0].value], given.leaves, batch=3)
    after = evaluate([other.of_kind("loss")[0].value], {**given.leaves, **zeros}, batch=3)
    np.testing.assert_array_equal(before[0], after[0])


def test_arrows_are_the_wider_the_larger_the_gradient() -> None:
    scale = scale_of([1e-6, 1e-3, 1.0])
    widths = [scale.width(x) for x in (1e-6, 1e-3, 1.0)]
    assert widths == sorted(widths)
    assert widths[0] < 1 < 10 < widths[2]
    assert widths[1] == pytest.approx((widths[0] + widths[2]) / 2, abs=0.02)
    assert len(scale.marks) <= 4


def test_vanishing_and_exploding_are_said_in_words() -> None:
    assert verdict(1e-6, 1.0, "h₁", "h_T").startswith("vanishing")
    assert verdict(1e6, 1.0, "h₁", "h_T").startswith("exploding")
    assert verdict(0.5, 1.0, "h₁", "h_T") == "h₁ gets 0.5 times the gradient of h_T"
    assert verdict(0.0, 1.0, "h₁", "h_T") == "nothing reaches h₁"


def test_every_layer_and_every_step_is_drawn() -> None:
    graph = net(DEEP, dtype="f64")
    of = flow_of(graph, graph.of_kind("loss")[0])
    dot = flow(of, norms(of.loss, of.values, point(of.graph)), fit=False)
    assert dot.count('dir="back"') == 13
    assert dot.count("‖∂L/∂θ‖") == 12
    assert chosen_steps(5) == [1, 2, 3, 4, 5]
    assert chosen_steps(28)[0] == 1
    assert chosen_steps(28)[-1] == 28


def test_the_gradient_of_a_scan_from_the_end_goes_the_other_way() -> None:
    graph = net(DIGITS, dtype="f64")
    of = flow_of(graph, graph.of_kind("loss")[0])
    found = norms(of.loss, of.values, point(of.graph))
    dot = flow(of, found, [Strip("r", "h", (1.0, 0.1, 0.01), reverse=True)], fit=False)
    assert dot.count('dir="forward"') == 2


def test_a_loss_without_parameters_is_refused() -> None:
    graph = net("net n {\n  input x: [2]\n  output x\n  loss sum(x^2)\n}\n")
    with pytest.raises(Failure, match="E583"):
        flow_of(graph, graph.of_kind("loss")[0])


def test_dot_of_a_flow_is_what_it_was() -> None:
    """UPDATE_GOLDEN=1 writes it anew after a change that was meant."""
    graph = net(RECURRENT, dtype="f64")
    of = flow_of(graph, graph.of_kind("loss")[0])
    given = point(graph)
    found = {v: float(f"{x:.3g}") for v, x in norms(of.loss, of.values, given).items()}
    text = flow(of, found, [Strip("r", "h", (0.001, 0.1, 1.0))], "here", fit=False)
    path = GOLDEN / "chain-flow.dot"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
    assert re.search(r"‖∂L/∂hₜ‖", text)
