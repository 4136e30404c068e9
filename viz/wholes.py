"""Library blocks that a derivation takes in one step, and what stands inside them.

In: a step of a net. Out: the values inside a normalisation (mean, variance, x̂) that its formulas
name. Batch and layer normalisation have a short derivative as a whole,
(γ/σ) ⊙ (δ − mean δ − x̂ ⊙ mean(δ ⊙ x̂)), which does not show when it is pieced together from
those of its parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..compiler.value import Value
from . import terms as t
from .terms import Term

NORMALISERS = ("batchnorm", "layernorm")


@dataclass(frozen=True)
class Inner:
    """What a normalisation computes on its way; mean and variance may be given (in use)."""

    normal: Value  # x̂
    mean: Value
    variance: Value
    shifted: Value  # variance + ε

    def terms(self, number: str = "") -> dict[Value, Term]:
        """Names: μ, σ², x̂ and σ² + ε, numbered where there are several."""
        found = {self.normal: t.symbol("x_hat" + number)}
        spread = t.power(t.symbol("sigma" + number), t.number(2))
        if self.mean.op.family != "leaf":
            found[self.mean] = t.symbol("mu" + number)
        if self.variance.op.family != "leaf":
            found[self.variance] = spread
        else:
            spread = t.symbol(str(self.variance.attrs["name"]).rpartition(".")[2])
        found[self.shifted] = t.add(spread, t.symbol("epsilon"))
        return found

    @property
    def steps(self) -> list[Value]:
        """What is computed, in order: it is told before the block's own equation."""
        return [v for v in (self.mean, self.variance, self.normal) if v.op.family != "leaf"]

    @property
    def epsilon(self) -> float:
        """The ε of σ² + ε."""
        found = [a.attrs["value"] for a in self.shifted.args if a.op.name == "constant"]
        return float(found[0]) if found else 0.0


def is_part_of_whole(v: Value) -> bool:
    """Whether a value belongs to a library block that is one step."""
    span = v.origin.span
    library = span is not None and span.source.name.startswith("<chainrule>")
    return library and v.origin.block in NORMALISERS


def inner(v: Value, inside: Iterable[Value]) -> Inner | None:
    """What stands inside the normalisation whose result is `v`; None for any other step."""
    if not is_part_of_whole(v):
        return None
    for x in inside:
        if x.origin.name.rpartition(".")[2] == "normal_x" and x.op.name == "div":
            return _taken_apart(x)
    return None


def _taken_apart(normal: Value) -> Inner | None:
    """(x − mean) / √(variance + ε)."""
    centred, root = normal.args
    if centred.op.name != "sub" or root.op.name != "sqrt":
        return None
    (shifted,) = root.args
    if shifted.op.name != "add":
        return None
    return Inner(normal, centred.args[1], shifted.args[0], shifted)
