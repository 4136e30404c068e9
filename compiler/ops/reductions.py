"""Reductions: sum, max, min and argmax along axes and over the batch."""

from __future__ import annotations

from math import prod

import numpy as np

from ..op import Array, Attrs, Reduction, apply, cast
from ..types import ShapeError, Type
from ..value import Value


def kept_shape(y: Value) -> tuple[int, ...]:
    """The shape of the reduction `y` with 1 in place of every folded axis."""
    axes = y.attrs["axes"]
    return tuple(1 if k in axes else n for k, n in enumerate(y.args[0].shape))


def keep_axes(value: Value, y: Value) -> Value:
    """`value`, shaped like the reduction `y`, with its folded axes back as 1s."""
    shape = kept_shape(y)
    return value if value.shape == shape else apply("reshape", value, shape=shape)


def expand(value: Value, y: Value) -> Value:
    """`value`, shaped like the reduction `y`, repeated to the shape (and batch) of its operand."""
    x = y.args[0]
    value = keep_axes(value, y)
    to_batch = y.attrs["batch"]
    if value.shape == x.shape and not to_batch:
        return value
    return apply("broadcast", value, shape=x.shape, batch=to_batch)


class Sum(Reduction):
    """The sum of the elements along the axes."""

    latex = r"\sum {x}"
    kind = "sum"

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        args, attrs = super().prepare(args, attrs)
        (x,) = args
        return (cast(x, "f32") if x.type.dtype == "bool" else x,), attrs

    def fold(self, x: Array, axes: tuple[int, ...], keep: bool) -> Array:
        return np.asarray(np.sum(x, axis=axes, keepdims=keep))

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (expand(g, y),)


def _to_the_first(g: Value, y: Value, x: Value) -> Value:
    """Pooling: the first of the greatest elements of a window gets all of its gradient, as it does
    in the big frameworks. Which one it is takes one number for each window; the shares of equal
    elements would take as many as windows have elements, and the windows are never stored."""
    axes: tuple[int, ...] = y.attrs["axes"]
    rest = tuple(k for k in range(len(x.shape)) if k not in axes)
    size = prod(x.shape[k] for k in axes)
    place = apply("argmax", x, axis=axes)
    hot = apply("one_hot", place, classes=size, dtype=x.type.dtype)
    hot = apply("reshape", hot, shape=tuple(x.shape[k] for k in (*rest, *axes)))
    if (*rest, *axes) != tuple(range(len(x.shape))):
        order = (*rest, *axes)
        hot = apply("transpose", hot, perm=tuple(order.index(k) for k in range(len(order))))
    return expand(g, y) * hot


class Extremum(Reduction, abstract=True):
    """Max or min; the gradient is shared evenly by the elements that are equal to it."""

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        (x,) = args
        reached = cast(apply("eq", x, keep_axes(y, y)), x.type.dtype)
        axes: tuple[int | str, ...] = y.attrs["axes"]
        if y.attrs["batch"]:
            axes += ("batch",)
        count = apply("sum", reached, over=axes, keep=y.attrs["keep"])
        return (expand(g / count, y) * reached,)


class Max(Extremum):
    """The greatest element along the axes."""

    latex = r"\max {x}"
    kind = "max"

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        if args[0].op.name == "windows" and not y.attrs["batch"]:
            return (_to_the_first(g, y, args[0]),)
        return super().grad(g, y, *args)

    def fold(self, x: Array, axes: tuple[int, ...], keep: bool) -> Array:
        return np.asarray(np.max(x, axis=axes, keepdims=keep))


class Min(Extremum):
    """The smallest element along the axes."""

    latex = r"\min {x}"
    kind = "min"

    def fold(self, x: Array, axes: tuple[int, ...], keep: bool) -> Array:
        return np.asarray(np.min(x, axis=axes, keepdims=keep))


class Argmax(Reduction):
    """The position of the first greatest element along the axes (flat, if several).

    With the attribute `classes` it is a label of so many: what `categorical` draws.
    """

    latex = r"\arg\max {x}"
    kind = "argmax"
    result = "i32"

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        if attrs["batch"]:
            raise ShapeError("`argmax` over the batch has no meaning for one example", code="E325",
                             operand=0, help="leave out `batch`")  # fmt: skip
        return super().infer(types, attrs).with_(classes=attrs.get("classes"))

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        x = args[0]
        shift = 1 if y.args[0].type.batched else 0
        axes = tuple(a + shift for a in y.attrs["axes"])
        rest = [k for k in range(x.ndim) if k not in axes]
        flat = x.transpose(*rest, *axes).reshape([x.shape[k] for k in rest] + [-1])
        lead = x.shape[:1] if shift else ()
        return np.asarray(np.argmax(flat, axis=-1), np.int32).reshape(lead + y.shape)

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (None,)
