"""A derivation as a LaTeX document that compiles by itself with amsmath,
array, graphicx and longtable alone.

In: a `Derivation`. Out: the document's text. What a user wrote is escaped: a name cannot become
a command.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .derivation import SHAPES_SAY, SLOPES_SAY, Derivation, Fact, Passage, Rewrite
from .derive_text import counted, slope_words
from .latex import escape_latex
from .latex import latex as math
from .latex_lines import FIT, LIMIT, fitted, lines, width
from .terms import Term

_PREAMBLE = (
    r"""\documentclass[11pt]{article}
\usepackage{amsmath,array,graphicx,longtable}
\setlength{\LTleft}{1em}
\allowdisplaybreaks
\setlength{\parindent}{0pt}
\setlength{\oddsidemargin}{-0.4in}
\setlength{\textwidth}{7.2in}
\setlength{\topmargin}{-0.5in}
\setlength{\textheight}{9.2in}
"""
    + FIT
    + r"""
\begin{document}"""
)


def latex(*derivations: Derivation) -> str:
    """Derivations as one document."""
    return document("\n\\newpage\n".join("\n".join(body(d)) for d in derivations))


def document(inside: str) -> str:
    """A body as a document of its own."""
    return "\n".join([_PREAMBLE, inside, r"\end{document}", ""])


def body(d: Derivation) -> list[str]:
    """One derivation, its heading included."""
    out = [rf"\section*{{Backpropagation through {words(d.net)}}}"]
    out += [words(d.title), ""] if d.title else []
    notes = [rf"\item {{}}{words(note)}" for note in d.notes]
    out += [r"\begin{itemize}", *notes, r"\end{itemize}"]
    out += [r"\subsection*{Given}", *facts_latex(d.given)]
    out += [r"\subsection*{Local derivatives}", *facts_latex(d.local)]
    out += [r"\subsection*{Gradients}"]
    for p in d.passages:
        out += _passage(p)
    if d.elements:
        out += [r"\subsection*{For one weight and one example ($E$ is its loss)}"]
        out += facts_latex(d.elements)
    out += [
        r"\subsection*{Result}",
        *facts_latex(Fact(p.left, p.closed, p.place) for p in d.passages),
    ]
    return out + _shapes(d) + _checks(d)


def _shapes(d: Derivation) -> list[str]:
    if not d.shapes:
        return []
    rows = [f"${math(s.name)}$ & {words(s.shape)} & {words(counted(s))}" for s in d.shapes]
    out = [r"\subsection*{Shapes}", *columns("rl>{\\raggedright\\arraybackslash}p{3.3in}", rows)]
    out.append(words(SHAPES_SAY))
    found = [rf"\item ${math(left)}$: {words(product)}" for left, product in d.products]
    return [*out, r"\begin{itemize}", *found, r"\end{itemize}"] if found else out


def _checks(d: Derivation) -> list[str]:
    if d.difference is None:
        return []
    out = [r"\subsection*{Numeric check}"]
    if d.slopes:
        head = r"& closed form & $(L(w+h) - L(w-h))/2h$ & apart \\ \hline"
        rows = [f"${math(s.left)}$ & {' & '.join(map(words, slope_words(s)))}" for s in d.slopes]
        out += [words(SLOPES_SAY), *columns("rrrr", rows, head)]
    return [*out, "", *map(words, d.checks)]


def columns(form: str, rows: Sequence[str], head: str = "") -> list[str]:
    """A table that may go on over pages."""
    top = [head] if head else []
    return [rf"\begin{{longtable}}{{{form}}}", *top, " \\\\\n".join(rows), r"\end{longtable}"]


_WORDS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\^{}", "~": r"\~{}", "<": "$<$", ">": "$>$", "|": "$|$",
    "\u00a0": "~",
}  # fmt: skip
_SIGNS = {
    "⊙": r"\odot", "Σ": r"\sum", "σ": r"\sigma", "δ": r"\delta", "∂": r"\partial", "−": "-",
    "·": r"\cdot", "ᵢ": "_i", "²": "^2", "ˣ": "^x", "⁻": "^-", "→": r"\to",
    "′": "'", "ᵀ": "^T", "≥": r"\ge", "≤": r"\le", "≠": r"\ne", "½": r"\tfrac{1}{2}",
    **{c: f"_{k}" for k, c in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    "ₜ": "_t", "ₛ": "_s", "ᵤ": "_u", "…": r"\ldots", "ₕ": "_h",
    "ε": r"\epsilon", "μ": r"\mu", "𝒩": r"\mathcal{N}", "𝒰": r"\mathcal{U}", "∼": r"\sim",
    "∗": "*", "ₚ": "_p", "×": r"\times", "√": r"\surd", "⁽": "^{(}", "⁾": "^{)}", "⁺": "^+",
    **{c: f"^{k}" for k, c in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}  # fmt: skip


def words(text: str) -> str:
    """Words for the running text; signs become mathematics, other letters beyond ASCII a question
    mark, because plain LaTeX fonts may not have them."""
    return r"$\sum_w$".join(map(_words, text.split("Σ_w")))


def _words(text: str) -> str:
    out = []
    for c in text:
        if c in _WORDS:
            out.append(_WORDS[c])
        elif c in _SIGNS:
            sign = _SIGNS[c]
            out.append(f"${{}}{sign}$" if sign[0] in "_^'" else f"${sign}$")
        elif c == "\n" or (c.isprintable() and ord(c) < 128):
            out.append(c)
        else:
            out.append(escape_latex(c) if c.isprintable() and len(escape_latex(c)) == 1 else "?")
    return "".join(out)


def facts_latex(facts: Iterable[Fact]) -> list[str]:
    facts = list(facts)
    rows: list[str] = []
    left = max((width(f.left) for f in facts), default=0.0)  # they stand in one column
    for f in facts:
        found = lines(f.right, LIMIT - left)
        note = rf"\qquad \text{{({words(f.note)})}}" if f.note else ""
        below = len(found) > 1 or left + width(f.right) + len(f.note) > LIMIT
        found = found if below else [found[0] + note]
        sign = r"\sim" if f.sign == "∼" else f.sign
        rows += _rows(f"{math(f.left)} &{sign}", found, left)
        rows += [f"&{fitted(note, left)}"] if note and below else []
    return _display(rows)


def _rows(start: str, found: Sequence[str], left: float) -> list[str]:
    """The lines of a formula, the first behind `start`, each no wider than its room."""
    first, *more = found
    out = [f"{start} {fitted(first, left + _MARGIN)}"]
    return out + [rf"&\qquad {fitted(row, left + 2 * _MARGIN)}" for row in more]


_MARGIN = 5.0  # letters: a sign of equality and the gaps around it


def _display(rows: list[str]) -> list[str]:
    return [r"\begin{align*}", " \\\\\n".join(rows), r"\end{align*}"] if rows else []


def _passage(p: Passage) -> list[str]:
    left, taken = math(p.left), width(p.left)
    steps = [p.chain] if p.unreduced == p.closed else [p.chain, p.unreduced]
    rows: list[str] = []
    for k, term in enumerate(steps):
        rows += _rows(f"{left if k == 0 else ''} &=", lines(term, LIMIT - taken), taken)
    out = _display(rows)
    if p.rewrites:
        out.append(r"\begin{itemize}")
        for r in p.rewrites:
            out.append(rf"\item {words(r.rule)}: {words(r.reason)}")
            out += _change(r)
        out.append(r"\end{itemize}")
    note = ["", words(f"({p.note})"), ""] if p.note else []
    place = [rf"\paragraph{{{words(p.place)}}}"] if p.place else []
    return [*place, *out, boxed(p.left, p.closed), *note]


def _change(r: Rewrite) -> list[str]:
    """before → after, below each other where they are wide."""
    room = LIMIT - 10
    if width(r.before) + width(r.after) <= room:
        change = rf"{math(r.before)} \;\to\; {math(r.after)}"
        return [rf"\[{fitted(change, _MARGIN)}\]"]
    before, after = lines(r.before, room), lines(r.after, room)
    return _display(
        [*(f"& {fitted(row, _MARGIN)}" for row in before), *_rows(r"\to\; &", after, 0.0)]
    )


def boxed(left: Term, closed: Term) -> str:
    """left = closed in a frame."""
    first, *more = lines(closed, LIMIT - width(left))
    inside = f"{math(left)} = {first}"
    if more:
        rows = [f"{math(left)} &= {first}", *(rf"&\qquad {row}" for row in more)]
        inside = "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"
    return rf"\[\boxed{{{fitted(inside, 2.0)}}}\]"
