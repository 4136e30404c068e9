"""The part of a derivation that goes through time: equations of a step, its δs, sums over steps.

In: a `Through`, made by `through`, and the results of its scan. Out: facts and passages, as
`derive` puts them in order. Every closed form is that of the step's own backpropagation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..compiler.value import Value
from . import terms as t
from .derivation import Fact, Passage
from .local import local_derivatives
from .steps import Cell, StepNames, cell, facts, part_term, step_names
from .terms import Term
from .through import Through
from .unicode import unicode


def given_steps(scan: Value, outside: dict[Value, Term], letter: str = "t") -> Iterator[Fact]:
    """First values, then the equations of step t; those of a scan inside before what uses it."""
    c = cell(scan, letter)
    names = step_names(c, outside)
    yield from _first_values(c, names, outside)
    told = f"{c.title}, " if c.block != "scan" else ""
    upper = letter.upper()
    way = f"{letter} = {upper} … 1" if c.pieces.reverse else f"{letter} = 1 … {upper}"
    note = f"{told}{way}, {upper} = {c.pieces.steps}"
    inner: set[Value] = set()
    for v, left, right in facts(c, names):
        if v.op.family == "part" and v.args[0] not in inner:
            inner.add(v.args[0])
            yield from given_steps(v.args[0], names.terms, c.inner[0].letter)
        yield Fact(left, right, note)
        note = ""


def _first_values(c: Cell, names: StepNames, outside: dict[Value, Term]) -> Iterator[Fact]:
    from .rows import is_zero

    for leaf, (_, operand) in zip(c.carried, c.pieces.carries, strict=True):
        if leaf not in names.plain:
            continue
        start = f"{c.letter.upper()}+1" if c.pieces.reverse else "0"
        value = operand
        while value.op.name in ("broadcast", "cast") and value not in outside:
            value = value.args[0]
        right = t.number(0) if is_zero(operand) else outside.get(value, t.symbol("…"))
        yield Fact(t.step(names.plain[leaf], start), right)


def result_fact(v: Value, left: Term, letter: str = "t") -> Fact:
    """What a result of a scan is: h_T, or (h_t) for all t."""
    right = part_term(v, letter=letter)
    return Fact(left, right)


def local_steps(s: Through) -> Iterator[Fact]:
    """The local derivatives of a step's equations."""
    for left, right, note in local_derivatives(s.step, loss=False):
        yield Fact(left, right, note)
    for inner in s.step.scans.values():
        yield from local_steps(inner)


def passages(s: Through) -> Iterator[Passage]:
    """Every δ of a step, from its results backwards, and what it sends to the step before it."""
    b = s.step
    place = _place(s.cell)
    done: set[Value] = set()
    for v, d in (*b.deltas.items(), *((g, b.params[g]) for g in b.params)):
        for scan in dict.fromkeys(w.args[0] for w in b.users[v] if w.op.family == "part"):
            if scan in b.scans and scan not in done:
                done.add(scan)
                yield from passages(b.scans[scan])
        if v in b.params and (v not in s.cell.slices or v not in s.leaves):
            continue
        if v in b.deltas and v not in b.kept:
            continue
        left = t.partial(b.names[b.loss], b.names[v])
        note = _end_note(s, v)
        yield Passage(left, _chain(s, v), d.unreduced, (), d.closed, False, _shape(v), note, place)
        place = ""


def _place(c: Cell) -> str:
    upper = c.letter.upper()
    way = f"{c.letter} = 1 … {upper}" if c.pieces.reverse else f"{c.letter} = {upper} … 1"
    return f"back through {c.title}, {way}"


def _shape(v: Value) -> str:
    return str(list(v.shape)) if v.shape else ""


def _chain(s: Through, v: Value) -> Term:
    """The local derivatives of the uses of v: in this step, in the next one, and outside."""
    b, loss, c = s.step, t.symbol("L"), s.cell
    parts: list[Term] = []
    for k, leaf in s.seeds.items():
        if c.yields[k] is v:
            parts.append(b.names[leaf])
    parts += [_link(loss, b.names[w], b.names[v]) for w in b.users.get(v, ()) if w is not b.loss]
    for k in s.arriving:
        leaf = c.carried[k]
        if c.next[k] is not v:
            continue
        users: Iterable[Value] = (w for w in b.users.get(leaf, ()) if w is not b.loss)
        parts += [
            t.shifted(_link(loss, b.names[w], b.names[leaf]), c.letter, c.forward) for w in users
        ]
    total = parts[0] if parts else t.partial(loss, b.names[v])
    for p in parts[1:]:
        total = t.add(total, p)
    return total


def chains_of(s: Through, v: Value) -> list[Term]:
    """Σₜ (∂L/∂z_t)(∂z_t/∂W) for what all steps share, (∂L/∂x_t) for each t for a sequence."""
    b, loss, c = s.step, t.symbol("L"), s.cell
    found: list[Term] = []
    for g in s.leaves:
        if c.operand(g) is not v:
            continue
        links = [_link(loss, b.names[w], b.names[g]) for w in b.users.get(g, ())
                 if w is not b.loss]  # fmt: skip
        if g in c.shared and links:
            total = links[0]
            for link in links[1:]:
                total = t.add(total, link)
            found.append(t.total(total, c.letter))
        elif g in c.slices:
            found.append(t.family(t.partial(loss, b.names[g]), c.letter))
    return found


def _link(loss: Term, w: Term, v: Term) -> Term:
    return t.chain(t.partial(loss, w), t.partial(w, v))


def _end_note(s: Through, v: Value) -> str:
    """What stands for the next step at the end of the sequence."""
    c = s.cell
    found = [k for k in s.arriving if c.next[k] is v and s.back(k) is not None]
    if not found:
        return ""
    end = "1" if c.pieces.reverse else c.letter.upper()
    at = f"{c.letter} = {end}"
    if not any(k in s.last for k in found):
        return f"at {at} nothing comes from a step behind"
    shown = unicode(t.partial(t.symbol("L"), t.step(s.names.plain[c.carried[found[0]]], end)))
    return f"at {at} the {shown} above stands for what comes from {c.letter}{c.after[1:]}"
