"""The scalar expressions of elementwise operations: what one element of a result is.

One expression serves the CPU emitter (vectors of elements), the CUDA emitter (one thread an
element) and fusion (expressions of neighbours are joined). `FUNCTIONS` is the closed set of
names; an emitter must know every one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

FUNCTIONS = {
    # name: number of arguments
    "add": 2, "sub": 2, "mul": 2, "div": 2, "neg": 1, "pow": 2, "max": 2, "min": 2,
    "exp": 1, "expm1": 1, "log": 1, "log1p": 1, "sqrt": 1, "rsqrt": 1, "tanh": 1, "sigmoid": 1,
    "erf": 1, "sin": 1, "cos": 1, "abs": 1, "sign": 1, "floor": 1, "square": 1, "reciprocal": 1,
    "lt": 2, "le": 2, "gt": 2, "ge": 2, "eq": 2, "ne": 2,
    "and": 2, "or": 2, "not": 1, "select": 3,
    "f32": 1, "f64": 1, "i32": 1, "bool": 1,  # conversions
    "batch": 0,  # the number of examples of this run, as a number of the let's element type
    # uniform(stream, element): in [0, 1), from the generator keyed by (seed, stream) at the counter
    # (example * elements + element, step); normal(stream, element): standard normal by Box-Muller.
    "uniform": 2, "normal": 2,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scalar:
    """An expression over elements; arithmetic builds bigger ones."""

    def __add__(self, other: Scalar | float) -> Scalar:
        return Call("add", self, lift(other))

    def __radd__(self, other: float) -> Scalar:
        return Call("add", lift(other), self)

    def __sub__(self, other: Scalar | float) -> Scalar:
        return Call("sub", self, lift(other))

    def __rsub__(self, other: float) -> Scalar:
        return Call("sub", lift(other), self)

    def __mul__(self, other: Scalar | float) -> Scalar:
        return Call("mul", self, lift(other))

    def __rmul__(self, other: float) -> Scalar:
        return Call("mul", lift(other), self)

    def __truediv__(self, other: Scalar | float) -> Scalar:
        return Call("div", self, lift(other))

    def __rtruediv__(self, other: float) -> Scalar:
        return Call("div", lift(other), self)

    def __neg__(self) -> Scalar:
        return Call("neg", self)


@dataclass(frozen=True, slots=True)
class Literal(Scalar):
    """A number known at compile time."""

    value: float


@dataclass(frozen=True, slots=True)
class Element(Scalar):
    """Operand number `slot` of the operation, at the current element."""

    slot: int


@dataclass(frozen=True, slots=True)
class Position(Scalar):
    """Index of the current element along one axis of the result (−1: flat index in the example)."""

    axis: int


@dataclass(frozen=True, slots=True, init=False)
class Call(Scalar):
    """One of `FUNCTIONS`, applied."""

    function: str
    arguments: tuple[Scalar, ...]

    def __init__(self, function: str, *arguments: Scalar | float) -> None:
        if FUNCTIONS[function] != len(arguments):
            raise TypeError(f"{function} takes {FUNCTIONS[function]} arguments")
        object.__setattr__(self, "function", function)
        object.__setattr__(self, "arguments", tuple(lift(a) for a in arguments))


def lift(value: Scalar | float) -> Scalar:
    """A Python number as a `Literal`."""
    return value if isinstance(value, Scalar) else Literal(float(value))
