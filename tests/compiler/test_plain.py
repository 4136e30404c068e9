"""The plain interpreter: order, memory, and the first value that is not finite."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import Run, apply
from chainrule.compiler.types import Type
from chainrule.runtime.plain import computed, evaluate, first_not_finite, run_graph

X = leaf("input", "x", Type((2,), "f64", True))


def test_a_chain_of_many_thousands_needs_no_recursion() -> None:
    y = X
    for _ in range(20_000):
        y = y + 1
    (found,) = evaluate([y], {"x": np.zeros((1, 2))}, batch=1)
    assert found.tolist() == [[20_000, 20_000]]


def test_a_value_broadcast_to_the_batch_has_one_copy_for_each_example() -> None:
    w = leaf("param", "w", Type((2,), "f64"))
    y = apply("broadcast", w, shape=(2,), batch=True)
    assert evaluate([y], {"w": np.ones(2)}, batch=3)[0].shape == (3, 2)


def test_the_batch_size_and_the_step_are_known() -> None:
    m = apply("batch_size", dtype="f64")
    step = leaf("scalar", "step", Type((), "f64"))
    assert evaluate([m, step], {}, batch=7, step=4) == [7, 4]


def test_a_leaf_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`x` has shape \[3, 5\], expected \[3, 2\]"):
        evaluate([X], {"x": np.zeros((3, 5))}, batch=3)


def test_numbers_are_dropped_when_nobody_needs_them() -> None:
    y = X
    for _ in range(5):
        y = y + 1
    run = computed([y], {"x": np.zeros((1, 2))}, Run(1))
    seen = [v for v, _ in run]
    assert seen[-1] is y and len(seen) == 11  # x, five ones, five sums


def test_the_first_value_that_is_not_finite_is_found_behind_finite_operands() -> None:
    bad = apply("log", X)
    y = apply("sum", bad * 2, over=("batch", 0))
    graph = Graph("g", (Output("loss", "loss", y),), {"x": Leaf(X, "input")})
    assert first_not_finite(graph, {"x": np.array([[1.0, 0.0]])}, batch=1) is bad
    assert first_not_finite(graph, {"x": np.array([[1.0, 2.0]])}, batch=1) is None
    assert first_not_finite(graph, {"x": np.array([[1.0, np.nan]])}, batch=1) is X
    results = run_graph(graph, {"x": np.array([[1.0, np.e]])}, batch=1)
    assert results["loss", "loss"] == pytest.approx(2)
