"""Vectors of one element and the scalars in them: `z[0]` of a dense layer with one unit.

Both are the same number, so that a whole vector is no part of itself, and taking the element moves
behind what is computed with it. In both stages: log σ(z)[0] has the stable form of log σ(z).
"""

from __future__ import annotations

from ..graph import leaf
from ..op import apply, build
from ..patterns import law
from ..rewrite import Rule, Table, elementwise_words, first_samples, is_elementwise
from ..types import Type
from ..value import Value

DEPTH = 3  # operations that are rebuilt around a reshaped leaf

_x = leaf("input", "x_positive", Type((1,), "f64", True))
_w = leaf("input", "w", Type((3, 5), "f64", True))
_s = leaf("input", "s", Type((), "f64", True))
_e = apply("reshape", _x, shape=())


def _whole(name: str, stage: str) -> Rule:
    return law(
        name,
        "slice pad",
        "a part as large as the whole is the whole",
        first_samples(
            [
                apply("slice", _w, start=(0, 0), size=(3, 5)),
                apply("pad", _w, start=(0, 0), shape=(3, 5)),
            ]
        ),
        stage,
    )(lambda v, table: v.args[0] if v.type == v.args[0].type else None)


def _element(name: str, stage: str) -> Rule:
    return law(
        name,
        " ".join(elementwise_words()),
        "an operation on the only element of a vector is the only element of its result",
        first_samples([_e - _s, apply("log", _e), apply("where", apply("gt", _e, 0), _s, 2 * _e)]),
        stage,
    )(_outwards)


def _outwards(v: Value, table: Table) -> Value | None:
    if v.type.size != 1:
        return None
    shapes = [a.args[0].shape for a in v.args if a.op.name == "reshape"]
    shape = max(shapes, key=len, default=())
    if len(shape) <= len(v.shape):
        return None
    args = tuple(_in_shape(a, shape) for a in v.args)
    return apply("reshape", build(v.op, args, v.attrs), shape=v.shape)


def _in_shape(a: Value, shape: tuple[int, ...], depth: int = DEPTH) -> Value:
    """The one element of `a` in that shape; 1 − y becomes 1 − (y reshaped), which rules know."""
    if a.is_constant:
        return a
    if a.op.name == "reshape" and a.args[0].shape == shape:
        return a.args[0]
    if is_elementwise(a.op) and depth > 0:
        return build(a.op, tuple(_in_shape(x, shape, depth - 1) for x in a.args), a.attrs)
    return apply("reshape", a, shape=shape)


RULES = (
    _whole("the whole is no part", "simplify"),
    _element("the only element", "simplify"),
    _whole("a part that is the whole", "stabilise"),
    _element("an operation on the only element", "stabilise"),
)
