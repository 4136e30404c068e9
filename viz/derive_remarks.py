"""What a textbook adds to the formulas of generative nets: where the KL term comes from, why
gradients pass a sample, what the best discriminator is.

In: a net's derivatives. Out: sentences, for figures that are recognised by what they compute and by
the closed forms that were found.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..compiler.graph import topological
from ..compiler.value import Value
from .backprop import Backprop
from .draws import drawn
from .terms import Term
from .unicode import unicode


def remarks(b: Backprop) -> Iterator[str]:
    """The sentences that fit, in order."""
    if any(step.block == "kl_normal" for step in b.equations.steps.values()):
        yield (
            "KL is E[log q(z) − log p(z)] for z drawn from q = N(μ, σ²), with p = N(0, 1). Since"
            " E[z²] = μ² + σ² and E[(z − μ)²] = σ², it is ½ Σ(μ² + σ² − 1 − log σ²); its derivative"
            " by μ is μ, by log σ² it is ½(σ² − 1) (Kingma and Welling, 2014, appendix B)."
        )
    for s in b.samples:
        yield (
            f"{unicode(b.names[s.value])} is a sample, but its draw does not depend on any"
            " parameter: written by the draw it has derivatives by mean and spread, and the"
            " gradient goes on through it (reparameterisation)."
        )
    yield from _judged(b)


def _judged(b: Backprop) -> Iterator[str]:
    """Of a net that tells real examples from made ones by a probability."""
    found = [(v, p, c) for v in b.deltas if (told := _target(b, v)) for p, c in [told]]
    made = [f for f in found if any(drawn(x) for x in topological([f[0]]))]
    real = [f for f in found if f not in made]
    if len(real) == len(made) == 1 and real[0][0].origin.instance == made[0][0].origin.instance:
        (_, p, truth), (_, q, lie) = real[0], made[0]
        above = " + ".join(_times(n, d) for n, d in ((truth, "p_data"), (lie, "p_G")) if n)
        above = f"({above})" if " + " in above else above
        yield (
            f"Real examples send {_less(p, truth)} back to the score, made ones {_less(q, lie)}."
            " Where the net can give every x a probability D(x) of its own, both together are 0 at"
            f" the best one: D(x) = {above} / (p_data + p_G), with the densities of real and"
            " made examples at x (Goodfellow et al., 2014)."
        )
    if len(made) == 1 and not real and made[0][2] == 1:
        name = unicode(made[0][1])
        yield (
            f"Made examples send {name} − 1 back to the score: most where they are seen through"
            f" ({name} near 0). Minimising log(1 − {name}) instead, the other side of the same"
            f" game, would send −{name}, which vanishes there (Goodfellow et al., 2014)."
        )


def _target(b: Backprop, v: Value) -> tuple[Term, float] | None:
    """(p, c), where ∂L/∂v is p − c for the probability p = σ(v)."""
    if v.type.size != 1 or v not in b.kept:
        return None
    closed = b.deltas[v].closed
    c = 0.0
    if closed.kind == "sub" and closed.parts[1].kind == "number":
        closed, c = closed.parts[0], float(closed.parts[1].text)
    if closed.kind == "call" and closed.text == "σ" and closed.parts[0] == b.names[v]:
        return closed, c
    p = next((w for w, name in b.names.terms.items() if name == closed), None)
    if p is None or p.op.name != "sigmoid":
        return None
    x = p.args[0]
    while x is not v and x.op.family == "view":
        x = x.args[0]
    return (closed, c) if x is v else None


def _less(p: Term, c: float) -> str:
    return f"{unicode(p)} − {c:g}" if c else unicode(p)


def _times(n: float, density: str) -> str:
    return density if n == 1 else f"{n:g} {density}"
