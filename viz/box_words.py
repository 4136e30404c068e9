"""What stands in the boxes of a layer diagram.

In: a box, the names of values, how much room there is. Out: lines of text, the first the heading.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..compiler.value import Value
from . import terms as t
from .blocks import Box
from .draws import distribution, drawn, log_variance_of, scale_of
from .equations import Equations
from .formula import right_hand_side
from .geometry import described
from .names import Names
from .steps import carried_rows, cell
from .terms import Term
from .unicode import unicode

LONGEST = 36  # letters of an equation in a box


def counted(n: float, unit: str = "") -> str:
    """1234567 as 1.23 M: three figures."""
    for size, mark in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if n >= size:
            return f"{n / (1e3 if mark == 'k' else size):.3g} {mark}{unit}".rstrip()
    return f"{n:,.0f} {unit}".rstrip()


@dataclass(frozen=True)
class Words:
    """Writes the boxes of one picture."""

    equations: Equations
    names: Names
    terse: bool = False

    def __call__(self, b: Box) -> list[str]:
        """The heading of a box and the lines below it."""
        if not b.block:
            return [*self._equation(b), *b.tails]
        geometry = [] if b.composite else described(b.steps[0].inside)
        heading = f"{b.block} {geometry[0]}" if geometry else b.block
        more = [", ".join(geometry[1:])] if geometry[1:] else []
        if not b.params:
            return [*self._loss_name(b), heading, *more]
        name = b.path.rsplit(".", 1)[-1]
        shape = b.steps[0].value.shape if not b.composite else b.result.shape
        if b.composite and self.terse and len(shape) == 1:
            same = name.startswith(b.block) or b.block.startswith(name)
            heading = b.block if same else f"{b.block} {name}"
        elif len(shape) == 1:
            heading = f"{heading} {shape[0]}"
        elif geometry:
            heading = f"{heading}, {shape[0]}"
        if self.terse and b.composite and name.startswith(b.block):
            heading = name
        if self.terse:
            said = [w for w in (*geometry[1:], *b.tails) if w and not w.startswith("padding")]
            told = [", ".join(said)]
            return [heading, *(told if told[0] else []), *(["shared"] if b.shared else [])]
        size = "shared parameters" if b.shared else f"{counted(b.size)} parameters"
        return [heading, *([name] if name != b.block else []), *more, size]

    def draw(self, v: Value) -> list[str]:
        """ε ∼ 𝒩(0, 1)."""
        shown = f"{self.names.text(v)} ∼ {unicode(distribution(v, self.names.terms))}"
        return [shown, str(v.type)] if v.shape else [shown]

    def _loss_name(self, b: Box) -> list[str]:
        """The name of a loss, where there are several or it has one."""
        losses = self.equations.graph.of_kind("loss")
        names = [o.name for o in losses if o.value is b.result]
        return names[:1] if names and (len(losses) > 1 or names[0] != "loss") else []

    def _equation(self, b: Box) -> list[str]:
        """`a = tanh(z)`, under the function's name where it is one function; of a scan, what it
        carries."""
        v = b.result
        if b.scans:
            c = cell(b.scans[0])
            size = [f"{counted(b.size)} parameters"] if b.params else []
            return [c.title, *(short(row) for row in carried_rows(c)), *size]
        if drawn(v):
            return self.draw(v)
        if b.steps[-1].kind == "gradient":
            return [self.names.text(v), "= grad(…)"]
        sample = self._sample(v)
        if sample:
            return sample
        right = right_hand_side(v, self.names.terms)
        name = self.names.text(v)
        text = f"{name} = {unicode(right)}"
        if b.steps[-1].kind == "loss":
            called = [o.name for o in self.equations.graph.of_kind("loss") if o.value is v]
            return [called[0], short(text) if name != called[0] else f"= {short(unicode(right))}"]
        return [right.text, short(text)] if right.kind == "call" else [short(text)]

    def _sample(self, v: Value) -> list[str]:
        """z = μ + σ ⊙ ε, and what σ is."""
        found = scale_of(v)
        if found is None:
            return []
        mean, scale, draw = found
        terms = self.names.terms
        if mean not in terms or draw not in terms:
            return []
        log_variance = log_variance_of(scale)
        sigma = terms.get(scale, t.symbol("sigma"))
        whole = unicode(t.add(terms[mean], t.hadamard(sigma, terms[draw])))
        rows = [f"{self.names.text(v)} = {whole}"]
        if log_variance in terms:
            half = t.times(t.number(0.5), terms[log_variance])
            rows.append(f"{unicode(sigma)} = {unicode(t.exponential(half))}")
        elif scale not in terms:
            rows.append(short(f"{unicode(sigma)} = {unicode(self._written(scale))}"))
        return rows

    def _written(self, v: Value) -> Term:
        return right_hand_side(v, self.names.terms)


def short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
