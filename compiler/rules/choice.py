"""Choices and conversions: where, casts, truth values, stop_gradient."""

from __future__ import annotations

from ..graph import leaf
from ..op import apply
from ..patterns import equation, law, numbers, variables
from ..rewrite import Table, first_samples
from ..types import Type
from ..value import Value

x, y = variables("x y")
n, k = numbers("n k")
(c,) = variables("c", "bool")

_x = leaf("input", "x", Type((3,), "f64", True))
_whole = leaf("input", "i", Type((3,), "i32", True))


def _where(a: Value | float, b: Value | float) -> Value:
    return apply("where", c, a, b)


@law(
    "differentiation is over",
    "stop_gradient",
    "a value held constant for differentiation is just that value",
    first_samples([apply("stop_gradient", _x)]),
)
def held_constant(v: Value, table: Table) -> Value | None:
    return v.args[0]


@law(
    "converting twice",
    "cast",
    "a conversion to the type a value has, or through a wider one, is left out",
    first_samples(
        [
            apply("cast", _x, dtype="f64"),
            apply("cast", apply("cast", _whole, dtype="f64"), dtype="f32"),
        ]
    ),
)
def conversions(v: Value, table: Table) -> Value | None:
    (a,) = v.args
    if a.type.dtype == v.type.dtype:
        return a
    if a.op.name != "cast":
        return None
    rank = {"bool": 0, "i32": 1, "f32": 2, "f64": 3}
    inner = a.args[0]
    # bool and i32 hold fewer numbers than f64: nothing is lost between.
    if rank[inner.type.dtype] < rank[a.type.dtype] and a.type.dtype != "f32":
        return apply("cast", inner, dtype=v.type.dtype)
    return None


RULES = (
    held_constant,
    conversions,
    equation("the same either way", _where(x, x), x, "both cases give x"),
    equation("a choice and its rest", _where(x, 0) + _where(0, y), _where(x, y),
             "one of the two terms is always 0"),
    equation("a number times a choice", n * _where(x, 0), _where(n * x, 0),
             "the number belongs to the case that is not 0"),
    equation("a number times the other choice", n * _where(0, x), _where(0, n * x),
             "the number belongs to the case that is not 0"),
    equation("a choice of slopes", _where(x, n * x), x * _where(1, n),
             "both cases are x times a number"),
    equation("a choice of slopes, reversed", _where(n * x, x), x * _where(n, 1),
             "both cases are x times a number"),
    equation("a choice of two slopes", _where(n * x, k * x), x * _where(n, k),
             "both cases are x times a number"),
    equation("not not", apply("not", apply("not", c)), c, "¬¬c = c"),
)  # fmt: skip
