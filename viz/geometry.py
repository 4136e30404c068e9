"""How convolutions and pooling are told in words: 3×3, stride 2, padding 1.

In: the values inside a step. Out: words for the first convolution or window among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..compiler.value import Value

CONVOLUTIONS = ("convolve", "convolve_transposed", "convolve_weights")


def described(inside: Iterable[Value]) -> list[str]:
    """The geometry of a layer of images: kernel, and what differs from the plainest. Empty for any
    other step."""
    for v in inside:
        if v.op.name in ("convolve", "convolve_transposed"):
            return _convolution(v)
        if v.op.name == "windows":
            return _window(v)
    return []


def is_flat(inside: Iterable[Value]) -> bool:
    """A step that only writes an image as a vector."""
    found = [v for v in inside if v.op.family != "leaf"]
    return len(found) == 1 and found[0].op.name == "reshape" and len(found[0].shape) == 1


def _convolution(v: Value) -> list[str]:
    kernel = v.args[1].shape[2:]
    words = [times(kernel)]
    words += _differing("stride", v.attrs["stride"], 1)
    words += _padding(v.attrs["padding"])
    words += _differing("dilation", v.attrs["dilation"], 1)
    groups = v.attrs["groups"]
    if groups > 1:
        whole = v.op.name == "convolve" and v.args[1].shape[1] == 1
        words.append("depthwise" if whole else f"{groups} groups")
    return words


def _window(v: Value) -> list[str]:
    """Pooling moves by the size of its window unless told otherwise; a window of channels by 1."""
    (x,) = v.args
    kernel, stride = v.attrs["kernel"], v.attrs["stride"]
    if v.attrs["axes"] == (0,):
        return [f"{kernel[0]} channels"]
    words = [times(kernel)]
    if stride != kernel:
        words.append(f"stride {_short(stride)}")
    words += _differing("dilation", v.attrs["dilation"], 1)
    if x.op.name == "pad":
        inner = x.args[0].shape
        pairs = tuple((s, whole - s - n) for s, whole, n in
                      zip(x.attrs["start"], x.shape, inner, strict=True))  # fmt: skip
        words += _padding(pairs[-len(kernel) :])
    return words


def times(sizes: Sequence[int]) -> str:
    """5×5."""
    return "×".join(map(str, sizes))


def _short(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else times(numbers)


def _differing(word: str, numbers: Sequence[int], usual: int) -> list[str]:
    return [] if set(numbers) == {usual} else [f"{word} {_short(numbers)}"]


def _padding(pairs: Sequence[tuple[int, int]]) -> list[str]:
    """`padding 2`; (before, after) where they differ."""
    if all(p == (0, 0) for p in pairs):
        return []
    if all(a == b for a, b in pairs):
        return [f"padding {_short([a for a, _ in pairs])}"]
    same = len(set(pairs)) == 1
    shown = [f"({a}, {b})" for a, b in (pairs[:1] if same else pairs)]
    return [f"padding {' × '.join(shown)}"]
