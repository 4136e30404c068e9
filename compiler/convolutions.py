"""A convolution as one product over windows, for images that lie channels last.

The windows are a view of the padded image: strides, no copy. One contraction gives the results,
one ∂L/∂w, and one ∂L/∂x for each remainder of the places modulo the stride. Letters of the
contractions: `hwz` places, `klm` the kernel's own axes, `g` groups, `c` channels, `o` results, `b`
the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .op import apply
from .ops.convolution import Geometry, Pair
from .ops.views import contiguous
from .value import Value

SPATIAL, TAPS = "hwz", "klm"


def padded(x: Value, padding: Sequence[Pair]) -> Value:
    """Zeros around the spatial axes of an image that lies channels last."""
    if not any(a or b for a, b in padding):
        return x
    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, padding, strict=False))
    return apply("pad", x, start=(*(a for a, _ in padding), 0), shape=(*shape, x.shape[-1]))


def windows(x: Value, g: Geometry, kernel: tuple[int, ...],
             results: tuple[int, ...]) -> tuple[Value, str]:  # fmt: skip
    """[…results, …kernel, groups, channels], a view of the padded image; and its letters."""
    inner = padded(x, g.padding)
    own = contiguous(inner.shape)
    channels = inner.shape[-1] // g.groups
    rank = len(kernel)
    steps = [s * n for s, n in zip(g.stride, own, strict=False)]
    spaced = [d * n for d, n in zip(g.dilation, own, strict=False)]
    shape = (*results, *kernel, g.groups, channels)
    seen = apply("strided", inner, shape=shape, strides=(*steps, *spaced, channels, 1))
    return seen, f"{SPATIAL[:rank]}{TAPS[:rank]}gc"


def kernel_letters(w: Value, groups: int) -> tuple[Value, str]:
    """[…taps, channels, groups, results], and its letters."""
    return split(w, groups, TAPS[: len(w.shape) - 2] + "c", "o")


def split(x: Value, groups: int, letters: str, rest: str) -> tuple[Value, str]:
    """The last axis as groups and what is left of it."""
    shape = (*x.shape[:-1], groups, x.shape[-1] // groups)
    return apply("reshape", x, shape=shape), f"{letters}g{rest}"


def product_of(x: Value, left: str, y: Value, right: str, result: str, groups: int) -> Value:
    """Σ of products over the letters that the result lacks; one group needs no letter."""
    if groups == 1:
        x, left = _without(x, left)
        y, right = _without(y, right)
        result = result.replace("g", "")
    batch = x.type.batched, y.type.batched
    spec = f"{'b' * batch[0]}{left},{'b' * batch[1]}{right}->{'b' * any(batch)}{result}"
    return apply("einsum", x, y, spec=spec)


def _without(x: Value, letters: str) -> tuple[Value, str]:
    at = letters.index("g")
    shape = x.shape[:at] + x.shape[at + 1 :]
    if x.op.name == "strided":
        strides = x.attrs["strides"][:at] + x.attrs["strides"][at + 1 :]
        x = apply("strided", x.args[0], shape=shape, strides=strides, offset=x.attrs["offset"])
    else:
        x = apply("reshape", x, shape=shape)
    return x, letters.replace("g", "")


def joined(y: Value, v: Value, order: tuple[int, ...]) -> Value:
    """Groups and results (or channels) as one axis again."""
    shape = tuple(v.shape[k] for k in order)
    return apply("reshape", y, shape=shape) if y.shape != shape else y


# ---------------------------------------------------------------- by data


@dataclass(frozen=True)
class _Phase:
    """The results start, start + stride, … of one axis: `count` of them, each the sum over `taps`
    elements of the kernel (from `tap` on, backwards by `back`) times elements of the padded image
    (of result 0: from `first` on, forwards by `step`)."""

    start: int
    count: int
    taps: int
    tap: int
    back: int
    first: int
    step: int


class Remainders:
    """One axis of a transposed convolution. With x the padded result and s the stride,

        x[t] = Σ_k g[(t − d·k) / s]·w[k]   over the k for which the index is whole,

    so the t of one remainder modulo s need the k of one remainder. Where s > 1, d is 1 here.
    """

    def __init__(self, n: int, k: int, size: int, before: int, s: int, d: int) -> None:
        found = []
        for start in range(min(s, size)):
            first, r = divmod(start + before, s)
            taps = -(-(k - r) // s) if r < k else 0
            if taps:
                step = d if s == 1 else 1
                low = first - (taps - 1) * step
                found.append(_Phase(start, -(-(size - start) // s), taps, r + s * (taps - 1), s,
                                    low, step))  # fmt: skip
        low = min((p.first for p in found), default=0)
        high = max((p.first + (p.taps - 1) * p.step + p.count - 1 for p in found), default=0)
        self.before, self.after = max(0, -low), max(0, high - n + 1)
        self.phases = [replace(p, first=p.first + self.before) for p in found]


def spread(x: Value, g: Geometry) -> tuple[Value, tuple[int, ...]]:
    """Where an axis has a stride and a dilation, zeros are put between the elements, which leaves
    a stride of 1."""
    both = [s > 1 and d > 1 for s, d in zip(g.stride, g.dilation, strict=True)]
    if not any(both):
        return x, g.stride
    steps = tuple(s if z else 1 for s, z in zip(g.stride, both, strict=True))
    shape = tuple((n - 1) * s + 1 for n, s in zip(x.shape, steps, strict=False))
    starts = ((0,) * len(x.shape),)
    made = apply("interleave", x, shape=(*shape, x.shape[-1]), starts=starts, steps=(*steps, 1))
    return made, tuple(1 if z else s for s, z in zip(g.stride, both, strict=True))


def phase_results(image: Value, kernel: Value, phases: Sequence[_Phase], groups: int) -> Value:
    """The results of one remainder along each axis, channels last."""
    rank = len(phases)
    own, taps = contiguous(image.shape), contiguous(kernel.shape)
    results = image.shape[-1] // groups
    channels = kernel.shape[-2]
    seen = apply(
        "strided", image,
        shape=(*(p.count for p in phases), *(p.taps for p in phases), groups, results),
        strides=(*own[:rank], *(p.step * n for p, n in zip(phases, own, strict=False)), results, 1),
        offset=sum(p.first * n for p, n in zip(phases, own, strict=False)),
    )  # fmt: skip
    turned = apply(
        "strided", kernel,
        shape=(*(p.taps for p in phases), channels, groups, results),
        strides=(*(-p.back * n for p, n in zip(phases, taps, strict=False)), taps[-2], results, 1),
        offset=sum(p.tap * n for p, n in zip(phases, taps, strict=False)),
    )  # fmt: skip
    left = f"{SPATIAL[:rank]}{TAPS[:rank]}go"
    y = product_of(seen, left, turned, f"{TAPS[:rank]}cgo", f"{SPATIAL[:rank]}gc", groups)
    shape = (*(p.count for p in phases), groups * channels)
    return apply("reshape", y, shape=shape) if y.shape != shape else y
