"""Convolutions as products, made by hand: what `compiler/channels.py` arrives at, for any geometry.

`Geometry` says what is convolved; `Geometry.plan` gives the plan of one direction. Inputs are
padded already, images are channels-last, weights are [kernel height, kernel width, C, O].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from cuda_plans import ONE, Arena
from numpy.typing import NDArray

from chainrule.compiler.plan import Access, Extent, Let, Matrix, Plan, Product, Stage, Temp, Write
from chainrule.compiler.scalar import Call, Element, Literal, Position, Scalar

DIRECTIONS = ("forward", "by data", "by weights")


@dataclass(frozen=True)
class Geometry:
    """`out` are the output's height and width."""

    out: tuple[int, int]
    kernel: tuple[int, int]
    channels: int
    units: int
    stride: int = 1
    dilation: int = 1
    dtype: str = "f32"

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of the input, with a border that nobody reads."""
        h, w = (
            (o - 1) * self.stride + (k - 1) * self.dilation + 1
            for o, k in zip(self.out, self.kernel, strict=True)
        )
        return h, w + 1

    def shapes(self, direction: str) -> dict[str, tuple[int, ...]]:
        """Of `a`, `b` and `c`, for one example."""
        weights = (*self.kernel, self.channels, self.units)
        if direction == "forward":
            return {"a": (*self.padded, self.channels), "b": weights, "c": (*self.out, self.units)}
        if direction == "by weights":
            return {"a": (*self.padded, self.channels), "b": (*self.out, self.units), "c": weights}
        return {"a": (*self.padded, self.units), "b": weights, "c": (*self.out, self.channels)}

    def plan(self, direction: str, capacity: int, epilogue: str = "plain") -> Plan:
        arena, d = Arena(capacity), self.dtype
        slots = [
            arena.add(name, shape, _kind(name), d, batched=_batched(name, direction))
            for name, shape in self.shapes(direction).items()
        ]
        if epilogue == "bias":
            slots.append(arena.add("bias", (self.columns(direction),), "param", d))
            slots.append(arena.add("residual", self.shapes(direction)["c"], "input", d,
                                   batched=direction != "by weights"))  # fmt: skip
        return arena.plan(self.kernel_of(direction, tuple(slots), epilogue))

    def columns(self, direction: str) -> int:
        return self.channels if direction == "by data" else self.units

    def kernel_of(self, direction: str, slots: tuple[int, ...], epilogue: str) -> Product:
        (oh, ow), (kh, kw), c, o = self.out, self.kernel, self.channels, self.units
        many, (high, wide), s, gap = Extent(1, True), self.padded, self.stride, self.dilation
        read = o if direction == "by data" else c
        pixels = (many, Extent(oh), Extent(ow))
        at_pixels = (high * wide * read, s * wide * read, s * read)
        if gap == 1 and direction != "by data":
            taps, at_taps, at_rows = (Extent(kh), Extent(kw * c)), (wide * c, 1), (kw * c * o, o)
        else:
            taps = (Extent(kh), Extent(kw), Extent(read))
            at_taps = (gap * wide * read, gap * read, 1)
            at_rows = (kw * c * o, c * o, o)
        if direction == "by weights":
            b = Matrix(1, (oh * ow * o, ow * o, o), (1,))
            rows, depth, a = taps, pixels, Matrix(0, at_taps, at_pixels)
            places = (*at_rows, 1)
        elif direction == "forward":
            rows, depth, a = pixels, taps, Matrix(0, at_pixels, at_taps)
            b = Matrix(1, at_rows, (1,))
            places = (oh * ow * o, ow * o, o, 1)
        else:  # the window goes over the padded gradient, the weights are read backwards
            rows, depth, a = pixels, taps, Matrix(0, at_pixels, at_taps)
            b = Matrix(1, (-kw * c * o, -c * o, 1), (o,), (kh * kw - 1) * c * o)
            places = (oh * ow * c, ow * c, c, 1)
        stage = _epilogue(epilogue, places, self.dtype)
        columns = Extent(self.columns(direction))
        return Product(
            "by hand", slots, (), None, (), (), rows, columns, depth, ONE, a, b, self.dtype, stage
        )

    def expected(
        self, direction: str, a: NDArray[np.float64], b: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The same in NumPy, in f64."""
        h, w = self.out
        s, gap = self.stride, self.dilation
        parts = {}
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                top, left = i * gap, j * gap
                seen = a[:, top : top + s * (h - 1) + 1 : s, left : left + s * (w - 1) + 1 : s]
                if direction == "by weights":
                    parts[i, j] = np.einsum("bhwc,bhwo->co", seen, b)
                elif direction == "forward":
                    parts[i, j] = seen @ b[i, j]
                else:
                    parts[i, j] = seen @ b[self.kernel[0] - 1 - i, self.kernel[1] - 1 - j].T
        if direction == "by weights":
            shape = (*self.kernel, self.channels, self.units)
            return np.stack(list(parts.values())).reshape(shape)
        return np.asarray(sum(parts.values()))


def _kind(name: str) -> str:
    return "output" if name == "c" else "input"


def _batched(name: str, direction: str) -> bool:
    return name == "a" or (name == "b") == (direction == "by weights")


def _epilogue(kind: str, places: tuple[int, ...], dtype: str) -> Stage:
    """The sum; max(sum + bias + residual, 0); or sum·draw + 100·position₁ + position₂ + column."""
    axes = (-1,) * len(places)
    target, total = Access(2, dtype, places), Access(-1, dtype, ())
    if kind == "plain":
        return Stage(axes, (total,), (), (Write(target, Element(0)),))
    if kind == "draw":
        last = Position(len(places) - 1)
        drawn: tuple[tuple[Scalar, str], ...] = (
            (Call("uniform", Literal(3.0), Position(-1)), dtype),
            (Call("mul", Element(0), Temp(0)), dtype),
            (Call("mul", Position(1), Literal(100.0)), "i32"),
            (Call("add", Temp(2), Position(len(places) - 2)), "i32"),
            (Call("add", Temp(3), last), "i32"),
            (Call(dtype, Temp(4)), dtype),
            (Call("add", Temp(1), Temp(5)), dtype),
        )
        lets = tuple(Let(call, type_) for call, type_ in drawn)
        return Stage(axes, (total,), lets, (Write(target, Temp(6)),))
    per_column = Access(3, dtype, (0,) * (len(places) - 1) + (1,))
    steps: tuple[Scalar, ...] = (
        Call("add", Element(0), Element(1)),
        Call("add", Temp(0), Element(2)),
        Call("max", Temp(1), Literal(0.0)),
    )
    lets = tuple(Let(step, dtype) for step in steps)
    reads = (total, per_column, Access(4, dtype, places))
    return Stage(axes, reads, lets, (Write(target, Temp(2)),))
