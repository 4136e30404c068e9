"""Terms as MathML Core, which browsers typeset without a script, a font or a network.

In: a term. Out: markup inside of `<math>`, with every text escaped: a name cannot become markup.
`formula` puts it into a `<math>` of its own, with the Unicode text for readers of the screen.
"""

from __future__ import annotations

from .dot import escape
from .symbols import HATS, split_name
from .terms import ATOM, PRODUCT, TIMES, Term, level, needs_brackets
from .unicode import unicode

_ACCENTS = {"hat": "^", "bar": "¯", "tilde": "~"}
assert set(_ACCENTS) == set(HATS)


def formula(*terms: Term, sign: str = "=", block: bool = True) -> str:
    """The terms with a sign between them, as a formula of its own."""
    display = ' display="block"' if block else ""
    spoken = f" {sign} ".join(map(unicode, terms))
    inside = operator(sign).join(map(mathml, terms))
    return f'<math{display} alttext="{escape(spoken)}"><mrow>{inside}</mrow></math>'


def mathml(term: Term) -> str:
    """The term as MathML."""
    parts = term.parts
    match term.kind:
        case "symbol":
            return name(term.text)
        case "number":
            return _number(term.text)
        case "call":
            return f"{_function(term.text)}{_applied(parts)}"
        case "prime":
            return f"<msup>{_function(term.text)}{operator('′')}</msup>{_applied(parts)}"
        case "neg":
            return operator("−", "prefix") + _wrapped(parts[0], TIMES)
        case "add" | "sub" | "hadamard":
            sign = {"add": "+", "sub": "−", "hadamard": "⊙"}[term.kind]
            return _side(term, 0) + operator(sign) + _side(term, 1)
        case "times":
            plain = all(p.kind not in ("number", "over_m") for p in parts)
            return _side(term, 0) + (operator("·") if plain else _GAP) + _side(term, 1)
        case "product":
            return _side(term, 0) + _GAP + _side(term, 1)
        case "factors":
            return _GAP.join(
                _wrapped(p, PRODUCT if p.kind == "total" and p is not parts[-1] else TIMES)
                for p in parts
            )
        case "quotient":
            return f"<mfrac>{_row(mathml(parts[0]))}{_row(mathml(parts[1]))}</mfrac>"
        case "power":
            low = _side(term, 0)
            raised = parts[0].kind in ("indexed", "exp", "power", "transpose", "step")
            return _raised(_brackets(low) if raised else low, mathml(parts[1]))
        case "transpose":
            inside = _wrapped(parts[0], ATOM)
            closed = parts[0].kind in ("partial", "power", "exp")
            return _raised(_brackets(inside) if closed else inside, "<mi>T</mi>")
        case "total" | "mean":
            return _summed(term)
        case "greatest":
            under = f"<munder><mo>max</mo>{_letters(term.text)}</munder>"
            return under + _wrapped(parts[0], TIMES)
        case "convolve":
            sign = operator("∗")
            sign = f"<msup>{sign}<mi>T</mi></msup>" if term.text else sign
            return _side(term, 0) + sign + _side(term, 1)
        case "partial":
            above, below = (_row(operator("∂", "prefix") + mathml(p)) for p in parts)
            return f"<mfrac>{above}{below}</mfrac>"
        case "chain":
            return _GAP.join(map(mathml, parts))
        case "indexed" | "at":
            return _indexed(parts[0].text, term.text)
        case "part":
            whole = mathml(parts[0])
            safe = _brackets(whole) if parts[0].kind == "partial" else whole
            return f"<msub>{_row(safe)}{_row(_text('[' + term.text + ']'))}</msub>"
        case "step":
            inner = parts[0]
            if inner.kind == "symbol":
                return _indexed(inner.text, term.text)
            return f"<msub>{_row(mathml(inner))}{_row(_text(term.text))}</msub>"
        case "stack":
            rows = operator(";").join(map(mathml, parts))
            return _fenced("[", rows, "]")
        case "item":
            return _wrapped(parts[0], ATOM) + _fenced("[", mathml(parts[1]), "]")
        case "family":
            return f"<msub>{_row(_brackets(mathml(parts[0])))}{_text(term.text)}</msub>"
        case "over_m":
            return "<mfrac><mn>1</mn><mi>m</mi></mfrac>"
        case "bracket":
            return _fenced("[", mathml(parts[0]), "]")
        case "compare":
            return _side(term, 0) + operator(term.text) + _side(term, 1)
        case "choice":
            return _choice(term)
        case "root":
            return f"<msqrt>{mathml(parts[0])}</msqrt>"
        case "exp":
            return _raised("<mi>e</mi>", mathml(parts[0]))
        case "abs":
            return _fenced("|", mathml(parts[0]), "|")
    raise ValueError(term.kind)


_GAP = '<mspace width="0.17em"></mspace>'


def operator(sign: str, form: str = "", high: bool = True) -> str:
    """An operator; brackets and signs before a term say which `form` they have."""
    known = f' form="{form}"' if form else ""
    stretchy = "" if high else ' stretchy="false"'
    return f"<mo{known}{stretchy}>{escape(sign)}</mo>"


def name(text: str) -> str:
    """A name: base letter, accent, number."""
    if text == "…":
        return "<mo>…</mo>"
    base, accent, sub = split_name(text)
    shown = _accented(base, accent)
    return f"<msub>{shown}{_text(sub)}</msub>" if sub else shown


def _accented(base: str, accent: str) -> str:
    shown = f"<mi>{escape(base)}</mi>"
    if not accent:
        return shown
    return f'<mover accent="true">{shown}<mo>{_ACCENTS[accent]}</mo></mover>'


def _text(text: str) -> str:
    """What stands as an index: a number, or letters and signs."""
    return f"<mn>{text}</mn>" if text.isdigit() else f"<mtext>{escape(text)}</mtext>"


def _indexed(whole: str, index: str) -> str:
    """w_hj; a numbered name carries its layer above."""
    base, accent, sub = split_name(whole)
    shown = _accented(base, accent)
    if sub and index:
        above = _row(operator("(", "prefix") + _text(sub) + operator(")", "postfix"))
        return f"<msubsup>{shown}{_text(index)}{above}</msubsup>"
    return f"<msub>{shown}{_text(index)}</msub>" if index else name(whole)


def _function(text: str) -> str:
    return f"<mi>{escape(text)}</mi>"


def _applied(parts: tuple[Term, ...]) -> str:
    return "<mo>&#x2061;</mo>" + _brackets(operator(",").join(map(mathml, parts)))


def _number(text: str) -> str:
    text = {"0.5": "1/2", "0.25": "1/4"}.get(text, text)
    above, line, below = text.partition("/")
    if line:
        return f"<mfrac><mn>{above}</mn><mn>{below}</mn></mfrac>"
    mantissa, mark, exponent = text.partition("e")
    if not mark:
        return f"<mn>{escape(text)}</mn>"
    power = str(int(exponent)).replace("-", "−")
    return f"<mn>{mantissa}</mn>{operator('·')}<msup><mn>10</mn><mn>{power}</mn></msup>"


def _summed(term: Term) -> str:
    body = term.parts[0]
    sign = '<mo largeop="true" movablelimits="false">∑</mo>'
    sign = f"<munder>{sign}{_letters(term.text)}</munder>" if term.text else sign
    lead = ""
    if term.kind == "mean":
        count = f"<mn>{term.parts[1].text}</mn>" if len(term.parts) > 1 else ""
        lead = f"<mfrac><mn>1</mn>{_row(count + '<mi>m</mi>')}</mfrac>"
    return lead + sign + _wrapped(body, PRODUCT if body.kind == "hadamard" else TIMES)


def _letters(index: str) -> str:
    """i, p for a sum over examples and places."""
    return _row(operator(",").join(f"<mi>{escape(c)}</mi>" for c in index.lstrip("_")))


def _choice(term: Term) -> str:
    condition, a, b = map(mathml, term.parts)
    cells = ((a, condition), (b, "<mtext>otherwise</mtext>"))
    rows = "".join(f"<mtr><mtd>{x}</mtd><mtd>{when}</mtd></mtr>" for x, when in cells)
    return operator("{", "prefix") + f"<mtable>{rows}</mtable>"


def _row(inside: str) -> str:
    return f"<mrow>{inside}</mrow>"


def _raised(base: str, above: str) -> str:
    return f"<msup>{_row(base)}{_row(above)}</msup>"


def _brackets(inside: str) -> str:
    return _fenced("(", inside, ")")


def _fenced(left: str, inside: str, right: str) -> str:
    """In brackets as high as what stands in them; what is one line high keeps plain ones."""
    high = any(tag in inside for tag in _HIGH)
    return _row(operator(left, "prefix", high) + inside + operator(right, "postfix", high))


_HIGH = ("<mfrac", "<munder", "<mtable", "<msqrt")


def _wrapped(term: Term, least: int) -> str:
    text = mathml(term)
    return _row(_brackets(text)) if level(term) < least else text


def _side(term: Term, side: int) -> str:
    part = term.parts[side]
    text = mathml(part)
    if part.kind == "quotient" and term.kind != "power":
        return text  # a fraction bar groups by itself
    return _row(_brackets(text)) if needs_brackets(term.kind, part, side) else text
