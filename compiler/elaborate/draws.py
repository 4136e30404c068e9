"""The words of the language that draw: `uniform`, `normal`, `bernoulli`, `categorical`.

In: evaluated arguments. Out: values made of uniform and normal numbers, fresh for every example and
for every step of the scans that they stand in. `normal` and `uniform` are made of draws of a fixed
distribution (z = μ + σ·ε), so gradients reach their parameters (Kingma & Welling, 2014).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ...dsl.diagnostics import fail
from ...dsl.source import Span
from ..op import apply, constant
from ..types import ShapeError, broadcast_shapes
from ..value import Origin, Value, origin
from .calls import Options, made, only, operand_of, value_of
from .numbers import is_number
from .scope import Meaning, Scope, written_at

LEAST = 2.0**-25  # half of the least step of the generator in f32: keeps log u finite
_SCALES = {"uniform": ("low", "high"), "normal": ("mean", "std")}


def _draw(kind: str) -> Callable[..., Meaning]:
    """`normal([100])`, `uniform(like = x)`, `normal(mu, sigma)`: without a shape, that of the
    parameters."""
    scale = _SCALES[kind]

    def run(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
        only(kind, positional, named, span, 0, 3, ("like", "shape", *scale))
        rest = positional
        if positional and isinstance(positional[0], tuple):
            named, rest = _shaped(named, positional[0]), positional[1:]
        if len(rest) > 2:
            raise fail(
                "E230", f"`{kind}` takes a shape and {scale[0]} and {scale[1]}, got"
                f" {len(positional)} numbers or values", span,
                help=f"write `{kind}([20], {scale[0]}, {scale[1]})`: a shape stands in brackets",
            )  # fmt: skip
        given = dict(zip(scale, rest, strict=False)) | {k: named[k] for k in scale if k in named}
        a = operand_of(given.get(scale[0], 0), span, scope)
        b = operand_of(given.get(scale[1], 1), span, scope)
        draw = _fresh(kind, _shape(named, (a, b), span, scope), span, scope)
        if not isinstance(a, Value) and not isinstance(b, Value) and (a, b) == (0, 1):
            return draw
        from .expressions import shape_failure

        with origin(Origin(span, scope.path, scope.block)):
            try:
                return a + (b - a) * draw if kind == "uniform" else a + b * draw
            except ShapeError as error:
                raise shape_failure(error, (draw, a, b), span, scope) from None

    return run


def _bernoulli(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """1 with probability p, else 0: one draw for each element of p, or of `like` or a shape. It has
    no derivative by p."""
    only("bernoulli", positional, named, span, 1, 2, ("like", "shape"))
    p = operand_of(positional[0], span, scope)
    if positional[1:]:
        named = _shaped(named, positional[1])
    u = _fresh("uniform", _shape(named, (p,), span, scope), span, scope)
    from .expressions import shape_failure

    with origin(Origin(span, scope.path, scope.block)):
        try:
            return apply("cast", apply("lt", u, p), dtype=u.type.dtype)
        except ShapeError as error:
            raise shape_failure(error, (u, p), span, scope) from None


def _categorical(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """A label class[k], drawn with the probabilities p along the last axis, or by `scores`, of
    which they are the softmax: `categorical(p)`, `categorical(scores = z)`. The p need not sum to
    1; where one is 0 it is never drawn. It has no derivative by p."""
    # Of k clocks that ring after Eᵢ / pᵢ, with E = −log u, the i-th is first with the probability
    # pᵢ / Σp: the greatest pᵢ / Eᵢ is drawn, which is that of zᵢ − log Eᵢ (Gumbel, 1954).
    only("categorical", positional, named, span, 0, 1, ("scores",))
    if len(positional) + ("scores" in named) != 1:
        raise fail(
            "E230", "`categorical` takes probabilities or scores", span,
            help="write `categorical(p)`, or `categorical(scores = z)` for what softmax would take",
        )  # fmt: skip
    by_scores = "scores" in named
    given = named["scores"] if by_scores else positional[0]
    place = written_at(named, "scores", span)
    x = _numbers(given, place, by_scores, scope)
    if not x.shape or not x.type.is_float:
        raise fail(
            "E332", f"`categorical` needs one number for each class along the last axis, got"
            f" {x.type}", place, note=str(x.type), labels=made(x, span, scope),
            help="for one of two classes, draw `bernoulli(p)`",
        )  # fmt: skip
    u = _fresh("uniform", x.shape, span, scope)
    with origin(Origin(span, scope.path, scope.block)):
        clocks = -apply("log", apply("maximum", u, LEAST))
        ahead = x - apply("log", clocks) if by_scores else x / clocks
        first = apply("argmax", ahead, axis=-1)
    # Of any other value, `argmax` is a place; here it is a label, and its type says so.
    attrs = {**first.attrs, "classes": x.shape[-1]}
    return Value(first.op, first.args, attrs, first.op.type_of(first.args, attrs), first.origin)


def _numbers(given: Meaning, place: Span, by_scores: bool, scope: Scope) -> Value:
    """The probabilities or scores; a list of numbers is checked. Raises Failure E332."""
    if not isinstance(given, tuple):
        return value_of(given, place, scope)
    known = [float(cast(float, n)) for n in given if is_number(n) and not isinstance(n, str)]
    if len(known) != len(given) or not known:
        raise fail(
            "E332", "`categorical` takes a value or a list of numbers", place,
            help="join several values with `concat(a, b)`",
        )  # fmt: skip
    if not by_scores and (min(known) < 0 or not sum(known) > 0):
        shown = ", ".join(f"{n:g}" for n in known)
        raise fail(
            "E332", f"[{shown}] are no probabilities: they are at least 0, and not all 0", place,
            help="`categorical(scores = …)` takes numbers of either sign, before the softmax",
        )  # fmt: skip
    with origin(Origin(place, scope.path, scope.block)):
        parts = [constant(n, scope.net.dtype, (1,)) for n in known]
        return parts[0] if len(parts) == 1 else apply("concat", *parts, axis=0)


def _shaped(named: Options, shape: Meaning) -> Options:
    """The options with a shape that was given by its place."""
    return {"shape": shape} | named


def _shape(
    named: Options, parameters: tuple[Value | float, ...], span: Span, scope: Scope
) -> tuple[int, ...]:
    """The shape of a draw: that of `like`, the one given, or the one in which its parameters
    meet. Raises Failure E302, E307."""
    like = named.get("like")
    if isinstance(like, Value):
        return like.shape
    if "shape" in named:
        return _sizes(named["shape"], span)
    from .expressions import shape_failure

    shapes = [p.shape for p in parameters if isinstance(p, Value)]
    if not shapes:
        return ()
    try:
        return broadcast_shapes(*shapes)
    except ShapeError as error:
        raise shape_failure(error, parameters, span, scope) from None


def _fresh(kind: str, shape: tuple[int, ...], span: Span, scope: Scope) -> Value:
    """Numbers from the generator: new ones for each example and each step of the scans around."""
    batched = not scope.net.initialising
    scans = scope.net.recurrences if batched else []
    where = Origin(span, scope.path, scope.block)
    with origin(where):
        draw = apply(
            kind,
            shape=(*(r.plan.steps for r in scans), *shape),
            stream=scope.net.next_stream(),
            batched=batched,
            dtype=scope.net.dtype,
        )
    for r in scans:
        draw = r.slice_of(draw, "draw", where)
    return draw


def _sizes(shape: Meaning, span: Span) -> tuple[int, ...]:
    items = shape if isinstance(shape, tuple) else (shape,)
    for n in items:
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            from .expressions import describe

            raise fail(
                "E307",
                f"a shape is made of whole numbers from 1, got {describe(n)}",
                span,
                help="for example `normal([100])`",
            )
    return cast(tuple[int, ...], items)


DRAW_FUNCTIONS: dict[str, Callable[[list[Meaning], Options, Span, Scope], Meaning]] = {
    "uniform": _draw("uniform"),
    "normal": _draw("normal"),
    "bernoulli": _bernoulli,
    "categorical": _categorical,
}
