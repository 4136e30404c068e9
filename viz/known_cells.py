"""The cells that every reader of a textbook knows: LSTM, GRU and the simple recurrent network.

In: a cell. Out: what plays which part in it, found by the form of its equations, not by its names;
or None, where the equations are others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..compiler.value import Value
from .seen import bare, number_of
from .steps import Cell, unmasked


@dataclass(frozen=True)
class Lstm:
    """c ← f ⊙ c + i ⊙ g, h ← o ⊙ tanh(c); `h` and `c` are the numbers of the carried values."""

    h: int
    c: int
    forget: Value
    input: Value
    candidate: Value
    output: Value


@dataclass(frozen=True)
class Gru:
    """h ← keep ⊙ h + (1 − keep) ⊙ candidate, of which `update` is one; `inverse`: the candidate is
    weighed with z. The reset gate is applied to h, or to its product (`product` is then that)."""

    update: Value
    reset: Value
    candidate: Value
    inverse: bool
    product: Value | None


@dataclass(frozen=True)
class Simple:
    """h ← g(net input)."""

    activation: Value


def lstm(cell: Cell) -> Lstm | None:
    if len(cell.carried) != 2:
        return None
    now = [unmasked(v) for v in cell.next]
    for c, h in ((0, 1), (1, 0)):
        for kept, new in _both(now[c], "add"):
            forget = _other(kept, cell.carried[c])
            if forget is None or forget.op.name != "sigmoid":
                continue
            for i, g in _both(new, "mul"):
                for o, squashed in _both(now[h], "mul"):
                    fits = i.op.name == o.op.name == "sigmoid" and g.op.name == "tanh"
                    inputs = (forget, i, g, o)
                    if (fits and squashed.op.name == "tanh" and bare(squashed.args[0]) is now[c]
                            and not any(_uses(x, cell.carried[c]) for x in inputs)):  # fmt: skip
                        return Lstm(h, c, forget, i, g, o)
    return None


def gru(cell: Cell) -> Gru | None:
    if len(cell.carried) != 1:
        return None
    (before,) = cell.carried
    for kept, new in _both(unmasked(cell.next[0]), "add"):
        keep = _other(kept, before)
        if keep is None:
            continue
        for weight, candidate in _both(new, "mul"):
            if candidate.op.name != "tanh":
                continue
            z = _opposites(keep, weight)
            reset = _reset(candidate, before, z) if z is not None else None
            if z is not None and reset is not None:
                return Gru(z, reset[0], candidate, z is weight, reset[1])
    return None


def simple(cell: Cell) -> Simple | None:
    """One carried value, which is a function of one net input."""
    if len(cell.carried) != 1:
        return None
    v = unmasked(cell.next[0])
    plain = v in cell.equations.steps and cell.equations.steps[v].kind == "elementwise"
    affine = plain and cell.equations.steps.get(cell.equations.steps[v].operands[0])
    if not affine or affine.kind != "affine":
        return None
    return Simple(v)


def _both(v: Value, name: str) -> Iterator[tuple[Value, Value]]:
    """The two operands of a sum or product, both ways round."""
    v = bare(v)
    if v.op.name == name:
        a, b = map(bare, v.args)
        yield a, b
        yield b, a


def _other(product: Value, factor: Value) -> Value | None:
    return next((a for a, b in _both(product, "mul") if b is factor), None)


def _opposites(keep: Value, weight: Value) -> Value | None:
    """z, where one is z = σ(…) and the other 1 − z."""
    for z, rest in ((keep, weight), (weight, keep)):
        one_minus = rest.op.name == "sub" and number_of(rest.args[0]) == 1
        if z.op.name == "sigmoid" and one_minus and bare(rest.args[1]) is z:
            return z
    return None


def _reset(candidate: Value, before: Value, z: Value) -> tuple[Value, Value | None] | None:
    """The gate inside the candidate, and the product that it is applied to (None: h itself)."""
    for v in _below(candidate):
        for gate, other in _both(v, "mul"):
            if gate.op.name == "sigmoid" and gate is not z and _uses(other, before):
                return gate, None if other is before else other
    return None


def _below(v: Value) -> Iterator[Value]:
    seen = {v}
    stack = [v]
    while stack:
        x = stack.pop()
        yield x
        for a in x.args:
            if a not in seen:
                seen.add(a)
                stack.append(a)


def _uses(v: Value, leaf: Value) -> bool:
    return leaf in _below(v)
