"""Sigmoid and binary cross-entropy: the forms that lead to ∂L/∂Z = A − Y."""

from ..op import apply
from ..patterns import equation, variables
from ..value import Value

x, y, a = variables("x y a")


def _sigmoid(v: Value) -> Value:
    return apply("sigmoid", v)


def _log1pexp(v: Value) -> Value:
    return apply("log1pexp", v)


RULES = (
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
