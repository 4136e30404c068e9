"""Terms as one line of Unicode text: ∂L/∂W₂ = (1/m)(A₂ − Y)A₁ᵀ.

In: a term. Out: text, with brackets where precedence asks for them.
"""

from __future__ import annotations

import re

from .symbols import HATS, split_name
from .terms import ADD, ATOM, TIMES, Term, is_number, level, needs_brackets

_DIGITS = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_RAISED = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_COMPOSED = {"y\u0302": "ŷ", "Y\u0302": "Ŷ", "x\u0302": "x̂"}


def unicode_name(name: str) -> str:
    """A name as Unicode text."""
    base, accent, sub = split_name(name)
    if accent:
        base += HATS[accent][0]
        base = _COMPOSED.get(base, base)
    return base + sub.translate(_DIGITS).replace("ℓ", "ₗ")


def unicode(term: Term) -> str:
    """The term as one line of Unicode text."""
    parts = term.parts
    match term.kind:
        case "symbol":
            return unicode_name(term.text)
        case "number":
            return _unicode_number(term.text)
        case "call":
            return f"{term.text}({', '.join(map(unicode, parts))})"
        case "prime":
            return f"{term.text}′({unicode(parts[0])})"
        case "neg":
            return "−" + _wrapped(parts[0], TIMES)
        case "add" | "sub" | "hadamard":
            sign = {"add": "+", "sub": "−", "hadamard": "⊙"}[term.kind]
            return f"{_side(term, 0)} {sign} {_side(term, 1)}"
        case "times" | "product":
            return _beside(term)
        case "factors":
            return _factors(term)
        case "quotient":
            return f"{_side(term, 0)}/{_side(term, 1)}" if _short(term) else (
                f"{_side(term, 0)} / {_side(term, 1)}")  # fmt: skip
        case "power":
            return _unicode_power(term)
        case "transpose":
            inner = _wrapped(parts[0], ATOM)
            return f"({inner})ᵀ" if parts[0].kind == "partial" else f"{inner}ᵀ"
        case "total":
            return _summed(f"Σ{_low(term.text)}", parts[0])
        case "mean":
            many = f"1/({parts[1].text}m)" if len(parts) > 1 else "(1/m)"
            gap = " " if term.text else ""
            return _summed(f"{many}{gap}Σ{_low(term.text)}", parts[0])
        case "greatest":
            return _summed(f"max{_low(term.text)}", parts[0])
        case "convolve":
            sign = "∗ᵀ" if term.text else "∗"
            return f"{_side(term, 0)} {sign} {_side(term, 1)}"
        case "partial":
            return f"∂{_wrapped(parts[0], ATOM)}/∂{_wrapped(parts[1], ATOM)}"
        case "chain":
            return "".join(f"({unicode(p)})" for p in parts)
        case "indexed":
            return _unicode_indexed(term)
        case "at":
            return f"{_unicode_indexed(Term('indexed', parts))}[{term.text}]"
        case "part":
            whole = _wrapped(parts[0], ATOM)
            return (
                f"({whole})[{term.text}]" if parts[0].kind == "partial" else f"{whole}[{term.text}]"
            )
        case "step":
            return _unicode_step(term)
        case "stack":
            return f"[{'; '.join(map(unicode, parts))}]"
        case "item":
            return f"{_wrapped(parts[0], ATOM)}[{unicode(parts[1])}]"
        case "family":
            return f"({unicode(parts[0])}){_lowered(term.text)}"
        case "over_m":
            return "(1/m)"
        case "bracket":
            return f"[{unicode(parts[0])}]"
        case "compare":
            return f"{_side(term, 0)} {term.text} {_side(term, 1)}"
        case "choice":
            return (
                f"{_wrapped(parts[1], ADD)} if {unicode(parts[0])} else {_wrapped(parts[2], ADD)}"
            )
        case "root":
            return f"√{_wrapped(parts[0], ATOM)}"
        case "exp":
            return f"exp({unicode(parts[0])})"
        case "abs":
            return f"|{unicode(parts[0])}|"
    raise ValueError(term.kind)


def _unicode_step(term: Term) -> str:
    """h at step t − 1; a numbered name carries its number above."""
    name = term.parts[0]
    shown = unicode(name) if name.kind != "symbol" else _unicode_indexed(Term("indexed", (name,)))
    return shown + _lowered(term.text)


def _lowered(index: str) -> str:
    """t − 1 below the line; the last step has no sign of its own there."""
    plain = index.translate(_DIGITS)
    for letter, low in _STEPS.items():
        plain = plain.replace(letter, low)
    return plain if not re.search("[A-Z]", plain) else f"_{index}"


_STEPS = {"t": "ₜ", "s": "ₛ", "u": "ᵤ"}
_FRACTIONS = {"0.5": "½", "0.25": "¼", "1/2": "½", "1/3": "⅓", "2/3": "⅔", "1/4": "¼"}


def _unicode_number(text: str) -> str:
    if text in _FRACTIONS:
        return _FRACTIONS[text]
    return f"({text})" if "/" in text else text.replace("-", "−")


def _wrapped(term: Term, least: int) -> str:
    text = unicode(term)
    return f"({text})" if level(term) < least else text


def _side(term: Term, side: int) -> str:
    text = unicode(term.parts[side])
    return f"({text})" if needs_brackets(term.kind, term.parts[side], side) else text


def _beside(term: Term) -> str:
    left, right = _side(term, 0), _side(term, 1)
    tight = right.startswith("(") and not left[-1].isdigit()
    word = re.match(r"[A-Za-z]{2}", right) is not None
    tight = tight or (left.endswith(")") and not right.startswith(("∂", "Σ")) and not word)
    if term.kind == "times" and all(map(is_number, term.parts)):
        return f"{left} · {right}"
    if term.kind == "times" and not tight and term.parts[0].kind != "number":
        return f"{left} · {right}" if term.parts[0].kind != "over_m" else f"{left} {right}"
    return left + right if tight else f"{left} {right}"


def _factors(term: Term) -> str:
    """ŷ_j(1 − ŷ_j) b_h; a sum that is not the last ends with a dot: Σ_j … · b_h."""
    text = ""
    for k, p in enumerate(term.parts):
        last = k == len(term.parts) - 1
        piece = unicode(p) if p.kind == "total" else _wrapped(p, TIMES)
        bracketed = piece.startswith("(")
        gap = "" if not text or (bracketed and not text.endswith((")", " "))) else " "
        text += ("" if text.endswith(" ") else gap) + piece
        text += " · " if p.kind == "total" and not last else ""
    return text


def _short(term: Term) -> bool:
    return all(p.size <= 2 for p in term.parts)


def _summed(sign: str, body: Term) -> str:
    text = unicode(body)
    joined = body.kind in ("quotient", "hadamard")
    if (level(body) <= ADD and body.kind != "neg") or joined:
        return f"{sign}({text})" if sign.endswith("Σ") else f"{sign} ({text})"
    return f"{sign} {text}"


def _low(index: str) -> str:
    """A summation index: i counts the examples, p the places of an image; others, and letters
    after a low line, are those of elements, written w_hj."""
    known = {"": "", "i": "ᵢ", "p": "ₚ", "ip": "ᵢₚ", **_STEPS}
    return known.get(index, f"_{index.lstrip('_')}")


def _unicode_power(term: Term) -> str:
    _base, exponent = term.parts
    left = f"({_side(term, 0)})" if _base.kind == "indexed" else _side(term, 0)
    if exponent.kind == "number" and re.fullmatch(r"-?\d+", exponent.text):
        return left + exponent.text.translate(_RAISED)
    return f"{left}^{_wrapped(exponent, ATOM)}"


def _unicode_indexed(term: Term) -> str:
    """w_hj; a numbered name carries its layer above: w⁽²⁾_hj."""
    name = term.parts[0]
    base, accent, sub = split_name(name.text)
    shown = unicode_name(base + accent) if not accent else unicode_name(f"{base}_{accent}")
    layer = f"⁽{sub.translate(_RAISED)}⁾" if sub else ""
    return f"{shown}{layer}_{term.text}" if term.text else shown + layer
