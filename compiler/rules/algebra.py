"""Algebra of sums, products, quotients and powers, element by element."""

from __future__ import annotations

from ..graph import leaf
from ..op import apply
from ..patterns import (
    common,
    equation,
    factors,
    inside,
    law,
    numbers,
    product,
    variables,
    without,
)
from ..rewrite import Table, first_samples
from ..types import Type
from ..value import Value

x, y, z = variables("x y z")
n, k = numbers("n k")

_a = leaf("input", "a", Type((3, 5), "f64", True))
_b = leaf("input", "b_positive", Type((5,), "f64"))
_c = leaf("input", "c", Type((3, 1), "f64"))


@law(
    "cancelling",
    "mul div",
    "what stands above and below the line cancels",
    first_samples([(_a / _b) * _b, (_a * _b) / _b, _b / _b, (_a * _b) / (_c * _c * _b)]),
)
def cancel(v: Value, table: Table) -> Value | None:
    if not any(a.op.name == "div" for a in v.args) and v.op.name != "div":
        return None
    m, above, below = factors(v)
    shared = common(above, below)
    if not shared:
        return None
    return product(m, without(above, *shared), without(below, *shared), v.type.dtype)


@law(
    "a quotient that is already known",
    "mul div",
    "(a / s)·b = a·(b / s), where b / s is already computed",
    first_samples([apply("exp", _a / _c) + (_b / _c) * _a]),
)
def known_quotient(v: Value, table: Table) -> Value | None:
    if not any(a.op.name in ("div", "mul", "neg") for a in v.args):
        return None  # a product or quotient of just two
    m, above, below = factors(v)
    taken = [t for t in inside(v) if t.op.name == "div"] if below else []
    for s in below:
        if s.op.name == "sum" and s.args[0] in above:
            continue  # a softmax, which has a rule of its own
        for b in above:
            quotient = table.find("div", b, s)
            if quotient is not None and quotient not in taken and table.older(quotient, taken):
                rest = without(above, b)
                return product(m, rest, without(below, s), v.type.dtype) * quotient
    return None


@law(
    "common factors",
    "add sub",
    "a·x/s + a·y/s = (a/s)·(x + y)",
    first_samples([_a * _b + _a * _c, _a / _b - _c / _b, _a * _c / _b - _b * _c, _a * _b + _a]),
)
def common_factors(v: Value, table: Table) -> Value | None:
    a, b = v.args
    if not _is_product(a) and not _is_product(b):
        return None
    (m, above, below), (o, over, under) = factors(a), factors(b)
    up, down = common(above, over), common(below, under)
    if not up and not down:
        return None
    dtype = v.type.dtype
    left = product(m, without(above, *up), without(below, *down), dtype)
    right = product(o, without(over, *up), without(under, *down), dtype)
    rest = left + right if v.op.name == "add" else left - right
    if not up:
        for s in down:
            rest = rest / s
        return rest
    return product(1.0, up, down, dtype) * rest


def _is_product(v: Value) -> bool:
    return v.op.name in ("mul", "div", "pow")


RULES = (
    cancel,
    equation("the inverse of a quotient", 1 / (x / y), y / x, "1/(x/y) = y/x", positive="x y"),
    equation("times an inverse", (1 / y) * x, x / y, "(1/y)·x = x/y", positive="y"),
    known_quotient,
    common_factors,
    equation("adding what was taken", (x - y) + y, x, "(x − y) + y = x"),
    equation("taking what was added", (x + y) - y, x, "(x + y) − y = x"),
    equation("taking a difference", x - (x - y), y, "x − (x − y) = y"),
    equation("numbers of a sum", n + (k + x), (n + k) + x, "numbers are added first"),
    equation("numbers of a sum and a difference", n + (x - k), (n - k) + x, "as above"),
    equation("numbers of a difference", n - (k - x), (n - k) + x, "numbers are subtracted first"),
    equation("numbers after a difference", (x - n) - k, x - (n + k), "as above"),
    equation("numbers after a sum", (x + n) - k, x + (n - k), "as above"),
    equation("a square", x * x, x**2, "x·x = x²"),
    equation("the first power", x**1, x, "x¹ = x"),
    equation("the power zero", x**0, 1, "x⁰ = 1"),
    equation("the square of a root", apply("sqrt", x) ** 2, x, "(√x)² = x", positive="x"),
    equation("the half power", x**0.5, apply("sqrt", x), "x^½ = √x", positive="x"),
    equation("the power minus one", x**-1, 1 / x, "x⁻¹ = 1/x", positive="x"),
    equation("exponential of a logarithm", apply("exp", apply("log", x)), x, "e^(log x) = x",
             positive="x"),
    equation("logarithm of an exponential", apply("log", apply("exp", x)), x, "log eˣ = x"),
    equation("absolute value of an opposite", apply("abs", -x), apply("abs", x), "|−x| = |x|"),
)  # fmt: skip
