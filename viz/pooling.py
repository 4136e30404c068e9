"""Formulas of images: convolutions, sums over places, windows and what pooling sends back.

In: values, and the terms of their operands. Out: terms: W ∗ X, W ∗ᵀ δ and X ∗ δ for a convolution
and its two gradients; Σₚ for a sum over the places of an image; Σ_w and max_w over the elements of
a window, or, on the way back, over the windows that hold an element. Padding inside windows is not
written, nor that the first of equal greatest elements is taken: the notes of a derivation say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..compiler.value import Value
from . import terms as t
from .seen import bare
from .terms import Term

Terms = Mapping[Value, Term]
PLACES, WINDOW = "p", "w"  # letters of sums


def index_of(v: Value) -> str:
    """The letters of a sum or a maximum: i for the examples, p for places, w for a window."""
    (x,) = v.args
    axes, rank = tuple(v.attrs["axes"]), len(x.shape)
    letters = "i" if v.attrs.get("batch") else ""
    if x.op.name == "windows" and axes == tuple(range(len(x.args[0].shape), rank)):
        return letters + WINDOW
    return letters + (PLACES if rank == 3 and axes == (1, 2) else "")


def where_greatest(v: Value, terms: Terms) -> Term | None:
    """A, where v is 1 at the greatest element of each window of A, else 0."""
    if v.op.name != "reshape" or v.args[0].op.name != "one_hot":
        return None
    place = bare(v.args[0].args[0])
    if place.op.name != "argmax" or index_of(place) != WINDOW:
        return None
    return terms.get(place.args[0])


# ---------------------------------------------------------------- one rule an operation


def _convolve(terms: Terms, v: Value, args: list[Term]) -> Term:
    return t.convolved(args[1], args[0])


def _transposed(terms: Terms, v: Value, args: list[Term]) -> Term:
    return t.convolved(args[1], args[0], "T")


def _weights(terms: Terms, v: Value, args: list[Term]) -> Term:
    return t.convolved(args[0], args[1])


def _windows(terms: Terms, v: Value, args: list[Term]) -> Term:
    (x,) = v.args
    return terms.get(x.args[0], args[0]) if x.op.name == "pad" else args[0]


def _overlap(terms: Terms, v: Value, args: list[Term]) -> Term:
    """Σ_w δ; a number stands before the sum."""
    (x,) = args
    if x.kind == "neg":
        return t.neg(_overlap(terms, v, [x.parts[0]]))
    if x.kind == "quotient" and x.parts[1].kind == "number":
        count = x.parts[1].text
        factor = t.ratio(1, int(count)) if count.isdigit() else t.quotient(t.number(1), x.parts[1])
        return t.times(factor, t.total(x.parts[0], WINDOW))
    if x.kind == "times" and x.parts[0].kind == "number":
        return t.times(x.parts[0], t.total(x.parts[1], WINDOW))
    return t.total(x, WINDOW)


def _max(terms: Terms, v: Value, args: list[Term]) -> Term | None:
    letters = index_of(v)
    return t.greatest(args[0], letters) if letters else None


def _slice(terms: Terms, v: Value, args: list[Term]) -> Term | None:
    """Gradients of the padding are left out."""
    return args[0] if v.args[0].op.name == "overlap_add" else None


def _reshape(terms: Terms, v: Value, args: list[Term]) -> Term | None:
    """vec(P) of an image, and back."""
    before, after = (sum(n > 1 for n in s) for s in (v.args[0].shape, v.shape))
    if before > 1 and len(v.shape) == 1:
        return t.call("vec", args[0])
    if after > 1 and len(v.args[0].shape) == 1:
        return t.call("vec⁻¹", args[0])
    return None


RULES: dict[str, Callable[[Terms, Value, list[Term]], Term | None]] = {
    "convolve": _convolve,
    "convolve_transposed": _transposed,
    "convolve_weights": _weights,
    "windows": _windows,
    "overlap_add": _overlap,
    "max": _max,
    "slice": _slice,
    "reshape": _reshape,
}
