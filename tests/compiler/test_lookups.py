"""Lookups in plans: what shares their kernel, what is read in place, and what one-hot becomes."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.autodiff import gradient
from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import apply
from chainrule.compiler.pipeline import compile_plan
from chainrule.compiler.plan import Extent, Lookup, Plan, Product, Scatter
from chainrule.compiler.plan_check import check_plan
from chainrule.compiler.plan_report import kernel_cost
from chainrule.compiler.step import with_gradients
from chainrule.compiler.types import Frame, ShapeError, Type
from chainrule.compiler.value import Value
from chainrule.runtime.plain import run_graph
from chainrule.runtime.plan_oracle import run_plan
from tests.compiler.netcase import check_gradients, mistakes, net, random_values
from tests.compiler.plancase import assert_plan_is_right, training

WORDS = """
  input word: class[9]
  input y: class[3]
  param E: [9, 6] ~ normal(std = 0.5)
  h = gather(E, word)
  loss cross_entropy(h -> tanh -> dense(3), y)
"""
ONE_HOT = """
  input word: class[9]
  input y: class[9]
  h = one_hot(word) -> dense(6) -> tanh
  loss cross_entropy(h -> dense(9), y)
"""


LETTERS = """
  input text: tokens[4, 9]
  input y: class[3]
  param U: [6, 9] ~ glorot
  param W: [6, 6] ~ glorot
  scan x in one_hot(text) with h: [6] = 0 {
    h = tanh(U @ x + W @ h)
  }
  loss cross_entropy(h -> dense(3), y)
"""


def given(kind: str, name: str, *shape: int, batched: bool = False, dtype: str = "f64") -> Value:
    return leaf(kind, name, Type(shape, dtype, batched))


E = given("param", "E", 7, 6)
B = given("param", "b", 6)
P = given("param", "P", 4, 6)
ONE = given("input", "i", batched=True, dtype="i32")
FOUR = given("input", "t", 4, batched=True, dtype="i32")
G = given("input", "g", 4, 6, batched=True)


def planned(*values: Value) -> Plan:
    outputs = tuple(Output("output", f"o{k}", v) for k, v in enumerate(values))
    leaves = {str(v.attrs["name"]): Leaf(v, v.op.name) for v in (E, B, P, ONE, FOUR, G)}
    return assert_plan_is_right(Graph("test", outputs, leaves))


def lookups(plan: Plan) -> list[Lookup]:
    return [k for k in plan.kernels if isinstance(k, Lookup)]


def scatters(plan: Plan) -> list[Scatter]:
    return [k for k in plan.kernels if isinstance(k, Scatter)]


def test_what_follows_a_lookup_shares_its_kernel() -> None:
    plan = planned(apply("tanh", apply("gather", E, FOUR) + B))
    (kernel,) = plan.kernels
    assert isinstance(kernel, Lookup)
    assert (kernel.rows, kernel.columns, kernel.count) == (Extent(4, True), 6, 7)
    assert [let.expression.function for let in kernel.epilogue.lets] == ["add", "tanh"]


def test_rows_for_each_place_are_added_in_a_kernel_of_their_own() -> None:
    """Which place a row is for, a kernel over all rows of all examples does not know."""
    plan = planned(apply("gather", E, FOUR) + P)
    assert [type(k).__name__ for k in plan.kernels] == ["Lookup", "Loops"]


def test_a_dropout_behind_a_lookup_draws_in_its_kernel() -> None:
    y = apply("gather", E, FOUR)
    kept = apply("lt", apply("uniform", shape=y.shape, stream=2, batched=True, dtype="f64"), 0.5)
    (kernel,) = planned(apply("where", kept, y, 0)).kernels
    assert isinstance(kernel, Lookup)


def test_a_sum_of_rows_over_the_batch_is_one_kernel() -> None:
    plan = planned(apply("scatter", FOUR, G, rows=7, batch=True))
    (kernel,) = plan.kernels
    assert isinstance(kernel, Scatter) and not kernel.each
    assert kernel.source.strides == (6, 1) and kernel.target.strides == (6, 1)


def test_a_training_step_looks_up_and_adds_up_once() -> None:
    plan = assert_plan_is_right(training(WORDS, "adam()"))
    assert len(lookups(plan)) == len(scatters(plan)) == 1
    (update,) = [k for k in plan.kernels if k.label.startswith("update E")]
    written = {plan.buffers[update.slots[s]].name for s in update.writes}
    assert written == {"E", "E.adam.v", "E.adam.s"}


def test_one_hot_inputs_are_looked_up_in_matrices_stored_that_way_round() -> None:
    plan = assert_plan_is_right(training(ONE_HOT))
    (kernel,) = lookups(plan)
    assert kernel.table.strides == (6, 1) and len(kernel.epilogue.lets) == 2
    assert plan.buffer("dense_1.W" if "dense_1.W" in plan.index_of else "h.W").order == (1, 0)
    assert len(scatters(plan)) == 1
    assert sum(isinstance(k, Product) for k in plan.kernels) == 3  # of the second layer


def test_one_hot_vectors_of_all_steps_are_looked_up_at_once() -> None:
    graph = with_gradients(net(f"net t {{{LETTERS}}}"))
    plan = compile_plan(graph, 5)
    check_plan(plan)
    values = random_values(graph, 3)
    expected = run_graph(graph, values, batch=3)
    stored = {n: plan.buffer(n).stored(a) for n, a in values.items()}
    oracle = run_plan(plan, stored, batch=3)
    for o in graph.of_kind("gradient"):
        want = expected[o.kind, o.name]
        np.testing.assert_allclose(oracle.read(o.name), want, atol=1e-12, err_msg=o.name)
    (kernel,), (total,) = lookups(plan), scatters(plan)
    assert kernel.frame == total.frame == Frame("", 4)
    assert kernel.table.strides == (6, 1), "the matrix is stored in rows"


def test_few_classes_stay_a_product() -> None:
    plan = assert_plan_is_right(training(ONE_HOT.replace("class[9]", "class[5]")))
    assert not lookups(plan)


@pytest.mark.parametrize("body", [WORDS, ONE_HOT])
def test_gradients_agree_with_finite_differences(body: str) -> None:
    check_gradients(net(f"net t {{{body}}}"))


@pytest.mark.parametrize(("kind", "size"), [("class[7]", 5), ("tokens[4, 7]", 20)])
def test_an_embedding_learns_a_row_for_each_class(kind: str, size: int) -> None:
    graph = net(f"net t {{ input w: {kind}\n output w -> embedding(5) -> flatten -> dense(3) }}")
    shapes = {name: known.value.shape for name, known in graph.leaves.items()}
    assert shapes["embedding.E"] == (7, 5) and shapes["dense.W"] == (3, size)
    text = f"input w: {kind}\n input y: class[3]\n z = w -> embedding(5) -> flatten -> dense(3)"
    check_gradients(net(f"net t {{ {text}\n loss cross_entropy(z, y) }}"))


def test_an_embedding_of_numbers_is_refused() -> None:
    (found,) = mistakes("net t { input x: [7]\n output x -> embedding(5) }")
    assert found.code == "E308"


def test_a_gather_has_a_second_derivative() -> None:
    y = apply("gather", E, FOUR)
    (first,) = gradient(apply("sum", y * y * y, over=(0, 1, "batch")), [E])
    assert first.op.name == "scatter" and first.attrs["batch"]
    (second,) = gradient(apply("sum", first, over=(0, 1)), [E])
    plan = planned(first, second)
    assert len(lookups(plan)) == 2


def test_the_rows_of_framed_ids_are_framed_and_sums_of_rows_are_not() -> None:
    frame = Frame("T", 12)
    ids = leaf("input", "x", Type((), "i32", True, frame=frame))
    rows = apply("gather", E, ids)
    assert rows.type == Type((6,), "f64", True, frame=frame)
    assert apply("scatter", ids, rows, rows=7, batch=True).type == Type((7, 6), "f64")
    own = leaf("input", "F", Type((7, 6), "f64", True))
    with pytest.raises(ShapeError, match="different frames"):
        apply("gather", own, ids)


def test_a_lookup_moves_only_the_rows_that_are_asked_for() -> None:
    big = leaf("param", "big", Type((100_000, 6), "f64"))
    y = apply("gather", big, ONE)
    leaves = {"big": Leaf(big, "param"), "i": Leaf(ONE, "input")}
    plan = assert_plan_is_right(Graph("test", (Output("output", "y", y),), leaves))
    cost = kernel_cost(plan, plan.kernels[0], 4)
    assert cost.nbytes == 4 * 4 + 2 * 4 * 6 * 8


def test_repeated_ids_add_up() -> None:
    plan = planned(apply("scatter", FOUR, G, rows=7, batch=True))
    g = np.arange(48.0).reshape(2, 4, 6)
    oracle = run_plan(plan, {"t": np.full((2, 4), 3), "g": g}, batch=2)
    total = oracle.read("o0")
    np.testing.assert_array_equal(total[3], g.sum((0, 1)))
    assert not np.delete(total, 3, axis=0).any()
