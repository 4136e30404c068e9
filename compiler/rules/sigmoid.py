"""Sigmoid and binary cross-entropy: the forms that lead to ∂L/∂Z = A − Y."""

from ..graph import leaf
from ..op import apply
from ..patterns import equation, law, split, variables
from ..rewrite import Table
from ..types import Type
from ..value import Value

x, y, a = variables("x y a")


def _sigmoid(v: Value) -> Value:
    return apply("sigmoid", v)


def _log1pexp(v: Value) -> Value:
    return apply("log1pexp", v)


_z = leaf("input", "z", Type((4,), "f64", True))


@law(
    "two halves of a sigmoid",
    "sub",
    "n·σ(x) − k·σ(−x) = (n + k)·σ(x) − k, because σ(−x) = 1 − σ(x)",
    lambda: [
        0.1 * _sigmoid(_z) - 0.9 * _sigmoid(-_z),
        0.5 * _sigmoid(-_z) - 0.25 * _sigmoid(_z),
    ],
)
def halves(v: Value, table: Table) -> Value | None:
    (n, one), (k, other) = map(split, v.args)
    if one is None or other is None or min(n, k) <= 0 or n == 1 or k == 1:
        return None
    if one.op.name != "sigmoid" or other.op.name != "sigmoid":
        return None
    x, mirrored = one.args[0], other.args[0]
    if not (_is_opposite(mirrored, x) or _is_opposite(x, mirrored)):
        return None
    return (n + k) * one - k


def _is_opposite(x: Value, y: Value) -> bool:
    return x.op.name == "neg" and x.args[0] is y


RULES = (
    halves,
    equation(
        "binary cross-entropy of a score",
        y * _log1pexp(-x) + (1 - y) * _log1pexp(x),
        (apply("maximum", x, 0) - x * y) + apply("log1p", apply("exp", -apply("abs", x))),
        "log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|), with one exponential instead of two; nothing"
        " large cancels",
    ),
    equation(
        "binary cross-entropy of a sigmoid",
        (1 - y) * _sigmoid(x) - y * _sigmoid(-x),
        _sigmoid(x) - y,
        "σ(−x) = 1 − σ(x), and y·σ(x) cancels",
    ),
    equation(
        "the other half of a sigmoid",
        1 - _sigmoid(-x),
        _sigmoid(x),
        "σ(−x) = 1 − σ(x)",
    ),
    equation(
        "binary cross-entropy of a probability",
        (a * ((1 - y) / (1 - a)) - y) * (1 - a),
        a - y,
        "a·(1 − y) − y·(1 − a) = a − y: what is left of ((1 − y)/(1 − a) − y/a)·a·(1 − a)",
    ),
    equation(
        "binary cross-entropy of a probability, with the sign turned",
        (a * ((y - 1) / (1 - a)) + y) * (1 - a),
        y - a,
        "a·(y − 1) + y·(1 − a) = y − a",
    ),
)
