"""Indexing: `x[i]`, `x[a:b]`, `x[..., 0]`.

In: a value and the items between the brackets. Out: a slice of it, single positions dropped.
"""

from __future__ import annotations

from typing import Any

from ...dsl import syntax as s
from ...dsl.diagnostics import Label, fail
from ..value import Value
from .calls import made
from .scope import Scope


def index(x: Value, e: s.Index, scope: Scope) -> Value:
    """`x[i]`, `x[a:b]`, `x[..., 0]`: a slice, and the axes of single indices dropped."""
    from .expressions import build

    items = _expanded(x, e, scope)
    start: list[int] = []
    size: list[int] = []
    kept: list[int] = []
    for axis, (item, n) in enumerate(zip(items, x.shape, strict=True)):
        if isinstance(item, s.Slice):
            low, high = (_bound(item.start, 0, n, scope), _bound(item.stop, n, n, scope))
            if not 0 <= low < high <= n:
                raise fail(
                    "E306",
                    f"{low}:{high} is empty or outside axis {axis} of size {n}",
                    item.span,
                    labels=made(x, item.span, scope),
                    help=f"`a:b` goes from a up to, not including, b, within 0:{n}",
                )
            start.append(low)
            size.append(high - low)
            kept.append(high - low)
            continue
        position = _position(item, n, axis, x, scope)
        start.append(position)
        size.append(1)
    attrs: dict[str, Any] = {"start": tuple(start), "size": tuple(size)}
    result = build("slice", (x,), attrs, e.span, scope)
    if tuple(kept) == tuple(size):
        return result
    return build("reshape", (result,), {"shape": tuple(kept)}, e.span, scope)


def _expanded(x: Value, e: s.Index, scope: Scope) -> list[s.Expr]:
    whole = s.Slice(e.span, None, None)
    items: list[s.Expr] = list(e.items)
    dots = [k for k, item in enumerate(items) if isinstance(item, s.Ellipsis_)]
    if len(dots) > 1:
        raise fail(
            "E306",
            "`...` may stand once in an index",
            items[dots[1]].span,
            note="a second one",
            labels=(Label(items[dots[0]].span, "the first one"),),
            help="write `:` for a whole axis",
        )
    missing = len(x.shape) - len(items) + len(dots)
    if missing < 0:
        given, rank = len(items) - len(dots), len(x.shape)
        raise fail(
            "E306",
            f"{given} {'indices' if given != 1 else 'index'} for a value of type {x.type}",
            e.span,
            labels=made(x, e.span, scope),
            help=f"it has {rank} {'axes' if rank != 1 else 'axis'}"
            if rank
            else "it is a scalar: use it without an index",
        )
    place = dots[0] if dots else len(items)
    return [*items[:place], *[whole] * missing, *items[place + len(dots) :]]


def _bound(e: s.Expr | None, default: int, n: int, scope: Scope) -> int:
    if e is None:
        return default
    value = _whole(e, scope)
    return value + n if value < 0 else value


def _position(e: s.Expr, n: int, axis: int, x: Value, scope: Scope) -> int:
    value = _whole(e, scope)
    if not -n <= value < n:
        raise fail(
            "E306",
            f"index {value} is outside axis {axis} of size {n}",
            e.span,
            labels=made(x, e.span, scope),
            help=f"indices count from 0 to {n - 1}; -1 is the last",
        )
    return value % n


def _whole(e: s.Expr, scope: Scope) -> int:
    from .expressions import evaluate

    value = evaluate(e, scope)
    if not isinstance(value, int) or isinstance(value, bool):
        from .expressions import describe

        raise fail(
            "E306",
            f"an index is a whole number known at compile time, got {describe(value)}",
            e.span,
            help="to select by data, multiply with `one_hot(label)` and `sum`",
        )
    return value
