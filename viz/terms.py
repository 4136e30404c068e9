"""Formulas as small trees, and how strongly their parts bind.

In: nothing; `formula` and `derive` build terms with the functions here. Out: terms, which
`unicode` and `latex` write. A term knows no values and no shapes. Terms are of bounded size
(`LIMIT`), so the writers may recurse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

# Binding strength, weakest first.
COMPARE, ADD, TIMES, PRODUCT, POWER, ATOM = range(6)
LIMIT = 160  # parts of a term; longer ones are cut off with an ellipsis


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a formula: `kind` says how the `parts` are joined; `text` is a name or number."""

    kind: str
    parts: tuple[Term, ...] = ()
    text: str = ""
    size: int = field(default=1, compare=False)


def _term(kind: str, *parts: Term, text: str = "") -> Term:
    size = 1 + sum(p.size for p in parts)
    return Term("symbol", (), "…") if size > LIMIT else Term(kind, parts, text, size)


def symbol(name: str) -> Term:
    """A name: `W_1`, `y_hat`, `scores`. Digits behind it become a subscript."""
    return Term("symbol", (), name)


def number(value: float) -> Term:
    shown = Term("number", (), _fraction(abs(value)) or f"{abs(value):.6g}")
    return _term("neg", shown) if value < 0 else shown


def ratio(above: int, below: int) -> Term:
    """A fraction of two numbers, as a number."""
    return Term("number", (), f"{above}/{below}")


def _fraction(value: float) -> str:
    """2/3 for 0.666667: a number with many places that is a simple fraction."""
    if value >= 1000 or len(f"{value:.6g}".lstrip("0.").replace(".", "")) < 5:
        return ""
    near = Fraction(value).limit_denominator(1000)
    simple = near.denominator > 1 and 0 < near.numerator <= 12
    close = abs(float(near) - value) <= 1e-7 * value
    return f"{near.numerator}/{near.denominator}" if simple and close else ""


def call(function: str, *arguments: Term) -> Term:
    """f(x, y); `function` is a name, `σ` for the sigmoid."""
    return _term("call", *arguments, text=function)


def prime(function: str, argument: Term) -> Term:
    """f′(x)."""
    return _term("prime", argument, text=function)


def add(a: Term, b: Term) -> Term:
    return _term("sub", a, b.parts[0]) if b.kind == "neg" else _term("add", a, b)


def sub(a: Term, b: Term) -> Term:
    return _term("add", a, b.parts[0]) if b.kind == "neg" else _term("sub", a, b)


def neg(a: Term) -> Term:
    return a.parts[0] if a.kind == "neg" else _term("neg", a)


def hadamard(a: Term, b: Term) -> Term:
    """Element by element. A fraction before a mean over places goes into it."""
    if a.kind == "times":
        counted = _counted(a.parts[0], b)
        if counted is not None:
            return hadamard(a.parts[1], counted)
    return _signed("hadamard", a, b)


def convolved(kernel: Term, image: Term, kind: str = "") -> Term:
    """kernel ∗ image; of kind `T` the transposed convolution."""
    return _term("convolve", kernel, image, text=kind)


def times(a: Term, b: Term) -> Term:
    """A number, or a scalar, times anything; numbers come first."""
    if is_number(b) and not is_number(a):
        a, b = b, a
    if a.kind == "number" and a.text == "1":
        return b
    counted = _counted(a, b)
    if counted is not None:
        return counted
    if a.kind == "neg" and a.parts[0].text == "1" and a.parts[0].kind == "number":
        return neg(b)
    return _signed("times", a, b)


def multiplied(term: Term) -> Term:
    """The term with numbers that follow each other as one: 2 · 10 x is 20 x."""
    parts = tuple(map(multiplied, term.parts))
    whole = Term(term.kind, parts, term.text, term.size) if parts else term
    if whole.kind != "times" or parts[0].kind != "number" or parts[1].kind != "times":
        return whole
    first, (second, rest) = parts[0], parts[1].parts
    if second.kind != "number":
        return whole
    return times(number(float(Fraction(first.text) * Fraction(second.text))), rest)


def _counted(n: Term, b: Term) -> Term | None:
    """(1/n)(1/m) Σᵢₚ x as one mean over n m elements, also where it is the last factor of b."""
    if n.kind == "neg":
        found = _counted(n.parts[0], b)
        return neg(found) if found is not None else None
    count = _inverse(n)
    if count is None or b.kind not in ("mean", "hadamard", "times"):
        return None
    if b.kind == "mean":
        whole = len(b.parts) == 1 and b.text == "ip"
        return mean(b.parts[0], b.text, count) if whole else None
    last = _counted(n, b.parts[1])
    return _signed(b.kind, b.parts[0], last) if last is not None else None


def _inverse(n: Term) -> int | None:
    """k, where the term is the number 1/k."""
    if n.kind != "number":
        return None
    above, line, below = n.text.partition("/")
    if line:
        return int(below) if above == "1" else None
    value = float(n.text)
    count = round(1 / value) if 0 < value < 0.75 else 0
    return count if count and abs(1 / value - count) <= 1e-5 * count else None


def factors(*parts: Term) -> Term:
    """A product of numbers, as elements are: written one behind the other."""
    minus = False
    flat: list[Term] = []
    for p in parts:
        if p.kind == "neg":
            minus, p = not minus, p.parts[0]
        flat += p.parts if p.kind == "factors" else [p]
    flat = [p for p in flat if p != number(1)]
    flat.sort(key=lambda p: p.kind != "number")
    made = _term("factors", *flat) if len(flat) > 1 else flat[0] if flat else number(1)
    return neg(made) if minus else made


def product(a: Term, b: Term) -> Term:
    """The matrix product, written by putting one behind the other."""
    return _signed("product", a, b)


def _signed(kind: str, a: Term, b: Term) -> Term:
    """A minus sign of a factor stands before the product."""
    minus = (a.kind == "neg") != (b.kind == "neg")
    a = a.parts[0] if a.kind == "neg" else a
    b = b.parts[0] if b.kind == "neg" else b
    made = _term(kind, a, b)
    return neg(made) if minus else made


def quotient(a: Term, b: Term) -> Term:
    if a.kind == "neg":
        return neg(quotient(a.parts[0], b))
    return _term("quotient", a, b)


def power(a: Term, b: Term) -> Term:
    return _term("power", a, b)


def transpose(a: Term) -> Term:
    """aᵀ; that of a product is the product of the transposes, turned round."""
    match a.kind:
        case "transpose":
            return a.parts[0]
        case "product":
            return product(transpose(a.parts[1]), transpose(a.parts[0]))
        case "total" | "mean":
            return _term(a.kind, transpose(a.parts[0]), *a.parts[1:], text=a.text)
    return _term("transpose", a)


def total(body: Term, index: str = "") -> Term:
    """Σ body, over `index` where it has a name."""
    if body.kind == "neg":
        return neg(total(body.parts[0], index))
    return _term("total", body, text=index)


def over_m(body: Term) -> Term:
    """(1/m) body."""
    return _signed("times", Term("over_m"), body)


def mean(body: Term, index: str = "", count: int = 1) -> Term:
    """(1/m) Σ body, or (1/(count m)) Σ body."""
    if body.kind == "neg":
        return neg(mean(body.parts[0], index, count))
    return _term("mean", body, *([number(count)] if count > 1 else []), text=index)


def greatest(body: Term, index: str) -> Term:
    """The greatest element of body, over `index`."""
    return _term("greatest", body, text=index)


def partial(above: Term, below: Term) -> Term:
    """∂above/∂below."""
    return _term("partial", above, below)


def chain(*factors: Term) -> Term:
    """A product of partial derivatives, each in brackets."""
    return _term("chain", *factors) if len(factors) > 1 else factors[0]


def indexed(name: Term, letters: str) -> Term:
    """One element: w_hj."""
    return _term("indexed", name, text=letters)


def at(name: Term, *places: str) -> Term:
    """One element of an image or a kernel, whose places are sums: x[c, 2i + k − 1, 2j + l − 1]."""
    return _term("at", name, text=", ".join(places))


def part(whole: Term, places: str) -> Term:
    """Some elements: y[0:5]."""
    return _term("part", whole, text=places)


def step(name: Term, index: str) -> Term:
    """A value at one step of a sequence: h_t, h_{t−1}."""
    return _term("step", name, text=index)


def stack(*parts: Term) -> Term:
    """Vectors written one under another: [h; x]."""
    return _term("stack", *parts)


def item(table: Term, place: Term) -> Term:
    """A row of a table: E[x]."""
    return _term("item", table, place)


def family(of: Term, letter: str) -> Term:
    """One for each step: (h_t)_t."""
    return _term("family", of, text=letter)


def bracket(condition: Term) -> Term:
    """[condition]: 1 where it holds, else 0 (Iverson's bracket)."""
    return _term("bracket", condition)


def compare(sign: str, a: Term, b: Term) -> Term:
    return _term("compare", a, b, text=sign)


def choice(condition: Term, a: Term, b: Term) -> Term:
    """a where the condition holds, else b."""
    return _term("choice", condition, a, b)


def root(a: Term) -> Term:
    return _term("root", a)


def exponential(a: Term) -> Term:
    return _term("exp", a)


def absolute(a: Term) -> Term:
    return _term("abs", a)


def is_number(term: Term) -> bool:
    """A number, or the opposite of one."""
    return term.kind == "number" or (term.kind == "neg" and term.parts[0].kind == "number")


def hidden(term: Term) -> bool:
    """True for a term that was cut off."""
    return term.text == "…" and term.kind == "symbol"


def kinds(term: Term) -> set[str]:
    """What kinds of joints a term has: `convolve`, and with their texts `total w`, `call vec`."""
    found: set[str] = set()
    stack = [term]
    while stack:
        x = stack.pop()
        found |= {x.kind, f"{x.kind} {x.text}"}
        stack += x.parts
    return found


def renamed(term: Term, new: Mapping[str, str]) -> Term:
    """The term with other names in it."""
    if term.kind == "symbol":
        return Term("symbol", (), new.get(term.text, term.text))
    parts = tuple(renamed(p, new) for p in term.parts)
    return Term(term.kind, parts, term.text, term.size)


def shifted(term: Term, letter: str, by: int) -> Term:
    """The term some steps of the index `letter` later."""
    text = term.text
    if term.kind == "step" or (term.kind == "part" and text.startswith(letter)):
        text = _moved(text, letter, by)
    parts = tuple(shifted(p, letter, by) for p in term.parts)
    return Term(term.kind, parts, text, term.size)


def at_end(term: Term, letter: str, end: str) -> Term:
    """The term at the last step: h_T for h_t."""
    text = end if term.kind == "step" and term.text == letter else term.text
    return Term(term.kind, tuple(at_end(p, letter, end) for p in term.parts), text, term.size)


def at_step(term: Term, letter: str, number: int) -> Term:
    """The term at the step of that number: h_2 for h_{t−1} at 3."""
    text = term.text
    if term.kind in ("step", "part") and text.startswith(letter):
        rest = text[len(letter) :].replace("−", "-")
        text = str(number + (int(rest) if rest else 0))
    parts = tuple(at_step(p, letter, number) for p in term.parts)
    return Term(term.kind, parts, text, term.size)


def _moved(index: str, letter: str, by: int) -> str:
    if not index.startswith(letter):
        return index
    rest = index[len(letter) :].replace("−", "-")
    place = (int(rest) if rest else 0) + by
    return f"{letter}{place:+d}".replace("-", "−") if place else letter


# ---------------------------------------------------------------- precedence

_LEVEL = {
    "compare": COMPARE, "choice": COMPARE, "add": ADD, "sub": ADD, "neg": ADD,
    "hadamard": TIMES, "times": TIMES, "quotient": TIMES, "total": TIMES, "mean": TIMES,
    "factors": TIMES, "greatest": TIMES, "product": PRODUCT, "convolve": PRODUCT,
    "chain": PRODUCT, "power": POWER, "transpose": POWER,
}  # fmt: skip


def level(term: Term) -> int:
    return _LEVEL.get(term.kind, ATOM)


# What each side of a joint must bind at least as strongly as.
_SIDES = {
    "add": (ADD, ADD), "sub": (ADD, TIMES), "hadamard": (TIMES, TIMES), "times": (TIMES, TIMES),
    "quotient": (TIMES, PRODUCT), "product": (PRODUCT, PRODUCT), "power": (ATOM, ADD),
    "compare": (ADD, ADD), "convolve": (POWER, POWER),
}  # fmt: skip


def _open(term: Term) -> bool:
    """A Σ reaches as far right as it can: on the left of something it needs brackets."""
    if term.kind in ("total", "mean", "greatest"):
        return True
    return term.kind in ("times", "hadamard", "neg") and _open(term.parts[-1])


def needs_brackets(parent: str, part: Term, side: int) -> bool:
    """Whether `part` is bracketed on that side (0 left, 1 right) of the joint `parent`."""
    if level(part) < _SIDES[parent][side]:
        return True
    if side == 0 and parent in ("hadamard", "times", "product", "quotient") and _open(part):
        return True
    if parent == "power" and side == 0 and part.kind == "partial":
        return True
    if part.kind == "quotient" and parent in ("hadamard", "times", "product"):
        return part.size > 3
    return parent == "quotient" and side == 1 and level(part) <= TIMES
