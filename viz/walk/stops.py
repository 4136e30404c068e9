"""The stops of a walk through one training step: every operation forward, every ∂L/∂v back.

In: a `Backprop` of a net. Out: `Stop`s in order: what is told, of which value, with which formulas
and operands. What a scan does is told for chosen steps of it, by its `Through`. A value at a place
is a `Key`, under which the front door gives its numbers; updates are told by `updates`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...compiler.value import Value
from ...dsl.source import Span
from .. import terms as t
from ..backprop import Backprop
from ..formula import right_hand_side
from ..local import local_derivatives
from ..operations import SILENT
from ..steps import Cell
from ..terms import Term
from ..through import Through
from ..unicode import unicode

FORWARD, BACKWARD, UPDATE = "forward", "backward", "update"
MOST_INSIDE = 12  # operations of one equation that have a stop of their own
WHOLE = 160  # stops; in longer walks an equation is one stop
WORDS = {
    "input": "data", "one_hot": "label as a vector", "matmul": "matrix product", "add": "sum",
    "sub": "difference", "mul": "product, element by element", "div": "quotient", "neg": "sign",
    "maximum": "the greater of two", "minimum": "the smaller of two", "sum": "sum of elements",
    "max": "greatest element", "exp": "exponential", "log": "logarithm", "sqrt": "root",
    "convolve": "convolution", "concat": "put together", "reshape": "rearranged",
    "slice": "a part", "gather": "rows of a table", "part": "what the steps leave",
    "where": "a choice", "pow": "power", "transpose": "turned round", "sigmoid": "sigmoid",
    "normal": "random draw", "uniform": "random draw",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a value is computed: in the net, or in step `t` of a scan."""

    scan: Value | None = None
    t: int = 0


NET = Place()


@dataclass(frozen=True)
class Key:
    """A value, or its gradient, at a place."""

    value: Value
    place: Place = NET
    gradient: bool = False


@dataclass(frozen=True)
class Formula:
    """left = right, and a remark."""

    right: Term
    left: Term | None = None
    note: str = ""
    sign: str = "="


@dataclass(frozen=True)
class Stop:
    """One stop. `key` has the numbers that it computes, `uses` those that it reads; `node` is found
    in the picture; `inside` are the operations whose kernel it is, `of` is what is told of."""

    phase: str
    title: str
    told: str
    formulas: tuple[Formula, ...]
    key: Key
    name: Term
    node: Key
    of: Value
    uses: tuple[tuple[Term, Key], ...] = ()
    inside: tuple[Value, ...] = ()
    span: Span | None = None  # where it is written, if not where `of` is


def chosen_steps(count: int) -> tuple[int, ...]:
    """The first two steps of a scan, and the last."""
    return tuple(sorted({1, min(2, count), count}))


def stops(b: Backprop) -> list[Stop]:
    """Forward and backward; the stops inside of equations only where that is not too many."""
    found = [*_forward(b, True), *_backward(b)]
    return found if len(found) <= WHOLE else [*_forward(b, False), *_backward(b)]


# ---------------------------------------------------------------- forward


def _forward(b: Backprop, inside: bool) -> Iterator[Stop]:
    yield from _data(b)
    told: set[Value] = set()
    teller = _Forward(b, b.names.terms, inside=inside)
    for v in b.equations.steps:
        if v.op.family == "part" and v.args[0] not in told:
            told.add(v.args[0])
            if v.args[0] in b.scans:
                yield from _scan_forward(b.scans[v.args[0]], inside)
        yield from teller.equation(v)


def _data(b: Backprop) -> Iterator[Stop]:
    used = {a for s in b.equations.steps.values() for a in s.operands}
    for v in b.equations.stand_in:
        if v.op.name in ("input", "state", "normal", "uniform") and v in used:
            name, key = b.names[v], Key(v)
            word = {"input": "given", "state": "kept from before"}.get(v.op.name, "drawn at random")
            shape = f" of shape {list(v.shape)}" if v.shape else ""
            yield Stop(FORWARD, f"{unicode(name)} is {word}",
                       f"{unicode(name)}{shape} is {word}.", (), key, name, key, v)  # fmt: skip


@dataclass
class _Forward:
    b: Backprop  # whose equations are told
    terms: Mapping[Value, Term]
    place: Place = NET
    inside: bool = True
    words: str = ""  # behind every title: at t = 3
    keys: dict[Value, Key] = field(default_factory=dict)  # of what is computed elsewhere

    def equation(self, v: Value) -> Iterator[Stop]:
        """The operations of one equation, the last of which gives it its value."""
        step = self.b.equations.steps[v]
        order = {x: k for k, x in enumerate(self.b.equations.graph.nodes)}
        parts = sorted(
            (x for x in step.inside if x is not v and _is_told(x)), key=order.__getitem__
        )
        if self.inside and len(parts) <= MOST_INSIDE and v.op.family != "part":
            for x in parts:
                yield self._stop(x, v, None)
        yield self._stop(v, v, self.terms[v])

    def _stop(self, x: Value, v: Value, name: Term | None) -> Stop:
        step = self.b.equations.steps[v]
        right = right_hand_side(x, self.terms)
        operands = self._used(x, step.operands)
        shown = Formula(right, name)
        word = WORDS.get(x.op.name, x.op.name.replace("_", " "))
        if name is not None and step.kind == "elementwise" and not self.place.t:
            word = step.block if v.origin.instance else word
        if v.op.family == "part":
            right, operands = self._left_by_steps(v, right, operands)
            shown = Formula(right, name)
        title = f"{unicode(name or right)}: {word}{self.words}"
        told = f"{unicode(name)} = {unicode(right)}" if name else unicode(right)
        inside = (x,) if name is None or self.inside else step.inside
        return Stop(FORWARD, title, told + self.words, (shown,), Key(x, self.place), name or right,
                    Key(v, self.place), v, operands, inside)  # fmt: skip

    def _left_by_steps(
        self, v: Value, right: Term, operands: tuple[tuple[Term, Key], ...]
    ) -> tuple[Term, tuple[tuple[Term, Key], ...]]:
        """A result of a scan is what its last step leaves, or what every step does."""
        s = self.b.scans.get(v.args[0])
        k = v.attrs["index"]
        if s is None or k >= len(s.cell.carried) + len(s.cell.yields):
            return right, operands
        cell, last = s.cell, _walked(s.cell, backward=False)[-1]
        of = cell.next[k] if k < len(cell.carried) else cell.yields[k - len(cell.carried)]
        if of not in s.names.terms:
            return right, operands
        now = t.at_step(s.names[of], cell.letter, last)
        if k >= len(cell.carried):
            right = t.family(s.names[of], cell.letter)
            return right, ((now, Key(of, Place(cell.scan, last))),)
        return now, ((now, Key(of, Place(cell.scan, last))),)

    def _used(self, x: Value, anchors: Sequence[Value]) -> tuple[tuple[Term, Key], ...]:
        """The named values in the formula of `x`."""
        found: dict[Value, None] = {}
        stack = [x]
        seen = {x}
        while stack:
            for a in reversed(stack.pop().args):
                if a in anchors:
                    found.setdefault(a)
                elif a not in seen:
                    seen.add(a)
                    stack.append(a)
        ordered = [a for a in anchors if a in found]
        return tuple((self.terms[a], self.keys.get(a, Key(a, self.place))) for a in ordered)


def _is_told(x: Value) -> bool:
    if x.op.family in ("leaf", "scan", "part", "view") or x.op.name in SILENT:
        return False
    return any(not a.is_constant for a in x.args)


def _scan_forward(s: Through, inside: bool) -> Iterator[Stop]:
    cell = s.cell
    for at in _walked(cell, backward=False):
        teller = _Forward(
            s.step, _at(s.names.terms, cell, at), Place(cell.scan, at),
            inside and at == 1, f" at {cell.letter} = {at}", _outside(cell),
        )  # fmt: skip
        for v in cell.equations.steps:
            yield from teller.equation(v)


def _outside(cell: Cell) -> dict[Value, Key]:
    """What all steps share lies outside."""
    return {leaf: Key(leaf) for leaf in cell.shared if leaf.op.name == "param"}


def _walked(cell: Cell, *, backward: bool) -> list[int]:
    """The chosen steps in the order in which that pass walks."""
    found = list(chosen_steps(cell.pieces.steps))
    return found[::-1] if cell.pieces.reverse != backward else found


def _at(terms: Mapping[Value, Term], cell: Cell, number: int) -> dict[Value, Term]:
    return {v: t.at_step(name, cell.letter, number) for v, name in terms.items()}


# ---------------------------------------------------------------- backward


def _backward(b: Backprop) -> Iterator[Stop]:
    loss = b.names[b.loss]
    one = t.partial(loss, loss)
    key = Key(b.loss, NET, True)
    yield Stop(BACKWARD, f"{unicode(one)} = 1", f"{unicode(one)} = 1: here the way back begins.",
               (Formula(t.number(1), one),), key, one, key, b.loss)  # fmt: skip
    teller = _Backward(b, b.names.terms)
    owners = _owners(b)
    told: set[Value] = set()
    for v in (b.loss, *b.deltas):
        if v is not b.loss:
            yield teller.delta(v)
        scan = v.args[0] if v.op.family == "part" else None
        if scan is not None:
            parts = {w for w in b.deltas if w.op.family == "part" and w.args[0] is scan}
            told.add(v)
            if not parts <= told:
                continue
            if scan in b.scans:
                yield from _scan_backward(b, b.scans[scan])
        for p in owners.get(scan or v, ()):
            yield teller.param(p)


def _owners(b: Backprop) -> dict[Value, list[Value]]:
    """The parameters that are known behind each equation: the first that uses them."""
    found: dict[Value, list[Value]] = {}
    seen: set[Value] = set()
    for v, step in b.equations.steps.items():
        if v not in b.deltas and v is not b.loss:
            continue
        for p in step.params:
            if p in b.params and p not in seen:
                seen.add(p)
                found.setdefault(v.args[0] if v.op.family == "part" else v, []).append(p)
    return found


@dataclass
class _Backward:
    b: Backprop
    terms: Mapping[Value, Term]
    place: Place = NET
    at: tuple[str, int] | None = None  # letter and number of a step
    outside: Mapping[Value, Key] = field(default_factory=dict)
    arrived: Mapping[Term, Term] = field(default_factory=dict)  # at the last step, from outside

    def __post_init__(self) -> None:
        self.local: dict[Term, tuple[Term, str]] = {}
        if self.at is None:
            self.local = {left: (right, note) for left, right, note in local_derivatives(self.b)}
        self.by_name = {self.b.names[v]: v for v in self.b.equations.stand_in}
        self.by_name |= {self.b.names[v]: v for v in self.b.equations.steps}

    def delta(self, v: Value) -> Stop:
        """∂L/∂v, from the derivatives of the equations that use v."""
        d = self.b.deltas[v]
        users = [w for w in self.b.users[v] if w in self.b.deltas or w is self.b.loss]
        words = "the gradient of the loss" if len(users) < 2 else f"a sum of {len(users)} ways"
        return self._stop(v, d.closed, d.unreduced, users, words)

    def param(self, p: Value) -> Stop:
        """∂L/∂θ."""
        d = self.b.params[p]
        return self._stop(p, d.closed, d.unreduced, self.b.users.get(p, []), "what θ must learn")

    def _stop(
        self, v: Value, closed: Term, unreduced: Term, users: Sequence[Value], words: str
    ) -> Stop:
        left = t.partial(t.symbol("L") if self.at else self.b.names[self.b.loss], self.b.names[v])
        adds = self.at is not None and v.op.name == "param"
        closed, unreduced = _exchanged(closed, self.arrived), _exchanged(unreduced, self.arrived)
        lines = [Formula(closed, left, "added over the steps" if adds else "",
                         "+=" if adds else "=")]  # fmt: skip
        if unreduced != closed and unreduced.size < 40 and not t.hidden(unreduced):
            lines.insert(0, Formula(unreduced, left, "before it is simplified"))
        lines += self._locals(v, users)
        lines = [self._numbered(f) for f in lines]
        name = self._number(left)
        shown = self._number(closed)
        where = f" at {self.at[0]} = {self.at[1]}" if self.at else ""
        key = Key(v, self.place, True)
        return Stop(
            BACKWARD, f"{unicode(name)}: {self._word(v, words)}{where}",
            f"{unicode(name)} {lines[0].sign} {unicode(shown)}", tuple(lines), key, name, key, v,
            self._used(closed, v), self._readers(v),
        )  # fmt: skip

    def _readers(self, v: Value) -> tuple[Value, ...]:
        """The operations that read v: their rules make its gradient."""
        steps = self.b.equations.steps
        inside = [x for w in self.b.users.get(v, ()) for x in (*steps[w].inside, w)]
        return tuple(dict.fromkeys(x for x in inside if v in x.args))

    def _word(self, v: Value, words: str) -> str:
        if v.op.name == "input":
            return "what goes to the step before"
        if v.op.name != "param":
            return words
        return "its part of this step" if self.at else "the gradient of a parameter"

    def _locals(self, v: Value, users: Sequence[Value]) -> list[Formula]:
        """∂w/∂v of each user w, and what g′ is."""
        found = []
        names = self.b.names
        for w in users:
            if w.op.family == "part" or w not in self.b.equations.steps:
                continue
            left = t.partial(names[w], names[v])
            if left in self.local and w is not self.b.loss:
                right, note = self.local[left]
                found.append(Formula(right, left, f"local derivative{', ' * bool(note)}{note}"))
        primes = [(left, right) for left, (right, _) in self.local.items()
                  if left.kind == "prime" and left.parts == (names[v],)]  # fmt: skip
        found += [Formula(right, left, "slope of the activation") for left, right in primes]
        return found

    def _used(self, closed: Term, v: Value) -> tuple[tuple[Term, Key], ...]:
        """What stands in a closed form: values, and gradients that are known already."""
        found: dict[Key, Term] = {}
        stack = [closed]
        while stack:
            term = stack.pop()
            if term.kind == "partial" and term not in self.by_name:
                x = self.by_name.get(term.parts[1])
                if x in self.b.deltas and x is not v:
                    found[Key(x, self.place, True)] = self._number(term)
                continue
            if term in self.by_name:
                x = self.by_name[term]
                found[self.outside.get(x, Key(x, self.place))] = self._number(term)
                continue
            stack += reversed(term.parts)
        return tuple((term, key) for key, term in found.items())

    def _number(self, term: Term) -> Term:
        return t.at_step(term, *self.at) if self.at else term

    def _numbered(self, f: Formula) -> Formula:
        left = self._number(f.left) if f.left is not None else None
        return Formula(self._number(f.right), left, f.note, f.sign)


def _arrived(b: Backprop, s: Through) -> dict[Term, Term]:
    """What arrives at the last step: not from a step behind it, but from outside of the scan."""
    found = {}
    parts = {w.attrs["index"]: w for w in b.deltas if w.op.family == "part" and
             w.args[0] is s.cell.scan}  # fmt: skip
    for k in s.arriving:
        outside = t.partial(b.names[b.loss], b.names[parts[k]]) if k in s.last else t.number(0)
        found[s.arrival(k)] = outside
    return found


def _exchanged(term: Term, new: Mapping[Term, Term]) -> Term:
    """The term with others in it; what adds nothing is left out."""
    if term in new:
        return new[term]
    parts = tuple(_exchanged(p, new) for p in term.parts)
    if term.kind == "add" and t.number(0) in parts:
        return parts[1] if parts[0] == t.number(0) else parts[0]
    return Term(term.kind, parts, term.text, term.size)


def _scan_backward(b: Backprop, s: Through) -> Iterator[Stop]:
    """∂L/∂v of the chosen steps, the last one first: backpropagation through time."""
    cell = s.cell
    for at in _walked(cell, backward=True):
        arrived = _arrived(b, s) if at == _walked(cell, backward=True)[0] else {}
        teller = _Backward(s.step, s.names.terms, Place(cell.scan, at), (cell.letter, at),
                           _outside(cell), arrived)  # fmt: skip
        for v in s.step.deltas:
            yield teller.delta(v)
        for p in s.step.params:
            if p in cell.carried or p.op.name == "param":
                yield teller.param(p)
