"""Convolutions and their gradients: three operations that are each other's derivatives.

A convolution here is what neural networks call one (a cross-correlation: the kernel is not
flipped). For one example, with stride s, dilation d and x already padded by zeros,

    y[o, i] = Σ_c Σ_k x[c, s·i + d·k] · w[o, c, k],

where i and k run over all spatial axes. It is linear in x and in w, so each of its gradients is
again such a sum: by data the transposed convolution of ∂L/∂y with the same kernel, by weights the
correlation of x with ∂L/∂y. Differentiating any of the three leads to the other two (Dumoulin &
Visin, 2016). `lowering` turns each of them into one product over windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, ClassVar

import numpy as np

from ..op import REQUIRED, Array, Attrs, Op, apply, cast
from ..types import ShapeError, Type, promote
from ..value import Value

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Stride, zero padding (before, after) and dilation along each spatial axis; groups."""

    stride: tuple[int, ...]
    padding: tuple[Pair, ...]
    dilation: tuple[int, ...]
    groups: int

    @staticmethod
    def of(attrs: Attrs) -> Geometry:
        return Geometry(attrs["stride"], attrs["padding"], attrs["dilation"], attrs["groups"])

    def results(self, sizes: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
        """Positions of the kernel along each axis of x. Raises ShapeError."""
        found = []
        for axis, (n, k, s, (before, after), d) in enumerate(
            zip(sizes, kernel, self.stride, self.padding, self.dilation, strict=True)
        ):
            reach, whole = d * (k - 1) + 1, n + before + after
            if reach > whole:
                spread = f" (dilated to {reach})" if d > 1 else ""
                raise ShapeError(
                    f"a kernel of {k}{spread} does not fit into {n} + {before + after} of padding"
                    f" along spatial axis {axis}",
                    code="E330", operand=1, help="take a smaller kernel, or pad the image",
                )  # fmt: skip
            found.append((whole - reach) // s + 1)
        return tuple(found)


def tuple_of(value: Any, rank: int, word: str, least: int = 1) -> tuple[int, ...]:
    """One whole number for all spatial axes, or one for each. Raises ShapeError."""
    items = value if isinstance(value, tuple) else (value,) * rank
    whole = all(isinstance(n, int | float) and int(n) == n for n in items)
    if not whole or len(items) != rank or min(items, default=least) < least:
        raise ShapeError(
            f"`{word}` takes a whole number of at least {least}, or one for each of the {rank}"
            f" spatial axes, got {value}", code="E331",
            help=f"write for example `{word} = {least}`",
        )  # fmt: skip
    return tuple(int(n) for n in items)


def padding_of(value: Any, sizes: tuple[int, ...], kernel: tuple[int, ...],
               stride: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[Pair, ...]:  # fmt: skip
    """(before, after) for each spatial axis. `same`: as many results as ⌈size / stride⌉, with the
    odd zero at the end; `valid`: none. Raises ShapeError."""
    rank = len(sizes)
    if value == "valid":
        return ((0, 0),) * rank
    if value == "same":
        pairs = []
        for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True):
            total = max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
            pairs.append((total // 2, total - total // 2))
        return tuple(pairs)
    if isinstance(value, str):
        raise ShapeError(f"`padding` is `same`, `valid` or a number of zeros, got `{value}`",
                         code="E331", help="write `padding = same`")  # fmt: skip
    items = value if isinstance(value, tuple) else (value,) * rank
    if len(items) == rank and all(isinstance(p, tuple) and len(p) == 2 for p in items):
        return tuple((int(p[0]), int(p[1])) for p in items)
    return tuple((n, n) for n in tuple_of(value, rank, "padding", 0))


class Convolution(Op, abstract=True):
    """What the three have in common."""

    family = "convolution"
    parameters = ("x", "y")
    options: ClassVar[dict[str, Any]] = {
        "stride": 1, "padding": 0, "dilation": 1, "groups": 1,
    }  # fmt: skip

    def prepare(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[Value, ...], Attrs]:
        dtype = promote("f32", *(a.type.dtype for a in args))
        args = tuple(cast(a, dtype) for a in args)
        rank = len(args[0].shape) - 1
        if rank < 1:
            raise ShapeError(f"`{self.name}` needs channels and at least one spatial axis, got"
                             f" {list(args[0].shape)}", code="E330", operand=0,
                             help="reshape the image to [channels, height, width]")  # fmt: skip
        stride = tuple_of(attrs.get("stride", 1), rank, "stride")
        dilation = tuple_of(attrs.get("dilation", 1), rank, "dilation")
        groups = tuple_of(attrs.get("groups", 1), 1, "groups")[0]
        sizes, kernel = self.sizes(args, attrs)
        padding = padding_of(attrs.get("padding", 0), sizes, kernel, stride, dilation)
        return args, {
            "stride": stride, "padding": padding, "dilation": dilation, "groups": groups,
            **self.more(attrs, rank),
        }  # fmt: skip

    def sizes(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[int, ...], ...]:
        """Spatial sizes of the image and of the kernel."""
        raise TypeError(f"{self.name} has no sizes")

    def more(self, attrs: Attrs, rank: int) -> dict[str, Any]:
        """Attributes that this operation has besides."""
        return {}

    def flops(self, y: Value) -> int:
        return 2 * y.type.size * prod(y.args[1].shape[1:])


def _kernel_of(x: Value, w: Value) -> tuple[int, ...]:
    if len(w.shape) != len(x.shape) + 1:
        raise ShapeError(
            f"a kernel for {list(x.shape)} has {len(x.shape) + 1} axes: results, channels and"
            f" {len(x.shape) - 1} spatial, got {list(w.shape)}", code="E330", operand=1,
        )  # fmt: skip
    return w.shape[2:]


class Convolve(Convolution):
    """Convolution of an image [channels, …] with a kernel [results, channels / groups, …]."""

    latex = "{y} * {x}"
    samples = (
        (((2, 5, 4), (3, 2, 3, 2)), {}),
        (((2, 7, 6), (4, 2, 3, 3)), {"stride": 2, "padding": 1}),
        (((4, 6, 5), (6, 2, 2, 2)), {"groups": 2, "dilation": (2, 1), "padding": ((1, 0), (0, 1))}),
        (((3, 5, 5), (3, 1, 3, 3)), {"groups": 3, "stride": (1, 2), "padding": "same"}),
        (((2, 9), (3, 2, 3)), {"stride": 3, "dilation": 2, "padding": 1}),
    )

    def sizes(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[int, ...], ...]:
        x, w = args
        return x.shape[1:], _kernel_of(x, w)

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        x, w = types
        groups = attrs["groups"]
        if x.shape[0] != w.shape[1] * groups:
            split = f" in {groups} groups" if groups > 1 else ""
            raise ShapeError(
                f"an image of {x.shape[0]} channels meets a kernel for"
                f" {w.shape[1] * groups}{split}", code="E330", operand=1,
            )  # fmt: skip
        if w.shape[0] % groups:
            raise ShapeError(f"{w.shape[0]} results cannot be split into {groups} groups",
                             code="E330", operand=1,
                             help="take a multiple of `groups`")  # fmt: skip
        sizes = Geometry.of(attrs).results(x.shape[1:], w.shape[2:])
        return Type((w.shape[0], *sizes), x.dtype, x.batched or w.batched)

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        x, w = args
        return (
            apply("convolve_transposed", g, w, size=x.shape[1:], **y.attrs),
            apply("convolve_weights", x, g, kernel=w.shape[2:], **y.attrs),
        )

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        x, w = (_with_batch(a, v) for a, v in zip(args, y.args, strict=True))
        g = Geometry.of(y.attrs)
        seen = _windows(_grouped(_padded(x, g), g.groups), g, y.args[1].shape[2:], y.shape[1:])
        spatial = "hwz"[: len(g.stride)]
        taps = "klm"[: len(g.stride)]
        found = np.einsum(f"bgc{spatial}{taps},bgoc{taps}->bgo{spatial}", seen,
                          _grouped(w, g.groups), optimize=True)  # fmt: skip
        return _result(found, y)


class ConvolveTransposed(Convolution):
    """Transposed convolution: every element of x spreads the kernel over an image of `size`."""

    name = "convolve_transposed"
    latex = "{y} *^{{T}} {x}"
    options: ClassVar[dict[str, Any]] = {**Convolution.options, "size": REQUIRED}
    samples = (
        (((3, 3, 3), (3, 2, 3, 2)), {"size": (5, 4)}),
        (((4, 4, 3), (4, 2, 3, 3)), {"size": (7, 6), "stride": 2, "padding": 1}),
        (((6, 5, 5), (6, 2, 2, 2)), {"size": (6, 5), "groups": 2, "dilation": (2, 1),
                                     "padding": ((1, 0), (0, 1))}),
        (((3, 3), (3, 2, 3)), {"size": (9,), "stride": 3, "dilation": 2, "padding": 1}),
    )  # fmt: skip

    def sizes(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[int, ...], ...]:
        x, w = args
        return self.more(attrs, len(x.shape) - 1)["size"], _kernel_of(x, w)

    def more(self, attrs: Attrs, rank: int) -> dict[str, Any]:
        return {"size": tuple_of(attrs["size"], rank, "size")}

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        x, w = types
        groups = attrs["groups"]
        if x.shape[0] != w.shape[0] or w.shape[0] % groups:
            split = f" in {groups} groups" if groups > 1 else ""
            raise ShapeError(f"{x.shape[0]} channels meet a kernel of {w.shape[0]}{split}",
                             code="E330", operand=1)  # fmt: skip
        found = Geometry.of(attrs).results(attrs["size"], w.shape[2:])
        if found != x.shape[1:]:
            raise ShapeError(
                f"an image of {list(attrs['size'])} has {list(found)} places for the kernel,"
                f" not {list(x.shape[1:])}", code="E330", operand=0,
            )  # fmt: skip
        return Type((w.shape[1] * groups, *attrs["size"]), x.dtype, x.batched or w.batched)

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        x, w = args
        attrs = {k: a for k, a in y.attrs.items() if k != "size"}
        return (
            apply("convolve", g, w, **attrs),
            apply("convolve_weights", g, x, kernel=w.shape[2:], **attrs),
        )

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        x, w = (_with_batch(a, v) for a, v in zip(args, y.args, strict=True))
        g = Geometry.of(y.attrs)
        kernels = _grouped(w, g.groups)
        parts = _grouped(x, g.groups)
        batch = max(len(x), len(w))
        whole = tuple(n + sum(p) for n, p in zip(y.shape[1:], g.padding, strict=True))
        total = np.zeros((batch, g.groups, kernels.shape[3], *whole), parts.dtype)
        spatial = "hwz"[: len(g.stride)]
        for tap, places in _taps(g, y.args[1].shape[2:], y.args[0].shape[1:]):
            one = kernels[_last(tap)]
            total[_last(places)] += np.einsum(f"bgo{spatial},bgoc->bgc{spatial}", parts, one)
        inside = tuple(
            slice(before, before + n) for (before, _), n in zip(g.padding, y.shape[1:], strict=True)
        )
        return _result(total[_last(inside)], y)

    def flops(self, y: Value) -> int:
        return 2 * y.args[0].type.size * prod(y.args[1].shape[1:])


class ConvolveWeights(Convolution):
    """Correlation of an image x with w = ∂L/∂y: the gradient of a convolution by its kernel."""

    name = "convolve_weights"
    latex = "{y} * {x}"
    options: ClassVar[dict[str, Any]] = {**Convolution.options, "kernel": REQUIRED}
    samples = (
        (((2, 5, 4), (3, 3, 3)), {"kernel": (3, 2)}),
        (((2, 7, 6), (4, 4, 3)), {"kernel": (3, 3), "stride": 2, "padding": 1}),
        (((4, 6, 5), (6, 5, 5)), {"kernel": (2, 2), "groups": 2, "dilation": (2, 1),
                                  "padding": ((1, 0), (0, 1))}),
        (((2, 9), (3, 3)), {"kernel": (3,), "stride": 3, "dilation": 2, "padding": 1}),
    )  # fmt: skip

    def sizes(self, args: tuple[Value, ...], attrs: Attrs) -> tuple[tuple[int, ...], ...]:
        return args[0].shape[1:], self.more(attrs, len(args[0].shape) - 1)["kernel"]

    def more(self, attrs: Attrs, rank: int) -> dict[str, Any]:
        return {"kernel": tuple_of(attrs["kernel"], rank, "kernel")}

    def infer(self, types: tuple[Type, ...], attrs: Attrs) -> Type:
        x, g = types
        groups = attrs["groups"]
        found = Geometry.of(attrs).results(x.shape[1:], attrs["kernel"])
        if found != g.shape[1:] or x.shape[0] % groups or g.shape[0] % groups:
            raise ShapeError(f"an image {list(x.shape)} does not meet results {list(g.shape)}",
                             code="E330", operand=1)  # fmt: skip
        shape = (g.shape[0], x.shape[0] // groups, *attrs["kernel"])
        return Type(shape, x.dtype, x.batched or g.batched)

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        x, seen = args
        attrs = {k: a for k, a in y.attrs.items() if k != "kernel"}
        return (
            apply("convolve_transposed", seen, g, size=x.shape[1:], **attrs),
            apply("convolve", x, g, **attrs),
        )

    def evaluate(self, y: Value, args: tuple[Array, ...]) -> Array:
        x, w = (_with_batch(a, v) for a, v in zip(args, y.args, strict=True))
        g = Geometry.of(y.attrs)
        seen = _windows(_grouped(_padded(x, g), g.groups), g, y.attrs["kernel"],
                        y.args[1].shape[1:])  # fmt: skip
        spatial = "hwz"[: len(g.stride)]
        taps = "klm"[: len(g.stride)]
        found = np.einsum(f"bgc{spatial}{taps},bgo{spatial}->bgoc{taps}", seen,
                          _grouped(w, g.groups), optimize=True)  # fmt: skip
        return _result(found, y)


# ---------------------------------------------------------------- the reference


def _with_batch(array: Array, v: Value) -> Array:
    return array if v.type.batched else array[None]


def _result(found: Array, y: Value) -> Array:
    """Groups joined, and no batch axis where there is no batch."""
    joined = found.reshape(found.shape[0], *y.shape)
    return np.asarray(joined if y.type.batched else joined[0], dtype=y.type.numpy)


def _last(index: tuple[Any, ...]) -> Any:
    """An index along the last axes."""
    return (..., *index)


def _grouped(x: Array, groups: int) -> Array:
    """The channels of an image (or of a batch of kernels: the results) as groups of channels."""
    return x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])


def _padded(x: Array, g: Geometry) -> Array:
    return np.pad(x, ((0, 0), (0, 0), *g.padding))


def _windows(x: Array, g: Geometry, kernel: tuple[int, ...], results: tuple[int, ...]) -> Array:
    """[…, results, kernel]: x under every place of the kernel."""
    rank = len(kernel)
    steps = x.strides[-rank:]
    strides = [s * n for s, n in zip(g.stride, steps, strict=True)]
    strides += [d * n for d, n in zip(g.dilation, steps, strict=True)]
    shape = (*x.shape[:-rank], *results, *kernel)
    return np.lib.stride_tricks.as_strided(x, shape, (*x.strides[:-rank], *strides))


def _taps(
    g: Geometry, kernel: tuple[int, ...], results: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Each element of the kernel, and where in the padded image it falls for all results."""
    for tap in product(*map(range, kernel)):
        yield (
            tap,
            tuple(
                slice(d * k, d * k + s * (n - 1) + 1, s)
                for k, d, s, n in zip(tap, g.dilation, g.stride, results, strict=True)
            ),
        )
