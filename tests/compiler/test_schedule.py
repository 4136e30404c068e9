"""Scheduling: order, in-place updates, barriers, memory; and the checker that guards them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.memory import Life, aligned, place
from chainrule.compiler.op import apply
from chainrule.compiler.plan import ALIGN, HEADER, Plan
from chainrule.compiler.plan_check import PlanError, check_plan, epochs_of
from chainrule.compiler.plan_report import kernel_cost, memory_report, plan_cost
from chainrule.compiler.schedule import plan
from chainrule.compiler.types import Type
from chainrule.compiler.value import Value

from .plancase import CLASSIFIER, assert_plan_is_right, deep, training


def param(name: str, *shape: int) -> Value:
    return leaf("param", name, Type(shape, "f64"))


def update(target: Value, value: Value) -> Output:
    return Output("update", str(target.attrs["name"]), value, target)


def graph_of(*outputs: Output) -> Graph:
    leaves = {
        str(v.attrs["name"]): v
        for v in Graph("test", outputs).nodes
        if v.op.family == "leaf" and "name" in v.attrs
    }
    return Graph("test", outputs, {n: Leaf(v, v.op.name) for n, v in leaves.items()})


def temporaries(made: Plan) -> int:
    return sum(b.kind == "temp" for b in made.buffers)


# ---------------------------------------------------------------- updates in place


def test_an_elementwise_update_is_written_over_the_old_value():
    w, g = param("w", 5, 3), param("g", 5, 3)
    made = assert_plan_is_right(graph_of(update(w, w - 0.1 * g)))
    assert len(made.kernels) == 1
    assert temporaries(made) == 0


def test_swapped_parameters_keep_their_numbers():
    a, b = param("a", 5), param("b", 5)
    made = assert_plan_is_right(graph_of(update(a, b), update(b, a)))
    assert temporaries(made) == 1


def test_three_parameters_in_a_ring_need_one_temporary():
    a, b, c = (param(n, 7) for n in "abc")
    made = assert_plan_is_right(
        graph_of(update(a, apply("tanh", b)), update(b, apply("tanh", c)), update(c, a))
    )
    assert temporaries(made) == 1


def test_an_update_that_reads_another_old_value_runs_first():
    a, b = param("a", 5), param("b", 5, 5)
    made = assert_plan_is_right(
        graph_of(update(a, a - 1.0), update(b, b + apply("broadcast", a, shape=(5, 5))))
    )
    assert temporaries(made) == 0


def test_a_transposed_update_goes_through_a_temporary():
    w = param("w", 4, 4)
    made = assert_plan_is_right(graph_of(update(w, apply("transpose", w, perm=(1, 0)) * 0.5)))
    assert temporaries(made) == 1


def test_a_product_may_not_overwrite_its_own_operand():
    w = param("w", 4, 4)
    made = assert_plan_is_right(graph_of(update(w, w - apply("einsum", w, w, spec="ij,jk->ik"))))
    assert temporaries(made) == 1


def test_a_fold_may_not_overwrite_what_it_reads():
    w = param("w", 4, 4)
    total = apply("sum", w, axis=0, keep=True)
    assert_plan_is_right(graph_of(update(w, w / total)))


def test_weights_are_updated_after_their_last_use_in_the_backward_pass():
    made = assert_plan_is_right(training(CLASSIFIER))
    z = made.index_of["z.W"]
    readers = [i for i, k in enumerate(made.kernels) if z in {k.slots[s] for s in k.reads}]
    (writer,) = [i for i, k in enumerate(made.kernels) if z in {k.slots[s] for s in k.writes}]
    assert writer == max(readers)
    assert len(readers) == 3  # forward, backward, and its own update


def test_a_new_value_that_others_need_is_read_after_the_update():
    w, v = param("w", 5), param("v", 5)
    new = 0.9 * v + w
    norm = apply("sum", new * new, axis=0)
    assert_plan_is_right(graph_of(update(v, new), update(w, w - new / norm)))


def test_an_output_of_an_updated_parameter_is_its_old_value():
    w = param("w", 5)
    assert_plan_is_right(graph_of(Output("output", "old", w), update(w, w + 1.0)))


def test_one_value_may_update_two_parameters():
    a, b, c = param("a", 5), param("b", 5), param("c", 5)
    new = a + b
    assert_plan_is_right(graph_of(update(a, new), update(b, new), Output("output", "o", new)))
    total = apply("sum", param("m", 5, 3), axis=1)
    assert_plan_is_right(graph_of(update(a, total), update(c, total)))


# ---------------------------------------------------------------- memory and barriers


def test_forward_memory_does_not_grow_with_depth():
    def needed(layers: int) -> int:
        g = deep(layers, 32)
        forward = g.with_outputs(o for o in g.outputs if o.kind == "loss")
        return memory_report(assert_plan_is_right(forward)).kinds["temp"]

    assert needed(40) == needed(10)


def test_backward_memory_is_reused():
    report = memory_report(assert_plan_is_right(deep(30, 32)))
    assert report.kinds["temp"] < 0.75 * report.unshared
    assert sum(report.kinds.values()) <= report.arena


def test_parameters_and_states_lie_side_by_side():
    made = assert_plan_is_right(training(CLASSIFIER, "adam()"))
    spans = sorted(
        (b.offset, b.offset + aligned(b.nbytes(made.capacity)))
        for b in made.buffers
        if b.kind in ("param", "state")
    )
    assert len(spans) == 12
    assert all(end == start for (_, end), (start, _) in pairwise(spans))
    assert all(start % ALIGN == 0 for start, _ in spans)
    first = min(b.offset for b in made.buffers if b.kind not in ("scalar", "param", "state"))
    assert spans[0][0] >= HEADER and spans[-1][1] <= first


def test_there_is_one_barrier_less_than_steps_that_must_follow_each_other():
    made = assert_plan_is_right(training(CLASSIFIER))
    assert sum(made.barriers) == 4  # h | z | loss per example | means, δh | updates
    assert not made.barriers[0]


def test_planning_a_thousand_layers_takes_about_a_second():
    g = deep(1000, 8)
    assert len(g.nodes) > 14_000
    start = time.process_time()
    made = plan(g, 64)
    assert time.process_time() - start < 4  # one second on an idle machine
    assert len(made.kernels) > 4000
    check_plan(made)
    assert len(made.distinct) < 20


def test_work_and_traffic_count_every_product():
    made = assert_plan_is_right(training(CLASSIFIER))
    first = kernel_cost(made, made.kernels[0], 4)
    assert first.flops >= 2 * 4 * 5 * 7
    assert first.nbytes >= 8 * (4 * 7 + 5 * 7 + 5 + 4 * 5)
    assert plan_cost(made, 8).flops > plan_cost(made, 4).flops


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 9), st.integers(0, 4)), max_size=25))
def test_lives_that_meet_never_share_bytes(items: list[tuple[int, int, int]]):
    lives = [Life(n, born, born + more) for n, born, more in items]
    offsets, end = place(lives)
    for i, a in enumerate(lives):
        assert offsets[i] % ALIGN == 0 and offsets[i] + a.nbytes <= end
        for j, b in enumerate(lives[:i]):
            apart = offsets[i] + a.nbytes <= offsets[j] or offsets[j] + b.nbytes <= offsets[i]
            assert apart or a.born > b.dies or b.born > a.dies


# ---------------------------------------------------------------- the checker


def without_barrier(made: Plan) -> Plan:
    at = made.barriers.index(True)
    return replace(made, barriers=(*made.barriers[:at], False, *made.barriers[at + 1 :]))


def in_another_order(made: Plan) -> Plan:
    return replace(made, kernels=(made.kernels[1], made.kernels[0], *made.kernels[2:]))


def with_everything_in_one_place(made: Plan) -> Plan:
    temps = [b for b in made.buffers if b.kind == "temp"]
    start = min(b.offset for b in temps)
    moved = [replace(b, offset=start) if b.kind == "temp" else b for b in made.buffers]
    return replace(made, buffers=tuple(moved))


def with_a_smaller_arena(made: Plan) -> Plan:
    return replace(made, arena=made.arena - ALIGN)


def with_undeclared_slots(made: Plan) -> Plan:
    first = replace(made.kernels[0], reads=())
    return replace(made, kernels=(first, *made.kernels[1:]))


def with_a_wide_access(made: Plan) -> Plan:
    first = made.kernels[0]
    assert hasattr(first, "a")
    wide = replace(first, a=replace(first.a, row=(first.a.row[0] + 1,)))
    return replace(made, kernels=(wide, *made.kernels[1:]))


@pytest.mark.parametrize(
    "spoil",
    [
        without_barrier,
        in_another_order,
        with_everything_in_one_place,
        with_a_smaller_arena,
        with_undeclared_slots,
        with_a_wide_access,
    ],
)
def test_the_checker_finds_a_plan_that_was_tampered_with(spoil: Callable[[Plan], Plan]):
    made = plan(training(CLASSIFIER), 4)
    check_plan(made)
    with pytest.raises(PlanError):
        check_plan(spoil(made))


def test_epochs_count_barriers():
    made = plan(training(CLASSIFIER), 4)
    epochs = epochs_of(made)
    assert epochs[0] == 0 and epochs[-1] == sum(made.barriers)


# ---------------------------------------------------------------- results over operands


def test_a_result_takes_the_place_of_an_operand_that_dies_with_it():
    x = leaf("input", "x", Type((5,), "f64", True))
    z = apply("einsum", x, param("w", 5, 7), spec="bi,iu->bu")
    centred = apply("tanh", z - apply("sum", z, over="batch"))
    y = apply("einsum", centred, param("v", 7, 3), spec="bi,iu->bu")
    made = assert_plan_is_right(graph_of(Output("output", "y", y)))
    wide = [b for b in made.buffers if b.kind == "temp" and b.type.shape == (7,) and b.type.batched]
    assert len(wide) == 1


def test_a_result_does_not_overwrite_what_is_read_elsewhere():
    x = leaf("input", "x", Type((7, 7), "f64", True))
    z = apply("einsum", x, param("w", 7, 7), spec="bti,iu->btu")
    shift = apply("sum", z, over="batch")
    turned = apply("tanh", apply("transpose", z) - shift)
    y = apply("einsum", turned, param("v", 7, 3), spec="bti,iu->btu")
    made = assert_plan_is_right(graph_of(Output("output", "y", y)))
    wide = [b for b in made.buffers if b.kind == "temp" and b.type.shape == (7, 7)]
    assert len([b for b in wide if b.type.batched]) == 2
