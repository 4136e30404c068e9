"""Where the steps of the scans of a net stand when they are drawn one beside another.

In: a graph. Out: `Row`s: a scan, the block of columns it stands in, its level above the inputs, and
which steps are shown. A scan that walks along the results of another stands above it; one that only
begins with them, or uses them as a whole (a decoder), stands to the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..compiler.graph import Graph, topological
from ..compiler.value import Value
from ..dsl.diagnostics import did_you_mean, fail
from . import terms as t
from .blocks import Box, boxes
from .equations import Equations, equations
from .names import names
from .steps import Cell, StepNames, cells, step_names
from .terms import Term
from .unicode import unicode

MOST = 5  # steps that are drawn without an ellipsis


@dataclass(frozen=True, eq=False)
class Row:
    """One scan: `shown` are the numbers of its steps from 1, None for an ellipsis."""

    cell: Cell
    names: StepNames
    column: int  # of its first step
    level: int
    block: int
    shown: tuple[int | None, ...]

    def name(self, term: Term, step: int) -> Term:
        """A term of step t for the step of that number: h_t is h_3."""
        return t.at_step(term, self.cell.letter, step)

    @property
    def end(self) -> int:
        return self.column + len(self.shown) - 1


@dataclass(frozen=True, eq=False)
class Unrolled:
    """The rows of a net, its equations, and what each value outside the scans is called."""

    graph: Graph
    equations: Equations
    rows: tuple[Row, ...]
    names: dict[Value, Term]

    def maker(self, v: Value) -> tuple[Row, int] | None:
        """The row that a value is a result of, and which result; past what only looks at it."""
        while v.op.name in ("cast", "stop_gradient"):
            v = v.args[0]
        if v.op.family != "part":
            return None
        row = next((r for r in self.rows if r.cell.scan is v.args[0]), None)
        return (row, v.attrs["index"]) if row is not None else None

    def sources(self, v: Value) -> list[tuple[Row, int]]:
        """The results of scans that a value is made of, with no other scan between."""
        found, seen, stack = [], {v}, [v]
        while stack:
            x = stack.pop()
            made = self.maker(x)
            if made is not None:
                found.append(made)
                continue
            for a in x.args:
                if a not in seen and a.op.family != "scan":
                    seen.add(a)
                    stack.append(a)
        return found

    def after(self, row: Row, index: int) -> list[str]:
        """What happens to a result outside the scans: the headings of the boxes behind it."""
        metrics = {o.value for o in self.equations.graph.of_kind("metric")}
        found = [b for b in boxes(self.equations) if metrics.isdisjoint(b.values)
                 and not any(_part(v) for v in b.values)]  # fmt: skip
        reached = {v for s in self.equations.steps for v in [s]
                   if self.maker(s) == (row, index)}  # fmt: skip
        words: list[str] = []
        for b in found:
            if any(v in reached for v in b.inputs):
                reached |= b.values
                words.append(self._heading(b))
        told = list(dict.fromkeys(words))
        blocks = [w for w in told if not w.startswith("= ")]
        return [w.removeprefix("= ") for w in blocks or told]

    def _heading(self, b: Box) -> str:
        if not b.block:
            is_loss = any(s.kind == "loss" for s in b.steps)
            return "loss" if is_loss else f"= {unicode(self.names[b.result])}"
        one = bool(b.params) and (len(b.result.shape) == 1 or b.block == "dense")
        return f"{b.block} {b.result.shape[-1]}" if one else b.block


def _part(v: Value) -> bool:
    return v.op.family in ("part", "scan")


def unrolled(graph: Graph, steps: int | None = None) -> Unrolled:
    """The rows of every scan of a graph. Raises Failure E567 where there is none."""
    eq = equations(graph)
    found = cells(eq.graph)
    if not found:
        raise fail("E567", f"`{graph.name}` has no recurrence to draw",
                   help="`--view layers` draws any net")  # fmt: skip
    called = names(eq, batch=False).terms
    whole = Unrolled(eq.graph, eq, (), called)
    rows: list[Row] = []
    for c in found:
        rows.append(_placed(c, Unrolled(eq.graph, eq, tuple(rows), called), steps))
    return Unrolled(whole.graph, eq, tuple(rows), called)


def _placed(c: Cell, before: Unrolled, steps: int | None) -> Row:
    shown = _shown(c.pieces.steps, steps)
    below = [r for _, a in c.pieces.sequences for r, _ in before.sources(a)]
    below = [r for r in below if r.cell.pieces.steps == c.pieces.steps]
    beside = [r for _, a in (*c.pieces.carries, *c.pieces.shared) for r, _ in before.sources(a)]
    if beside and not (below and all(r in below for r in beside)):
        block = 1 + max(r.block for r in beside)
        level = max((r.level + 1 for r in below if r.block == block), default=0)
    elif below:
        block = max(r.block for r in below)
        level = 1 + max(r.level for r in below if r.block == block)
    else:
        block, level = 0, 0
    taken = {r.level for r in before.rows if r.block == block}
    while level in taken:
        level += 1
    first = max((r.end + 1 for r in before.rows if r.block < block), default=0)
    return Row(c, step_names(c, before.names), first, level, block, shown)


def _shown(count: int, steps: int | None) -> tuple[int | None, ...]:
    """All steps, or the first ones, an ellipsis, and the last."""
    most = MOST if steps is None else steps
    if count <= most:
        return tuple(range(1, count + 1))
    if steps is None or steps == 1:
        return (1, 2, None, count) if steps is None else (1, None)
    return (*range(1, steps), None, count)


def chosen(graph: Graph, name: str | None) -> tuple[Cell, str]:
    """The scan of that name (the first that carries something), and what to say of the others.
    Raises Failure E567."""
    found = [r.cell for r in unrolled(graph).rows]
    called = {_path(c, k): c for k, c in enumerate(found)}
    if name is not None and name not in called:
        hint = did_you_mean(name, called) or f"recurrences: {', '.join(called)}"
        raise fail("E567", f"`{graph.name}` has no recurrence `{name}`", help=hint)
    carrying = [n for n, c in called.items() if c.carried] or [*called]
    word = name or carrying[0]
    others = [n for n in called if n != word]
    note = f" (also: {', '.join(others)})" if others else ""
    return called[word], note


def _path(c: Cell, number: int) -> str:
    return c.scan.origin.instance or f"scan{number + 1 if number else ''}"


def is_zero(v: Value) -> bool:
    """Whether a first value is the number 0."""
    nodes: Sequence[Value] = topological([v])
    constants = [x for x in nodes if x.op.family == "leaf"]
    return len(constants) == 1 and constants[0].is_constant and constants[0].attrs["value"] == 0


__all__ = ["Row", "Unrolled", "chosen", "is_zero", "unrolled"]
