"""A worksheet as a LaTeX document that compiles by itself, the answers on a page of their own.

In: a `Worksheet`. Out: the document's text, or the exercises alone for a larger one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .derive_latex import document, facts_latex, words
from .latex import latex as math
from .latex_lines import LIMIT, fitted, lines, width
from .worksheet import Formula, Gap, Grid, Piece, Words, Worksheet

_RULE = r"\par\vspace{1.6em}\noindent\rule{\linewidth}{0.4pt}\par"


def latex(w: Worksheet, answers: bool = False) -> str:
    """The document."""
    notes = [rf"\item {{}}{words(note)}" for note in w.notes]
    head = [rf"\section*{{{words(w.title)}}}", r"\begin{itemize}", *notes, r"\end{itemize}",
            r"\subsection*{Given}", *facts_latex(w.given)]  # fmt: skip
    return document("\n".join([*head, *body(w, answers)]))


def body(w: Worksheet, answers: bool = False) -> list[str]:
    """The exercises, and their answers on the last page."""
    out = [rf"\hfill{{\small seed {w.seed}}}"]
    for number, e in enumerate(w.exercises, start=1):
        # An exercise stays on one page.
        out += ["", r"\noindent\begin{minipage}{\linewidth}"]
        out += [rf"\subsection*{{{number}. {words(e.title)}}}", *_pieces(e.asked)]
        out += [r"\end{minipage}\par"]
    if answers:
        out += [r"\newpage", r"\section*{Answers}"]
        for number, e in enumerate(w.exercises, start=1):
            out += [rf"\paragraph{{{number}. {words(e.title)}}}", *_pieces(e.answer)]
    return out


def _pieces(pieces: Iterable[Piece]) -> list[str]:
    out: list[str] = []
    grids: list[str] = []
    for p in pieces:
        if grids and not isinstance(p, Grid):
            out.append(_beside(grids))
            grids = []
        match p:
            case Words(told):
                out += [words(told), ""]
            case Formula():
                out.append(_formula(p))
            case Grid(left, rows):
                grids.append(rf"{math(left)} = {matrix(rows)}")
            case Gap(count):
                out += [_RULE] * count
    return [*out, _beside(grids)] if grids else out


def _beside(grids: Sequence[str]) -> str:
    """Matrices next to each other, four in a row."""
    rows = [r" \qquad ".join(grids[k : k + 4]) for k in range(0, len(grids), 4)]
    return "\n".join(rf"\[{fitted(row, 2.0)}\]" for row in rows)


def _formula(p: Formula) -> str:
    lead = rf"\text{{({p.number})}}\quad " if p.number else ""
    sign = r" \;\to\; " if p.sign == "→" else f" {p.sign} "
    if sum(map(width, p.terms)) <= LIMIT or len(p.terms) < 2:
        return rf"\[{fitted(lead + sign.join(map(math, p.terms)), 4.0)}\]"
    first, *more = lines(p.terms[-1], LIMIT - 12)
    start = rf"{lead}{math(p.terms[0])} &{sign} "
    rows = [start + first, *(rf"&\qquad {row}" for row in more)]
    inside = "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"
    return rf"\[{fitted(inside, 4.0)}\]"


def matrix(rows: Sequence[Sequence[str]]) -> str:
    """Numbers in square brackets."""
    inside = r" \\ ".join(" & ".join(x.replace("−", "-") for x in row) for row in rows)
    return rf"\begin{{bmatrix}} {inside} \end{{bmatrix}}"
