"""Random numbers that a net draws, as a reader knows them: ε ∼ 𝒩(0, 1), not a call of a function.

In: values. Out: which of them are draws of the user's own (those inside the library's dropout are
not told), from which distribution, and the figures that they are part of: z = μ + σ ⊙ ε.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..compiler.value import Value
from . import terms as t
from .seen import bare, from_library, number_of
from .terms import Term

LETTERS = {"normal": "epsilon", "uniform": "u", "bernoulli": "b", "categorical": "k"}
WORDS = {"normal": "𝒩", "uniform": "𝒰"}
CALLED = {"bernoulli": "Bernoulli", "categorical": "Categorical"}


def drawn(v: Value) -> str:
    """The distribution that the value is drawn from; empty for any value that is not drawn."""
    if from_library(v) or not v.type.batched:
        return ""
    if v.op.name in ("normal", "uniform"):
        return v.op.name
    if v.op.name == "cast" and v.args[0].op.name == "lt" and _source(v.args[0].args[0], v):
        return "bernoulli"
    return "categorical" if v.op.name == "argmax" and _clock(v) is not None else ""


def inside_draws(order: Iterable[Value]) -> set[Value]:
    """What a draw from a discrete distribution is made of: it is told as one."""
    found: set[Value] = set()
    for v in order:
        if drawn(v) in CALLED:
            stack = [*v.args]
            while stack:
                x = stack.pop()
                if x.origin.span == v.origin.span and x.op.family != "leaf" and x not in found:
                    found.add(x)
                    stack += x.args
    return found


def distribution(v: Value, known: Mapping[Value, Term]) -> Term:
    """𝒩(0, 1), Bernoulli(p): what stands behind the ∼."""
    kind = v.op.name if v.op.name in WORDS else drawn(v)
    if kind in WORDS:
        return t.call(WORDS[kind], t.number(0), t.number(1))
    parameter = _parameter(v)
    shown = number_of(parameter)
    if parameter not in known and shown is None:
        return t.call(CALLED[kind], t.symbol("…"))
    return t.call(CALLED[kind], t.number(shown) if shown is not None else known[parameter])


def _parameter(v: Value) -> Value:
    """The probabilities (or scores) of a discrete draw."""
    if v.op.name == "cast":
        return bare(v.args[0].args[1])
    ahead = v.args[0]
    return bare(ahead.args[0])


def _source(u: Value, of: Value) -> bool:
    """Uniform numbers that the same words drew."""
    u = bare(u)
    return u.op.name == "uniform" and u.origin.span == of.origin.span


def _clock(v: Value) -> Value | None:
    """The uniform numbers behind a categorical draw."""
    stack = [*v.args]
    while stack:
        x = stack.pop()
        if x.op.name == "uniform" and x.origin.span == v.origin.span:
            return x
        if x.origin.span == v.origin.span:
            stack += x.args
    return None


def scale_of(v: Value) -> tuple[Value, Value, Value] | None:
    """(μ, σ, ε), where v is μ + σ ⊙ ε with ε drawn from the standard normal distribution: a sample
    that gradients pass (Kingma & Welling, 2014)."""
    if v.op.name != "add":
        return None
    for mean, spread in (v.args, v.args[::-1]):
        if spread.op.name != "mul" or not mean.type.batched:
            continue
        for scale, draw in (spread.args, spread.args[::-1]):
            if drawn(bare(draw)) == "normal" and number_of(scale) is None:
                return mean, scale, bare(draw)
    return None


@dataclass(frozen=True)
class Sample:
    """z = μ + σ ⊙ ε, and the names of σ and σ² where nothing in the net is called so."""

    value: Value
    sigma: Term
    defined: Term | None  # what σ is, unless the net names it
    aliases: Mapping[Term, Term]


def samples(steps: Iterable[Value], known: Mapping[Value, Term]) -> list[Sample]:
    """The samples among the named values of a net."""
    figures = [(v, found) for v in steps if (found := scale_of(v)) is not None]
    taken = {name.text for name in known.values()}
    free = "sigma" if "sigma" not in taken else "s"
    made = []
    for number, (v, (_, scale, _)) in enumerate(figures, start=1):
        sigma = t.symbol(free if len(figures) == 1 else f"{free}_{number}")
        log_variance = log_variance_of(scale)
        term = known.get(log_variance) if log_variance is not None else None
        if scale in known:
            sigma = known[scale]
        elif term is None:
            continue
        aliases: dict[Term, Term] = {}
        defined = None
        if term is not None:
            halves = (t.times(t.number(0.5), term), t.quotient(term, t.number(2)))
            aliases = {t.exponential(half): sigma for half in halves}
            aliases[t.exponential(term)] = t.power(sigma, t.number(2))
            defined = t.exponential(halves[0]) if scale not in known else None
        made.append(Sample(v, sigma, defined, aliases))
    return made


def log_variance_of(scale: Value) -> Value | None:
    """v, where the scale is exp(v / 2): v is the logarithm of the variance."""
    if scale.op.name != "exp":
        return None
    half = scale.args[0]
    if half.op.name == "div" and number_of(half.args[1]) == 2:
        return half.args[0]
    if half.op.name == "mul":
        for n, x in (half.args, half.args[::-1]):
            if number_of(n) == 0.5:
                return x
    return None
