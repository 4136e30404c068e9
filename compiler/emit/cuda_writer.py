"""Writing Python text for CUDA: lines and indentation, literals, conversions, loads and stores.

Every number is written in its own element type, for Numba takes a bare Python number as a double
and the sum of two int32 as an int64; f32 must stay f32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import isfinite, isnan

import numpy as np

# element type -> (view of the arena, log2 of the bytes of one element)
VIEWS = {"f32": ("f32", 2), "f64": ("f64", 3), "i32": ("i32", 2), "bool": ("u8", 0)}
# Truth values lie as bytes in memory, and are bare truth values in expressions.
NUMPY = {"f32": "np.float32", "f64": "np.float64", "i32": "np.int32", "bool": "np.uint8"}


class Text:
    """Lines of Python being written, with an indentation."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0

    def line(self, text: str = "") -> None:
        self.lines.append("    " * self.depth + text if text else "")

    def sync(self) -> None:
        """All threads of the block meet here."""
        self.line("cuda.syncthreads()")

    @contextmanager
    def block(self, header: str) -> Iterator[None]:
        """`header:` and what is written inside, one step further in."""
        self.line(header + ":")
        self.depth += 1
        yield
        self.depth -= 1

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"


def literal(value: float, dtype: str) -> str:
    """A number as an expression of that element type."""
    if dtype == "bool":
        return "True" if value else "False"
    if dtype == "i32":
        return f"np.int32({int(value)})"
    if isnan(value):
        return f"{NUMPY[dtype]}(np.nan)"
    if not isfinite(value):
        return f"{NUMPY[dtype]}({'-' if value < 0 else ''}np.inf)"
    if dtype == "f64":
        return f"np.float64({float(value)!r})"
    if abs(value) > float(np.finfo(np.float32).max):
        return f"np.float32({float(value)!r})"
    return f"np.float32({np.float32(value)!s})"  # the shortest text of that float32


def convert(text: str, source: str, target: str) -> str:
    """An expression of one element type as another."""
    if source == target:
        return text
    if target == "bool":
        return f"({text} != {literal(0, source)})"
    if source == "bool":
        return f"({literal(1, target)} if {text} else {literal(0, target)})"
    return f"{NUMPY[target]}({text})"


def load(place: str, dtype: str) -> str:
    """The element at a place of the arena."""
    view = VIEWS[dtype][0]
    return f"{view}[{place}] != 0" if dtype == "bool" else f"{view}[{place}]"


def store(place: str, value: str, dtype: str) -> str:
    """The statement that puts a value of that type there."""
    view = VIEWS[dtype][0]
    kept = f"np.uint8(1) if {value} else np.uint8(0)" if dtype == "bool" else value
    return f"{view}[{place}] = {kept}"


def times(name: str, factor: int) -> str:
    return name if factor == 1 else f"{name} * {factor}"


def total(terms: Iterable[str]) -> str:
    """A sum of terms as an expression; "0" if there are none."""
    return " + ".join(t for t in terms if t != "0") or "0"


def greater(a: str, b: str, kind: str) -> str:
    """The greater (kind "max") or smaller of two; a NaN wins, as in NumPy."""
    sign = ">=" if kind == "max" else "<="
    return f"{a} if {a} {sign} {b} or {a} != {a} else {b}"
