"""Exponentials, logarithms, roots, and the functions made of them."""

from __future__ import annotations

from math import erf, pi, sqrt

import numpy as np

from ..op import Array, Elementwise, apply
from ..scalar import Call, Scalar
from ..types import Type, promote
from ..value import Value


class Transcendental(Elementwise, abstract=True):
    """A function of one real number; whole numbers become floats first."""

    def operand_dtype(self, types: tuple[Type, ...]) -> str:
        return promote("f32", *(t.dtype for t in types))

    def scalar(self, *x: Scalar) -> Scalar:
        return Call(self.name, x[0])


class Exp(Transcendental):
    """e to the power x."""

    latex = "e^{{{x}}}"

    def reference(self, *x: Array) -> Array:
        return np.exp(x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (g * y,)


class Expm1(Transcendental):
    """eˣ − 1, accurate for small x."""

    latex = "e^{{{x}}} - 1"

    def reference(self, *x: Array) -> Array:
        return np.expm1(x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (g * (y + 1),)


class Log(Transcendental):
    """The natural logarithm of x > 0."""

    latex = r"\log({x})"
    domain = (0.2, 3.0)

    def reference(self, *x: Array) -> Array:
        return np.log(x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (g / args[0],)


class Log1p(Transcendental):
    """log(1 + x), accurate for small x."""

    latex = r"\log(1 + {x})"
    domain = (-0.5, 3.0)

    def reference(self, *x: Array) -> Array:
        return np.log1p(x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (g / (1 + args[0]),)


class Log1pexp(Transcendental):
    """log(1 + eˣ), computed as max(x, 0) + log(1 + e^−|x|) so that it never overflows."""

    latex = r"\log(1 + e^{{{x}}})"

    def scalar(self, *x: Scalar) -> Scalar:
        small = Call("log1p", Call("exp", -Call("abs", x[0])))
        return Call("max", x[0], 0) + small

    def reference(self, *x: Array) -> Array:
        return np.logaddexp(np.zeros((), x[0].dtype), x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (g * apply("sigmoid", args[0]),)


class Sqrt(Transcendental):
    """The square root of x ≥ 0."""

    latex = r"\sqrt{{{x}}}"
    domain = (0.2, 3.0)

    def reference(self, *x: Array) -> Array:
        return np.sqrt(x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (g * 0.5 / y,)


class Tanh(Transcendental):
    """Hyperbolic tangent: squeezes every element into (−1, 1)."""

    latex = r"\tanh({x})"

    def reference(self, *x: Array) -> Array:
        return np.tanh(x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (g * (1 - y * y),)


class Sigmoid(Transcendental):
    """1 / (1 + e⁻ˣ): squeezes every element into (0, 1)."""

    latex = r"\sigma({x})"

    def reference(self, *x: Array) -> Array:
        # e^−|x| never overflows; σ(x) = 1/(1 + e⁻ˣ) = eˣ/(1 + eˣ).
        small = np.exp(-np.abs(x[0]))
        return np.asarray(np.where(x[0] >= 0, 1, small) / (1 + small))

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (g * y * (1 - y),)


class Erf(Transcendental):
    """The error function 2/√π ∫₀ˣ e^−t² dt."""

    latex = r"\operatorname{{erf}}({x})"

    def reference(self, *x: Array) -> Array:
        return _erf(x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        (x,) = args
        return (g * (2 / sqrt(pi)) * apply("exp", -(x * x)),)


def _erf(x: Array) -> Array:
    return np.asarray(np.vectorize(erf, otypes=[np.float64])(x))


class Sin(Transcendental):
    """The sine of x radians."""

    latex = r"\sin({x})"

    def reference(self, *x: Array) -> Array:
        return np.sin(x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (g * apply("cos", args[0]),)


class Cos(Transcendental):
    """The cosine of x radians."""

    latex = r"\cos({x})"

    def reference(self, *x: Array) -> Array:
        return np.cos(x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (-(g * apply("sin", args[0])),)
