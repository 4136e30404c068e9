"""Views: the same elements under another shape, order, or more than once."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

import numpy as np

from ..op import REQUIRED, Array, Attrs, Run, View, apply
from ..types import ShapeError, Type, broadcast_shapes
from ..value import Value


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides, in elements, of a C-ordered array."""
    return tuple(prod(shape[k + 1 :]) for k in range(len(shape)))


def transposed(x: Value) -> Value:
    """x′: a vector becomes the row [1, n]; of a matrix the last two axes change places."""
    rank = len(x.shape)
    if rank == 0:
        return x
    if rank == 1:
        return apply("reshape", x, shape=(1, *x.shape))
    return apply("transpose", x, perm=(*range(rank - 2), rank - 1, rank - 2))


class Reshape(View):
    """The same elements, in the same order, under another shape; one size may be −1."""

    latex = r"\operatorname{{reshape}}({x})"
    samples = (
        (((2, 3),), {"shape": (3, 2)}),
        (((7,),), {"shape": (1, 7)}),
        (((3, 5),), {"shape": (-1,)}),
    )
    options: ClassVar[dict[str, Any]] = {"shape": REQUIRED}

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        shape = tuple(int(n) for n in attrs["shape"])
        size = args[0].type.size
        if shape.count(-1) == 1:
            known = -prod(shape)
            free = size // known if known and size % known == 0 else -1
            shape = tuple(free if n == -1 else n for n in shape)
        return args, {"shape": shape}

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        (x,) = types
        shape = attrs["shape"]
        if prod(shape) != x.size or any(n < 0 for n in shape):
            raise ShapeError(f"{list(x.shape)} has {x.size} elements and cannot become"
                             f" {list(shape)}", code="E321", operand=0,
                             help="the sizes must multiply to that; one may be -1")  # fmt: skip
        return Type(shape, x.dtype, x.batched)

    def view(self, y: Value) -> tuple[int, tuple[int, ...]]:
        return 0, contiguous(y.shape)

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (apply("reshape", g, shape=args[0].shape),)


class Transpose(View):
    """The axes in another order (`perm`); reversed unless told otherwise."""

    latex = "{x}^{{T}}"
    samples = (
        (((2, 3),), {}),
        (((2, 3, 5),), {"perm": (1, 2, 0)}),
        (((1, 7),), {}),
    )
    options: ClassVar[dict[str, Any]] = {"perm": None}

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        rank = len(args[0].shape)
        given = attrs.get("perm")
        perm = tuple(reversed(range(rank))) if given is None else tuple(int(k) for k in given)
        return args, {"perm": perm}

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        (x,) = types
        perm = attrs["perm"]
        if sorted(perm) != list(range(len(x.shape))):
            raise ShapeError(f"{list(perm)} is not an order of the {len(x.shape)} axes of"
                             f" {list(x.shape)}", code="E324", operand=0,
                             help=f"name each of 0 to {len(x.shape) - 1} once")  # fmt: skip
        return Type(tuple(x.shape[k] for k in perm), x.dtype, x.batched)

    def view(self, y: Value) -> tuple[int, tuple[int, ...]]:
        strides = contiguous(y.args[0].shape)
        return 0, tuple(strides[k] for k in y.attrs["perm"])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        perm = y.attrs["perm"]
        return (apply("transpose", g, perm=tuple(perm.index(k) for k in range(len(perm)))),)


class Slice(View):
    """The part of x that begins at `start` and has `size` elements along each axis."""

    latex = r"{x}_{{[{start}]}}"
    samples = (
        (((5,),), {"start": (1,), "size": (3,)}),
        (((3, 5),), {"start": (2, 0), "size": (1, 5)}),
    )
    options: ClassVar[dict[str, Any]] = {"start": REQUIRED, "size": REQUIRED}

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        return args, {k: tuple(int(n) for n in attrs[k]) for k in ("start", "size")}

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        (x,) = types
        start, size = attrs["start"], attrs["size"]
        if not len(start) == len(size) == len(x.shape):
            raise ShapeError(f"a slice of {list(x.shape)} needs {len(x.shape)} positions,"
                             f" got {len(start)}", code="E306", operand=0)  # fmt: skip
        for k, (s, n, whole) in enumerate(zip(start, size, x.shape, strict=True)):
            if s < 0 or n < 0 or s + n > whole:
                raise ShapeError(f"{s}:{s + n} is outside axis {k} of {list(x.shape)}",
                                 code="E306", operand=0)  # fmt: skip
        return Type(size, x.dtype, x.batched)

    def view(self, y: Value) -> tuple[int, tuple[int, ...]]:
        strides = contiguous(y.args[0].shape)
        offset = sum(s * n for s, n in zip(strides, y.attrs["start"], strict=True))
        return offset, strides

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (apply("pad", g, start=y.attrs["start"], shape=args[0].shape),)


class Broadcast(View):
    """x repeated along new axes and axes of size 1; with `batch`, once for every example."""

    latex = "{x}"
    samples = (
        (((3, 1),), {"shape": (3, 5)}),
        (((5,),), {"shape": (2, 3, 5)}),
        (((),), {"shape": (3,)}),
        (((3,),), {"shape": (3,), "batch": True}),
    )
    options: ClassVar[dict[str, Any]] = {"shape": REQUIRED, "batch": False}

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        shape = tuple(int(n) for n in attrs["shape"])
        return args, {"shape": shape, "batch": bool(attrs.get("batch", False))}

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        (x,) = types
        shape = attrs["shape"]
        if len(x.shape) > len(shape) or broadcast_shapes(x.shape, shape) != shape:
            raise ShapeError(f"{list(x.shape)} cannot be repeated to {list(shape)}", code="E302",
                             operand=0)  # fmt: skip
        return Type(shape, x.dtype, x.batched or attrs["batch"])

    def view(self, y: Value) -> tuple[int, tuple[int, ...]]:
        x = y.args[0].shape
        missing = len(y.shape) - len(x)
        strides = [0 if n == 1 else s for n, s in zip(x, contiguous(x), strict=True)]
        return 0, (0,) * missing + tuple(strides)

    def compute(self, y: Value, args: tuple[Array, ...], run: Run) -> Array:
        result = self.evaluate(y, args)
        if y.type.batched and not y.args[0].type.batched:
            return np.broadcast_to(result, (run.batch, *y.shape))
        return result

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        (x,) = args
        missing = len(y.shape) - len(x.shape)
        axes: tuple[int | str, ...] = tuple(
            k for k, n in enumerate(y.shape) if k < missing or x.shape[k - missing] < n
        )
        if g.type.batched and not x.type.batched:
            axes += ("batch",)
        if not axes:
            return (g,)
        total = apply("sum", g, over=axes)
        return (apply("reshape", total, shape=x.shape) if total.shape != x.shape else total,)
