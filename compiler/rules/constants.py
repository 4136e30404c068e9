"""Numbers: what is known before anything runs is computed now."""

from __future__ import annotations

import numpy as np

from ..graph import leaf
from ..op import Elementwise, apply, constant
from ..patterns import filled, law, number, usable
from ..rewrite import Table, elementwise_words, first_samples
from ..types import Type
from ..value import Value

_VIEWS = "reshape transpose slice broadcast"


@law(
    "numbers are computed",
    " ".join(elementwise_words()),
    "an operation on numbers alone gives a number",
    first_samples([apply("exp", constant(2.0, "f64")) * 3 + apply("tanh", constant(1.0, "f64"))]),
)
def fold(v: Value, table: Table) -> Value | None:
    op = v.op
    if not v.type.is_float or op.name == "one_hot" or not isinstance(op, Elementwise):
        return None
    given = []
    for a in v.args:
        n = number(a)
        if n is None:
            return None
        given.append(np.asarray(n))
    with np.errstate(all="ignore"):
        value = float(op.reference(*given))
    return filled(value, v.type) if usable(value, v.type.dtype) else None


@law(
    "a repeated number",
    "constant",
    "a number in every element is one number, repeated",
    first_samples([constant(3.0, "f64", (2, 3))]),
)
def scalar(v: Value, table: Table) -> Value | None:
    return filled(v.attrs["value"], v.type) if v.shape else None


@law(
    "moving equal numbers",
    _VIEWS,
    "moving or repeating elements that are all the same number changes nothing",
    first_samples(
        [
            apply("reshape", filled(2.0, Type((2, 3), "f64", True)), shape=(6,)),
            apply("transpose", filled(2.0, Type((2, 3), "f64"))),
            apply("broadcast", filled(2.0, Type((3,), "f64")), shape=(2, 3)),
        ]
    ),
)
def moved(v: Value, table: Table) -> Value | None:
    if v.op.name == "broadcast" and v.args[0].is_constant:
        return None  # already the normal form
    n = number(v.args[0])
    return None if n is None else filled(n, v.type)


@law(
    "nothing times a matrix",
    "matmul outer einsum",
    "a sum of products with 0 is 0",
    first_samples([leaf("input", "W", Type((2, 3), "f64")) @ filled(0.0, Type((3,), "f64"))]),
)
def nothing(v: Value, table: Table) -> Value | None:
    return filled(0.0, v.type) if any(number(a) == 0 for a in v.args) else None


RULES = (fold, scalar, moved, nothing)
