r"""Formulas too wide for a page, in several lines.

In: a term. Out: LaTeX of one or more lines, broken before + and −, between the factors of a chain,
or inside the brackets of the last factor. Widths are estimated in letters, a fraction as wide as
its wider half. What cannot be broken is shrunk to its room by the macro `\fit` (`FIT`), which
measures it when the document is set.
"""

from __future__ import annotations

from collections.abc import Sequence

from .latex import function, latex, summation
from .symbols import split_name
from .terms import Term, needs_brackets

LIMIT = 82.0  # letters on a line
POINTS = 6.3  # of a letter, about
# \fit[taken]{formula}: the formula, no wider than the line less what is taken. Needs graphicx.
FIT = r"""\newlength{\room}
\newcommand{\fit}[2][0pt]{\sbox0{$\displaystyle #2$}\setlength{\room}{\linewidth}%
\addtolength{\room}{-#1}\ifdim\wd0>\room\resizebox{\room}{!}{\usebox0}\else\usebox0\fi}"""
_SPACES = {"add": 2.5, "sub": 2.5, "hadamard": 2.0, "times": 1.0, "product": 0.5}
_JOINED = ("hadamard", "times", "product")


def width(term: Term) -> float:
    """Estimated width in letters."""
    done: dict[int, float] = {}
    stack = [term]
    while stack:
        x = stack[-1]
        missing = [p for p in x.parts if id(p) not in done]
        if missing:
            stack += missing
            continue
        stack.pop()
        done[id(x)] = _width(x, [done[id(p)] for p in x.parts])
    return done[id(term)]


def _width(x: Term, parts: Sequence[float]) -> float:
    match x.kind:
        case "symbol" | "number":
            base, _, sub = split_name(x.text)
            return max(len(base), 1) + 0.6 * len(sub)
        case "quotient":
            return max(parts) + 1.0
        case "partial":
            return max(parts) + 2.0
        case "over_m":
            return 1.5
        case "call" | "prime":
            return len(x.text) + 2 + sum(parts) + len(parts)
        case "total" | "mean" | "greatest":
            return 2.5 + sum(parts) + (2 if x.kind == "mean" else 0) + 2
        case "exp":
            return 1.0 + 0.7 * parts[0]
        case "step" | "family":
            return parts[0] + 0.6 * len(x.text)
        case "at":
            return parts[0] + 0.7 * len(x.text)
        case "power" | "transpose":
            return parts[0] + 1.5
        case "choice":
            return max(parts[1:]) + max(parts[0], 8) + 6
        case "chain" | "factors":
            return sum(parts) + 0.7 * len(parts)
    brackets = 2 if any(p.kind in ("add", "sub") for p in x.parts) else 1
    return sum(parts) + _SPACES.get(x.kind, 1.0) + brackets


def lines(term: Term, limit: float = LIMIT) -> list[str]:
    """The term as LaTeX, in as many lines as it needs (where it can be broken)."""
    if width(term) <= limit:
        return [latex(term)]
    if term.kind in ("add", "sub"):
        return _sum_lines(term, limit)
    if term.kind == "chain":
        return _packed([("", p) for p in term.parts], r" \, ", limit)
    if term.kind == "neg":
        first, *rest = lines(term.parts[0], limit)
        return [f"-{first}", *rest] if term.parts[0].kind not in ("add", "sub") else [latex(term)]
    if term.kind in _JOINED:
        return _joined_lines(term, limit)
    if _is_around(term):
        return _lines_inside(term, limit)
    return [latex(term)]


def _is_around(term: Term) -> bool:
    """A sum over an index, a transpose, or a function of one argument: brackets may stay open over
    the lines."""
    if term.kind in ("call", "total", "mean"):
        return len(term.parts) == 1
    return term.kind == "transpose"


def _lines_inside(term: Term, limit: float) -> list[str]:
    first, *rest = lines(term.parts[0], limit - 6)
    if not rest:
        return [latex(term)]
    end = "^{T}" if term.kind == "transpose" else ""
    name = "" if end else function(term.text) if term.kind == "call" else summation(term)
    return [rf"{name}\Bigl({first}", *rest[:-1], rf"{rest[-1]}\Bigr){end}"]


def _sum_lines(term: Term, limit: float) -> list[str]:
    """Broken before + and −; a summand that is itself too wide goes on by itself."""
    parts: list[tuple[str, Term]] = []
    rest = term
    while rest.kind in ("add", "sub"):
        parts.append(("+" if rest.kind == "add" else "-", rest.parts[1]))
        rest = rest.parts[0]
    return _packed([("", rest), *reversed(parts)], " ", limit)


def _packed(parts: Sequence[tuple[str, Term]], gap: str, limit: float) -> list[str]:
    """Signed parts on as few lines as possible."""
    found: list[str] = []
    used = limit + 1
    for sign, part in parts:
        wide = width(part) + 2
        texts = lines(part, limit - 4)
        if sign == "-" and part.kind in ("add", "sub"):
            texts = [f"({latex(part)})"]
        first = f"{sign} {texts[0]}".strip()
        if used + wide <= limit and len(texts) == 1:
            found[-1] += gap + first
            used += wide
        else:
            found += [first, *texts[1:]]
            used = wide if len(texts) == 1 else limit + 1
    return found


def _joined_lines(term: Term, limit: float) -> list[str]:
    """a ⊙ (b + c): the bracket stays open over the lines."""
    a, b = term.parts
    sign = {"hadamard": r" \odot ", "times": r" \cdot ", "product": r" \, "}[term.kind]
    wide = max(a, b, key=width)
    inner = lines(wide, limit - 8)
    other = b if wide is a else a
    inner = _bracketed(term.kind, wide, 0 if wide is a else 1, inner)
    (shown,) = _bracketed(term.kind, other, 1 if wide is a else 0, [latex(other)])
    if len(inner) == 1:  # no part can be broken: break between them
        return [shown, sign.strip() + " " + inner[0]] if wide is b else [
            inner[0], sign.strip() + " " + shown]  # fmt: skip
    if wide is a:
        return [*inner[:-1], inner[-1] + sign + shown]
    return [shown + sign + inner[0], *inner[1:]]


def _bracketed(joint: str, part: Term, side: int, rows: list[str]) -> list[str]:
    """The rows in brackets where precedence asks for them; a fraction bar groups by itself."""
    if part.kind == "quotient" or not needs_brackets(joint, part, side):
        return rows
    size = "Big" if any(r"\frac" in row for row in rows) else "big"
    first, last = rf"\{size}l({rows[0]}", rf"{rows[-1]}\{size}r)"
    if len(rows) == 1:
        return [rf"{first}\{size}r)"]
    return [first, *rows[1:-1], last]


def fitted(text: str, taken: float = 0.0) -> str:
    """The formula shrunk where it is wider than a line on which so many letters are taken."""
    return rf"\fit[{POINTS * taken:.0f}pt]{{{text}}}"
