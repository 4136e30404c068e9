"""Derivatives for one weight: ∂E/∂w_hj = (ŷ_j − y_j) ŷ_j(1 − ŷ_j) b_h, for one example.

In: a `Backprop`. Out: for each parameter, the element of its gradient as a term over elements.
Letters follow the layers: i for the input's features, h for the hidden units, j for the
outputs; deeper nets take k, l, … between. Values far behind the loss keep their δ, so that
formulas stay short. E is the loss of one example, so there is no 1/m and no sum over examples.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..compiler.value import Value
from . import terms as t
from .backprop import Backprop
from .formula import formulas
from .image_indices import image_elements
from .seen import number_of
from .terms import Term

HIDDEN = "hklpqrsuvwacdefg"
NEAR = 2  # layers from the loss that are written out


@dataclass(frozen=True)
class Element:
    """∂E/∂θ for one element: what stands on both sides."""

    left: Term
    right: Term


def elements(b: Backprop) -> list[Element]:
    """The formulas of images, then one for each parameter whose gradient has an element form."""
    reader = _Elements(b)
    small = {v: _small(name) for v, name in b.names.terms.items()}
    found = [Element(left, right) for left, right in image_elements(b, small)]
    for p, derivative in b.params.items():
        try:
            right = reader.element(derivative.value, reader.letters.get(p, ""), frozenset())
        except _NoForm:
            continue
        name = t.indexed(_small(b.names[p]), reader.letters.get(p, ""))
        found.append(Element(t.partial(t.symbol("E"), name), right))
    return found


class _NoForm(Exception):
    """An operation has no element form here; the parameter is left out."""


def _small(name: Term) -> Term:
    """w for W, ŷ for Ŷ: elements are written small."""
    base = name.text.split("_")[0]
    return t.symbol(name.text[0].lower() + name.text[1:]) if len(base) == 1 else name


@dataclass
class _Elements:
    b: Backprop
    letters: dict[Value, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names: dict[Value, Term] = {}
        self.own: dict[Value, str] = {}
        self._choose_letters()
        for v, stand_in in self.b.equations.stand_in.items():
            self.names[stand_in] = _small(self.b.names[v])
            self.own[stand_in] = self.letters.get(v, "")
        self.named = {self.b.names[v]: s for v, s in self.b.equations.stand_in.items()}
        self.known = self.b.known
        self.slots = {slot: v for v, slot in self.b.slots.items()}
        self.primes = {leaf: v for v, leaf in self.b.primes.items()}
        kept = [v for v in self.b.deltas if v in self.b.kept]
        self.near = set(kept[:NEAR])

    def _choose_letters(self) -> None:
        """Each vector's letter, layer by layer; what has the same shape in a step shares it."""
        groups: list[list[Value]] = []
        steps = self.b.equations.steps
        layers = [v for v, step in steps.items() if step.kind == "affine"]
        for v in layers:
            for x in (*steps[v].inputs, v):
                self._join(groups, x, [] if x is v else self._behind(x))
        for v, step in steps.items():
            if v.op.name == "one_hot":
                continue  # the labels take the letter of what they are compared with
            for x in (*step.inputs, v):
                self._join(groups, x, [*step.inputs, v])
        count = len(groups)
        for k, group in enumerate(groups):
            letter = "i" if k == 0 else "j" if k == count - 1 else HIDDEN[(k - 1) % len(HIDDEN)]
            self.letters.update((v, letter if v.shape != (1,) else "") for v in group)
        for v, step in steps.items():
            for p in step.params:
                self._param_letters(p, v, step.inputs)

    def _behind(self, x: Value) -> list[Value]:
        """The operands of the step that makes x, unless it is a layer."""
        step = self.b.equations.steps.get(x)
        return [] if step is None or step.kind == "affine" else list(step.inputs)

    def _join(self, groups: list[list[Value]], x: Value, near: list[Value]) -> None:
        """Put a vector into the group of a value near it, or into one of its own."""
        if len(x.shape) != 1 or any(x in g for g in groups):
            return
        for g in groups:
            if any(o in g and o.shape == x.shape for o in near):
                g.append(x)
                return
        groups.append([x])

    def _param_letters(self, p: Value, v: Value, inputs: tuple[Value, ...]) -> None:
        out = self.letters.get(v, "")
        if len(p.shape) == 1:
            self.letters[p] = out
        elif len(p.shape) == 2 and inputs:
            into = self.letters.get(inputs[0], "")
            rows_first = p.shape[0] == v.shape[0] and not self._is_transposed(p, v)
            self.letters[p] = out + into if rows_first else into + out

    def _is_transposed(self, p: Value, v: Value) -> bool:
        return any(
            x.op.name == "transpose" and x.args[0] is p for x in self.b.equations.steps[v].inside
        )

    # -------------------------------------------------------- elements

    def element(self, v: Value, index: str, used: frozenset[str]) -> Term:
        """The element of `v` at `index`: one letter an axis longer than 1."""
        v = self._recognised(v)
        if v in self.slots:
            return self._delta(self.slots[v], index, used)
        if v in self.primes:
            step = self.primes[v]
            return self.element(self.b.prime(step), index, used | set(index))
        if v in self.names:
            return t.indexed(self.names[v], index)
        number = number_of(v)
        if number is not None:
            return t.number(number)
        rule = getattr(self, f"_{v.op.name}", None)
        if rule is not None:
            found: Term = rule(v, index, used | set(index))
            return found
        if v.op.family == "elementwise" and len(v.args) == 1:
            return t.call(
                {"sigmoid": "σ"}.get(v.op.name, v.op.name), self._operand(v, 0, index, used)
            )
        raise _NoForm

    def _recognised(self, v: Value) -> Value:
        """The stand-in whose equation this is: A₂ for softmax(Z₂)."""
        if not v.args:
            return v
        term = formulas([v], self.known, self.b.batch, self.b.aliases)[v]
        found = self.named.get(term, v) if term.kind == "symbol" else v
        return found if found.shape == v.shape else v

    def _delta(self, v: Value, index: str, used: frozenset[str]) -> Term:
        if v in self.near:
            return self.element(self.b.deltas[v].value, index, used)
        return t.partial(t.symbol("E"), t.indexed(_small(self.b.names[v]), index))

    def _operand(self, v: Value, k: int, index: str, used: frozenset[str]) -> Term:
        """An operand of an elementwise operation: letters of the axes it has."""
        x = v.args[k]
        wide = [n for n in v.shape if n > 1]
        own = [n for n in x.shape if n > 1]
        if len(wide) != len(index):
            raise _NoForm
        letters, place = "", len(wide)
        for n in reversed(own):
            while place > 0 and wide[place - 1] != n:
                place -= 1
            if not place:
                raise _NoForm
            place -= 1
            letters = index[place] + letters
        return self.element(x, letters, used)

    def _pair(self, v: Value, index: str, used: frozenset[str]) -> tuple[Term, Term]:
        return self._operand(v, 0, index, used), self._operand(v, 1, index, used)

    def _add(self, v: Value, index: str, used: frozenset[str]) -> Term:
        return t.add(*self._pair(v, index, used))

    def _sub(self, v: Value, index: str, used: frozenset[str]) -> Term:
        return t.sub(*self._pair(v, index, used))

    def _mul(self, v: Value, index: str, used: frozenset[str]) -> Term:
        return t.factors(*self._pair(v, index, used))

    def _div(self, v: Value, index: str, used: frozenset[str]) -> Term:
        if v.args[1].op.name == "batch_size":
            return self.element(v.args[0], index, used)
        return t.quotient(*self._pair(v, index, used))

    def _neg(self, v: Value, index: str, used: frozenset[str]) -> Term:
        return t.neg(self._operand(v, 0, index, used))

    def _pow(self, v: Value, index: str, used: frozenset[str]) -> Term:
        return t.power(*self._pair(v, index, used))

    def _cast(self, v: Value, index: str, used: frozenset[str]) -> Term:
        inner = self._operand(v, 0, index, used)
        return t.bracket(inner) if v.args[0].type.dtype == "bool" else inner

    def _gt(self, v: Value, index: str, used: frozenset[str]) -> Term:
        return t.compare(">", *self._pair(v, index, used))

    def _one_hot(self, v: Value, index: str, used: frozenset[str]) -> Term:
        return t.bracket(t.compare("=", self.element(v.args[0], "", used), t.symbol(index)))

    def _broadcast(self, v: Value, index: str, used: frozenset[str]) -> Term:
        return self._operand(v, 0, index, used)

    def _stop_gradient(self, v: Value, index: str, used: frozenset[str]) -> Term:
        return self._operand(v, 0, index, used)

    def _reshape(self, v: Value, index: str, used: frozenset[str]) -> Term:
        before, after = ([n for n in s if n > 1] for s in (v.args[0].shape, v.shape))
        if before != after:
            raise _NoForm
        return self.element(v.args[0], index, used)

    def _transpose(self, v: Value, index: str, used: frozenset[str]) -> Term:
        if len(index) != len(v.shape):  # an axis of size 1 has no letter
            return self.element(v.args[0], index, used)
        back = v.attrs["perm"]
        return self.element(
            v.args[0], "".join(index[back.index(k)] for k in range(len(back))), used
        )

    def _outer(self, v: Value, index: str, used: frozenset[str]) -> Term:
        x, y = v.args
        first = 1 if x.shape[0] > 1 else 0
        parts = [self.element(x, index[:first], used), self.element(y, index[first:], used)]
        # δ, the larger one, stands before what it multiplies.
        return t.factors(*sorted(parts, key=lambda p: -p.size))

    def _matmul(self, v: Value, index: str, used: frozenset[str]) -> Term:
        x, y = v.args
        if len(x.shape) != 2 or len(y.shape) != 1:
            raise _NoForm
        letter = self._summed_letter(x, y, used)
        right, left = self.element(y, letter, used), self.element(x, index + letter, used)
        return t.total(t.factors(right, left), letter) if letter else t.factors(right, left)

    def _sum(self, v: Value, index: str, used: frozenset[str]) -> Term:
        (x,) = v.args
        axes = [k for k in v.attrs["axes"] if x.shape[k] > 1]
        if not axes:
            return self.element(x, index, used)
        if len(axes) > 1 or len(x.shape) != 1:
            raise _NoForm
        letter = next(c for c in "jhkl" + HIDDEN if c not in used)
        return t.total(self.element(x, letter, used | {letter}), letter)

    def _summed_letter(self, x: Value, y: Value, used: frozenset[str]) -> str:
        """The letter of the axis that x and y share: the one its values have, if free."""
        if y.shape == (1,):
            return ""
        slot = self.slots.get(y)
        wanted = self.letters.get(slot, "") if slot is not None else self.own.get(y, "")
        if wanted and wanted not in used:
            return wanted
        return next(c for c in HIDDEN if c not in used)
