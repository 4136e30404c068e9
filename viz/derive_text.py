"""A derivation as Unicode text, within 80 columns where a formula allows it.

In: a `Derivation`. Out: text for a terminal.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable

from .derivation import (
    SHAPES_SAY,
    SLOPES_SAY,
    Derivation,
    Fact,
    Passage,
    Rewrite,
    Shape,
    Slope,
)
from .unicode import unicode

WIDTH = 80


def text(d: Derivation) -> str:
    """The whole derivation."""
    out = [f"Backpropagation through {d.net}", ""]
    out += [*textwrap.wrap(d.title, WIDTH), ""] if d.title else []
    for note in d.notes:
        out += textwrap.wrap(note, WIDTH)
    out += ["", *_section("Given"), *facts_text(d.given)]
    out += ["", *_section("Local derivatives"), *facts_text(d.local)]
    out += ["", *_section("Gradients")]
    for p in d.passages:
        out += [*_passage(p), ""]
    if d.elements:
        out += [
            *_section("For one weight and one example (E is its loss)"),
            *facts_text(d.elements),
            "",
        ]
    out += [*_section("Result"), *facts_text(Fact(p.left, p.closed, p.place) for p in d.passages)]
    out += _shapes(d) + _checks(d)
    return "\n".join(out) + "\n"


def _shapes(d: Derivation) -> list[str]:
    if not d.shapes:
        return []
    rows = [(unicode(s.name), s.shape, counted(s)) for s in d.shapes]
    names, sizes = (min(max(_columns(r[k]) for r in rows), 24) for k in (0, 1))
    out = ["", *_section("Shapes")]
    for name, size, note in rows:
        out.append(f"  {_padded(name, names)}  {size:<{sizes}}  {note}".rstrip())
    out += ["", SHAPES_SAY]
    return out + [f"  {unicode(left)}: {product}" for left, product in d.products]


def counted(s: Shape) -> str:
    """A note on a row: what it is, and how many numbers a parameter has."""
    return f"{s.note}, {s.count:,} number{'s' * (s.count != 1)}" if s.count else s.note


def _checks(d: Derivation) -> list[str]:
    if d.difference is None:
        return []
    out = ["", *_section("Numeric check")]
    if d.slopes:
        rows = [(unicode(s.left), *slope_words(s)) for s in d.slopes]
        head = ("", "closed form", "(L(w+h) − L(w−h))/2h", "apart")
        wide = min(max(_columns(r[0]) for r in rows), 30)
        out += [*textwrap.wrap(SLOPES_SAY, WIDTH), ""]
        for left, closed, slope, apart in (head, *rows):
            out.append(f"  {_padded(left, wide)}  {closed:>13}  {slope:>20}  {apart:>7}")
        out.append("")
    for words in d.checks:
        out += textwrap.wrap(words, WIDTH - 6)
    return out


def slope_words(s: Slope) -> tuple[str, str, str]:
    """Both numbers and how far they are apart."""
    closed, slope = (f"{x:.7g}".replace("-", "−") for x in (s.closed, s.differences))
    return closed, slope, f"{s.apart:.0e}".replace("-", "−")


def _section(title: str) -> list[str]:
    return [title, "─" * len(title)]


def facts_text(facts: Iterable[Fact]) -> list[str]:
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
