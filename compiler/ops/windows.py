"""Windows of a value, for pooling and for normalisation over neighbours; and their adjoint."""

from __future__ import annotations

from itertools import product
from typing import Any, ClassVar

from ..op import REQUIRED, Assemble, Attrs, Box, View, apply
from ..types import ShapeError, Type, axis_index
from ..value import Value
from .convolution import tuple_of
from .views import contiguous


class Windows(View):
    """x under every place of a window along `axes` (by default the last ones): the places take
    those axes' place, and the window's own axes come last."""

    latex = r"\operatorname{{windows}}({x})"
    options: ClassVar[dict[str, Any]] = {
        "kernel": REQUIRED, "stride": 1, "dilation": 1, "axes": None,
    }  # fmt: skip
    samples = (
        (((2, 5, 4),), {"kernel": (3, 2)}),
        (((2, 7, 5),), {"kernel": (3, 3), "stride": 2}),
        (((5, 3),), {"kernel": (3,), "axes": (0,)}),
        (((9,),), {"kernel": (2,), "stride": (3,), "dilation": (2,)}),
    )

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        rank = len(args[0].shape)
        kernel, axes = attrs["kernel"], attrs.get("axes")
        if axes is None:
            count = len(kernel) if isinstance(kernel, tuple) else 1
            axes = tuple(range(rank - count, rank))
        axes = axes if isinstance(axes, tuple) else (axes,)
        axes = tuple(axis_index(int(a), rank) for a in axes)
        if len(set(axes)) < len(axes):
            raise ShapeError(f"`windows` names an axis twice in {list(axes)}", code="E331")
        return args, {
            "kernel": tuple_of(kernel, len(axes), "kernel"),
            "stride": tuple_of(attrs.get("stride", 1), len(axes), "stride"),
            "dilation": tuple_of(attrs.get("dilation", 1), len(axes), "dilation"),
            "axes": axes,
        }

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        (x,) = types
        shape = list(x.shape)
        for axis, k, s, d in zip(attrs["axes"], attrs["kernel"], attrs["stride"],
                                 attrs["dilation"], strict=True):  # fmt: skip
            reach = d * (k - 1) + 1
            if reach > shape[axis]:
                raise ShapeError(
                    f"a window of {reach} does not fit into axis {axis} of {list(x.shape)}",
                    code="E330", operand=0, help="take a smaller window, or pad the image",
                )  # fmt: skip
            shape[axis] = (shape[axis] - reach) // s + 1
        return Type((*shape, *attrs["kernel"]), x.dtype, x.batched)

    def view(self, y: Value) -> tuple[int, tuple[int, ...]]:
        own = contiguous(y.args[0].shape)
        places = list(own)
        for axis, s in zip(y.attrs["axes"], y.attrs["stride"], strict=True):
            places[axis] *= s
        inside = [own[a] * d for a, d in zip(y.attrs["axes"], y.attrs["dilation"], strict=True)]
        return 0, (*places, *inside)

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        attrs = {k: y.attrs[k] for k in ("stride", "dilation", "axes")}
        return (apply("overlap_add", g, shape=args[0].shape, **attrs),)


class OverlapAdd(Assemble):
    """Windows added back into the places they were taken from: the adjoint of `windows`."""

    name = "overlap_add"
    latex = r"\operatorname{{overlap}}({x})"
    adds = True
    options: ClassVar[dict[str, Any]] = {
        "shape": REQUIRED, "stride": 1, "dilation": 1, "axes": REQUIRED,
    }  # fmt: skip
    samples = (
        (((2, 3, 3, 3, 2),), {"shape": (2, 5, 4), "axes": (1, 2)}),
        (((2, 3, 2, 3, 3),), {"shape": (2, 7, 5), "axes": (1, 2), "stride": (2, 2)}),
        (((3, 3, 3),), {"shape": (5, 3), "axes": (0,)}),
    )

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        axes = tuple(int(a) for a in attrs["axes"])
        return args, {
            "shape": tuple(int(n) for n in attrs["shape"]),
            "stride": tuple_of(attrs.get("stride", 1), len(axes), "stride"),
            "dilation": tuple_of(attrs.get("dilation", 1), len(axes), "dilation"),
            "axes": axes,
        }

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        (x,) = types
        shape, axes = attrs["shape"], attrs["axes"]
        kernel = x.shape[len(shape) :]
        seen = list(shape)
        for axis, k, s, d in zip(axes, kernel, attrs["stride"], attrs["dilation"], strict=True):
            seen[axis] = (shape[axis] - d * (k - 1) - 1) // s + 1
        if (*seen, *kernel) != x.shape:
            raise ShapeError(f"{list(x.shape)} are not windows of {list(shape)}", code="E330",
                             operand=0)  # fmt: skip
        return Type(shape, x.dtype, x.batched)

    def boxes(self, y: Value) -> tuple[Box, ...]:
        """One for each element of the window: overlapping windows differ in it."""
        (x,) = y.args
        rank = len(y.shape)
        places, kernel = x.shape[:rank], x.shape[rank:]
        own, into = contiguous(x.shape), contiguous(y.shape)
        steps = list(into)
        for axis, s in zip(y.attrs["axes"], y.attrs["stride"], strict=True):
            steps[axis] *= s
        found = []
        for tap in product(*map(range, kernel)):
            offset = sum(s * k for s, k in zip(own[rank:], tap, strict=True))
            start = sum(
                into[axis] * d * k
                for axis, d, k in zip(y.attrs["axes"], y.attrs["dilation"], tap, strict=True)
            )
            found.append(Box(0, places, offset, own[:rank], start, tuple(steps)))
        return tuple(found)

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        kernel = args[0].shape[len(y.shape) :]
        attrs = {k: y.attrs[k] for k in ("stride", "dilation", "axes")}
        return (apply("windows", g, kernel=kernel, **attrs),)

    def flops(self, y: Value) -> int:
        return y.args[0].type.size


class Strided(View):
    """x read with other strides: how the compiler sees windows of an image without copying. Made
    after differentiation, so it has no derivative."""

    latex = r"\operatorname{{strided}}({x})"
    options: ClassVar[dict[str, Any]] = {
        "shape": REQUIRED, "strides": REQUIRED, "offset": 0,
    }  # fmt: skip
    lowered = True
    samples = (
        (((3, 5),), {"shape": (2, 3, 2), "strides": (5, 1, 1), "offset": 1}),
        (((7,),), {"shape": (7,), "strides": (-1,), "offset": 6}),
    )

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        return args, {
            "shape": tuple(int(n) for n in attrs["shape"]),
            "strides": tuple(int(n) for n in attrs["strides"]),
            "offset": int(attrs.get("offset", 0)),
        }

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        (x,) = types
        low = high = attrs["offset"]
        for n, s in zip(attrs["shape"], attrs["strides"], strict=True):
            low, high = low + min(0, s * (n - 1)), high + max(0, s * (n - 1))
        if low < 0 or high >= x.size:
            raise ShapeError(f"elements {low} to {high} of {list(x.shape)}", code="E306", operand=0)
        return Type(attrs["shape"], x.dtype, x.batched)

    def view(self, y: Value) -> tuple[int, tuple[int, ...]]:
        return y.attrs["offset"], y.attrs["strides"]


class Interleave(Assemble):
    """Each operand in every `steps`-th place of an image of `shape`, operand k from `starts[k]`
    on; zero elsewhere. Made after differentiation, so it has no derivative."""

    latex = r"\operatorname{{interleave}}({x}, {y})"
    parameters = ("x", "y")
    variadic = True
    lowered = True
    options: ClassVar[dict[str, Any]] = {"shape": REQUIRED, "starts": REQUIRED, "steps": REQUIRED}
    samples = (
        (((3, 2), (3, 2)), {"shape": (3, 4), "starts": ((0, 0), (0, 1)), "steps": (1, 2)}),
        (((2, 3), (1, 3)), {"shape": (3, 3), "starts": ((0, 0), (1, 0)), "steps": (2, 1)}),
    )

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        return args, {
            "shape": tuple(int(n) for n in attrs["shape"]),
            "starts": tuple(tuple(int(n) for n in start) for start in attrs["starts"]),
            "steps": tuple(int(n) for n in attrs["steps"]),
        }

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        shape, steps = attrs["shape"], attrs["steps"]
        for k, (t, start) in enumerate(zip(types, attrs["starts"], strict=True)):
            ends = [s + step * (n - 1) for s, step, n in zip(start, steps, t.shape, strict=True)]
            if any(end >= n for end, n in zip(ends, shape, strict=True)):
                raise ShapeError(f"{list(t.shape)} does not fit into {list(shape)}", code="E322",
                                 operand=k)  # fmt: skip
        return Type(shape, types[0].dtype, any(t.batched for t in types))

    def boxes(self, y: Value) -> tuple[Box, ...]:
        into = contiguous(y.shape)
        steps = tuple(s * n for s, n in zip(y.attrs["steps"], into, strict=True))
        return tuple(
            Box(k, x.shape, 0, contiguous(x.shape),
                sum(s * n for s, n in zip(start, into, strict=True)), steps)
            for k, (x, start) in enumerate(zip(y.args, y.attrs["starts"], strict=True))
        )  # fmt: skip
