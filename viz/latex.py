"""Terms as LaTeX mathematics (amsmath).

In: a term. Out: text for mathematics mode. What a user wrote is escaped: a name cannot become a
command.
"""

from __future__ import annotations

from .symbols import GREEK, HATS, split_name
from .terms import ATOM, PRODUCT, TIMES, Term, level, needs_brackets

_LATEX_GREEK = {v: rf"\{k}" for k, v in GREEK.items()} | {"ℓ": r"\ell"}

_TEX = {
    "\\": r"\backslash ", "_": r"\_", "{": r"\{", "}": r"\}", "$": r"\$", "%": r"\%", "#": r"\#",
    "&": r"\&", "^": r"\hat{}", "~": r"\tilde{}",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """User text that is safe inside LaTeX mathematics."""
    safe = "".join(_TEX.get(c, c) for c in text if c.isprintable())
    return "".join(c if ord(c) < 128 else _LATEX_GREEK.get(c, "?") for c in safe)


def latex_name(name: str) -> str:
    """A name as LaTeX."""
    base, accent, sub = split_name(name)
    if name == "…":
        return r"\ldots"
    if base in _LATEX_GREEK:
        shown = _LATEX_GREEK[base]
    elif len(base) == 1 and base.isascii():
        shown = escape_latex(base)
    else:
        shown = rf"\mathrm{{{escape_latex(base)}}}"
    if accent:
        shown = rf"{HATS[accent][1]}{{{shown}}}"
    index = sub.replace("ℓ", r"\ell ").replace("−", "-")
    return f"{shown}_{{{index.strip()}}}" if sub else shown


def latex(term: Term) -> str:
    """The term as LaTeX mathematics (amsmath)."""
    parts = term.parts
    match term.kind:
        case "symbol":
            return latex_name(term.text)
        case "number":
            return _latex_number(term.text)
        case "call":
            return f"{function(term.text)}({', '.join(map(latex, parts))})"
        case "prime":
            return f"{function(term.text)}'({latex(parts[0])})"
        case "neg":
            return "-" + _tex_wrapped(parts[0], TIMES)
        case "add" | "sub" | "hadamard":
            sign = {"add": "+", "sub": "-", "hadamard": r"\odot"}[term.kind]
            return f"{_tex_side(term, 0)} {sign} {_tex_side(term, 1)}"
        case "times":
            plain = all(p.kind not in ("number", "over_m") for p in parts)
            dot = r" \cdot " if plain else r" \, "
            return f"{_tex_side(term, 0)}{dot}{_tex_side(term, 1)}"
        case "product":
            return f"{_tex_side(term, 0)} \\, {_tex_side(term, 1)}"
        case "factors":
            tex = [_tex_wrapped(p, PRODUCT if p.kind == "total" and p is not parts[-1] else TIMES)
                   for p in parts]  # fmt: skip
            return r" \, ".join(tex)
        case "quotient":
            return rf"\frac{{{latex(parts[0])}}}{{{latex(parts[1])}}}"
        case "power":
            base = _tex_side(term, 0)
            kinds = ("indexed", "exp", "power", "transpose", "step")
            raised = parts[0].kind in kinds and "^" in base
            return f"{_tex_bracketed(base) if raised else base}^{{{latex(parts[1])}}}"
        case "transpose":
            inner = _tex_wrapped(parts[0], ATOM)
            if parts[0].kind in ("partial", "power", "exp"):
                inner = _tex_bracketed(inner)
            elif parts[0].kind == "step" and "^" in inner:
                inner = f"{{{inner}}}"
            return f"{inner}^{{T}}"
        case "total" | "mean":
            least = PRODUCT if parts[0].kind == "hadamard" else TIMES
            return f"{summation(term)} {_tex_wrapped(parts[0], least)}"
        case "greatest":
            return rf"\max_{{{_letters(term.text)}}} {_tex_wrapped(parts[0], TIMES)}"
        case "convolve":
            sign = "*^{T}" if term.text else "*"
            return rf"{_tex_side(term, 0)} \mathbin{{{sign}}} {_tex_side(term, 1)}"
        case "partial":
            return rf"\frac{{\partial {latex(parts[0])}}}{{\partial {latex(parts[1])}}}"
        case "chain":
            return r" \, ".join(map(latex, parts))
        case "indexed":
            return _latex_indexed(term)
        case "at":
            places = "".join(_PLACES.get(c, c) for c in term.text)
            return _latex_indexed(Term("indexed", parts, places))
        case "part":
            whole = _tex_wrapped(parts[0], ATOM)
            whole = _tex_bracketed(whole) if parts[0].kind == "partial" else f"{{{whole}}}"
            return f"{whole}_{{[{term.text}]}}"
        case "step":
            return _latex_step(term)
        case "stack":
            return f"[{'; '.join(map(latex, parts))}]"
        case "item":
            return f"{_tex_wrapped(parts[0], ATOM)}[{latex(parts[1])}]"
        case "family":
            return f"({latex(parts[0])})_{{{term.text}}}"
        case "over_m":
            return r"\frac{1}{m}"
        case "bracket":
            return f"[{latex(parts[0])}]"
        case "compare":
            sign = _SIGNS.get(term.text, term.text)
            return f"{_tex_side(term, 0)} {sign} {_tex_side(term, 1)}"
        case "choice":
            c, a, b = map(latex, parts)
            return rf"\begin{{cases}} {a} & {c} \\ {b} & \text{{otherwise}} \end{{cases}}"
        case "root":
            return rf"\sqrt{{{latex(parts[0])}}}"
        case "exp":
            return f"e^{{{latex(parts[0])}}}"
        case "abs":
            return rf"\lvert {latex(parts[0])} \rvert"
    raise ValueError(term.kind)


_SIGNS = {"≤": r"\le", "≥": r"\ge", "≠": r"\ne", "and": r"\land", "or": r"\lor", "∈": r"\in"}
_PLACES = {"−": "-", "⌊": r"\lfloor ", "⌋": r"\rfloor ", ",": r",\,"}
_OPERATORS = {"tanh": r"\tanh", "log": r"\log", "max": r"\max", "min": r"\min", "sin": r"\sin",
              "cos": r"\cos", "σ": r"\sigma", "vec⁻¹": r"\operatorname{vec}^{-1}"}  # fmt: skip


def summation(term: Term) -> str:
    """Σ of a sum or a mean, with what it goes over and what it is divided by."""
    sign = r"\sum" + (f"_{{{_letters(term.text)}}}" if term.text else "")
    count = term.parts[1].text + r" \, " if len(term.parts) > 1 else ""
    return rf"\frac{{1}}{{{count}m}} {sign}" if term.kind == "mean" else sign


def _letters(index: str) -> str:
    """i,p for a sum over examples and places."""
    return ",".join(index.lstrip("_"))


def function(name: str) -> str:
    """The name of a function."""
    if name in ("𝒩", "𝒰"):
        return r"\mathcal{N}" if name == "𝒩" else r"\mathcal{U}"
    return _OPERATORS.get(name) or rf"\operatorname{{{escape_latex(name)}}}"


def _latex_number(text: str) -> str:
    text = {"0.5": "1/2", "0.25": "1/4"}.get(text, text)
    above, line, below = text.partition("/")
    if line:
        return rf"\tfrac{{{above}}}{{{below}}}"
    mantissa, mark, exponent = text.partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if mark else text


def _tex_bracketed(text: str) -> str:
    return rf"\left({text}\right)" if "\\frac" in text or "\\begin" in text else f"({text})"


def _tex_wrapped(term: Term, least: int) -> str:
    text = latex(term)
    return _tex_bracketed(text) if level(term) < least else text


def _tex_side(term: Term, side: int) -> str:
    text = latex(term.parts[side])
    part = term.parts[side]
    if part.kind == "quotient" and term.kind != "power":
        return text  # a fraction bar groups by itself
    return _tex_bracketed(text) if needs_brackets(term.kind, part, side) else text


def _latex_step(term: Term) -> str:
    index = term.text.replace("−", "-")
    if term.parts[0].kind != "symbol":
        return f"{{{latex(term.parts[0])}}}_{{{index}}}"
    return _latex_indexed(Term("indexed", term.parts, index))


def _latex_indexed(term: Term) -> str:
    base, accent, sub = split_name(term.parts[0].text)
    shown = latex_name(f"{base}_{accent}" if accent else base)
    layer = f"^{{({sub})}}" if sub else ""
    return f"{shown}{layer}_{{{term.text}}}" if term.text else shown + layer
