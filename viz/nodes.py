"""Words for single nodes of any stage of the compiler: forward, gradient, lowered.

In: a value. Out: its formula over the names of its operands, a dot for those without a name; the
meaning that gives it its colour. What is one equation, and textbook names, are the business of
`equations` and `names`, which know forward graphs only.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..compiler.graph import leaf as make_leaf
from ..compiler.value import Value
from . import terms as t
from .equations import rebuilt
from .formula import DOT, formula
from .terms import Term
from .unicode import unicode

FAMILY = {
    "contraction": "contraction", "convolution": "contraction", "elementwise": "elementwise",
    "reduction": "reduction", "view": "view", "assemble": "view", "draw": "state",
}  # fmt: skip
LEAVES = {"input": "data", "param": "param", "state": "state", "scalar": "constant"}
QUIET = ("broadcast", "cast", "reshape", "stop_gradient")


def is_number(v: Value) -> bool:
    """A number, or how many examples there are, or repetitions of either: no node of its own."""
    while v.op.name in QUIET and v.args:
        v = v.args[0]
    return v.op.name in ("constant", "batch_size")


def name(v: Value) -> Term | None:
    """What a reader knows a value by: a leaf's name, or the user's; none for gradients."""
    if v.op.family == "leaf" and "name" in v.attrs:
        return t.symbol(str(v.attrs["name"]))
    if v.origin.role == "forward" and v.origin.name and not v.origin.instance:
        return t.symbol(v.origin.name)
    return None


def words(v: Value, width: int = 40) -> str:
    """The formula of one node. An einsum tells over which letters it sums."""
    known: dict[Value, Term] = {a: name(a) or DOT for a in v.args if not is_number(a)}
    if v.op.family == "leaf" and "name" in v.attrs:
        text = str(v.attrs["name"])
    elif v.op.name == "einsum":
        text = _einsum(v, [unicode(known.get(a) or DOT) for a in v.args])
    else:
        text = formula_over(v, known)
        if text == "·" or v.op.name in QUIET or v.op.family in ("view", "assemble"):
            inner = ", ".join(unicode(known.get(a) or DOT) for a in v.args)
            text = f"{v.op.name}({inner})"
    return text if len(text) <= width else text[: width - 1] + "…"


def formula_over(v: Value, known: Mapping[Value, Term]) -> str:
    """The formula of a value over named ones, whatever those are made of."""
    if v in known:
        return unicode(known[v])
    stand_in = {a: make_leaf("param", f"v{k}", a.type) for k, a in enumerate(known)}
    body = rebuilt(v, stand_in.get)[v]
    return unicode(formula(body, {stand_in[a]: term for a, term in known.items()}))


def brief(v: Value, levels: int = 3) -> str:
    """What a value is, so many operations deep, down to names; further down, an ellipsis."""
    known: dict[Value, Term] = {}
    pending = [(v, levels)]
    seen = {v}
    while pending:
        x, left = pending.pop()
        for a in x.args:
            named = name(a)
            if named is not None or (left <= 1 and not is_number(a)):
                known[a] = named or t.symbol("…")
            elif a not in seen:
                seen.add(a)
                pending.append((a, left - 1))
    return formula_over(v, known)


def _einsum(v: Value, names: list[str]) -> str:
    taken, _, given = str(v.attrs["spec"]).partition("->")
    summed = "".join(dict.fromkeys(c for c in taken if c.isalpha() and c not in given))
    product = " × ".join(names)
    return f"Σ{summed} {product}" if summed else product


def meaning(v: Value) -> str:
    """Which colour a node has."""
    if v.op.name in LEAVES:
        return LEAVES[v.op.name]
    if v.origin.role == "backward":
        return "gradient"
    return FAMILY.get(v.op.family, "other")


def shape(v: Value) -> str:
    """The shape of one example, nothing for a number."""
    return str(list(v.shape)) if v.shape else ""
