"""Lookups on the CPU give what the interpreter gives, with the same bits on any threads."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.graph import Graph
from chainrule.compiler.plan import Scatter
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.plain import run_graph
from chainrule.runtime.plan_oracle import run_plan
from tests.runtime.lookupcases import (
    BATCH,
    SHAPES,
    lookups,
    numbers,
    planned,
    transposed,
)

TOLERANCE = {"f64": 1e-12, "f32": 2e-6}


def check(graph: Graph, dtype: str) -> None:
    """The plan's interpreter, then one, two and three threads, against the graph's interpreter."""
    plan, given = planned(graph), numbers(graph)
    expected = run_graph(graph, given, batch=BATCH, seed=5)
    oracle = run_plan(plan, given, batch=BATCH, seed=5)
    first: dict[str, bytes] = {}
    for threads in (0, 1, 2, 3):
        found = oracle
        if threads:
            loaded = CpuDevice(threads=threads).load(plan)
            loaded.share_everything()
            for name, array in given.items():
                loaded.write(name, array)
            loaded.run(BATCH, seed=5, step=1)
            found = loaded  # type: ignore[assignment]
        for o in graph.outputs:
            want, got = expected[o.kind, o.name], found.read(o.name, BATCH)
            np.testing.assert_allclose(got.reshape(want.shape), want, rtol=TOLERANCE[dtype],
                                       atol=TOLERANCE[dtype], err_msg=o.name)  # fmt: skip
            if threads:
                assert first.setdefault(o.name, got.tobytes()) == got.tobytes(), o.name


@pytest.mark.parametrize(("rows", "ids", "row"), SHAPES)
def test_lookups_in_f64_equal_the_interpreter(rows, ids, row) -> None:
    check(lookups(rows, ids, row, "f64"), "f64")


@pytest.mark.parametrize(("rows", "ids", "row"), [SHAPES[1], SHAPES[5], SHAPES[6]])
def test_lookups_in_f32_equal_the_interpreter(rows, ids, row) -> None:
    check(lookups(rows, ids, row, "f32"), "f32")


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_tables_that_lie_the_other_way_round_are_read_in_place(dtype) -> None:
    graph = transposed(dtype)
    check(graph, dtype)
    assert all(isinstance(k, Scatter) or k.label.startswith("gather")
               for k in planned(graph).kernels)  # fmt: skip


def test_ids_outside_of_a_table_touch_no_memory_beside_it() -> None:
    graph = lookups(3, (4,), (5,), "f32")
    plan, given = planned(graph), numbers(graph)
    given["i"] = np.full((BATCH, 4), 2**31 - 1, np.int32)
    given["c"] = np.full(4, -(2**31), np.int32)
    loaded = CpuDevice(threads=2).load(plan)
    loaded.share_everything()
    for name, array in given.items():
        loaded.write(name, array)
    loaded.run(BATCH, seed=5, step=1)
    found = loaded.read("of all", BATCH)
    np.testing.assert_array_equal(found, np.broadcast_to(given["E"][2], found.shape))
    total = loaded.read("sum")
    np.testing.assert_allclose(total[2], given["g"].sum((0, 1)), rtol=1e-5)
    assert not total[:2].any()
    same = loaded.read("at the same")
    np.testing.assert_allclose(same[0], given["g"].sum((0, 1)), rtol=1e-5)
