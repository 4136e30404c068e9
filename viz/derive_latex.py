"""A derivation as a LaTeX document that compiles by itself with amsmath alone.

In: a `Derivation`. Out: the document's text. What a user wrote is escaped: a name cannot become
a command.
"""

from __future__ import annotations

from collections.abc import Iterable

from .derive import Derivation, Fact, Passage
from .derive_text import checked
from .latex import escape_latex
from .latex import latex as math

_PREAMBLE = r"""\documentclass[11pt]{article}
\usepackage{amsmath}
\allowdisplaybreaks
\setlength{\parindent}{0pt}
\setlength{\oddsidemargin}{-0.4in}
\setlength{\textwidth}{7.2in}
\begin{document}"""


def latex(d: Derivation) -> str:
    """The whole derivation as one document."""
    out = [_PREAMBLE, rf"\section*{{Backpropagation through {words(d.net)}}}"]
    out += [r"\begin{itemize}", *(rf"\item {words(note)}" for note in d.notes), r"\end{itemize}"]
    out += [r"\subsection*{Given}", *_aligned(d.given)]
    out += [r"\subsection*{Local derivatives}", *_aligned(d.local)]
    out += [r"\subsection*{Gradients}"]
    for p in d.passages:
        out += _passage(p)
    if d.elements:
        out += [r"\subsection*{For one weight and one example ($E$ is its loss)}"]
        out += _aligned(d.elements)
    out += [r"\subsection*{Result}", *_aligned(Fact(p.left, p.closed) for p in d.passages)]
    if d.difference is not None:
        out += ["", words(checked(d.difference).replace("\n", " "))]
    return "\n".join([*out, r"\end{document}", ""])


_WORDS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\^{}", "~": r"\~{}", "<": "$<$", ">": "$>$", "|": "$|$",
}  # fmt: skip
_SIGNS = {
    "⊙": r"\odot", "Σ": r"\sum", "σ": r"\sigma", "δ": r"\delta", "∂": r"\partial", "−": "-",
    "·": r"\cdot", "₀": "_0", "ᵢ": "_i", "²": "^2", "ˣ": "^x", "⁻": "^-", "→": r"\to",
    "′": "'", "ᵀ": "^T", "≥": r"\ge", "≤": r"\le", "≠": r"\ne", "½": r"\tfrac{1}{2}",
    "ε": r"\epsilon",
}  # fmt: skip


def words(text: str) -> str:
    """Words for the running text; signs become mathematics, other letters beyond ASCII a question
    mark, because plain LaTeX fonts may not have them."""
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


def _aligned(facts: Iterable[Fact]) -> list[str]:
    rows = []
    for f in facts:
        note = rf" && \text{{({words(f.note)})}}" if f.note else ""
        rows.append(rf"{math(f.left)} &= {math(f.right)}{note}")
    if not rows:
        return []
    return [r"\begin{align*}", " \\\\\n".join(rows), r"\end{align*}"]


def _passage(p: Passage) -> list[str]:
    left = math(p.left)
    rows = [rf"{left} &= {math(p.chain)}"]
    if p.unreduced != p.closed:
        rows.append(rf"&= {math(p.unreduced)}")
    out = [r"\begin{align*}", " \\\\\n".join(rows), r"\end{align*}"]
    if p.rewrites:
        out.append(r"\begin{itemize}")
        for r in p.rewrites:
            change = rf"\[{math(r.before)} \;\to\; {math(r.after)}\]"
            out.append(rf"\item {words(r.rule)}: {words(r.reason)} {change}")
        out.append(r"\end{itemize}")
    return [*out, rf"\[\boxed{{{left} = {math(p.closed)}}}\]"]
