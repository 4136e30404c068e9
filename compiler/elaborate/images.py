"""The words of the language that are about images: padding, windows, what belongs to channels.

An image is [channels, height, width]; its spatial axes are all but the first. In: evaluated
arguments. Out: values built of `pad`, `windows` and `reshape`, or numbers known at compile time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ...dsl.diagnostics import fail
from ...dsl.source import Span
from ..op import registry
from ..ops.convolution import Pair, padding_of
from ..ops.windows import Windows
from ..types import ShapeError
from ..value import Value
from .calls import Options, only, value_of
from .scope import Meaning, Scope, written_at


def _arguments(
    name: str, words: tuple[str, ...], positional: list[Meaning], named: Options, span: Span
) -> dict[str, Meaning]:
    """Arguments behind the first by name. Raises Failure E230, E231."""
    only(name, positional, named, span, 1, 1 + len(words), words)
    given = dict(zip(words, positional[1:], strict=False))
    return {**given, **named}


def _pair(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """One number for height and width, as a pair; a pair is itself: `pair(3)` is (3, 3)."""
    only("pair", positional, named, span, 1, 1)
    (given,) = positional
    items = given if isinstance(given, tuple) else (given, given)
    if len(items) == 2 and all(_is_whole(n) for n in items):
        return items
    raise fail(
        "E331",
        f"a whole number or a pair (height, width) is needed, got {_described(given)}",
        span,
        help="write for example `3` or `(3, 1)`",
    )


def _is_whole(n: Meaning) -> bool:
    return isinstance(n, int) and not isinstance(n, bool) and n >= 0


def _described(given: Meaning) -> str:
    from .expressions import describe

    if isinstance(given, tuple):
        return "(" + ", ".join(_described(n) for n in given) + ")"
    return f"`{given}`" if isinstance(given, str) else describe(given)


def _per_channel(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """One number for each channel, shaped to meet `like`: [c] becomes [c, 1, 1] for an image."""
    only("per_channel", positional, named, span, 1, 2, ("like",))
    v = value_of(positional[0], span, scope)
    like = value_of(named.get("like", positional[-1]), span, scope)
    from .expressions import build

    extra = len(like.shape) - len(v.shape)
    if extra < 1:
        return v
    return build("reshape", (v,), {"shape": (*v.shape, *(1,) * extra)}, span, scope)


def _pad(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """x inside a frame of zeros, or of `value`: a number for all spatial axes, one for each, or
    pairs (before, after) for the last axes."""
    given = _arguments("pad", ("padding", "value"), positional, named, span)
    x = value_of(positional[0], span, scope)
    place = written_at(named, "padding", span)
    if "padding" not in given:
        raise fail("E231", "`pad` needs its option `padding`", span, help="write `x -> pad(2)`")
    pairs = _frame(given["padding"], len(x.shape), place)
    first = len(x.shape) - len(pairs)
    whole = {first + k: pair for k, pair in enumerate(pairs)}
    return _padded(x, whole, given.get("value", 0), span, scope, written_at(named, "value", span))


def _frame(padding: Meaning, rank: int, span: Span) -> tuple[Pair, ...]:
    """(before, after) for each of the last axes. Raises Failure E331."""
    spatial = max(1, rank - 1)
    items = padding if isinstance(padding, tuple) else (padding,) * spatial
    pairs = [n if isinstance(n, tuple) else (n, n) for n in items]
    if not 0 < len(pairs) <= rank:
        raise fail(
            "E331",
            f"padding for {len(pairs)} axes, but the value has {rank}",
            span,
            help="write `pad(2)`, `pad((1, 2))` for height and width, or pairs (before, after)",
        )
    if not all(len(p) == 2 and all(_is_whole(n) for n in p) for p in pairs):
        raise fail(
            "E331",
            f"`pad` takes whole numbers from 0, got {_described(padding)}",
            span,
            help="write `pad(2)`, `pad((1, 2))` for height and width, or pairs (before, after)",
        )
    return cast(tuple[Pair, ...], tuple(pairs))


def _padded(
    x: Value, frame: dict[int, Pair], value: Meaning, span: Span, scope: Scope, place: Span
) -> Value:
    """x with (before, after) elements of `value` along some axes."""
    if not any(map(any, frame.values())):
        return x
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fail(
            "E331",
            f"padding is filled with a number, got {_described(value)}",
            place,
            help="write for example `value = 1`",
        )
    pairs = [frame.get(k, (0, 0)) for k in range(len(x.shape))]
    start = tuple(before for before, _ in pairs)
    shape = tuple(n + sum(p) for n, p in zip(x.shape, pairs, strict=True))
    from .expressions import build

    return build("pad", (x,), {"start": start, "shape": shape, "value": value}, span, scope)


def _windows(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """x under every place of a window along the last axes, or `axes`; the window's own axes come
    last. `padding` is as for `conv`, filled with `value`."""
    words = ("kernel", "stride", "dilation", "padding", "value", "axes")
    given = _arguments("windows", words, positional, named, span)
    x = value_of(positional[0], span, scope)
    if "kernel" not in given:
        raise fail(
            "E231", "`windows` needs its option `kernel`", span, help="write `windows(x, (2, 2))`"
        )
    padding, value = given.pop("padding", 0), given.pop("value", 0)
    op = cast(Windows, registry()["windows"])
    from .expressions import build, shape_failure

    try:
        _, attrs = op.prepare((x,), given)
        axes, kernel = attrs["axes"], attrs["kernel"]
        sizes = tuple(x.shape[a] for a in axes)
        pairs = padding_of(padding, sizes, kernel, attrs["stride"], attrs["dilation"])
        _see_something(pairs, kernel, attrs["dilation"])
    except ShapeError as error:
        raise shape_failure(error, (x,), span, scope) from None
    frame = dict(zip(axes, pairs, strict=True))
    x = _padded(x, frame, value, span, scope, written_at(named, "value", span))
    return build("windows", (x,), dict(attrs), span, scope)


def _see_something(
    pairs: tuple[Pair, ...], kernel: tuple[int, ...], dilation: tuple[int, ...]
) -> None:
    """A window wholly inside the padding would have no element to speak of."""
    for k, d, pair in zip(kernel, dilation, pairs, strict=True):
        if max(pair) > d * (k - 1):
            raise ShapeError(
                f"a window of {k} with a padding of {max(pair)} would see nothing but padding",
                code="E331",
                help=f"pad by at most {d * (k - 1) or 'nothing'}, or write `padding = same`",
            )


IMAGE_FUNCTIONS: dict[str, Callable[[list[Meaning], Options, Span, Scope], Meaning]] = {
    "pair": _pair,
    "per_channel": _per_channel,
    "pad": _pad,
    "windows": _windows,
}
