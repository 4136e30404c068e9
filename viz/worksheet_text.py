"""A worksheet as text for a terminal, and as Markdown.

In: a `Worksheet`, and whether the answers stand behind it. Out: text. What a user wrote is escaped
in Markdown as in derivations.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from .derive_markdown import facts_table, plain
from .derive_text import WIDTH, broken, facts_text
from .latex import latex as math
from .unicode import unicode
from .worksheet import Formula, Gap, Grid, Piece, Words, Worksheet
from .worksheet_latex import matrix

ANSWERS = "Answers"


def text(w: Worksheet, answers: bool = False) -> str:
    """The worksheet in 80 columns."""
    out = [w.title, f"(seed {w.seed})", ""]
    for note in w.notes:
        out += textwrap.wrap(note, WIDTH)
    out += ["", *_ruled("Given"), *facts_text(w.given)]
    for number, e in enumerate(w.exercises, start=1):
        out += ["", *_ruled(f"{number}. {e.title}"), *_lines(e.asked)]
    if answers:
        out += ["", "\f", *_ruled(ANSWERS)]
        for number, e in enumerate(w.exercises, start=1):
            out += ["", f"{number}. {e.title}", *_lines(e.answer)]
    return "\n".join(out) + "\n"


def _ruled(title: str) -> list[str]:
    return [title, "─" * len(title)]


def _lines(pieces: Iterable[Piece]) -> list[str]:
    out: list[str] = []
    for p in pieces:
        match p:
            case Words(words):
                out += textwrap.wrap(words, WIDTH - 4, initial_indent="  ", subsequent_indent="  ")
            case Formula(terms, sign, number):
                lead = f"    ({number}) " if number else "    "
                out += broken(lead + f" {sign} ".join(map(unicode, terms)), " " * 10)
            case Grid(left, rows):
                out += _grid(unicode(left), rows)
            case Gap(lines):
                out += [line for _ in range(lines) for line in ("", "    " + "_" * 60)]
    return out


def _grid(name: str, rows: tuple[tuple[str, ...], ...]) -> list[str]:
    """The name before the middle row, the numbers in brackets."""
    wide = max(len(x) for row in rows for x in row)
    shown = ["[ " + "  ".join(f"{x:>{wide}}" for x in row) + " ]" for row in rows]
    lead = f"    {name} = "
    middle = (len(shown) - 1) // 2
    return [(lead if k == middle else " " * len(lead)) + row for k, row in enumerate(shown)]


# ---------------------------------------------------------------- Markdown


def markdown(w: Worksheet, answers: bool = False) -> str:
    """The worksheet with formulas between dollar signs."""
    return "\n".join([f"# {plain(w.title)}", "", *body(w, answers)]) + "\n"


def body(w: Worksheet, answers: bool = False, *, given: bool = True, level: int = 2) -> list[str]:
    """The exercises, with the equations before them unless they stand elsewhere."""
    mark = "#" * level
    out = [f"Seed {w.seed}.", ""]
    if given:
        out += [*(f"- {note}" for note in w.notes), "", f"{mark} Given", ""]
        out += [*facts_table(w.given), ""]
    for number, e in enumerate(w.exercises, start=1):
        out += [f"{mark} {number}. {e.title}", "", *_paragraphs(e.asked)]
    if answers:
        out += [f"{mark} {ANSWERS}", ""]
        for number, e in enumerate(w.exercises, start=1):
            out += [f"**{number}. {e.title}**", "", *_paragraphs(e.answer)]
    return out


def _paragraphs(pieces: Iterable[Piece]) -> list[str]:
    out: list[str] = []
    for p in pieces:
        match p:
            case Words(words):
                out += [plain(words), ""]
            case Formula(terms, sign, number):
                lead = f"({number}) " if number else ""
                joint = r" \;\to\; " if sign == "→" else f" {sign} "
                out += [f"{lead}${joint.join(map(math, terms))}$", ""]
            case Grid(left, rows):
                out += [f"${math(left)} = {matrix(rows)}$", ""]
            case Gap(lines):
                out += ["<br>" * lines + r"\_" * 40, ""]
    return out
