"""Scans: their derivative, simplification and lowering on random recurrent nets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule.compiler.elaborate import forward, parse_module
from chainrule.compiler.graph import Graph, topological
from chainrule.compiler.passes import lower
from chainrule.compiler.pipeline import compile_plan, gradients, optimise
from chainrule.compiler.plan import Recurrence
from chainrule.compiler.verify import verify
from chainrule.dsl.source import Source
from chainrule.runtime.plain import evaluate

from ..randomscans import BATCH, gradient_graph, leaves, numbers

Array = NDArray[Any]


def lowered_numbers(graph: Graph, given: dict[str, Array], batch: int = BATCH) -> list[Array]:
    """The lowered graph by the interpreter; parameters as they are stored."""
    stored = dict(given)
    for f in graph.leaves.values():
        if "order" in f.value.attrs and f.name in given:
            stored[f.name] = given[f.name].transpose(f.value.attrs["order"])
    return evaluate([o.value for o in graph.outputs], stored, batch=batch)


@pytest.mark.parametrize("seed", range(12))
def test_gradients_of_random_scans_agree_with_differences(seed: int) -> None:
    graph = gradient_graph(seed, truncate=False)
    given = leaves(graph, seed)
    loss = graph.loss().value
    found = numbers(graph, given)
    rng = np.random.default_rng(seed)
    for o, g in zip(graph.outputs, found, strict=True):
        if o.kind != "gradient" or o.target is None:
            continue
        name = str(o.target.attrs["name"])
        direction = rng.normal(size=g.shape)
        step = 1e-6
        ends = [
            float(evaluate([loss], {**given, name: given[name] + s * direction}, batch=BATCH)[0])
            for s in (step, -step)
        ]
        difference = (ends[0] - ends[1]) / (2 * step)
        assert np.sum(g * direction) == pytest.approx(difference, rel=2e-5, abs=2e-7), name


@pytest.mark.parametrize("seed", range(30))
def test_simplified_and_lowered_random_scans_give_the_same_numbers(seed: int) -> None:
    graph = gradient_graph(seed)
    given = leaves(graph, seed)
    wanted = numbers(graph, given)
    better = optimise(graph)
    verify(better)
    low = lower(better)
    verify(low)
    for o, a, b, c in zip(graph.outputs, wanted, numbers(better, given),
                          lowered_numbers(low, given), strict=True):  # fmt: skip
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-11, err_msg=o.name)
        np.testing.assert_allclose(c, a, rtol=1e-9, atol=1e-11, err_msg=o.name)


def elman(steps: int, extra: str = "") -> Graph:
    text = f"""
net cell {{
  input xs: [{steps}, 3]
  param W: [4, 7] ~ glorot
  param b: [4]    ~ normal
  scan x in xs with h: [4] = 0.3 {{
    h = tanh(W @ concat(h, x) + b)
    yield h
  }}
  y = sum(h * h) + sum(sin(yielded))
  {extra or "loss y"}
}}
"""
    return forward(parse_module(Source("cell.net", text)), "cell", dtype="f64")


def test_neither_graph_nor_plan_grows_with_the_number_of_steps() -> None:
    sizes = []
    for steps in (3, 300):
        graph = optimise(gradients(elman(steps)))
        plan = compile_plan(graph, 8)
        inside = sum(len(k.inside) for k in plan.kernels if isinstance(k, Recurrence))
        sizes.append((len(graph.nodes), len(plan.kernels), inside))
    assert sizes[0] == sizes[1]


def test_a_second_derivative_agrees_with_differences_of_the_first() -> None:
    graph = gradients(elman(4, "g = grad(y, W)\n  loss sum(g * g) + sum(grad(y, xs))"))
    rng = np.random.default_rng(0)
    given = {
        "xs": rng.normal(size=(2, 4, 3)), "W": rng.normal(size=(4, 7)), "b": rng.normal(size=4),
    }  # fmt: skip
    loss = graph.loss().value
    for o in graph.of_kind("gradient"):
        assert o.target is not None
        name = str(o.target.attrs["name"])
        (found,) = evaluate([o.value], given, batch=2)
        direction = rng.normal(size=found.shape)
        ends = [
            float(evaluate([loss], {**given, name: given[name] + s * direction}, batch=2)[0])
            for s in (1e-6, -1e-6)
        ]
        assert np.sum(found * direction) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5)
    low = lower(optimise(graph))
    verify(low)
    wanted = evaluate([o.value for o in graph.outputs], given, batch=2)
    for a, b in zip(wanted, lowered_numbers(low, given, 2), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-11)


def test_what_is_not_recurrent_leaves_the_scan() -> None:
    """One product for the inputs of all steps, one for the gradient by each part of W."""
    low = lower(optimise(gradients(elman(6))))
    inside = [
        v for s in low.nodes if s.op.family == "scan" for v in topological(s.attrs["body"].results)
    ]
    products = [v for v in inside if v.op.family == "contraction"]
    assert len(products) == 2  # W_h h forward, W_hᵀ δ backward
    framed = [v for v in low.nodes if v.op.name == "einsum" and any(a.type.frame for a in v.args)]
    assert len(framed) == 3  # W_x x, Σ δ hᵀ, Σ δ xᵀ


def test_a_truncated_gradient_stops_at_the_boundary() -> None:
    """Against the recursion written by hand in NumPy: δ passes from step t to t−1 unless t is a
    multiple of `truncate`."""
    text = """
net cell {
  input xs: [7, 2]
  param W: [2, 2] ~ glorot
  scan x in xs with h: [2] = 0 (truncate = 3) {
    h = tanh(W @ h + x)
    yield h
  }
  loss sum(yielded)
}
"""
    graph = gradients(forward(parse_module(Source("cell.net", text)), "cell", dtype="f64"))
    rng = np.random.default_rng(1)
    xs, w = rng.normal(size=(1, 7, 2)), rng.normal(size=(2, 2))
    (o,) = graph.of_kind("gradient")
    (found,) = evaluate([o.value], {"xs": xs, "W": w}, batch=1)
    hs = [np.zeros(2)]
    for t in range(7):
        hs.append(np.tanh(w @ hs[-1] + xs[0, t]))
    wanted, back = np.zeros((2, 2)), np.zeros(2)
    for t in reversed(range(7)):
        delta = (1 + back) * (1 - hs[t + 1] ** 2)
        wanted += np.outer(delta, hs[t])
        back = w.T @ delta if t % 3 else np.zeros(2)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
