"""Backpropagation at the level of equations: δ = ∂L/∂v for each step, ∂L/∂θ for each parameter.

In: the equations of a forward graph and a loss. Out: `Backprop`, in which every derivative is a
small simplified graph over stand-ins for the named values and for the δs behind it, so that its
formula is the one a textbook would print: δ₁ = W₂ᵀ δ₂ ⊙ g′(Z₁). Derivatives come from the
compiler's own `gradient` and rules; nothing is derived here by other means. A δ is `kept` (has
a line of its own) where a step has parameters or a value is used more than once; others are
merged into the next, so that softmax and cross-entropy meet and become A − Y.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ..compiler.autodiff import backpropagated, gradient
from ..compiler.graph import Output
from ..compiler.graph import leaf as make_leaf
from ..compiler.op import apply
from ..compiler.value import Value
from . import terms as t
from .draws import Sample, samples
from .equations import Equations, rebuilt
from .formula import formulas, right_hand_side
from .gradient_paths import sent
from .names import Names, function_name
from .simplify import Change, simplified, stabilised
from .terms import Term

if TYPE_CHECKING:
    from .through import Through

SHORT = 7  # parts of a δ that is written out where it is used, not by name


@dataclass(frozen=True)
class Derivative:
    """∂L/∂`of`: as the rules of the operations give it, each change, and the closed form."""

    of: Value
    raw: Value
    value: Value  # simplified, over stand-ins
    unreduced: Term
    changes: tuple[Change, ...]
    closed: Term
    known: Mapping[Value, Term] = field(default_factory=dict, repr=False)


@dataclass
class Backprop:
    """Everything derived for one loss; `expand` writes a derivative over the net's own leaves."""

    equations: Equations
    names: Names
    loss: Value
    batch: bool
    short: int = SHORT
    deltas: dict[Value, Derivative] = field(default_factory=dict)
    params: dict[Value, Derivative] = field(default_factory=dict)
    kept: set[Value] = field(default_factory=set)
    primes: dict[Value, Value] = field(default_factory=dict)  # activation step: leaf for g′(z)
    slots: dict[Value, Value] = field(default_factory=dict)  # kept step: leaf for its δ
    users: dict[Value, list[Value]] = field(default_factory=dict)
    aliases: dict[Term, Term] = field(default_factory=dict)  # softmax(Z₂) is A₂
    known: dict[Value, Term] = field(default_factory=dict)  # terms of stand-ins, δs and g′s
    mean: bool = True  # the loss is averaged over the batch
    primed: bool = True  # activations have a g′; else their derivative is written out
    letter: str = "t"  # of the steps of its scans
    scans: dict[Value, Through] = field(default_factory=dict)
    found: list[Value | Through] = field(default_factory=list)  # kept steps and scans, in order
    samples: list[Sample] = field(default_factory=list)  # z = μ + σ ⊙ ε

    def expand(self, derivative: Derivative) -> Value:
        """The derivative over the net's own leaves, every stand-in and δ written out."""
        return rebuilt(derivative.value, self._written_out.get)[derivative.value]

    @property
    def spreads(self) -> dict[Term, Term]:
        """σ and σ² of samples, by what they are."""
        return {term: name for s in self.samples for term, name in s.aliases.items()}

    @cached_property
    def _written_out(self) -> dict[Value, Value]:
        """What each stand-in, g′ and δ is in the net itself."""
        whole = {s: v for v, s in self.equations.stand_in.items()}
        for v, prime in self.primes.items():
            formula = self.prime(v)
            whole[prime] = rebuilt(formula, whole.get)[formula]
        # From the loss backwards: each δ needs only those before it.
        for found in self.found:
            if isinstance(found, Value):
                delta = self.deltas[found].value
                whole[self.slots[found]] = rebuilt(delta, whole.get)[delta]
            else:
                whole.update(found.written_out(whole))
        return whole

    def prime(self, v: Value) -> Value:
        """g′(z) of an elementwise step, over stand-ins."""
        (z,) = self.equations.steps[v].operands
        body = self.equations.body(v)[v]
        total = apply("sum", body) if body.shape else body
        found = gradient(total, [self.equations.stand_in[z]])[0]
        return simplified([found])[0][0]

    def head(self, v: Value) -> list[Value] | None:
        """The merged steps between `v` and the loss, if nothing kept lies between."""
        between: list[Value] = []
        stack = [v]
        while stack:
            for w in self.users[stack.pop()]:
                if w is self.loss or w in between:
                    continue
                if w in self.kept:
                    return None
                between.append(w)
                stack.append(w)
        return between

    def whole(self, between: Iterable[Value]) -> Value:
        """The loss over stand-ins, with the steps `between` and the labels' one-hot written out."""
        return self.equations.body(self.loss, [*between, *self.equations.labels])[self.loss]

    def reduced(
        self, raw: Value, users: Iterable[Value]
    ) -> tuple[Value, Value, tuple[Change, ...], Mapping[Value, Term]]:
        """(raw, simplified, changes, terms) of what the steps `users` send back.

        What stands inside a whole block is simplified first, so that its parts are known by name.
        """
        named = {
            self.equations.body(w)[x]: name
            for w in users
            if w in self.equations.inner
            for x, name in self.names.terms.items()
            if x in self.equations.body(w) and x not in self.equations.stand_in
        }
        if not named:
            (value,), changes = simplified([raw])
            return raw, value, changes, self.known
        parts, _ = simplified([*named])
        normal = dict(zip(named, parts, strict=True))
        raw = rebuilt(raw, normal.get)[raw]
        (*_, value), changes = simplified([*parts, raw])
        terms = {normal[x]: name for x, name in named.items()}
        return raw, value, changes, ChainMap(terms, self.known)

    def name_prime(self, v: Value) -> None:
        """Give g′ of an activation step a leaf and a term."""
        (z,) = self.equations.steps[v].operands
        self.primes[v] = make_leaf("input", f"g{len(self.primes)}", z.type)
        self.known[self.primes[v]] = t.prime(function_name(self.equations, v), self.names[z])

    def name_delta(self, v: Value) -> None:
        """Give the δ of a kept step a leaf and a term: its closed form if that is short."""
        self.slots[v] = make_leaf("input", f"d{len(self.slots)}", v.type)
        self.found.append(v)
        closed = self.deltas[v].closed
        # The formula of a whole block uses its δ three times: there a name is shorter.
        short = closed.size <= self.short and not t.hidden(closed) and v not in self.equations.inner
        short = short and all(s.value is not v for s in self.samples)
        partial = t.partial(self.names[self.loss], self.names[v])
        self.known[self.slots[v]] = closed if short else partial


def backprop(
    equations: Equations,
    names: Names,
    loss: Output,
    params: Iterable[Value] | None = None,
    *,
    batch: bool = True,
    merge: bool = True,
    short: int = SHORT,
    mean: bool = True,
    primed: bool = True,
    letter: str = "t",
) -> Backprop:
    """Every δ on the way from the loss to the parameters, and their gradients.

    With `merge` false every step keeps a δ of its own: the unreduced picture. A δ of at most
    `short` parts is written out where it is used.
    """
    chosen = (
        [v for v in equations.stand_in if v.op.name == "param"] if params is None else [*params]
    )
    b = Backprop(equations, names, loss.value, batch, short, mean=mean, primed=primed,
                 letter=letter)  # fmt: skip
    b.samples = samples(equations.steps, names.terms)
    b.aliases = dict(b.spreads)
    b.aliases |= {
        right_hand_side(v, names.terms, batch, b.aliases): names[v]
        for v in equations.steps
        if v is not loss.value
    }
    b.aliases |= _past_equal_names(equations, names, b.aliases)
    b.known = {s: names[v] for v, s in equations.stand_in.items()}
    relevant = _relevant(equations, loss.value, set(chosen))
    sends = sent(equations, loss.value, set(chosen))
    sending = {a for a, _ in sends}
    relevant = {v for v in relevant if v in sending or v is loss.value}
    b.users = {
        v: [w for w in used if (w in relevant or w is loss.value) and (v, w) in sends]
        for v, used in equations.users().items()
    }
    for v in relevant:
        step = equations.steps[v]
        is_part = v.op.family == "part"
        told = step.params or is_part or any(s.value is v for s in b.samples)
        if v is not loss.value and (not merge or told or len(b.users[v]) > 1):
            b.kept.add(v)
    order = [v for v in equations.steps if v in relevant and v is not loss.value]
    raw: dict[Value, Value] = {}
    for v in reversed(order):
        raw[v] = _delta(b, v, raw)
        b.deltas[v] = _shortest(b, v, raw[v])
        if v in b.kept:
            b.name_delta(v)
    for p in chosen:
        if any(w in relevant for w in b.users.get(p, ())):
            b.params[p] = _derivative(b, p, _parameter(b, p, raw))
    return b


def _past_equal_names(
    equations: Equations, names: Names, aliases: Mapping[Term, Term]
) -> dict[Term, Term]:
    """What has a shorter term by one name has it by another name of the same value too."""
    equal: dict[str, str] = {}
    for v in equations.steps:
        found = right_hand_side(v, names.terms)
        if found.kind == "symbol" and names[v].kind == "symbol":
            equal[names[v].text] = found.text
    if not equal:
        return {}
    again = {t.renamed(term, equal): name for term, name in aliases.items()}
    return {term: name for term, name in again.items() if term not in aliases and term.parts}


def _relevant(equations: Equations, loss: Value, params: set[Value]) -> set[Value]:
    """Steps on a path from a parameter to the loss."""
    below: set[Value] = set()
    for v, step in equations.steps.items():
        if v.type.is_float and any(a in params or a in below for a in step.operands):
            below.add(v)
    above = {loss}
    for v in reversed(list(equations.steps)):
        if v in above:
            above.update(equations.steps[v].operands)
    return {v for v in below if v in above}


def _delta(b: Backprop, v: Value, raw: dict[Value, Value]) -> Value:
    """∂L/∂v: the sum of what every use sends back."""
    between = b.head(v)
    if between is not None:
        return gradient(b.whole(between), [b.equations.stand_in[v]])[0]
    return _total(b, v, raw)


def _total(b: Backprop, v: Value, raw: dict[Value, Value]) -> Value:
    """What every use sends back to v; the results of one scan send back together."""
    parts = [_sent_back(b, v, w, raw) for w in b.users[v] if w.op.family != "part"]
    scans = dict.fromkeys(w.args[0] for w in b.users[v] if w.op.family == "part")
    parts += [_sent_by_scan(b, v, scan) for scan in scans]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _sent_by_scan(b: Backprop, v: Value, scan: Value) -> Value:
    """What a scan sends back to `v`: through its operands, of which `v` is a part."""
    if scan not in b.scans:
        from .through import through  # which derives a step with the functions of this module

        b.scans[scan] = through(b, scan)
        b.found.append(b.scans[scan])
    x = b.equations.stand_in[v]
    seeds: dict[Value, list[Value]] = {}
    for operand, arrived in b.scans[scan].sent:
        seeds.setdefault(operand, []).append(arrived)
    return backpropagated(seeds, [x])[0]


def _sent_back(b: Backprop, v: Value, w: Value, raw: dict[Value, Value]) -> Value:
    """What the step `w` sends back to its operand `v`."""
    x = b.equations.stand_in[v]
    body = b.equations.body(w)[w]
    if w is b.loss:
        return gradient(body, [x])[0]
    g = b.slots.get(w, raw.get(w))
    if g is None:  # a step that no parameter reaches but this operand's own path does
        return gradient(body, [x])[0]
    if b.primed and b.equations.steps[w].kind == "elementwise":
        if w not in b.primes:
            b.name_prime(w)
        return g * b.primes[w]
    return gradient(body, [x], seed=g)[0]


def _parameter(b: Backprop, p: Value, raw: dict[Value, Value]) -> Value:
    """∂L/∂θ of the mean loss: (1/m) times the sum over uses and examples."""
    total = _total(b, p, raw)
    if not b.mean or not b.loss.type.batched:
        return total
    return total / apply("batch_size", dtype=total.type.dtype)


def _shortest(b: Backprop, of: Value, raw: Value) -> Derivative:
    """The derivative of the loss as written, or, where that ends shorter, of its stable form."""
    plain = _derivative(b, of, raw)
    between = b.head(of)
    if between is None or plain.closed.size <= 3:
        return plain
    (loss,), changes = stabilised([b.whole(between)])
    if not changes:
        return plain
    again = gradient(loss, [b.equations.stand_in[of]])[0]
    other = _derivative(b, of, again, changes, plain.unreduced)
    return other if other.closed.size < plain.closed.size else plain


def _derivative(
    b: Backprop,
    of: Value,
    raw: Value,
    first: tuple[Change, ...] = (),
    unreduced: Term | None = None,
) -> Derivative:
    """Simplify, and write both forms."""
    raw, value, later, known = b.reduced(raw, b.users.get(of, ()))
    changes = (*first, *later)
    aliases = dict(b.aliases)
    for c in first:  # a step in its stable form keeps its name
        written = formulas([c.before, c.after], known, b.batch, b.aliases)
        if written[c.before] in b.aliases.values():
            aliases[written[c.after]] = written[c.before]
    unreduced = unreduced or formulas([raw], known, b.batch, aliases)[raw]
    closed = t.multiplied(formulas([value], known, b.batch, aliases)[value])
    return Derivative(of, raw, value, unreduced, changes, closed, known)
