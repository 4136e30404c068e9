"""Comparisons and logic: results are true or false, and no gradient passes through them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..op import Array, Elementwise
from ..scalar import Call, Scalar
from ..types import Type
from ..value import Value


class Comparison(Elementwise, abstract=True):
    """True or false for each pair of elements."""

    parameters: ClassVar[tuple[str, ...]] = ("x", "y")
    result = "bool"

    def scalar(self, *x: Scalar) -> Scalar:
        return Call(self.name, x[0], x[1])

    def grad(self, g: Value, z: Value, *args: Value) -> tuple[Value | None, ...]:
        return None, None


class Lt(Comparison):
    """x < y."""

    latex = "{x} < {y}"
    infix = "<"

    def reference(self, *x: Array) -> Array:
        return np.less(x[0], x[1])


class Le(Comparison):
    """x ≤ y."""

    latex = r"{x} \le {y}"
    infix = "<="

    def reference(self, *x: Array) -> Array:
        return np.less_equal(x[0], x[1])


class Gt(Comparison):
    """x > y."""

    latex = "{x} > {y}"
    infix = ">"

    def reference(self, *x: Array) -> Array:
        return np.greater(x[0], x[1])


class Ge(Comparison):
    """x ≥ y."""

    latex = r"{x} \ge {y}"
    infix = ">="

    def reference(self, *x: Array) -> Array:
        return np.greater_equal(x[0], x[1])


class Eq(Comparison):
    """x = y."""

    latex = "{x} = {y}"
    infix = "=="

    def reference(self, *x: Array) -> Array:
        return np.equal(x[0], x[1])


class Ne(Comparison):
    """x ≠ y."""

    latex = r"{x} \ne {y}"
    infix = "!="

    def reference(self, *x: Array) -> Array:
        return np.not_equal(x[0], x[1])


class Logic(Comparison, abstract=True):
    """Of truth values; a number is true where it is not 0."""

    def operand_dtype(self, types: tuple[Type, ...]) -> str:
        return "bool"


class And(Logic):
    """Both are true."""

    latex = r"{x} \land {y}"
    infix = "and"

    def reference(self, *x: Array) -> Array:
        return np.logical_and(x[0], x[1])


class Or(Logic):
    """At least one is true."""

    latex = r"{x} \lor {y}"
    infix = "or"

    def reference(self, *x: Array) -> Array:
        return np.logical_or(x[0], x[1])


class Not(Logic):
    """True where x is false."""

    latex = r"\lnot {x}"
    parameters = ("x",)

    def scalar(self, *x: Scalar) -> Scalar:
        return Call("not", x[0])

    def reference(self, *x: Array) -> Array:
        return np.logical_not(x[0])

    def grad(self, g: Value, y: Value, *args: Value) -> tuple[Value | None, ...]:
        return (None,)
