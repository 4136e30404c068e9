"""Values to formulas: what a graph computes, as a reader would write it.

In: values, and terms for those that have a name (`known`). Out: a term for each value.
Bookkeeping is left out (casts, broadcasts, stop_gradient), and shapes that textbooks have a
name for are recognised by their structure: softmax, log-sum-exp, means, outer products. With
`batch` true a batched vector is a matrix whose columns are the examples, so that Σᵢ δᵢ aᵢᵀ is
written Δ Aᵀ; else sums over the batch are written Σᵢ. Choosing the names is left to `names`.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isclose
from typing import cast

from ..compiler.value import Value
from . import terms as t
from .pooling import RULES as POOLING
from .pooling import WINDOW, index_of, where_greatest
from .seen import (
    bare,
    inverse_of,
    is_sum_of_exponentials,
    is_total_of,
    number_of,
    ratio_of,
    unshifted,
)
from .terms import Term

DOT = t.symbol("·")
CALLS = {
    "sigmoid": "σ",
    "stop_gradient": "",
    "maximum": "max",
    "minimum": "min",
    "one_hot": "onehot",
}
_SIGNS = {
    "lt": "<",
    "le": "≤",
    "gt": ">",
    "ge": "≥",
    "eq": "=",
    "ne": "≠",
    "and": "and",
    "or": "or",
}

_OPPOSITE = {"<": "≥", "≤": ">", ">": "≤", "≥": "<", "=": "≠", "≠": "="}


def formulas(
    roots: Iterable[Value],
    known: Mapping[Value, Term] | None = None,
    batch: bool = False,
    aliases: Mapping[Term, Term] | None = None,
) -> Mapping[Value, Term]:
    """A term for each root and everything below it, stopping at the known values.

    `aliases` are terms that have a shorter one: A₂ for softmax(Z₂).
    """
    return _Reader(known or {}, batch, aliases or {}).read(roots)


def formula(root: Value, known: Mapping[Value, Term] | None = None, batch: bool = False) -> Term:
    """The term of one value."""
    return formulas([root], known, batch)[root]


def right_hand_side(
    root: Value,
    known: Mapping[Value, Term],
    batch: bool = False,
    aliases: Mapping[Term, Term] | None = None,
) -> Term:
    """The formula that defines `root`, though `root` itself has a name."""
    others = _Without(root, known) if root in known else known
    return formulas([root], others, batch, aliases)[root]


class _Without(Mapping[Value, Term]):
    """All names but one: a view, since a large net has thousands, and as many formulas."""

    def __init__(self, root: Value, known: Mapping[Value, Term]) -> None:
        self.root, self.known = root, known

    def __getitem__(self, v: Value) -> Term:
        if v is self.root:
            raise KeyError(v)
        return self.known[v]

    def __contains__(self, v: object) -> bool:
        return v is not self.root and v in self.known

    def __iter__(self) -> Iterator[Value]:
        return (v for v in self.known if v is not self.root)

    def __len__(self) -> int:
        return len(self.known) - 1


class _Reader:
    def __init__(
        self, known: Mapping[Value, Term], batch: bool, aliases: Mapping[Term, Term]
    ) -> None:
        # What is known is not copied: a derivation asks for thousands of small formulas.
        self.terms: ChainMap[Value, Term] = ChainMap({}, cast(dict[Value, Term], known))
        self.given = known
        self.batch = batch
        self.aliases = aliases

    def read(self, roots: Iterable[Value]) -> Mapping[Value, Term]:
        stack = [*roots]
        while stack:
            v = stack[-1]
            if v in self.terms:
                stack.pop()
                continue
            missing = [a for a in v.args if a not in self.terms]
            if missing:
                stack += missing
                continue
            term = self.term(v)
            self.terms[v] = self.aliases.get(term, term)
            stack.pop()
        return self.terms

    def term(self, v: Value) -> Term:
        args = [self.terms[a] for a in v.args]
        pattern = self.softmax(v) or self.log_softmax(v) or self.greatest(v)
        if pattern is None and v.op.name in POOLING:
            pattern = POOLING[v.op.name](self.terms, v, args)
        if pattern is not None:
            return pattern
        rule = _RULES.get(v.op.name)
        if rule is not None:
            return rule(self, v, args)
        if v.op.name == "lt" and bare(v.args[0]).op.name == "positions":
            return t.symbol("mask")  # which steps an example has
        if v.op.name in _SIGNS:
            return t.compare(_SIGNS[v.op.name], *args)
        if v.op.family == "leaf":
            return t.symbol(str(v.attrs.get("name", v.op.name)))
        return t.call(CALLS.get(v.op.name, v.op.name), *args)

    # -------------------------------------------------------- recognised structures

    def softmax(self, v: Value) -> Term | None:
        """exp(z − c) / Σ exp(z − c), for any c."""
        parts = ratio_of(v)
        if parts is None:
            return None
        above, below = parts
        if above in self.given or above.op.name != "exp" or not is_total_of(below, above):
            return None
        z = unshifted(above.args[0])
        if z.op.name == "where" and (number_of(z.args[2]) or 0) <= -1e9 and z not in self.given:
            return t.call("softmax", self.terms[unshifted(z.args[1])], self.terms[z.args[0]])
        return t.call("softmax", self.terms[z])

    def greatest(self, v: Value) -> Term | None:
        """[A = P] for the place of the greatest element of each window."""
        image = where_greatest(v, self.terms)
        if image is None:
            return None
        greatest = t.greatest(image, WINDOW)
        return t.bracket(t.compare("=", image, self.aliases.get(greatest, greatest)))

    def log_softmax(self, v: Value) -> Term | None:
        """z − log Σ exp z, and log Σ exp z itself."""
        if v.op.name == "sub":
            x, y = v.args
            y = bare(y)
            if y in self.given or v.args[1] in self.given:
                return None
            if y.op.name == "log" and is_sum_of_exponentials(y.args[0], x):
                return t.call("log", t.call("softmax", self.terms[unshifted(x)]))
        return None


# ---------------------------------------------------------------- one rule an operation

Rule = Callable[[_Reader, Value, list[Term]], Term]


def _add(r: _Reader, v: Value, args: list[Term]) -> Term:
    n = number_of(v.args[1])
    if n is not None and n < 0:
        return _gathered(args[0], t.number(-n)) or t.sub(args[0], t.number(-n))
    for one, other in (args, args[::-1]):
        if _is_nothing(one):
            return other
    if args[0].kind == "neg" and args[1].kind != "neg":
        return _minus(args[1], args[0].parts[0])
    return _minus(args[0], args[1].parts[0]) if args[1].kind == "neg" else t.add(*args)


def _is_nothing(term: Term) -> bool:
    """0 times anything, which a setting may leave: 0 log p."""
    return term.kind == "times" and term.parts[0] == t.number(0)


def _gathered(total: Term, n: Term) -> Term | None:
    """… + n (x − 1) for … + n x − n."""
    if total.kind == "add":
        last = _gathered(total.parts[1], n)
        return t.add(total.parts[0], last) if last is not None else None
    if total.kind != "times" or total.parts[0] != n or n == t.number(1):
        return None
    x = total.parts[1]
    return None if _ends_open(x) else t.times(n, t.sub(x, t.number(1)))


def _mul(r: _Reader, v: Value, args: list[Term]) -> Term:
    for k in (0, 1):
        inverse = inverse_of(bare(v.args[k]))
        if inverse is not None:
            return _over(args[1 - k], r.terms[inverse], inverse)
    # A dot stands for any value that has no name: two dots need not be the same.
    if args[1] == args[0] and (v.args[0] is v.args[1] or args[0] != DOT):
        return t.power(args[0], t.number(2))
    scalars = [not x.shape or t.is_number(a) for x, a in zip(v.args, args, strict=True)]
    if scalars[1] and not scalars[0]:
        return t.times(args[1], args[0])
    if any(scalars) and not (DOT in args and not any(map(t.is_number, args))):
        return _mean_of_axes(r, v.args[0], v.args[1]) or t.times(*args)
    # A sum reaches as far right as it can, so it stands last.
    return t.hadamard(*(args[::-1] if _ends_open(args[0]) and not _ends_open(args[1]) else args))


def _mean_of_axes(r: _Reader, factor: Value, total: Value) -> Term | None:
    """(1/n) Σ x for a number times a sum (perhaps times y) that adds n elements."""
    n, total = number_of(factor), bare(total)
    if n is None or total in r.given:
        return None
    if total.op.name == "mul":
        for x, y in (total.args, total.args[::-1]):
            mean = _mean_of_axes(r, factor, x)
            if mean is not None and x.type.size < y.type.size:
                minus = mean.kind == "neg"
                made = t.hadamard(r.terms[y], mean.parts[0] if minus else mean)
                return t.neg(made) if minus else made
        return None
    if total.op.name != "sum" or total.attrs["batch"] or r.terms[total].kind != "total":
        return None
    count = total.args[0].type.size // total.type.size
    if count == 1 or not isclose(abs(n) * count, 1.0, rel_tol=1e-6):
        return None
    mean = t.times(t.ratio(1, count), r.terms[total])
    return t.neg(mean) if n < 0 else mean


def _ends_open(term: Term) -> bool:
    """A sum, perhaps with a number before it."""
    return term.kind in ("total", "mean") or (term.kind == "times" and _ends_open(term.parts[1]))


def _minus(a: Term, b: Term) -> Term:
    """a − b; of two sums taken away the plain one comes first: δ − mean δ − x̂ ⊙ mean(δ ⊙ x̂)."""
    if b.kind == "number" and (found := _gathered(a, b)) is not None:
        return found
    crossed = a.kind == "sub" and a.parts[1].kind == "hadamard" and _ends_open(a.parts[1].parts[1])
    if crossed and _ends_open(b):
        return t.sub(t.sub(a.parts[0], b), a.parts[1])
    return t.sub(a, b)


def _div(r: _Reader, v: Value, args: list[Term]) -> Term:
    if number_of(v.args[1]) == 1:
        return args[0]
    return _over(args[0], args[1], v.args[1])


def _over(above: Term, below: Term, divisor: Value) -> Term:
    """A quotient; over m it is a mean, over n m one over n places of each example."""
    divisor = bare(divisor)
    count = _places_of(divisor)
    if count is not None and above.kind == "total":
        return t.mean(above.parts[0], above.text, count)
    if divisor.op.name != "batch_size":
        n = number_of(divisor)
        if n is not None and n > 1 and n == int(n) and above.kind == "total":
            return t.times(t.ratio(1, int(n)), above)
        return t.quotient(above, below)
    if above.kind == "total":
        return t.mean(above.parts[0], above.text)
    return t.over_m(above)


def _places_of(divisor: Value) -> int | None:
    """n, where the divisor is n times the number of examples."""
    if divisor.op.name != "mul":
        return None
    for x, y in (divisor.args, divisor.args[::-1]):
        n = number_of(x)
        if n is not None and n == int(n) and bare(y).op.name == "batch_size":
            return int(n)
    return None


def _column_product(r: _Reader, total: Value) -> Term | None:
    """Δ Aᵀ for Σᵢ δᵢ aᵢᵀ, where matrices hold the examples in their columns."""
    x = bare(total.args[0])
    if r.batch and x.op.name == "outer" and not total.attrs["axes"]:
        left, right = x.args
        return t.product(r.terms[left], t.transpose(r.terms[right]))
    return None


def _sum(r: _Reader, v: Value, args: list[Term]) -> Term:
    if not v.attrs["batch"]:
        inner = v.args[0]
        if not v.attrs["axes"] or (v.attrs["axes"] and inner.type.size == 1):
            return args[0]
        return t.total(args[0], index_of(v))
    product = _column_product(r, v)
    if product is not None:
        return product
    return t.total(args[0], "" if r.batch else index_of(v))


def _pow(r: _Reader, v: Value, args: list[Term]) -> Term:
    n = number_of(v.args[1])
    if n == 0.5:
        return t.root(args[0])
    if n is not None and n < 0:
        below = args[0] if n == -1 else t.power(args[0], t.number(-n))
        return t.quotient(t.number(1), below)
    return args[0] if n == 1 else t.power(*args)


def _reshape(r: _Reader, v: Value, args: list[Term]) -> Term:
    before, after = v.args[0].shape, v.shape
    if len(before) == 1 and after == (1, *before):
        return t.transpose(args[0])
    plain = [tuple(n for n in shape if n != 1) for shape in (before, after)]
    return args[0] if plain[0] == plain[1] else t.call("reshape", args[0])


def _transpose(r: _Reader, v: Value, args: list[Term]) -> Term:
    rank = len(v.shape)
    if rank == 2 and v.attrs["perm"] == (1, 0):
        return t.transpose(args[0])
    return t.call("transpose", args[0])


def _slice(r: _Reader, v: Value, args: list[Term]) -> Term:
    """x[0:5]; one element has no end, whole axes no bounds."""

    def bounds(start: int, size: int, whole: int) -> str:
        if size == whole:
            return ":"
        return str(start) if size == 1 else f"{start}:{start + size}"

    given = zip(v.attrs["start"], v.attrs["size"], v.args[0].shape, strict=True)
    places = [bounds(*g) for g in given]
    return t.part(args[0], ", ".join(places)) if set(places) - {":"} else args[0]


def _concat(r: _Reader, v: Value, args: list[Term]) -> Term:
    return t.stack(*args) if len(v.shape) == 1 else t.call("concat", *args)


def _pad(r: _Reader, v: Value, args: list[Term]) -> Term:
    return args[0] if v.shape == v.args[0].shape else t.call("pad", *args)


def _where(r: _Reader, v: Value, args: list[Term]) -> Term:
    if number_of(v.args[2]) == 0:
        if number_of(v.args[1]) == 1:
            return t.bracket(args[0])
        return t.hadamard(args[1], t.bracket(args[0]))
    if number_of(v.args[1]) == 0:
        return t.hadamard(args[2], t.bracket(_opposite(args[0])))
    return t.choice(*args)


def _cast(r: _Reader, v: Value, args: list[Term]) -> Term:
    return t.bracket(args[0]) if v.args[0].type.dtype == "bool" else args[0]


def _maximum(r: _Reader, v: Value, args: list[Term]) -> Term:
    a, b = args
    return t.call("max", b, a) if b.kind == "number" else t.call("max", a, b)


def _not(r: _Reader, v: Value, args: list[Term]) -> Term:
    return _opposite(args[0])


def _opposite(condition: Term) -> Term:
    sign = _OPPOSITE.get(condition.text) if condition.kind == "compare" else None
    return t.compare(sign, *condition.parts) if sign else t.call("not", condition)


def _hidden(r: _Reader, v: Value, args: list[Term]) -> Term:
    return args[0]


def _log(r: _Reader, v: Value, args: list[Term]) -> Term:
    return t.call("log", args[0])


_RULES: dict[str, Rule] = {
    "constant": lambda r, v, args: t.number(v.attrs["value"]),
    "batch_size": lambda r, v, args: t.symbol("m"),
    "add": _add,
    "sub": lambda r, v, args: _minus(*args),
    "neg": lambda r, v, args: t.neg(args[0]),
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "sqrt": lambda r, v, args: t.root(args[0]),
    "exp": lambda r, v, args: t.exponential(args[0]),
    "abs": lambda r, v, args: t.absolute(args[0]),
    "log": _log,
    "log1p": lambda r, v, args: t.call("log", t.add(t.number(1), args[0])),
    "expm1": lambda r, v, args: t.sub(t.exponential(args[0]), t.number(1)),
    "log1pexp": lambda r, v, args: t.call("log", t.add(t.number(1), t.exponential(args[0]))),
    "matmul": lambda r, v, args: t.product(*args),
    "outer": lambda r, v, args: t.product(args[0], t.transpose(args[1])),
    "sum": _sum,
    "reshape": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "pad": _pad,
    "concat": _concat,
    "gather": lambda r, v, args: t.item(*args),
    "broadcast": _hidden,
    "stop_gradient": _hidden,
    "cast": _cast,
    "where": _where,
    "maximum": _maximum,
    "not": _not,
}
