"""Looking up: rows of a table by whole numbers, and sums of rows by whole numbers.

An embedding is `gather(E, ids)`; its gradient by E is `scatter`, whose own derivative is `gather`
again. Ids outside of the table are taken for the nearest row that it has: data layers refuse such
ids, and no kernel may touch memory that is not its own.
"""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

import numpy as np

from ..op import REQUIRED, Array, Attrs, Op, apply, cast
from ..types import ShapeError, Type, promote
from ..value import Value


class Gather(Op):
    """The rows of a table x that the whole numbers y name: [k, …] by ids [t] is [t, …]."""

    family = "lookup"
    latex = r"{x}_{{[{y}]}}"
    parameters = ("x", "y")
    samples = (
        (((3, 5), ()), {}),
        (((2, 7), (5,)), {}),
        (((5,), (3,)), {}),
        (((4, 1), (2, 3)), {}),
        (((3, 2, 5), (2,)), {}),
    )

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        table, ids = types
        if not table.shape:
            raise ShapeError("`gather` needs a table, got a scalar", code="E328", operand=0,
                             help="its first axis counts the rows: `param E: [k, n]`")  # fmt: skip
        _check_ids("gather", ids, table.shape[0], 1)
        shape = (*ids.shape, *table.shape[1:])
        return Type(shape, table.dtype, table.batched or ids.batched)

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        table, ids = args
        batch = y.type.batched and not table.type.batched
        return apply("scatter", ids, g, rows=table.shape[0], batch=batch), None

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        table, ids = args
        at = np.clip(ids, 0, y.args[0].shape[0] - 1)
        if not y.args[0].type.batched:
            return np.asarray(table[at])
        if not y.args[1].type.batched:
            return np.asarray(table[:, at])
        examples = np.arange(len(table)).reshape(-1, *(1,) * (ids.ndim - 1))
        return np.asarray(table[examples, at])


class Scatter(Op):
    """Row k of the result is the sum of y over the places where the ids x are k; with `batch`, over
    the examples, too."""

    family = "lookup"
    latex = r"\sum_{{t :\, {x}_t = k}} {y}_t"
    parameters = ("x", "y")
    samples = (
        (((), (5,)), {"rows": 3}),
        (((5,), (5, 7)), {"rows": 2}),
        (((5,), (5, 3)), {"rows": 4, "batch": True}),
        (((2, 3), (2, 3)), {"rows": 2, "batch": True}),
        (((2,), (2, 2, 5)), {"rows": 3}),
    )
    options: ClassVar[dict[str, Any]] = {"rows": REQUIRED, "batch": False}

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        ids, g = args
        g = cast(g, promote("f32", g.type.dtype))
        return (ids, g), {"rows": int(attrs["rows"]), "batch": bool(attrs.get("batch", False))}

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        ids, g = types
        if attrs["rows"] < 1:
            raise ShapeError(f"`scatter` needs at least one row, got {attrs['rows']}", code="E328",
                             help="`rows` is how many rows the table has")  # fmt: skip
        _check_ids("scatter", ids, attrs["rows"], 0)
        count = len(ids.shape)
        if g.shape[:count] != ids.shape:
            raise ShapeError(f"`scatter` needs one row for each id, got {list(g.shape)} for ids"
                             f" {list(ids.shape)}", code="E328", operand=1,
                             help="the first axes of what is added must be those of the"
                             " ids")  # fmt: skip
        batched = ids.batched or g.batched
        if attrs["batch"] and not batched:
            raise ShapeError("there is no batch to sum over: neither value is per example",
                             code="E305", operand=0, help="leave out `batch`")  # fmt: skip
        return Type((attrs["rows"], *g.shape[count:]), g.dtype, batched and not attrs["batch"])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return None, apply("gather", g, args[0])

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        ids, g = y.args
        found = [a.shape[0] for a, x in zip(args, y.args, strict=True) if x.type.batched]
        batch = found[0] if found else 1
        at = np.clip(np.broadcast_to(args[0], (batch, *ids.shape)), 0, y.attrs["rows"] - 1)
        rows = np.broadcast_to(args[1], (batch, *g.shape))
        total = np.zeros((batch if y.type.batched else 1, *y.shape), y.type.numpy)
        examples = np.arange(batch) if y.type.batched else np.zeros(batch, np.int64)
        place = np.broadcast_to(examples.reshape(-1, *(1,) * len(ids.shape)), at.shape)
        np.add.at(total, (place, at), rows)
        return total if y.type.batched else total[0]

    def flops(self, y: Value) -> int:
        return prod(y.args[1].shape)


def _check_ids(word: str, ids: Type, rows: int, operand: int) -> None:
    if ids.dtype != "i32":
        raise ShapeError(f"`{word}` needs whole numbers to look up, got {ids}", code="E308",
                         operand=operand,
                         help="declare the input as `class[k]` or `tokens[T, k]`")  # fmt: skip
    if ids.classes is not None and ids.classes > rows:
        raise ShapeError(f"`{word}` looks up {ids.classes} classes in a table of {rows}"
                         f" row{'s'[rows == 1:]}", code="E328", operand=operand,
                         help="give the table one row for each class")  # fmt: skip
