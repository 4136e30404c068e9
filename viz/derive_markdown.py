"""A derivation as Markdown, with formulas as LaTeX between dollar signs.

In: a `Derivation`. Out: text that GitHub, notebooks and most converters typeset. What a user
wrote is escaped: a name cannot start a link, an emphasis or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .derivation import SHAPES_SAY, SLOPES_SAY, Derivation, Fact, Passage
from .derive_text import counted, slope_words
from .latex import latex as math
from .terms import Term


def markdown(d: Derivation) -> str:
    """The whole derivation."""
    out = [f"# Backpropagation through {plain(d.net)}", ""]
    out += [f"**{plain(d.title)}**", ""] if d.title else []
    out += [f"- {note}" for note in d.notes]
    out += ["", "## Given", "", *facts_table(d.given)]
    out += ["", "## Local derivatives", "", *facts_table(d.local)]
    out += ["", "## Gradients", ""]
    for p in d.passages:
        out += [*_passage(p), ""]
    if d.elements:
        out += ["## For one weight and one example", "", "$E$ is the example's loss.", ""]
        out += [*facts_table(d.elements), ""]
    out += ["## Result", "", *facts_table(Fact(p.left, p.closed, p.place) for p in d.passages)]
    out += _shapes(d) + _checks(d)
    return "\n".join(out) + "\n"


def _shapes(d: Derivation) -> list[str]:
    if not d.shapes:
        return []
    out = ["", "## Shapes", "", "| | shape | |", "| ---: | :--- | :--- |"]
    out += [f"| ${cell(s.name)}$ | {s.shape} | {plain(counted(s))} |" for s in d.shapes]
    out += ["", SHAPES_SAY, ""]
    return out + [f"- ${math(left)}$: {plain(product)}" for left, product in d.products]


def _checks(d: Derivation) -> list[str]:
    if d.difference is None:
        return []
    out = ["", "## Numeric check", ""]
    if d.slopes:
        out += [SLOPES_SAY, "", "| | closed form | $(L(w+h) - L(w-h))/2h$ | apart |"]
        out.append("| ---: | ---: | ---: | ---: |")
        out += [f"| ${cell(s.left)}$ | {' | '.join(slope_words(s))} |" for s in d.slopes]
        out.append("")
    return [*out, *(line for words in d.checks for line in (words, ""))][:-1]


def cell(term: Term) -> str:
    """A formula inside of a table, where a vertical line would end the cell."""
    return math(term).replace("|", r"\vert ")


def plain(words: str) -> str:
    """Words that Markdown shows as they are."""
    safe = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|$~-])", r"\\\1", safe)


def facts_table(facts: Iterable[Fact]) -> list[str]:
    rows = ["| | | |", "| ---: | :--- | :--- |"]
    for f in facts:
        left, right = cell(f.left), cell(f.right)
        sign = "\\sim" if f.sign == "∼" else f.sign
        rows.append(f"| ${left}$ | ${sign} {right}$ | {plain(f.note)} |")
    return rows


def _passage(p: Passage) -> list[str]:
    left = math(p.left)
    shape = f", shape `{p.shape}`" if p.shape else ""
    out = [f"*{plain(p.place)}*", ""] if p.place else []
    out += [f"### ${left}${shape}", "", f"$${left} = {math(p.chain)}$$", ""]
    if p.unreduced != p.closed:
        out += [f"$$= {math(p.unreduced)}$$", ""]
    for r in p.rewrites:
        out.append(f"- *{plain(r.rule)}* ({plain(r.reason)}):")
        out.append(f"  ${math(r.before)} \\;\\to\\; {math(r.after)}$")
    if p.rewrites:
        out.append("")
    out.append(f"$$\\boxed{{{left} = {math(p.closed)}}}$$")
    return [*out, "", f"({plain(p.note)})"] if p.note else out
