"""Putting values together: concat and pad."""

from __future__ import annotations

from typing import Any, ClassVar

from ..op import REQUIRED, Assemble, Attrs, Box, apply, cast
from ..types import ShapeError, Type, axis_index, promote
from ..value import Value
from .views import contiguous


class Concat(Assemble):
    """The operands one after another along an axis."""

    latex = r"[{x}; {y}]"
    parameters = ("x", "y")
    variadic = True
    samples = (
        (((2,), (3,)), {}),
        (((3, 1), (3, 5), (3, 2)), {"axis": 1}),
        (((1, 2), (4, 2)), {"axis": -2}),
    )
    options: ClassVar[dict[str, Any]] = {"axis": 0}

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        if not args:
            raise ShapeError("`concat` needs at least one value", code="E322")
        dtype = promote(*(a.type.dtype for a in args))
        axis = axis_index(int(attrs.get("axis", 0)), len(args[0].shape))
        return tuple(cast(a, dtype) for a in args), {"axis": axis}

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        axis = attrs["axis"]
        first = types[0].shape
        for k, t in enumerate(types):
            if _without(t.shape, axis) != _without(first, axis) or len(t.shape) != len(first):
                raise ShapeError(f"`concat` along axis {axis} needs the other sizes to match,"
                                 f" got {list(first)} and {list(t.shape)}",
                                 code="E322", operand=k,
                                 help="bring them to one form first: `reshape(x, …)`")  # fmt: skip
        total = sum(t.shape[axis] for t in types)
        shape = (*first[:axis], total, *first[axis + 1 :])
        return Type(shape, types[0].dtype, any(t.batched for t in types))

    def boxes(self, y: Value) -> tuple[Box, ...]:
        return tuple(
            box(k, x.shape, start, y.shape)
            for k, (x, start) in enumerate(zip(y.args, self.starts(y), strict=True))
        )

    def starts(self, y: Value) -> tuple[tuple[int, ...], ...]:
        """For each operand, the index in the result where its element 0 goes, one per axis."""
        axis, at, starts = y.attrs["axis"], 0, []
        for a in y.args:
            starts.append(tuple(at if k == axis else 0 for k in range(len(y.shape))))
            at += a.shape[axis]
        return tuple(starts)

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return tuple(
            apply("slice", g, start=start, size=x.shape)
            for start, x in zip(self.starts(y), args, strict=True)
        )


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def box(operand: int, size: tuple[int, ...], start: tuple[int, ...],
        shape: tuple[int, ...]) -> Box:  # fmt: skip
    """A whole operand in one piece."""
    into = contiguous(shape)
    first = sum(s * n for s, n in zip(start, into, strict=True))
    return Box(operand, size, 0, contiguous(size), first, into)


class Pad(Assemble):
    """x inside a larger `shape` of zeros (or of `value`), beginning at `start`."""

    latex = r"\operatorname{{pad}}({x})"
    samples = (
        (((2,),), {"start": (1,), "shape": (5,)}),
        (((2, 3),), {"start": (0, 1), "shape": (2, 7), "value": -3.0}),
    )
    options: ClassVar[dict[str, Any]] = {"start": REQUIRED, "shape": REQUIRED, "value": 0.0}

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        value = float(attrs.get("value", 0.0))
        sizes: dict[str, Any] = {k: tuple(int(n) for n in attrs[k]) for k in ("start", "shape")}
        return args, sizes | ({"value": value} if value else {})

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        (x,) = types
        start, shape = attrs["start"], attrs["shape"]
        fits = len(start) == len(shape) == len(x.shape) and all(
            s >= 0 and s + n <= whole for s, n, whole in zip(start, x.shape, shape, strict=True)
        )
        if not fits:
            raise ShapeError(f"{list(x.shape)} at {list(start)} does not fit into {list(shape)}",
                             code="E322", operand=0)  # fmt: skip
        return Type(shape, x.dtype, x.batched)

    def boxes(self, y: Value) -> tuple[Box, ...]:
        return (box(0, y.args[0].shape, y.attrs["start"], y.shape),)

    def fill(self, y: Value) -> float:
        return float(y.attrs.get("value", 0.0))

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (apply("slice", g, start=y.attrs["start"], size=args[0].shape),)
