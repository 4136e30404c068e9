"""The local derivative of every equation: what it does to the gradient that comes in.

In: a `Backprop`. Out: (∂w/∂u, formula, note) for each step w and each operand u on the way from
the loss to a parameter: W₂ for Z₂ by A₁, diag(A) − A Aᵀ for a softmax, g′(Z) and what g′ is for
an activation. Found by sending a symbol δ back through the step and reading what it is
multiplied by.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..compiler.autodiff import gradient
from ..compiler.graph import leaf as make_leaf
from ..compiler.value import Value
from . import terms as t
from .backprop import Backprop
from .formula import formulas, right_hand_side
from .names import function_name
from .simplify import simplified
from .terms import Term
from .unicode import unicode

DELTA = t.symbol("delta")
Local = tuple[Term, Term, str]


def local_derivatives(b: Backprop, *, loss: bool = True) -> Iterator[Local]:
    """From the loss backwards, every partial derivative that a chain uses; those of a scan stand
    with its steps."""
    steps = [*([b.loss] if loss else []), *b.deltas]
    for w in steps:
        if w.op.family == "part":
            continue
        for u in b.equations.steps[w].operands:
            if u in b.deltas or u in b.params:
                yield _local(b, w, u)
        yield from _definition(b, w)


def _local(b: Backprop, w: Value, u: Value) -> Local:
    left = t.partial(b.names[w], b.names[u])
    if w is b.loss or (u.shape and not w.shape):  # the derivative of a number: KL by μ
        return left, _gradient(b, w, u), ""
    step = b.equations.steps[w]
    right = right_hand_side(w, b.names.terms, b.batch)
    if right.kind == "call" and right.text == "softmax" and right.parts == (b.names[u],):
        a = b.names[w]
        return left, t.sub(t.call("diag", a), t.product(a, t.transpose(a))), ""
    if b.primed and step.kind == "elementwise":
        return left, t.prime(function_name(b.equations, w), b.names[u]), "element by element"
    sent = _sent_back(b, w, u)
    factor = _factor(sent)
    if factor is None:
        delta = "applied to δ = " + unicode(t.partial(b.names[b.loss], b.names[w]))
        return left, sent, ": ".join((delta, *_called(sent)))
    return left, factor, "on the right of δ" if u.op.name == "param" and len(u.shape) > 1 else ""


def _gradient(b: Backprop, w: Value, u: Value) -> Term:
    """∂L/∂u where the loss is a scalar function of u."""
    stand_in = b.equations.stand_in[u]
    (value,), _ = simplified([gradient(b.equations.body(w)[w], [stand_in])[0]])
    return formulas([value], b.known, b.batch, b.aliases)[value]


def _sent_back(b: Backprop, w: Value, u: Value) -> Term:
    """What the step w sends back to u when δ comes in, for one example."""
    delta = make_leaf("input", "delta", w.type)
    body = b.equations.body(w)[w]
    sent = gradient(body, [b.equations.stand_in[u]], seed=delta)[0]
    _, value, _, terms = b.reduced(sent, [w])
    known = {**terms, delta: DELTA}
    found = formulas([value], known, False, b.aliases)[value]
    if found.kind == "total" and found.text.startswith("i"):  # for one example
        places = found.text[1:]
        return t.total(found.parts[0], places) if places else found.parts[0]
    return found


def _factor(sent: Term) -> Term | None:
    """What δ is multiplied by; None where that is not one factor."""
    if sent == DELTA:
        return t.number(1)
    if sent.kind == "neg":
        inner = _factor(sent.parts[0])
        return None if inner is None else t.neg(inner)
    if sent.kind not in ("product", "hadamard", "times"):
        return None
    first, second = sent.parts
    if sent.kind == "product" and second == DELTA:
        return t.transpose(first)
    if sent.kind == "product" and (first == DELTA or second == t.transpose(DELTA)):
        return second if first == DELTA else first
    if sent.kind != "product" and DELTA in (first, second):
        return second if first == DELTA else first
    if sent.kind == first.kind == "hadamard":
        inner = _factor(first)
        return t.hadamard(inner, second) if inner is not None else None
    return None


def _called(sent: Term) -> list[str]:
    """What is sent back, where it has a name."""
    if sent.kind == "convolve":
        return ["transposed convolution" if sent.text else "correlation with δ"]
    return []


def _definition(b: Backprop, w: Value) -> Iterator[Local]:
    """What g′ is, after its first use: relu′(Z₁) = [Z₁ > 0]."""
    if w is b.loss or not b.primed or b.equations.steps[w].kind != "elementwise":
        return
    (z,) = b.equations.steps[w].operands
    if z not in b.deltas:
        return
    prime = b.prime(w)
    right = formulas([prime], b.known, b.batch, b.aliases)[prime]
    yield t.prime(function_name(b.equations, w), b.names[z]), right, ""
