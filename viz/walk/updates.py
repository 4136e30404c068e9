"""The stops of the update: what an optimizer makes of each parameter and its gradient.

In: the outputs of an optimizer's equations, run on a leaf for each gradient and one for the
learning rate η. Out: a stop for each parameter, with the equations of its states before its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...compiler.graph import Leaf, Output, leaf, topological
from ...compiler.types import Type
from ...compiler.value import Value
from ...dsl.source import Span
from .. import terms as t
from ..equations import rebuilt
from ..formula import right_hand_side
from ..simplify import simplified
from ..terms import Term
from ..unicode import unicode
from .stops import UPDATE, Formula, Key, Stop

RATE = "eta"
CLIPPED = t.symbol("g_tilde")


@dataclass(frozen=True)
class Rules:
    """Simplified updates over gradients, states and η; `rate` is what η is, where there is one."""

    outputs: tuple[Output, ...]
    eta: Value
    rate: Value | None

    def of(self, param: str) -> list[Output]:
        """The update of a parameter, behind those of its states."""
        found = [o for o in self.outputs if o.name.startswith(f"{param}.") or o.name == param]
        return sorted(found, key=lambda o: o.name == param)


def rules(found: Sequence[Output], dtype: str) -> Rules:
    """The updates with one leaf in place of the learning rate, simplified."""
    eta = leaf("scalar", RATE, Type((), dtype), role="update")
    order = topological(o.value for o in found)
    rate = next((v for v in order if v.op.name == "mul" and _is_rate(v)), None)

    def exchange(v: Value) -> Value | None:
        return eta if v.op.name == "mul" and _is_rate(v) else None

    values, _ = simplified([rebuilt(o.value, exchange)[o.value] for o in found])
    outputs = tuple(
        Output(o.kind, o.name, v, o.target, o.span) for o, v in zip(found, values, strict=True)
    )
    return Rules(outputs, eta, rate)


def _is_rate(v: Value) -> bool:
    return v.origin.role == "update" and v.origin.name == "lr"


def gradient_leaf(param: Leaf) -> Value:
    """What stands for ∂L/∂θ of a parameter."""
    return leaf("input", f"gradient of {param.name}", param.value.type.with_(batched=False))


def stops(
    rules: Rules,
    params: Sequence[Leaf],
    gradients: Mapping[Value, Value],
    terms: Mapping[Value, Term],
    loss: Term,
    forward: Mapping[str, Value],
    spans: Mapping[str, Span | None],
) -> list[Stop]:
    """θ ← …, for each parameter. `gradients` are the leaves of `gradient_leaf` by parameter;
    `forward` the parameters of the walk by name."""
    found = []
    for p in params:
        theta = forward[p.name]
        slope = t.partial(loss, terms[theta])
        known: dict[Value, Term] = {
            p.value: terms[theta], gradients[p.value]: slope, rules.eta: t.symbol("eta"),
        }  # fmt: skip
        own = rules.of(p.name)
        clocks = [v for v in topological(o.value for o in own) if v.attrs.get("name") == "step"]
        known |= dict.fromkeys(clocks, t.symbol("t"))
        for o in own[:-1]:
            word = t.symbol(o.name.rpartition(".")[2])
            known[o.value] = word
            if o.target is not None:
                known[o.target] = word
        clipped = _clipped(own[-1].value, gradients[p.value])
        if clipped is not None:
            known[clipped] = CLIPPED
        lines = [_line(o, known, terms[theta] if o is own[-1] else None) for o in own]
        note = "; g̃ is the gradient, clipped" if clipped is not None else ""
        lines[-1] = Formula(lines[-1].right, lines[-1].left, f"η is the learning rate{note}", "←")
        uses = ((terms[theta], Key(theta)), (slope, Key(theta, gradient=True)))
        told = f"{unicode(terms[theta])} ← {unicode(lines[-1].right)}"
        found.append(
            Stop(UPDATE, f"{unicode(terms[theta])}: update", told, tuple(lines), Key(own[-1].value),
                 terms[theta], Key(theta), theta, uses, (own[-1].value,), spans.get(p.name))
        )  # fmt: skip
    return found


def _line(o: Output, known: Mapping[Value, Term], left: Term | None) -> Formula:
    name = left if left is not None else known[o.value]
    # Its own new value is not known yet where it is made, its old one is.
    return Formula(right_hand_side(o.value, known), name, "what the optimizer remembers", "←")


def _clipped(update: Value, gradient: Value) -> Value | None:
    """The last value that clipping made of the gradient."""
    made = [
        v for v in topological([update])
        if v.origin.role == "update" and v.origin.name == "clip"
        and v.shape == gradient.shape and v.op.name != "broadcast"
    ]  # fmt: skip
    return made[-1] if made else None
