"""A worksheet as one offline HTML page, the answers on the last printed page.

In: a `Worksheet`. Out: the page, or the exercises alone for a larger one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .derive_html import facts
from .derive_page import page, section, wide
from .dot import escape
from .mathml import mathml, operator
from .terms import Term
from .unicode import unicode
from .worksheet import Formula, Gap, Grid, Piece, Words, Worksheet


def html(w: Worksheet, answers: bool = False) -> str:
    """The page."""
    notes = "".join(f"<li>{escape(note)}</li>" for note in w.notes)
    out = [f"<h1>{escape(w.title)}</h1>", f"<ul>{notes}</ul>", section("given", "Given")]
    out += [facts(w.given), section("exercises", "Exercises"), body(w)]
    listed = [("given", "Given"), ("exercises", "Exercises")]
    if answers:
        listed.append(("answers", "Answers"))
        out.append(key(w))
    return page(w.title, "\n".join(out), listed)


def body(w: Worksheet) -> str:
    """The exercises."""
    items = (f"<li><h3>{escape(e.title)}</h3>{_pieces(e.asked)}</li>" for e in w.exercises)
    return f'<p><small>Seed {w.seed}.</small></p><ol class="tasks">{"".join(items)}</ol>'


def key(w: Worksheet) -> str:
    """The answers, on a page of their own."""
    items = (f"<li><b>{escape(e.title)}</b>{_pieces(e.answer)}</li>" for e in w.exercises)
    head = section("answers", "Answers")
    return f'<section class="answers">{head}<ol class="tasks">{"".join(items)}</ol></section>'


def _pieces(pieces: Iterable[Piece]) -> str:
    out: list[str] = []
    grids: list[str] = []
    for p in pieces:
        if grids and not isinstance(p, Grid):
            out.append(_beside(grids))
            grids = []
        match p:
            case Words(told):
                out.append(f"<p>{escape(told)}</p>")
            case Formula(terms, sign, number):
                shown = wide(*terms, sign=sign)
                out.append(f'<div class="line">({number}) {shown}</div>' if number else shown)
            case Grid(left, rows):
                grids.append(_grid(left, rows))
            case Gap(count):
                out.append(
                    '<span class="gap" role="img" aria-label="room to write"></span>' * count
                )
    return "".join([*out, _beside(grids)] if grids else out)


def _beside(grids: Sequence[str]) -> str:
    return f'<div class="grids">{"".join(grids)}</div>'


def _grid(left: Term, rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(
        "<mtr>" + "".join(f"<mtd>{_number(x)}</mtd>" for x in row) + "</mtr>" for row in rows
    )
    spoken = f"{unicode(left)} = [{'; '.join(', '.join(row) for row in rows)}]"
    inside = f"{operator('[', 'prefix')}<mtable>{cells}</mtable>{operator(']', 'postfix')}"
    return (
        f'<math display="block" alttext="{escape(spoken)}"><mrow>{mathml(left)}{operator("=")}'
        f"{inside}</mrow></math>"
    )


def _number(text: str) -> str:
    if text.startswith("−"):
        return f"<mrow>{operator('−', 'prefix')}<mn>{text[1:]}</mn></mrow>"
    return f"<mn>{text}</mn>"
