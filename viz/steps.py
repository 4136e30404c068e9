"""One step of a scan as a forward graph of its own, with names that carry the step: h_t, h_{t−1}.

In: a graph with scans. Out: `Cell`s, in which leaves stand for what a step is given: carried
values, slices of sequences, what all steps share (a parameter is its own leaf). Equations, formulas
and derivatives of a step are then those of any other graph. The one place of `viz` that takes scans
apart; pictures and derivations are made of cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..compiler.graph import Graph, Output
from ..compiler.op import operation
from ..compiler.scans.build import Recurrence, pieces
from ..compiler.value import Value
from . import terms as t
from .equations import NUMBERS, Equations, equations, merged, rebuilt
from .formula import formula, right_hand_side
from .names import numbered_names
from .terms import Term
from .unicode import unicode

MOST = 4  # parts of what a shared value is written as: hsᵀ
LETTERS = "tsu"  # of the steps of a scan, of one inside it, of one inside that


@dataclass(frozen=True, eq=False)
class Cell:
    """One step of `scan`. `graph` has the outputs "next 0", …, then "yield 0", …; `given` are the
    leaves of carried values, slices and shared values, in the order of the scan's operands.
    The scan of a derivative has outputs "sum 0", … behind the others."""

    scan: Value
    pieces: Recurrence
    graph: Graph
    given: tuple[Value, ...]
    letter: str = "t"

    @property
    def carried(self) -> tuple[Value, ...]:
        return self.given[: len(self.pieces.carries)]

    @property
    def slices(self) -> tuple[Value, ...]:
        n = len(self.pieces.carries)
        return self.given[n : n + len(self.pieces.sequences)]

    @property
    def shared(self) -> tuple[Value, ...]:
        return self.given[len(self.pieces.carries) + len(self.pieces.sequences) :]

    @property
    def words(self) -> list[str]:
        """The names of what is carried."""
        return [_word(b) for b, _ in self.pieces.carries]

    @property
    def block(self) -> str:
        """The block that the scan stands in, or the word scan."""
        return self.scan.origin.block or "scan"

    @property
    def title(self) -> str:
        """lstm r: the block, and the path where it says more; for a scan of the net's own, what it
        carries."""
        path = self.scan.origin.instance.rpartition(".")[2]
        if not path:
            return f"scan {', '.join(self.words)}".rstrip()
        same = path.startswith(self.block) or self.block == "scan"
        return path if same else f"{self.block} {path}"

    @property
    def steps(self) -> str:
        """t = 1 … 28, in the order of walking."""
        ends = ("1", str(self.pieces.steps))
        first, last = ends[::-1] if self.pieces.reverse else ends
        return f"{self.letter} = {first} … {last}"

    @property
    def before(self) -> str:
        """The index of what a step is given: of the step before it, the way the scan walks."""
        return f"{self.letter}{'+' if self.pieces.reverse else '−'}1"

    @property
    def after(self) -> str:
        return f"{self.letter}{'−' if self.pieces.reverse else '+'}1"

    @property
    def forward(self) -> int:
        """1, or −1 for a scan from the last step to the first."""
        return -1 if self.pieces.reverse else 1

    @cached_property
    def step(self) -> Graph:
        """The graph as equations see it: equal values are one."""
        return merged(self.graph)

    @cached_property
    def next(self) -> list[Value]:
        """The next values of what is carried, as `step` has them."""
        return [o.value for o in self.step.outputs[: len(self.pieces.carries)]]

    @cached_property
    def yields(self) -> list[Value]:
        n = len(self.pieces.carries)
        return [o.value for o in self.step.outputs[n : n + len(self.pieces.yields)]]

    @cached_property
    def equations(self) -> Equations:
        return equations(self.step)

    @cached_property
    def inner(self) -> list[Cell]:
        """The scans inside a step."""
        return cells(self.step, LETTERS[(LETTERS.index(self.letter) + 1) % len(LETTERS)])

    def operand(self, leaf: Value) -> Value:
        """What stands outside for a leaf of the step."""
        pairs = [*self.pieces.carries, *self.pieces.sequences, *self.pieces.shared]
        return pairs[self.given.index(leaf)][1]


def cells(graph: Graph, letter: str = "t") -> list[Cell]:
    """The scans of a graph as cells, in order; those inside a step are in its own `inner`."""
    return [cell(v, letter) for v in graph.nodes if v.op.family == "scan"]


def cell(scan: Value, letter: str = "t") -> Cell:
    """One step of a scan."""
    p = pieces(scan)
    pairs = [*p.carries, *p.sequences, *p.shared]
    given = tuple(_leaf(b, a) for b, a in pairs)
    new = dict(zip((b for b, _ in pairs), given, strict=True))
    outputs = [Output("output", f"next {k}", _cut(v, new)) for k, v in enumerate(p.next)]
    outputs += [Output("output", f"yield {k}", _cut(v, new)) for k, v in enumerate(p.yields)]
    outputs += [Output("output", f"sum {k}", _cut(v, new)) for k, v in enumerate(p.sums)]
    return Cell(scan, p, Graph("step", tuple(outputs)), given, letter)


def _leaf(b: Value, operand: Value) -> Value:
    if operand.op.name == "param":
        return operand
    attrs = {"name": b.attrs["name"], "type": b.type}
    return Value(operation("input"), (), attrs, b.type, b.origin)


def _cut(v: Value, new: Mapping[Value, Value]) -> Value:
    return rebuilt(v, new.get)[v]


def _word(b: Value) -> str:
    return b.origin.name or str(b.attrs["name"]).partition("~")[0]


# ---------------------------------------------------------------- names with the step


@dataclass(frozen=True)
class StepNames:
    """Terms of the anchors of a cell: with the step where a value changes from step to step."""

    terms: dict[Value, Term] = field(default_factory=dict)
    plain: dict[Value, Term] = field(default_factory=dict)  # without the step

    def __getitem__(self, v: Value) -> Term:
        return self.terms[v]


def step_names(cell: Cell, outside: Mapping[Value, Term] | None = None) -> StepNames:
    """Names: a carried value is h_t, what it was before h_{t−1}; net inputs of gates have a bar."""
    eq = cell.equations
    changing = _changing(cell)
    before = {leaf: f"{w} before" for leaf, w in zip(cell.carried, cell.words, strict=True)}
    bounds = cell.scan.attrs["body"].bound
    wanted = {a: _word(b) for a, b in zip(cell.given, bounds, strict=True) if a.op.name != "param"}
    wanted |= {**before, **_next_names(cell)}
    wanted.update(_net_inputs(eq, wanted))
    wanted.update(_unnamed(cell, wanted))
    found = numbered_names(eq, wanted)
    known = outside or {}
    for leaf in cell.shared:
        if leaf in found:
            operand = cell.operand(leaf)
            written = known.get(operand) or formula(operand, known)
            named = leaf.op.name == "param" and operand not in known
            found[leaf] = found[leaf] if written.size > MOST or named else written
    names = StepNames()
    for v, name in found.items():
        if v in before:
            name = t.symbol(_now(cell, v, found))
        names.plain[v] = name
        index = cell.before if v in before else cell.letter
        names.terms[v] = t.step(name, index) if v in changing else name
    return names


def _changing(cell: Cell) -> set[Value]:
    """What differs from step to step."""
    found = {*cell.carried, *cell.slices}
    for v in cell.step.nodes:
        if any(a in found for a in v.args) or v.op.name in NUMBERS:
            found.add(v)
    return found | set(cell.next)


def _next_names(cell: Cell) -> dict[Value, str]:
    """The next value of what is carried has its name; what a mask chooses from has a tilde."""
    found: dict[Value, str] = {}
    for word, v in zip(cell.words, cell.next, strict=True):
        if v.op.family == "leaf":
            continue
        found.setdefault(v, word)
        inner = unmasked(v)
        if inner is not v and inner.origin.name == word:
            found.setdefault(inner, f"{word}_tilde" if len(word) == 1 else f"{word}_new")
    return found


def unmasked(v: Value) -> Value:
    """What a masked value is where the mask holds."""
    return v.args[1] if v.op.name == "where" and v.args[0].type.dtype == "bool" else v


def _now(cell: Cell, leaf: Value, found: Mapping[Value, Term]) -> str:
    """The name of a carried value without its step: that of its next value."""
    k = cell.carried.index(leaf)
    own = found.get(cell.next[k])
    return own.text if own is not None and own.kind == "symbol" else cell.words[k]


def _net_inputs(eq: Equations, taken: Mapping[Value, str]) -> dict[Value, str]:
    """f̄ for what the gate f is the sigmoid of (Greff et al., LSTM: a search space odyssey)."""
    found: dict[Value, str] = {}
    used = Counter(a for s in eq.steps.values() for a in s.operands)
    for v, step in eq.steps.items():
        word = v.origin.name.rpartition(".")[2]
        if step.kind != "elementwise" or len(word) != 1 or not word.isascii():
            continue
        (z,) = step.operands
        plain = z in eq.steps and eq.steps[z].kind in ("affine", "function") and not z.origin.name
        if plain and used[z] == 1 and z not in taken:
            found[z] = f"{word}_bar"
    return found


def _unnamed(cell: Cell, taken: Mapping[Value, str]) -> dict[Value, str]:
    """u for what is put together, y for what is yielded, z for a net input without a name."""
    words = {*taken.values(), *(v.origin.name for v in cell.step.nodes)}
    letters = {"concat": "uvwq", "yield": "yq", "affine": "zaed"}
    found: dict[Value, str] = {}
    for v, step in cell.equations.steps.items():
        kind = "concat" if v.op.name == "concat" else "yield" if v in cell.yields else step.kind
        free = [w for w in letters.get(kind, "") if w not in words and w not in found.values()]
        if not v.origin.name and v not in taken and free:
            found[v] = free[0]
    return found


def part_term(v: Value, names: Mapping[Value, Term] | None = None, letter: str = "t") -> Term:
    """A result of a scan in terms of its steps: h_T, or (h_t) for all steps."""
    (scan,) = v.args
    c = cell(scan, letter)
    own = step_names(c, names).terms
    k = v.attrs["index"]
    outputs = c.step.outputs
    if k < len(c.carried):
        now = own.get(outputs[k].value, t.step(t.symbol(c.words[k]), letter))
        return t.at_end(now, letter, "1" if c.pieces.reverse else letter.upper())
    of = outputs[k].value if k < len(outputs) else None
    return t.family(own[of] if of in own else t.symbol("…"), letter)


def carried_rows(cell: Cell) -> list[str]:
    """The equations of what is carried (or else yielded), as lines of text."""
    names = step_names(cell)
    wanted = cell.next or cell.yields
    return [f"{unicode(left)} = {unicode(right)}" for v, left, right in facts(cell, names)
            if v in wanted]  # fmt: skip


def facts(cell: Cell, names: StepNames) -> Iterator[tuple[Value, Term, Term]]:
    """(value, name, formula) of every equation of a step, in order."""
    for v in cell.equations.steps:
        inner = LETTERS[(LETTERS.index(cell.letter) + 1) % len(LETTERS)]
        is_part = v.op.family == "part"
        right = part_term(v, names.terms, inner) if is_part else right_hand_side(v, names.terms)
        yield v, names[v], right
