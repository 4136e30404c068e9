"""Stability: forms that mean the same and neither overflow nor take the logarithm of 0.

These run before differentiation, so that derivatives come from the stable form.
"""

from ..op import apply
from ..patterns import equation, variables
from ..value import Value

x, y = variables("x y")


def _log1pexp(v: Value) -> Value:
    return apply("log1pexp", v)


def _exp(v: Value) -> Value:
    return apply("exp", v)


def _log(v: Value) -> Value:
    return apply("log", v)


def _sigmoid(v: Value) -> Value:
    return apply("sigmoid", v)


RULES = (
    equation(
        "logarithm of a softmax",
        _log(_exp(x) / y),
        x - _log(y),
        "log(eˣ/y) = x − log y: the logarithm of a probability that rounds to 0 is avoided",
        positive="y",
        stage="stabilise",
    ),
    equation(
        "logarithm of a sigmoid",
        _log(_sigmoid(x)),
        -_log1pexp(-x),
        "log σ(x) = −log(1 + e⁻ˣ)",
        stage="stabilise",
    ),
    equation(
        "logarithm of one minus a sigmoid",
        _log(1 - _sigmoid(x)),
        -_log1pexp(x),
        "log(1 − σ(x)) = −log(1 + eˣ)",
        stage="stabilise",
    ),
    equation(
        "softplus",
        _log(1 + _exp(x)),
        _log1pexp(x),
        "log(1 + eˣ) is computed without overflow",
        stage="stabilise",
    ),
    equation(
        "softplus by log1p",
        apply("log1p", _exp(x)),
        _log1pexp(x),
        "log(1 + eˣ) is computed without overflow",
        stage="stabilise",
    ),
    equation(
        "softplus in two parts",
        apply("maximum", x, 0) + _log1pexp(-apply("abs", x)),
        _log1pexp(x),
        "max(x, 0) + log(1 + e^−|x|) = log(1 + eˣ), whose derivative is σ(x) also at 0",
        stage="stabilise",
    ),
    equation(
        "sigmoid",
        1 / (1 + _exp(-x)),
        _sigmoid(x),
        "1/(1 + e⁻ˣ) = σ(x)",
        stage="stabilise",
    ),
    equation(
        "sigmoid by its exponential",
        _exp(x) / (1 + _exp(x)),
        _sigmoid(x),
        "eˣ/(1 + eˣ) = σ(x)",
        stage="stabilise",
    ),
    equation(
        "hyperbolic tangent",
        (_exp(x) - _exp(-x)) / (_exp(x) + _exp(-x)),
        apply("tanh", x),
        "(eˣ − e⁻ˣ)/(eˣ + e⁻ˣ) = tanh x",
        stage="stabilise",
    ),
)
