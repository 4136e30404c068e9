"""A derivation as data: facts, passages, and how to read them.

In: nothing; `derive` makes a `Derivation`, `derive_text`, `derive_markdown`, `derive_latex` and
`derive_html` write it.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import terms as t
from .terms import Term

# What formulas of images need to be told, by kind of term and the letter of a sum.
SIGNS = {
    "convolve": "W ∗ X slides the kernel W over the image X without turning it; W ∗ᵀ δ is the"
    " transposed convolution, which puts each δ back where the kernel took from, and X ∗ δ"
    " correlates an image with δ: the gradient by the kernel.",
    "total ip": "Σᵢₚ adds over examples and places, Σₚ over the places (pixels) of a channel.",
    "mean ip": "Σᵢₚ adds over examples and places, Σₚ over the places (pixels) of a channel.",
    "total w": "Σ_w adds over a window; on the way back over the windows that hold an element.",
    "greatest w": "[A = P] is 1 where an element is the greatest of its window (of equal ones"
    " the first).",
    "total t": "Σₜ adds over the steps; ∂L/∂hₜ is that of the whole loss, through all later steps.",
    "stack": "[h; x] writes two vectors one under the other, v[0:5] is the first part of v.",
    "call mod": "[mod(t, k) ≠ 0]: truncated, no gradient goes from step t + 1 to t where k divides"
    " t.",
    "call vec": "vec writes an image as a vector, vec⁻¹ a vector as an image.",
}


@dataclass(frozen=True)
class Fact:
    """left = right, and a word about it."""

    left: Term
    right: Term
    note: str = ""
    place: str = ""  # the first of those of a scan: which one it is
    sign: str = "="  # or ∼: drawn from


@dataclass(frozen=True)
class Rewrite:
    """One simplification: the rule, why it holds, and what it changed."""

    rule: str
    reason: str
    before: Term
    after: Term


@dataclass(frozen=True)
class Passage:
    """The derivative of the loss by one value: chain, simplifications, closed form."""

    left: Term
    chain: Term
    unreduced: Term
    rewrites: tuple[Rewrite, ...]
    closed: Term
    parameter: bool
    shape: str
    note: str = ""
    place: str = ""  # the first of those of a scan: which one it is


@dataclass(frozen=True)
class Shape:
    """The shape of a value as it is written, and as numbers; `count` of a parameter's elements."""

    name: Term
    shape: str
    note: str = ""
    count: int = 0
    sizes: tuple[int, ...] = ()
    batched: bool = False


@dataclass(frozen=True)
class Slope:
    """One element of a gradient at a random point: by the closed form, by finite differences."""

    left: Term
    closed: float
    differences: float

    @property
    def apart(self) -> float:
        """Relative to the slope."""
        scale = max(abs(self.differences), 1e-3)
        return abs(self.closed - self.differences) / scale


@dataclass(frozen=True)
class Derivation:
    """Everything there is to print. `difference` is None where nothing was checked."""

    net: str
    textbook: bool
    given: tuple[Fact, ...]
    local: tuple[Fact, ...]
    passages: tuple[Passage, ...]
    elements: tuple[Fact, ...] = ()
    difference: float | None = None
    averaged: bool = True
    title: str = ""  # which line of `train` it belongs to
    remarks: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = ()
    products: tuple[tuple[Term, str], ...] = ()
    slopes: tuple[Slope, ...] = ()
    cut: bool = False  # a gradient is stopped on purpose: differences see more than it does

    @property
    def notes(self) -> list[str]:
        """How to read the formulas."""
        terms = [f.right for f in (*self.given, *self.local)] + [p.closed for p in self.passages]
        signs = {s for term in terms for s in t.kinds(term)}
        found = ["⊙ multiplies element by element, and [c] is 1 where c holds, else 0."]
        if self.averaged and self.textbook:
            found.insert(0, "Each matrix holds the m examples in its columns (A₀ = X).")
        elif self.averaged:
            found.insert(0, "The equations are for one example; Σᵢ adds over the m examples.")
        found += dict.fromkeys(words for sign, words in SIGNS.items() if sign in signs)
        found += self.remarks
        if self.averaged:
            found.append("The loss is the mean (1/m) Σᵢ L; the 1/m is written with the parameters.")
        return found

    @property
    def checks(self) -> list[str]:
        """What the numbers say: sentences."""
        if self.difference is None:
            return []
        found = [
            "Checked at random points in f64: every closed form equals the compiled gradient;"
            f" the greatest relative difference is {self.difference:.1e}."
        ]
        if self.slopes:
            worst = max(s.apart for s in self.slopes)
            same = "is the same" if worst < 1e-3 else "is near, but a kink lies within h"
            found.append(
                f"The slope of the mean loss by finite differences {same}: the greatest relative"
                f" difference is {worst:.1e}."
            )
        elif self.cut:
            found.append(
                "Finite differences do not apply: a gradient is stopped on purpose, and the loss"
                " depends on parameters in ways that it does not follow."
            )
        return found


SHAPES_SAY = "The gradient by a value has the shape of that value."
SLOPES_SAY = "One element of each gradient, by its closed form and as a slope of the loss:"
