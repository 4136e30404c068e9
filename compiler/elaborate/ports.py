"""Types of ports: a value against the type its input declares, sizes bound on the way.

In: a value's type and a declared type. Out: nothing, but the names of sizes that were still free
are bound in the scope of the block. What a port is called and who fills it is `instances`'.
"""

from __future__ import annotations

from math import inf

from ...dsl import syntax as s
from ...dsl.diagnostics import Label, fail
from ...dsl.source import Span
from ..types import Type
from .advice import image_of
from .scope import LIBRARY, Meaning, Scope


def match_type(
    type: Type,
    wanted: s.TypeExpr,
    scope: Scope,
    span: Span,
    who: str,
    made: Label | None = None,
) -> None:
    """Check a value against a declared type, binding the sizes that are still free. `made` is where
    the value comes from.

    Raises Failure E312 (shape), E313 (label or not), E314 (element type).
    """
    label = (Label(wanted.span, f"declared {wanted.span.text} here"), *((made,) if made else ()))
    if isinstance(wanted, s.TensorType):
        # `any` takes labels too: a loss that knows both forms of a target.
        if wanted.dtype == "any":
            return
        if type.classes is not None and wanted.dtype is None:
            raise fail(
                "E313",
                f"{who}: {wanted.span.text}, got the label {type}",
                span,
                note=str(type),
                labels=label,
                help=f"turn the label into a vector: `one_hot({_short(span, 'label')})`"
                if not type.shape
                else f"turn tokens into vectors: `{_short(span, 'text')} -> embedding(64)`",
            )
        if wanted.dtype is not None and wanted.dtype != type.dtype:
            raise fail(
                "E314",
                f"{who}: {wanted.span.text}, got elements of {type.dtype}",
                span,
                note=str(type),
                labels=label,
                help=f'convert it: `cast({_short(span, "x")}, dtype = "{wanted.dtype}")`',
            )
        _match_sizes(type, wanted, type.shape, wanted.sizes, scope, span, who, label)
        return
    if type.dtype != "i32":
        raise fail(
            "E313",
            f"{who}: {wanted.span.text}, got {type}",
            span,
            note=str(type),
            labels=label,
            help="labels come from an input declared `class[k]`",
        )
    shape = (*type.shape, type.classes or 0)
    wanted_sizes: tuple[s.Expr, ...] = (
        (wanted.count,) if isinstance(wanted, s.ClassType) else (wanted.length, wanted.count)
    )
    _match_sizes(type, wanted, shape, wanted_sizes, scope, span, who, label)


def _short(span: Span, otherwise: str) -> str:
    """What stands there, if it is short enough to be repeated in a help."""
    text = span.text
    return text if len(text) <= 20 and "\n" not in text else otherwise


def _match_sizes(
    type: Type,
    wanted: s.TypeExpr,
    shape: tuple[int, ...],
    sizes: tuple[s.Expr, ...],
    scope: Scope,
    span: Span,
    who: str,
    label: tuple[Label, ...],
) -> None:
    sizes = _without_dots(sizes, len(shape))
    if len(sizes) != len(shape):
        advice = ""
        if len(sizes) == 1 < len(shape):
            advice = f"flatten it first: `{_short(span, 'x')} -> flatten -> …`"
        elif not shape:
            advice = "make it a vector of one: `reshape(x, [1])`"
        elif len(sizes) == 3:
            advice = image_of(shape, _short(span, "x"))
        raise fail(
            "E312",
            f"{who}: {wanted.span.text}, got {type}",
            span,
            note=str(type),
            labels=label,
            help=advice,
        )
    for size, n in zip(sizes, shape, strict=True):
        if isinstance(size, s.Ellipsis_):
            continue
        if isinstance(size, s.Name) and _is_free(size.id, scope):
            scope.sizes[size.id] = n
            continue
        known = whole(size, scope)
        if known != n:
            fixed = isinstance(size, s.Number)
            reason = "" if fixed else f": {size.span.text} is {known}, not {n}"
            what = "elements along this axis" if isinstance(wanted, s.TensorType) else "classes"
            raise fail(
                "E312",
                f"{who}: {wanted.span.text}, got {type}{reason}",
                span,
                note=str(type),
                labels=label,
                help=f"give it {known} {what}, or declare the size by {'a' if fixed else 'another'}"
                " name",
            )


def _is_free(name: str, scope: Scope) -> bool:
    """Does this port give the size its meaning? A block or function of that name is something else:
    `[n]` is a size in a file whose net is called `n`."""
    if name in scope.names or name in scope.sizes:
        return False
    found = scope.lookup(name)
    return not isinstance(found, int | float) or found == inf


def _without_dots(sizes: tuple[s.Expr, ...], rank: int) -> tuple[s.Expr, ...]:
    dots = [k for k, e in enumerate(sizes) if isinstance(e, s.Ellipsis_)]
    if len(dots) != 1:
        return sizes
    (k,) = dots
    missing = rank - (len(sizes) - 1)
    return sizes if missing < 0 else (*sizes[:k], *[sizes[k]] * missing, *sizes[k + 1 :])


def whole(e: s.Expr, scope: Scope) -> int:
    """A size: a whole number from 1. Raises Failure E307, E212."""
    from .expressions import evaluate

    value = evaluate(e, scope)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        fraction = isinstance(value, float) and 1 <= value < 2**40
        divides = isinstance(e, s.Binary) and e.span.source.name.startswith(LIBRARY)
        raise fail(
            "E307",
            f"a size is a whole number from 1, got {_shown(value)}",
            e.span,
            help=""
            if not fraction
            else "choose sizes that divide without a remainder"
            if divides
            else "round it: `floor(a / b)`",
        )
    if value > 2**40:
        raise fail(
            "E307", f"the size {value} is beyond any memory", e.span, help="the limit is 2^40"
        )
    return value


def _shown(value: Meaning) -> str:
    from .expressions import describe

    return describe(value)
