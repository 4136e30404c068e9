"""Arithmetic: sums, products, powers, and the functions with corners (abs, maximum, floor)."""

from __future__ import annotations

import numpy as np

from ..op import Array, Elementwise, apply
from ..scalar import Call, Literal, Scalar
from ..types import Type, promote
from ..value import Value


class Add(Elementwise):
    """x + y, element by element."""

    latex = "{x} + {y}"
    infix = "+"
    parameters = ("x", "y")

    def scalar(self, *x: Scalar) -> Scalar:
        return x[0] + x[1]

    def reference(self, *x: Array) -> Array:
        return np.add(x[0], x[1])

    def grad(self, g: Value, z: Value, *args: Value) -> tuple[Value | None, ...]:
        return g, g


class Sub(Elementwise):
    """x − y, element by element."""

    latex = "{x} - {y}"
    infix = "-"
    parameters = ("x", "y")

    def scalar(self, *x: Scalar) -> Scalar:
        return x[0] - x[1]

    def reference(self, *x: Array) -> Array:
        return np.subtract(x[0], x[1])

    def grad(self, g: Value, z: Value, *args: Value) -> tuple[Value | None, ...]:
        return g, -g


class Mul(Elementwise):
    """x · y, element by element (the Hadamard product)."""

    latex = r"{x} \odot {y}"
    infix = "*"
    parameters = ("x", "y")

    def scalar(self, *x: Scalar) -> Scalar:
        return x[0] * x[1]

    def reference(self, *x: Array) -> Array:
        return np.multiply(x[0], x[1])

    def grad(self, g: Value, z: Value, *args: Value) -> tuple[Value | None, ...]:
        x, y = args
        return g * y, g * x


class Div(Elementwise):
    """x / y, element by element; always a float."""

    latex = r"\frac{{{x}}}{{{y}}}"
    infix = "/"
    parameters = ("x", "y")
    domain = (0.3, 2.0)

    def operand_dtype(self, types: tuple[Type, ...]) -> str:
        return promote("f32", *(t.dtype for t in types))

    def scalar(self, *x: Scalar) -> Scalar:
        return x[0] / x[1]

    def reference(self, *x: Array) -> Array:
        return np.divide(x[0], x[1])

    def grad(self, g: Value, z: Value, *args: Value) -> tuple[Value | None, ...]:
        _, y = args
        return g / y, -(g * z / y)


class Neg(Elementwise):
    """−x, element by element."""

    latex = "-{x}"

    def scalar(self, *x: Scalar) -> Scalar:
        return -x[0]

    def reference(self, *x: Array) -> Array:
        return np.negative(x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (-g,)


class Pow(Elementwise):
    """x to the power y, element by element; a negative x needs a whole y."""

    latex = "{{{x}}}^{{{y}}}"
    infix = "^"
    parameters = ("x", "y")
    domain = (0.3, 2.0)

    def operand_dtype(self, types: tuple[Type, ...]) -> str:
        return promote("f32", *(t.dtype for t in types))

    def scalar(self, *x: Scalar) -> Scalar:
        return Call("pow", x[0], x[1])

    def expression(self, y: Value, *x: Scalar) -> Scalar:
        exponent = y.args[1]
        if not exponent.is_constant:
            return self.scalar(*x)
        base = x[0]
        forms: dict[float, Scalar] = {
            0.0: Literal(1.0),
            1.0: base,
            2.0: Call("square", base),
            3.0: base * Call("square", base),
            4.0: Call("square", Call("square", base)),
            0.5: Call("sqrt", base),
            -1.0: Call("reciprocal", base),
            -0.5: Call("rsqrt", base),
            -2.0: Call("reciprocal", Call("square", base)),
        }
        number = exponent.attrs["value"]
        return forms.get(number) or Call("pow", base, Literal(number))

    def reference(self, *x: Array) -> Array:
        return np.power(x[0], x[1])

    def grad(self, g: Value, z: Value, *args: Value) -> tuple[Value | None, ...]:
        x, y = args
        if y.is_constant:
            return _power_rule(g, z, x, y.attrs["value"]), None
        # ∂xʸ/∂y = xʸ log x; where x ≤ 0 it is taken as 0.
        log_x = apply("log", apply("where", apply("gt", x, 0), x, 1))
        return g * y * x ** (y - 1), g * z * log_x


def _power_rule(g: Value, z: Value, x: Value, n: float) -> Value | None:
    """n·xⁿ⁻¹, written with what is at hand: z = xⁿ."""
    if n == 0:
        return None
    if n == 1:
        return g
    if n == 2:
        return g * 2 * x
    if n == 0.5:
        return g * 0.5 / z
    if n == -1:
        return -(g * z * z)
    if n == -0.5:
        return g * -0.5 * z / x
    return g * n * x ** (n - 1)


class Abs(Elementwise):
    """|x|; its derivative at 0 is taken as 0."""

    latex = r"\lvert {x} \rvert"

    def scalar(self, *x: Scalar) -> Scalar:
        return Call("abs", x[0])

    def reference(self, *x: Array) -> Array:
        return np.abs(x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (g * apply("sign", args[0]),)


class Sign(Elementwise):
    """−1, 0 or 1: the sign of every element. Its derivative is 0 everywhere but at 0."""

    latex = r"\operatorname{{sign}}({x})"

    def scalar(self, *x: Scalar) -> Scalar:
        return Call("sign", x[0])

    def reference(self, *x: Array) -> Array:
        return np.sign(x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (None,)


class Floor(Elementwise):
    """The greatest whole number ≤ x. Its derivative is 0 between the whole numbers."""

    latex = r"\lfloor {x} \rfloor"

    def scalar(self, *x: Scalar) -> Scalar:
        return Call("floor", x[0])

    def reference(self, *x: Array) -> Array:
        return np.floor(x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (None,)


class Maximum(Elementwise):
    """The greater of x and y. The gradient goes to x where x > y, else to y: relu′(0) = 0."""

    latex = r"\max({x}, {y})"
    parameters = ("x", "y")

    def scalar(self, *x: Scalar) -> Scalar:
        return Call("max", x[0], x[1])

    def reference(self, *x: Array) -> Array:
        return np.maximum(x[0], x[1])

    def grad(self, g: Value, z: Value, *args: Value) -> tuple[Value | None, ...]:
        first = apply("gt", *args)
        return g * first, g * apply("not", first)


class Minimum(Elementwise):
    """The smaller of x and y. The gradient goes to x where x < y, else to y."""

    latex = r"\min({x}, {y})"
    parameters = ("x", "y")

    def scalar(self, *x: Scalar) -> Scalar:
        return Call("min", x[0], x[1])

    def reference(self, *x: Array) -> Array:
        return np.minimum(x[0], x[1])

    def grad(self, g: Value, z: Value, *args: Value) -> tuple[Value | None, ...]:
        first = apply("lt", *args)
        return g * first, g * apply("not", first)
