"""Graphs of lookups and sums of rows, for comparing devices with the plan's own interpreter."""

from __future__ import annotations

import numpy as np

from chainrule.compiler.channels import channels_last
from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import apply
from chainrule.compiler.plan import Plan
from chainrule.compiler.plan_check import check_plan
from chainrule.compiler.schedule import plan
from chainrule.compiler.types import Type
from chainrule.compiler.value import Value

BATCH, CAPACITY = 5, 7
# rows of the table, what an example asks for, what a row is: odd sizes, single elements, more
# columns than a vector has, and so many that threads share them
SHAPES = [
    (7, (), (5,)), (3, (4,), ()), (11, (3,), (1,)), (5, (2, 3), (16,)), (9, (1,), (19,)),
    (4, (5,), (2, 17)), (6, (3,), (70,)), (1, (4,), (33,)),
    (40, (3,), (37,)),
]  # fmt: skip


def value(kind: str, name: str, shape: tuple[int, ...], dtype: str, batched: bool) -> Value:
    return leaf(kind, name, Type(shape, dtype, batched))


def graph_of(outputs: dict[str, Value], *leaves: Value) -> Graph:
    known = {str(v.attrs["name"]): Leaf(v, v.op.name) for v in leaves}
    return Graph("lookups", tuple(Output("output", n, v) for n, v in outputs.items()), known)


def lookups(rows: int, ids: tuple[int, ...], row: tuple[int, ...], dtype: str) -> Graph:
    """Every way of looking up and adding up: tables and ids of all examples or of each."""
    shared = value("param", "E", (rows, *row), dtype, False)
    own = value("input", "F", (rows, *row), dtype, True)
    each = value("input", "i", ids, "i32", True)
    one = value("param", "c", ids, "i32", False)
    g = value("input", "g", (*ids, *row), dtype, True)
    bias = value("param", "b", row, dtype, False)
    half = 0.5 * apply("gather", shared, each)
    drawn = apply("uniform", shape=half.shape, stream=3, batched=True, dtype=dtype)
    outputs = {
        "of all": apply("gather", shared, each),
        "of each": apply("gather", own, each),
        "the same": apply("gather", own, one),
        "constant": apply("gather", shared, one),
        "and on": apply("tanh", half + bias) * drawn,
        "sum": apply("scatter", each, g, rows=rows, batch=True),
        "sums": apply("scatter", each, g, rows=rows),
        "at the same": apply("scatter", one, g, rows=rows, batch=True),
        "each the same": apply("scatter", one, g, rows=rows),
        "of the same": apply("scatter", each, apply("gather", shared, one), rows=rows, batch=True),
    }
    return graph_of(outputs, shared, own, each, one, g, bias)


def transposed(dtype: str) -> Graph:
    """Tables and rows that lie the other way round."""
    w = value("param", "W", (19, 6), dtype, False)
    i = value("input", "i", (3,), "i32", True)
    g = value("input", "g", (19, 3), dtype, True)
    outputs = {
        "columns": apply("gather", apply("transpose", w), i),
        "sum": apply("scatter", i, apply("transpose", g), rows=4, batch=True),
        "sums": apply("scatter", i, apply("transpose", g), rows=4),
    }
    return graph_of(outputs, w, i, g)


def planned(graph: Graph) -> Plan:
    made = plan(channels_last(graph), CAPACITY)
    check_plan(made)
    return made


def numbers(graph: Graph, seed: int = 1) -> dict[str, np.ndarray]:
    """Ids beside the table, too: these are taken for its first or last row."""
    rng = np.random.default_rng(seed)
    given = {}
    for f in graph.leaves.values():
        t = f.value.type
        shape = (BATCH, *t.shape) if t.batched else t.shape
        values = rng.normal(size=shape) if t.is_float else rng.integers(-2, 9, shape)
        given[f.name] = values.astype(t.numpy)
    return given
