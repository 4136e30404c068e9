"""The `augment` line of a `train` block.

In: `augment rotate(10), crop(32, pad = 4), flip(horizontal)`. Out: an `Augment`, or a `Failure`
E276 at the argument to blame (E277 for a transform given twice). Whether the data are pictures, and
large enough, is found where it meets them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...dsl import syntax as ast
from ...dsl.diagnostics import Failure, Label, did_you_mean, fail
from ...dsl.source import Span
from ..data import Augment, Transform
from .directives import Signature, Taken, call_of

AXES = ("horizontal", "vertical")
MOST = 1_000_000  # pixels and degrees beyond this are no picture's

TRANSFORMS: dict[str, Signature] = {
    name: Signature(name, taken)
    for name, taken in (
        ("rotate", (Taken("degrees", "number"),)),
        ("shift", (Taken("pixels", "number"),)),
        (
            "crop",
            (
                Taken("height", "count", low=1),
                Taken("width", "count", None, low=1),
                Taken("pad", "count", 0),
            ),
        ),
        ("scale", (Taken("low", "number", low=0.01), Taken("high", "number", low=0.01))),
        ("flip", (Taken("axis", "word", "horizontal"),)),
        ("brightness", (Taken("strength", "number"),)),
        ("contrast", (Taken("strength", "number"),)),
        ("cutout", (Taken("size", "count", low=1),)),
    )
}


def augment_of(train: ast.Train, consts: Mapping[str, object]) -> Augment | None:
    """What a `train` declaration says; None where it has no such line."""
    line = next((d for d in train.body if d.keyword.id == "augment"), None)
    return None if line is None else read_augment(line, consts)


def read_augment(line: ast.Directive, consts: Mapping[str, object]) -> Augment:
    """The transforms of the line; every mistake in one `Failure`."""
    if not line.arguments:
        way_out = "write `augment shift(2), flip(horizontal)`"
        raise fail("E276", "`augment` needs a transform", line.span, help=way_out)
    found: list[Transform] = []
    wrong = Failure()
    for expr in line.arguments:
        try:
            transform = _transform(expr, consts)
            _check_new(transform, found)
            found.append(transform)
        except Failure as failure:
            wrong.diagnostics += failure.diagnostics
    if wrong.diagnostics:
        raise Failure(wrong.diagnostics)
    return Augment(tuple(found), line.span)


def _transform(expr: ast.Expr, consts: Mapping[str, object]) -> Transform:
    name, span, arguments = call_of(expr, "`rotate(10)`")
    if name not in TRANSFORMS:
        known = ", ".join(f"`{t}`" for t in TRANSFORMS)
        way_out = did_you_mean(name, TRANSFORMS) or f"transforms are {known}"
        raise fail("E276", f"no transform is called `{name}`", span, help=way_out)
    values = TRANSFORMS[name].bind(span, arguments, consts)
    _check(name, values, span)
    ordered = {taken.name: values[taken.name] for taken in TRANSFORMS[name].taken}
    return Transform(name, ordered, span)


def _check(name: str, values: Mapping[str, Any], span: Span) -> None:
    """What the kinds of the arguments do not say."""
    numbers = [v for v in values.values() if isinstance(v, int | float)]
    if any(v > MOST for v in numbers):
        raise fail("E276", f"`{name}` is too large", span, help=f"at most {MOST:,}")
    if name == "scale" and values["low"] > values["high"]:
        message = "`low` of `scale` is above `high`"
        way_out = f"write `scale({values['high']:g}, {values['low']:g})`"
        raise fail("E276", message, span, help=way_out)
    if name == "flip" and values["axis"] not in AXES:
        message = f"`flip` is horizontal or vertical, not `{values['axis']}`"
        way_out = did_you_mean(str(values["axis"]), AXES) or "write `flip(horizontal)`"
        raise fail("E276", message, span, help=way_out)


def _check_new(transform: Transform, before: list[Transform]) -> None:
    """Each transform once; `flip` once for each axis."""
    for other in before:
        if other.name == transform.name and (other.name != "flip" or str(other) == str(transform)):
            assert transform.span is not None and other.span is not None
            raise fail(
                "E277", f"`{transform.name}` is given twice", transform.span,
                labels=(Label(other.span, "first given here"),), help="remove one of them",
            )  # fmt: skip
