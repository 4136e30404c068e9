"""Derivatives of images for one element: ∂E/∂w[o, c, k, l] = Σ_i Σ_j ∂E/∂z[o, i, j] x[c, i+k, j+l].

In: a `Backprop`. Out: for each convolution and pooling on the way its equation for one element, and
what the operations of its derivatives are for one element. Letters: c and o are the channels that
come and go, i and j the place in the result, k and l that in the kernel, u and v that in the image.
Elements outside an image, or a kernel, count as 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..compiler.graph import topological
from ..compiler.value import Value
from . import terms as t
from .backprop import Backprop
from .seen import bare, number_of
from .terms import Term

E = t.symbol("E")
Row = tuple[Term, Term]


@dataclass(frozen=True)
class _Axes:
    """Where windows lie along the two axes of an image."""

    stride: tuple[int, ...]
    before: tuple[int, ...]
    dilation: tuple[int, ...]
    kernel: tuple[int, ...]

    @property
    def apart(self) -> bool:
        """Windows that lie side by side."""
        plain = set(self.before) == {0} and set(self.dilation) == {1}
        return plain and self.stride == self.kernel

    def seen(self) -> list[str]:
        """s i + d k − p: what element k of the window at i sees."""
        return [
            _sum(_scaled(s, "ij"[n]), _scaled(d, "kl"[n]), -p)
            for n, (s, d, p) in enumerate(zip(self.stride, self.dilation, self.before, strict=True))
        ]

    def tap(self) -> list[str]:
        """(u − s i + p) / d: which element of the window at i sees u."""
        found = []
        for n, (s, d, p) in enumerate(zip(self.stride, self.dilation, self.before, strict=True)):
            place = f"{'uv'[n]} − {_scaled(s, 'ij'[n])}" + (f" + {p}" if p else "")
            found.append(place if d == 1 else f"({place})/{d}")
        return found

    def window(self) -> list[str]:
        """⌊u / s⌋: the window that holds u, where they lie side by side."""
        return [f"⌊{'uv'[n]}/{s}⌋" if s > 1 else "uv"[n] for n, s in enumerate(self.stride)]


def _scaled(factor: int, letter: str) -> str:
    return letter if factor == 1 else f"{factor}{letter}"


def _sum(*parts: str | int) -> str:
    shown = [str(p) for p in parts if isinstance(p, str)]
    number = sum(p for p in parts if isinstance(p, int))
    tail = f" − {-number}" if number < 0 else f" + {number}" if number else ""
    return " + ".join(shown) + tail


def image_elements(b: Backprop, small: dict[Value, Term]) -> Iterator[Row]:
    """Left and right sides, from the input to the loss; `small` are the names of elements."""
    for v, step in b.equations.steps.items():
        data = [a for a in step.inputs if a.type.batched]
        if (v not in b.deltas and v is not b.loss) or len(data) != 1:
            continue
        for x in step.inside:
            if x.op.name == "convolve" and len(v.shape) == 3 and step.kind == "affine":
                yield from _convolution(b, small, v, x)
            elif x.op.name in ("max", "sum") and x.args[0].op.name == "windows":
                yield from _pooling(b, small, v, x)


def _convolution(b: Backprop, small: dict[Value, Term], v: Value, product: Value) -> Iterator[Row]:
    image, kernel = product.args
    if product.attrs["groups"] > 1 or image not in small or kernel not in small:
        return
    axes = _Axes(
        product.attrs["stride"], tuple(p for p, _ in product.attrs["padding"]),
        product.attrs["dilation"], kernel.shape[2:],
    )  # fmt: skip
    z, w, x = small[v], small[kernel], small[image]
    here = t.at(z, "o", "i", "j")
    taken = t.factors(t.at(w, "o", "c", "k", "l"), t.at(x, "c", *axes.seen()))
    summed = _sums("ckl", taken)
    bias = next((p for p in b.equations.steps[v].params if p is not kernel), None)
    yield here, t.add(t.at(small[bias], "o"), summed) if bias is not None else summed
    delta = t.partial(E, here)
    if kernel in b.params and _uses(b.params[kernel].value, "convolve_weights"):
        right = _sums("ij", t.factors(delta, t.at(x, "c", *axes.seen())))
        yield t.partial(E, t.at(w, "o", "c", "k", "l")), right
    if bias is not None and bias in b.params:
        yield t.partial(E, t.at(small[bias], "o")), _sums("ij", delta)
    if image in b.deltas and len(b.users[image]) == 1:
        right = _sums("oij", t.factors(delta, t.at(w, "o", "c", *axes.tap())))
        yield t.partial(E, t.at(x, "c", "u", "v")), right


def _pooling(b: Backprop, small: dict[Value, Term], v: Value, folded: Value) -> Iterator[Row]:
    windows = folded.args[0]
    source = windows.args[0]
    before = source.attrs["start"][-2:] if source.op.name == "pad" else (0, 0)
    image = source.args[0] if source.op.name == "pad" else source
    if windows.attrs["axes"] != (1, 2) or len(v.shape) != 3 or image not in small:
        return
    axes = _Axes(windows.attrs["stride"], before, windows.attrs["dilation"],
                 windows.attrs["kernel"])  # fmt: skip
    p, a = small[v], small[image]
    taken = t.at(a, "c", *axes.seen())
    here = t.at(p, "c", *(axes.window() if axes.apart else "ij"))
    sent = t.partial(E, here)
    if folded.op.name == "max":
        yield t.at(p, "c", "i", "j"), t.greatest(t.greatest(taken, "l"), "k")
        sent = t.factors(t.bracket(t.compare("=", t.at(a, "c", "u", "v"), here)), sent)
    else:
        count = _divisor(v, folded)
        if count is None:
            return
        yield t.at(p, "c", "i", "j"), t.times(t.ratio(1, count), _sums("kl", taken))
        sent = t.times(t.ratio(1, count), sent)
    if image in b.deltas and len(b.users[image]) == 1:
        left = t.partial(E, t.at(a, "c", "u", "v"))
        yield left, sent if axes.apart else t.total(sent, "w")


def _divisor(v: Value, total: Value) -> int | None:
    """n of total / n."""
    if v.op.name != "div" or bare(v.args[0]) is not total:
        return None
    n = number_of(v.args[1])
    return int(n) if n is not None and n > 1 else None


def _sums(letters: str, body: Term) -> Term:
    """Σ_c Σ_k Σ_l body."""
    for letter in reversed(letters):
        body = t.total(body, f"_{letter}")  # i is a place here, not an example
    return body


def _uses(v: Value, op: str) -> bool:
    return any(x.op.name == op for x in topological([v]))
