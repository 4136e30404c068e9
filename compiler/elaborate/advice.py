"""What to write instead, where that takes a look at the shapes: images, shortcuts, library blocks.

In: shapes, names, a scope. Out: a sentence for the help of a diagnostic, empty where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isqrt

from ..types import Type
from ..value import Value
from .scope import Scope

_WORD = re.compile(r"[^\W\d]\w*")


def image_of(shape: tuple[int, ...], text: str) -> str:
    """How a value that is no image becomes one: [784] is [1, 28, 28], [28, 28] as well."""
    if len(shape) == 2:
        return f"add the axis of channels: `{text} -> reshape([1, {shape[0]}, {shape[1]}])`"
    if len(shape) != 1:
        return "an image is [channels, height, width]"
    (n,) = shape
    for channels in (1, 3):
        side = isqrt(n // channels)
        if channels * side * side == n and side > 1:
            return f"make it an image: `{text} -> reshape([{channels}, {side}, {side}])`"
    return f"make it an image: `{text} -> reshape([channels, height, width])`"


def for_forms(types: Sequence[Type], text: str) -> str:
    """How values fit a block that takes vectors, or sequences of them, but not these; `text` is the
    first as it was written."""
    ranks = [len(t.shape) for t in types]
    if len(types) == 1 and ranks[0] > 2:
        short = text if len(text) <= 20 and "\n" not in text else "x"
        return f"flatten it first: `{short} -> flatten -> …`"
    if len(types) != 2 or types[1].classes is None:
        return ""
    if ranks == [2, 0]:
        return (
            "one label needs one vector: flatten the image, or take the last step of the sequence"
        )
    if ranks == [1, 1]:
        return "labels of all steps need scores of all steps: `hs -> dense(k)`, not of `last`"
    return ""


def for_shapes(code: str, args: Sequence[Value | float], help: str) -> str:
    """The help of a shape error: better than the operation's own where the operands are images."""
    images = [a for a in args if isinstance(a, Value) and len(a.shape) == 3]
    if len(images) == len(args) == 2 and code == "E302":
        return _shortcut(*images)
    if len(images) == len(args) and code == "E322":
        return "channels are joined where height and width agree: pool or upsample one of them"
    if code == "E330":
        return help or "a kernel is [results, channels / groups, height, width]"
    return help


def _shortcut(x: Value, y: Value) -> str:
    """Two images that cannot be added: which of them needs which projection (He et al., 2016)."""
    if (y.shape[1:], -y.shape[0]) > (x.shape[1:], -x.shape[0]):
        x, y = y, x  # x is the one that was there first: larger, or of fewer channels
    strides = [-(-a // b) for a, b in zip(x.shape[1:], y.shape[1:], strict=True)]
    exact = all(-(-a // n) == b for a, b, n in zip(x.shape[1:], y.shape[1:], strides, strict=True))
    if not exact:
        return "keep height and width with `padding = same`, or crop: `x[:, 1:-1, 1:-1]`"
    step = strides[0] if strides[0] == strides[1] else f"({strides[0]}, {strides[1]})"
    stride = "" if step == 1 else f", stride = {step}"
    name = x.origin.name or "x"
    return f"project the shortcut: `{name} -> conv({y.shape[0]}, 1{stride})` has the other's shape"


def where(text: str, scope: Scope) -> str:
    """`, where c is 16 and groups is 5`: the sizes and settings that a line of the library uses."""
    known = []
    for word in dict.fromkeys(_WORD.findall(text)):
        value = scope.names.get(word, scope.sizes.get(word))
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            known.append(f"{word} is {value}")
    if not known:
        return ""
    return f", where {', '.join(known[:-1])}{' and ' if known[:-1] else ''}{known[-1]}"
