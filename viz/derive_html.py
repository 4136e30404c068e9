"""A derivation as one offline HTML file, with formulas as MathML.

In: a `Derivation`. Out: a page without a script or a network, as `derive_page` makes it. What a
user wrote is escaped: a name cannot become markup.
"""

from __future__ import annotations

from collections.abc import Iterable

from .derivation import SHAPES_SAY, SLOPES_SAY, Derivation, Fact, Passage, Rewrite
from .derive_page import inline, page, rows, section, wide
from .derive_text import counted, slope_words
from .dot import escape
from .mathml import formula, mathml, operator
from .terms import symbol

_E = symbol("E")
# ∼ is no operator that browsers put gaps around.
_GAP = '<mspace width="0.28em"></mspace>'
_SIGNS = {"=": operator("="), "∼": _GAP + operator("∼") + _GAP}


def html(*derivations: Derivation) -> str:
    """Derivations as one page."""
    title = f"Backpropagation through {derivations[0].net}"
    several = len(derivations) > 1
    bodies, listed = [f"<h1>{escape(title)}</h1>"], []
    for k, d in enumerate(derivations, start=1):
        prefix = f"d{k}-" if several else ""
        if d.title:
            bodies.append(section(f"d{k}", d.title))
            listed.append((f"d{k}", d.title))
        bodies.append(body(d, prefix, 3 if several else 2))
        if not several:
            listed += [(id, words) for id, words in sections(d)]
    return page(title, "\n".join(bodies), listed)


def sections(d: Derivation) -> list[tuple[str, str]]:
    """(id, title) of each part that a derivation has."""
    found = [("given", "Given"), ("local", "Local derivatives"), ("gradients", "Gradients")]
    found += [("elements", "For one weight and one example")] if d.elements else []
    found += [("result", "Result")]
    found += [("shapes", "Shapes")] if d.shapes else []
    return found + ([("check", "Numeric check")] if d.difference is not None else [])


def body(d: Derivation, prefix: str = "", level: int = 2) -> str:
    """The parts of a derivation, from the notes to the check."""
    names = dict(sections(d))

    def head(id: str) -> str:
        return section(prefix + id, names[id], level)

    out = ["<ul>", *(f"<li>{escape(note)}</li>" for note in d.notes), "</ul>"]
    out += [head("given"), facts(d.given)]
    out += [head("local"), facts(d.local)]
    out += [head("gradients"), *(_passage(p, level + 1) for p in d.passages)]
    if d.elements:
        out += [head("elements"), f"<p>{inline(_E)} is the loss of the example.</p>"]
        out.append(facts(d.elements))
    out += [head("result"), facts(Fact(p.left, p.closed, p.place) for p in d.passages)]
    out += [head("shapes"), _shapes(d)] if d.shapes else []
    out += [head("check"), _checks(d)] if d.difference is not None else []
    return "\n".join(out)


def facts(found: Iterable[Fact]) -> str:
    """left = right, one under the other."""
    out = ['<div class="wide" role="region" aria-label="equations" tabindex="0"><table>']
    for f in found:
        right = f'<math display="block"><mrow>{_SIGNS[f.sign]}{mathml(f.right)}</mrow></math>'
        note = escape(f"({f.note})") if f.note else ""
        out.append(
            f'<tr><td class="left">{formula(f.left)}</td><td>{right}</td>'
            f'<td class="note">{note}</td></tr>'
        )
    return "\n".join([*out, "</table></div>"])


def _passage(p: Passage, level: int) -> str:
    shape = f" <small>[{escape(p.shape.strip('[]'))}]</small>" if p.shape else ""
    out = [f'<p class="place">{escape(p.place)}:</p>'] if p.place else []
    out += [f"<h{level}>{inline(p.left)}{shape}</h{level}>", wide(p.left, p.chain, name="chain")]
    if p.unreduced != p.closed:
        out.append(wide(p.left, p.unreduced, name="before simplification"))
    out += [_rewrite(r) for r in p.rewrites]
    out.append(f'<div class="closed">{wide(p.left, p.closed, name="closed form")}</div>')
    out += [f"<p>({escape(p.note)})</p>"] if p.note else []
    return "\n".join(out)


def _rewrite(r: Rewrite) -> str:
    words = f"<b>{escape(r.rule)}</b>: {escape(r.reason)}"
    return f'<div class="rule">{words}{wide(r.before, r.after, sign="→", name=r.rule)}</div>'


def _shapes(d: Derivation) -> str:
    cells = [(inline(s.name), escape(s.shape), escape(counted(s))) for s in d.shapes]
    out = [rows(cells, ("value", "shape", "")), f"<p>{SHAPES_SAY}</p>"]
    if d.products:
        found = (f"<li>{inline(left)}: {escape(product)}</li>" for left, product in d.products)
        out += ["<ul>", *found, "</ul>"]
    return "\n".join(out)


def _checks(d: Derivation) -> str:
    out = []
    if d.slopes:
        head = ("gradient", "closed form", "(L(w + h) − L(w − h)) / 2h", "apart")
        cells = [(inline(s.left), *slope_words(s)) for s in d.slopes]
        out += [f"<p>{SLOPES_SAY}</p>", rows(cells, head, (1, 2, 3))]
    out += [f"<p>{escape(words)}</p>" for words in d.checks]
    return "\n".join(out)
