"""Recurrence: one node with a sub-graph inside, whatever the number of steps.

`scan` runs its body once for each step of its sequences. Its operands are, in this order: the first
values of what is carried from step to step, the sequences (the first axis counts the steps), and
values that all steps share. The results are taken with `part`: the last carried values, the stacked
yields, and the sums over the steps. How gradients, simplification and lowering treat a scan is told
in `compiler/scans/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any, ClassVar

import numpy as np

from ..op import REQUIRED, Array, Attrs, Elementwise, Leaf, Op, Run, operation
from ..scalar import Call, Position, Scalar
from ..types import Frame, ShapeError, Type
from ..value import Origin, Value

_NUMBERS = count(1)


class Bound(Leaf):
    """What a step of a scan is given: a carried value, a slice of a sequence, a shared value."""

    latex = "{name}"

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        given: Type = attrs["type"]
        return given


def bound(word: str, type: Type, where: Origin | None = None) -> Value:
    """A placeholder in a body. `word` is for people; the name is unique."""
    attrs = {"name": f"{word}~{next(_NUMBERS)}", "type": type}
    return Value(operation("bound"), (), attrs, type, where or Origin(name=word))


class Body:
    """One step: `results` (next carried values, yields, sums) as values on the placeholders
    `bound`, which stand for the operands of the scan in their order. Never changed; compared by
    identity."""

    __slots__ = ("bound", "results")

    def __init__(self, bound: Iterable[Value], results: Iterable[Value]) -> None:
        self.bound, self.results = tuple(bound), tuple(results)


class Scan(Op):
    """Runs a body for each step of its sequences, carrying values from one step to the next.

    Attributes: `body`; how many operands are `carries` and `sequences` (the rest is shared); how
    many results are `sums` (the last ones; the first are the carried values, the others yields);
    `steps`; `clock`, the name of the size that says how many of them a batch has ("" for all);
    `reverse`, from the last step to the first; `truncate`, the steps after which the gradient of
    what is carried stops (0: never). A framed sequence gives its rows, a framed yield is framed.
    """

    family = "scan"
    variadic = True
    parameters = ("values",)
    latex = r"\mathrm{{scan}}_{{t}}"
    options: ClassVar[dict[str, Any]] = {
        "body": REQUIRED, "carries": 0, "sequences": 0, "sums": 0, "steps": 1, "clock": "",
        "reverse": False, "truncate": 0, "framed": False,
    }  # fmt: skip

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        body: Body = attrs["body"]
        if len(types) != len(body.bound):
            raise ShapeError("a scan has an operand for each placeholder of its body")
        for k, (t, b) in enumerate(zip(types, body.bound, strict=True)):
            sequence = attrs["carries"] <= k < attrs["carries"] + attrs["sequences"]
            wanted = slice_type(t, attrs["steps"]) if sequence else t
            if (wanted.shape, wanted.dtype, wanted.batched) != (
                b.type.shape, b.type.dtype, b.type.batched
            ):  # fmt: skip
                raise ShapeError(f"operand {k} of a scan is {wanted}, its placeholder {b.type}")
        for k in range(attrs["carries"]):
            made, held = body.results[k].type, body.bound[k].type
            if (made.shape, made.dtype, made.batched) != (held.shape, held.dtype, held.batched):
                raise ShapeError(f"a carried value is {held}, its next value {made}")
        return Type((), "f32", any(t.batched for t in types))

    def type_of(self, args: tuple[Value, ...], attrs: Attrs) -> Type:
        return self.infer(tuple(a.type for a in args), attrs)

    def flops(self, y: Value) -> int:
        return int(y.attrs["steps"]) * sum(v.op.flops(v) for v in inside(y.attrs["body"]))

    def compute(self, y: Value, args: tuple[Array, ...], run: Run) -> Any:
        """The steps one after another, in NumPy: a tuple of arrays."""
        body: Body = y.attrs["body"]
        n, m, sums = y.attrs["carries"], y.attrs["sequences"], y.attrs["sums"]
        steps = y.attrs["steps"]
        order = inside(body)
        held = dict(zip(body.bound, args, strict=True))
        stacks: list[list[Array]] = [[] for _ in body.results[n : len(body.results) - sums]]
        totals: list[Array | None] = [None] * sums
        turns = range(steps - 1, -1, -1) if y.attrs["reverse"] else range(steps)
        for t in turns:
            for k in range(n, n + m):
                held[body.bound[k]] = _slice(args[k], y.args[k].type, t, steps)
            for v in order:
                held[v] = v.op.compute(v, tuple(held[a] for a in v.args), run)
            results = [held[r] for r in body.results]
            for stack, value in zip(stacks, results[n:], strict=False):
                stack.append(value)
            for k, value in enumerate(results[len(results) - sums :] if sums else ()):
                before = totals[k]
                totals[k] = value if before is None else before + value
            held.update(zip(body.bound[:n], results[:n], strict=True))
        found: list[Any] = [held[b] for b in body.bound[:n]]
        kinds = body.results[n:]
        for stack, r in zip(stacks, kinds, strict=False):
            inorder = stack[::-1] if y.attrs["reverse"] else stack
            if y.attrs["framed"]:
                found.append(np.concatenate(inorder))
            else:
                found.append(np.stack(inorder, axis=1 if r.type.batched else 0))
        return (*found, *totals)


class Part(Op):
    """One result of a scan."""

    family = "part"
    parameters = ("scan",)
    latex = "{x}"
    options: ClassVar[dict[str, Any]] = {"index": REQUIRED, "type": REQUIRED}

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        given: Type = attrs["type"]
        return given

    def type_of(self, args: tuple[Value, ...], attrs: Attrs) -> Type:
        return self.infer((), attrs)

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        return np.asarray(args[0][y.attrs["index"]])


class Positions(Elementwise):
    """0, 1, 2, … along the last axis of a shape: the numbers of the steps."""

    latex = r"(0, 1, 2, \dots)"
    parameters = ()
    samples = (((), {"shape": (5,)}),)
    options: ClassVar[dict[str, Any]] = {"shape": REQUIRED, "dtype": "f32"}

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        shape = tuple(int(n) for n in attrs["shape"])
        return args, {"shape": shape, "dtype": attrs.get("dtype", "f32")}

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        return Type(attrs["shape"], attrs["dtype"])

    def expression(self, y: Value, *x: Scalar) -> Scalar:
        return Call(y.type.dtype, Position(len(y.shape) - 1))

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        along = np.arange(y.shape[-1], dtype=y.type.numpy)
        return np.broadcast_to(along, y.shape).copy()

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return ()


def slice_type(t: Type, steps: int) -> Type:
    """The type of one step's slice of a sequence."""
    if t.frame is not None:
        return t.with_(frame=None)
    if not t.shape or t.shape[0] != steps:
        raise ShapeError(f"a sequence of {steps} steps is {t}")
    return t.with_(shape=t.shape[1:])


def inside(body: Body) -> tuple[Value, ...]:
    """The values that a step computes, operands first."""
    from ..graph import topological  # graph.py needs op.py, which loads this file

    given = set(body.bound)
    return tuple(v for v in topological(body.results) if v not in given)


def frame_of(scan: Value) -> Frame:
    """The steps of a scan."""
    return Frame(scan.attrs["clock"], scan.attrs["steps"])


def _slice(x: Array, t: Type, step: int, steps: int) -> Array:
    if t.frame is not None:
        rows = len(x) // steps
        return x[step * rows : (step + 1) * rows]
    return x[:, step] if t.batched else x[step]
