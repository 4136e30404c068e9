"""A derivation as Unicode text, within 80 columns where a formula allows it.

In: a `Derivation`. Out: text for a terminal.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable

from .derivation import Derivation, Fact, Passage, Rewrite
from .unicode import unicode

WIDTH = 80


def text(d: Derivation) -> str:
    """The whole derivation."""
    out = [f"Backpropagation through {d.net}", ""]
    out += [*textwrap.wrap(d.title, WIDTH), ""] if d.title else []
    for note in d.notes:
        out += textwrap.wrap(note, WIDTH)
    out += ["", *_section("Given"), *_facts(d.given)]
    out += ["", *_section("Local derivatives"), *_facts(d.local)]
    out += ["", *_section("Gradients")]
    for p in d.passages:
        out += [*_passage(p), ""]
    if d.elements:
        out += [
            *_section("For one weight and one example (E is its loss)"),
            *_facts(d.elements),
            "",
        ]
    out += [*_section("Result"), *_facts(Fact(p.left, p.closed, p.place) for p in d.passages)]
    if d.difference is not None:
        out += ["", checked(d.difference)]
    return "\n".join(out) + "\n"


def checked(difference: float) -> str:
    """The line that ends a derivation."""
    return (
        "Checked at random points in f64: every closed form equals the compiled\n"
        f"gradient; the greatest relative difference is {difference:.1e}."
    )


def _section(title: str) -> list[str]:
    return [title, "─" * len(title)]


def _facts(facts: Iterable[Fact]) -> list[str]:
    rows = [(unicode(f.left), f"{f.sign} {unicode(f.right)}", f.note) for f in facts]
    width = min(max((_columns(left) for left, _, _ in rows), default=0), 20)
    out = []
    for left, right, note in rows:
        line = f"  {_padded(left, width)} {right}"
        if note and _columns(line) + len(note) + 5 <= WIDTH:
            start = min(44, WIDTH - len(note) - 4)
            line = f"{_padded(line, start)}  ({note})"
            note = ""
        out += broken(line, " " * (width + 5))
        if note:
            out.append(" " * (width + 5) + f"({note})")
    return out


def _columns(text: str) -> int:
    """The columns that a text takes: accents stand above their letter."""
    return sum(not unicodedata.combining(c) for c in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _columns(text))


def broken(line: str, indent: str) -> list[str]:
    """A formula too long for a line, broken before + or − or between the factors of a chain."""
    out = []
    while len(line) > WIDTH:
        cut = _last_break(line, len(indent) + 8)
        if cut < 0:
            break
        out.append(line[:cut].rstrip())
        line = indent + line[cut:].lstrip()
    return [*out, line]


def _last_break(line: str, least: int) -> int:
    """The last place to break within the fewest brackets; before + and − rather than ⊙."""
    best, found = (99, 9), -1
    for k, depth in enumerate(_depths(line[:WIDTH])):
        for rank, mark in enumerate((" + ", " − ", ")(", " ⊙ ", " · ", " / ", "] ")):
            if k >= least and line.startswith(mark, k) and (depth, rank // 3) <= best:
                best, found = (depth, rank // 3), k + (mark in (")(", "] "))
    return found


def _depths(line: str) -> Iterable[int]:
    """How many brackets are open after each character."""
    depth = 0
    for c in line:
        depth += (c in "([") - (c in ")]")
        yield depth


def _passage(p: Passage) -> list[str]:
    left = unicode(p.left)
    indent = " " * (len(left) + 5)
    out = [f"  {p.place}:", ""] if p.place else []
    out += broken(f"  {left} = {unicode(p.chain)}", indent)
    if p.unreduced != p.closed:
        out += broken(f"  {'':<{len(left)}} = {unicode(p.unreduced)}", indent)
    for rewrite in p.rewrites:
        out += _rewrite(rewrite)
    out += broken(f"  {left} = {unicode(p.closed)}    {p.shape}", indent)
    return [*out, f"{indent}({p.note})"] if p.note else out


def _rewrite(r: Rewrite) -> list[str]:
    title = textwrap.wrap(f"· {r.rule}: {r.reason}", WIDTH - 6, subsequent_indent="  ")
    change = f"{unicode(r.before)}  →  {unicode(r.after)}"
    if len(change) <= WIDTH - 10:
        return [*(f"      {s}" for s in title), f"          {change}"]
    before, after = (broken(" " * 10 + unicode(x), " " * 12) for x in (r.before, r.after))
    arrow = broken(" " * 7 + "→  " + after[0].strip(), " " * 12)
    return [*(f"      {s}" for s in title), *before, *arrow, *after[1:]]
