"""Softmax and cross-entropy: the forms that lead to ∂L/∂Z = A − Y."""

from __future__ import annotations

from ..graph import leaf
from ..op import apply
from ..patterns import equation, factors, filled, law, number, product, split, variables, without
from ..rewrite import Table
from ..types import Type
from ..value import Value

x, y, p = variables("x y p")

_label = leaf("input", "label", Type((), "i32", True, classes=5))
_z = leaf("input", "z", Type((5,), "f64", True))
_g = leaf("input", "g", Type((5,), "f64", True))


def _softmax_step() -> list[Value]:
    e = apply("exp", _z)
    s = apply("sum", e, axis=-1, keep=True)
    return [(_g / s) * e]


@law(
    "a one-hot vector sums to 1",
    "sum",
    "exactly one of its elements is 1",
    lambda: [apply("sum", apply("one_hot", _label, dtype="f64"), axis=-1, keep=True)],
)
def one_hot_sum(v: Value, table: Table) -> Value | None:
    (hot,) = v.args
    if hot.op.name != "one_hot" or v.attrs["batch"] or v.attrs["axes"] != (len(hot.shape) - 1,):
        return None
    return filled(1.0, v.type)


def _smoothed() -> list[Value]:
    hot = apply("one_hot", _label, dtype="f64")
    return [
        apply("sum", 0.9 * hot + 0.1 / 5, axis=-1, keep=True),
        apply("sum", 3 * hot + 0.5, axis=-1),
    ]


@law(
    "a smoothed one-hot vector has a known sum",
    "sum",
    "Σ (a·yᵢ + b) = a + k·b for one of k classes",
    _smoothed,
)
def smoothed_sum(v: Value, table: Table) -> Value | None:
    (q,) = v.args
    if q.op.name != "add" or v.attrs["batch"] or v.attrs["axes"] != (len(q.shape) - 1,):
        return None
    for part, added in (q.args, q.args[::-1]):
        a, hot = split(part)
        b = number(added)
        if b is not None and hot is not None and hot.op.name == "one_hot" and hot.type == q.type:
            return filled(round(a + q.shape[-1] * b, 12), v.type)
    return None


@law(
    "softmax again",
    "mul",
    "(g / Σeˣ)·eˣ = g·softmax(x)",
    _softmax_step,
)
def softmax_again(v: Value, table: Table) -> Value | None:
    if not any(a.op.name == "exp" for a in v.args):
        return None
    m, above, below = factors(v)
    for s in below:
        e = s.args[0] if s.op.name == "sum" else None
        if e is not None and e.op.name == "exp" and e in above:
            rest = product(m, without(above, e), without(below, s), v.type.dtype)
            return rest * (e / s)
    return None


RULES = (
    one_hot_sum,
    smoothed_sum,
    softmax_again,
    equation(
        "the probability cancels",
        p * (x - y / p),
        p * x - y,
        "p·(x − y/p) = p·x − y",
        positive="p",
    ),
    equation(
        "the probability cancels in a sum",
        p * (x + y / p),
        p * x + y,
        "p·(x + y/p) = p·x + y",
        positive="p",
    ),
)
