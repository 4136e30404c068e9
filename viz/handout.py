"""A handout: one document of a net, for a lecture.

In: a `Handout`: the source, a picture, the layers, derivations, a worksheet. Out: one offline HTML
page with the picture inside; Markdown or LaTeX that names the picture's file. Where the files go is
left to the caller. What a user wrote is escaped.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from . import (
    derive_html,
    derive_latex,
    derive_markdown,
    worksheet_html,
    worksheet_latex,
    worksheet_text,
)
from .derivation import Derivation
from .derive_page import page, rows, section
from .dot import escape
from .worksheet import Worksheet

COLUMNS = 106  # of source on a page of paper
HEAD = ("layer", "block", "output", "parameters", "work")
NUMBERS = (3, 4)  # columns of numbers


@dataclass(frozen=True)
class Handout:
    """`picture`: SVG text for HTML, a file's name for the others. `layers`: rows as in `HEAD`."""

    net: str
    file: str
    source: str
    picture: str
    layers: tuple[tuple[str, ...], ...]
    total: str
    derivations: tuple[Derivation, ...]
    worksheet: Worksheet
    answers: bool = False


# ---------------------------------------------------------------- HTML


def html(h: Handout) -> str:
    """The page."""
    out = [f"<h1>{escape(h.net)}</h1>", section("source", "The net")]
    out.append(f"<p><code>{escape(h.file)}</code></p>")
    out.append(f'<pre tabindex="0"><code>{escape(h.source)}</code></pre>')
    out += [section("diagram", "Diagram"), _figure(h), section("layers", "Layers")]
    cells = [tuple(map(escape, row)) for row in h.layers]
    out += [rows(cells, HEAD, NUMBERS), f"<p>{escape(h.total)}</p>"]
    listed = [("source", "The net"), ("diagram", "Diagram"), ("layers", "Layers")]
    for k, d in enumerate(h.derivations, start=1):
        id, title = f"derivation-{k}", d.title or "Derivation"
        out += [section(id, title), derive_html.body(d, f"{id}-", 3)]
        listed.append((id, title))
    out += [section("exercises", "Exercises"), worksheet_html.body(h.worksheet)]
    listed.append(("exercises", "Exercises"))
    if h.answers:
        out.append(worksheet_html.key(h.worksheet))
        listed.append(("answers", "Answers"))
    return page(h.net, "\n".join(out), listed)


def _figure(h: Handout) -> str:
    """The picture without the prologue that it has as a file, and without links: the page may be
    where their targets are not."""
    drawing = re.sub(r"</?a\b[^>]*>", "", h.picture[h.picture.index("<svg") :])
    label = f"Layers of {escape(h.net)}"
    return f'<figure role="group" aria-label="{label}">{drawing}</figure>'


# ---------------------------------------------------------------- Markdown


def markdown(h: Handout) -> str:
    """The document; `picture` lies beside it."""
    plain = derive_markdown.plain
    longest = max((len(x) for x in re.findall("`+", h.source)), default=0)
    fence = "`" * max(3, longest + 1)  # no line of the source can close it
    out = [f"# {plain(h.net)}", "", "## The net", "", f"{plain(h.file)}:", ""]
    out += [f"{fence}text", h.source.rstrip("\n"), fence, "", "## Diagram", ""]
    out += [f"![Layers of {plain(h.net)}]({h.picture})", "", "## Layers", ""]
    out += ["| " + " | ".join(HEAD) + " |", "| --- | --- | --- | ---: | ---: |"]
    out += ["| " + " | ".join(map(plain, row)) + " |" for row in h.layers]
    out += ["", h.total, ""]
    for d in h.derivations:
        out += [_deeper(derive_markdown.markdown(d)), ""]
    out += ["## Exercises", ""]
    out += worksheet_text.body(h.worksheet, h.answers, given=False, level=3)
    return "\n".join(out) + "\n"


def _deeper(text: str) -> str:
    """Headings one level further down."""
    return re.sub(r"(?m)^(#+ )", r"#\1", text).rstrip("\n")


# ---------------------------------------------------------------- LaTeX


def latex(h: Handout) -> str:
    """The document, which compiles by itself beside its picture."""
    words = derive_latex.words
    out = [rf"\section*{{{words(h.net)}}}", rf"\subsection*{{The net ({words(h.file)})}}"]
    out += [r"{\footnotesize\begin{verbatim}", *_verbatim(h.source), r"\end{verbatim}}"]
    out += [r"\subsection*{Diagram}", r"\begin{center}", _PICTURE % h.picture, r"\end{center}"]
    out += [r"\subsection*{Layers}"]
    head = " & ".join(HEAD) + r" \\ \hline"
    cells = [" & ".join(map(words, row)) for row in h.layers]
    out += [*derive_latex.columns("lllrr", cells, head), words(h.total)]
    for d in h.derivations:
        out += [r"\newpage", *derive_latex.body(d)]
    out += [r"\newpage", r"\section*{Exercises}", *worksheet_latex.body(h.worksheet, h.answers)]
    return derive_latex.document("\n".join(out))


_PICTURE = r"\includegraphics[width=0.9\linewidth,height=0.6\textheight,keepaspectratio]{%s}"


def _verbatim(source: str) -> Sequence[str]:
    """Lines of plain letters, none too long, none that ends the environment."""
    out: list[str] = []
    for line in source.replace("\t", "    ").splitlines():
        plain = "".join(map(_letter, line)).replace(r"\end{verbatim}", r"\end {verbatim}")
        indent = " " * (len(plain) - len(plain.lstrip()) + 4)
        out += textwrap.wrap(plain, COLUMNS, subsequent_indent=indent, drop_whitespace=False) or [
            ""
        ]
    return out


_SIGNS = {"−": "-", "→": "->", "×": "x", "·": "*", "–": "-", "—": "-", "’": "'", "“": '"',
          "”": '"', "≥": ">=", "≤": "<="}  # fmt: skip


def _letter(c: str) -> str:
    """A letter that plain LaTeX fonts have."""
    if c in _SIGNS or (ord(c) < 128 and c.isprintable()):
        return _SIGNS.get(c, c)
    base = unicodedata.normalize("NFKD", c)[0]
    name = unicodedata.name(c, "")
    if name.startswith("GREEK"):
        return name.rpartition(" ")[2].lower()
    return base if ord(base) < 128 and base.isprintable() else "?"
