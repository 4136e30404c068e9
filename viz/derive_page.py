"""One offline HTML page: what a derivation, a worksheet and a handout have in common.

In: a title and the body's markup. Out: a document without a script, a font or an address: the
security policy forbids the network, mathematics is MathML, colours follow the reader's light or
dark setting and are black on white on paper. Everything is reached by the keyboard: wide formulas
are regions that can be scrolled with the arrow keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .dot import escape
from .mathml import formula
from .terms import Term

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2125; --faint: #565d64; --back: #fff; --line: #c9ced3;
  --soft: #f2f5f8; --mark: #0072B2; --done: #00684c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --faint: #a9b1b9; --back: #16191c;
  --line: #474e55; --soft: #22272c; --mark: #56B4E9; --done: #3DD6A8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.2rem 4rem; max-width: 58rem; background: var(--back);
  color: var(--ink); font: 1.0625rem/1.55 "DejaVu Sans", Verdana, Helvetica, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { font-size: 1.3rem; margin: 2.4rem 0 .8rem;
  padding-bottom: .2rem; border-bottom: 2px solid var(--line); }
h3, h4 { font-size: 1.08rem; margin: 1.8rem 0 .5rem; } h3 math, h4 math { math-style: normal; }
a { color: var(--mark); } a:focus-visible, summary:focus-visible, .wide:focus-visible {
  outline: 3px solid var(--mark); outline-offset: 2px; }
.skip { position: absolute; left: -999rem; } .skip:focus { left: 1rem; top: .5rem; }
nav ul { padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; }
math { font-size: 1.1em; } .wide { overflow-x: auto; overflow-y: hidden; padding: .25rem 0; }
.wide > math[display=block], td > math[display=block], .grids > math[display=block] {
  display: inline math; math-style: normal; }
table { border-collapse: collapse; } th { text-align: left; font-weight: 600; }
th, td { padding: .22rem .7rem .22rem 0; vertical-align: middle; }
td.left, th.left { text-align: right; white-space: nowrap; }
td.note { color: var(--faint); font-size: .92em; }
table.rows th, table.rows td { border-bottom: 1px solid var(--line); }
table.rows .number { text-align: right; font-variant-numeric: tabular-nums; }
.closed { display: inline-block; max-width: 100%; border: 2px solid var(--done);
  border-radius: .4rem; padding: .35rem .9rem; margin: .5rem 0; }
.rule { margin: .7rem 0 .7rem .4rem; padding-left: .9rem; border-left: 3px solid var(--line); }
.rule b { color: var(--mark); } .place { font-style: italic; color: var(--faint); }
.gap { display: block; border-bottom: 1.5px solid var(--faint); height: 2.1rem; margin: 0 0 .4rem; }
pre { background: var(--soft); padding: .8rem 1rem; border-radius: .4rem; overflow-x: auto;
  font: .92rem/1.5 "DejaVu Sans Mono", Menlo, Consolas, monospace; }
figure { margin: 1rem 0; overflow-x: auto; } figure svg { max-width: 100%; height: auto; }
.grids { display: flex; flex-wrap: wrap; gap: .6rem 2rem; margin: .5rem 0; }
.line { display: flex; align-items: center; gap: .8rem; }
ol.tasks > li { margin: 1.3rem 0; break-inside: avoid; } ol.lines > li { margin: .35rem 0; }
details > summary { cursor: pointer; font-weight: 600; }
@media print { :root { --ink: #000; --faint: #333; --back: #fff; --line: #888; --soft: #f4f4f4;
  --mark: #000; --done: #000; } body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav, .skip { display: none; } .rule, .closed, tr, figure { break-inside: avoid; }
  h2, h3 { break-after: avoid; } .answers { break-before: page; } .wide { overflow: visible; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(title: str, body: str, sections: Sequence[tuple[str, str]] = ()) -> str:
    """The document. `sections`: (id, words) of its chapters, for the list at its head."""
    links = "".join(f'<li><a href="#{id}">{escape(words)}</a></li>' for id, words in sections)
    nav = f'<nav aria-label="Contents"><ul>{links}</ul></nav>' if links else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the text</a>
{nav}
<main id="main">
{body}
</main>
</body>
</html>
"""


def wide(*terms: Term, sign: str = "=", name: str = "formula") -> str:
    """A formula on a line of its own, which scrolls by itself where it is wider than the page."""
    label = f'role="region" aria-label="{escape(name)}" tabindex="0"'
    return f'<div class="wide" {label}>{formula(*terms, sign=sign)}</div>'


def inline(*terms: Term, sign: str = "=") -> str:
    """A formula within a sentence."""
    return formula(*terms, sign=sign, block=False)


def rows(
    cells: Iterable[Sequence[str]], head: Sequence[str] = (), numbers: Sequence[int] = ()
) -> str:
    """A table of markup; the first cell of each row names it, `numbers` are columns of numbers."""

    def kind(k: int) -> str:
        return ' class="number"' if k in numbers else ""

    top = "".join(f'<th scope="col"{kind(k)}>{h}</th>' for k, h in enumerate(head))
    out = ['<div class="wide" role="region" aria-label="table" tabindex="0"><table class="rows">']
    out += [f"<thead><tr>{top}</tr></thead>"] if top else []
    out.append("<tbody>")
    for first, *rest in cells:
        others = "".join(f"<td{kind(k)}>{c}</td>" for k, c in enumerate(rest, start=1))
        out.append(f'<tr><th scope="row">{first}</th>{others}</tr>')
    return "\n".join([*out, "</tbody></table></div>"])


def section(id: str, title: str, level: int = 2) -> str:
    """A heading that the list of contents leads to."""
    return f'<h{level} id="{id}">{escape(title)}</h{level}>'
