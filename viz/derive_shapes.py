"""The shapes of a derivation: of every value and parameter, and of each product of a gradient.

In: a net's derivatives. Out: a `Shape` for every named value, in the order of the equations, and
for the gradient of a weight matrix the shapes of its factors: [10 × m] [m × 16] is [10 × 16]. Where
a net is written for the whole batch a vector is a matrix with a column for each of the m examples.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..compiler.value import Value
from .backprop import Backprop
from .derivation import Passage, Shape
from .names import function_name
from .terms import Term

Sizes = tuple[str, ...]
_NAMED = ("symbol", "step")  # kinds of terms


def shapes(b: Backprop) -> Iterator[Shape]:
    """Inputs, then each equation's parameters and its value, and those of the steps of scans."""
    yield from _of(b, set(), "")


def _of(b: Backprop, told: set[Term], where: str) -> Iterator[Shape]:
    for v in b.equations.stand_in:
        # What arrives at a step on the way back is no value of the net.
        if v.op.name == "input" and b.names[v] not in told and b.names[v].kind in _NAMED:
            told.add(b.names[v])
            yield _row(b, v, "" if where else "input", where)
    scans: set[Value] = set()
    for v, step in b.equations.steps.items():
        for p in step.operands:
            kind = {"param": "parameter", "state": "state", "scalar": "a number"}.get(p.op.name)
            if kind and b.names[p] not in told:
                told.add(b.names[p])
                yield _row(b, p, kind, where)
        if v.op.family == "part" and v.args[0] in b.scans and v.args[0] not in scans:
            scans.add(v.args[0])
            inside = b.scans[v.args[0]]
            yield from _of(inside.step, told, f"one step of {inside.cell.title}")
        if b.names[v] not in told and v is not b.loss:
            told.add(b.names[v])
            yield _row(b, v, _what(b, v), where)


def _what(b: Backprop, v: Value) -> str:
    """The word for what an equation computes, where it has one."""
    step = b.equations.steps[v]
    if step.kind == "elementwise":
        return function_name(b.equations, v).replace("σ", "sigmoid")
    return step.block if step.kind != "affine" and v.origin.instance else ""


def _row(b: Backprop, v: Value, kind: str, where: str) -> Shape:
    sizes = sizes_of(b, v)
    count = v.type.size if kind == "parameter" else 0
    noted = kind if not where or kind == "parameter" else f"{kind}, {where}".lstrip(", ")
    return Shape(b.names[v], written(sizes), noted, count, tuple(v.shape), v.type.batched)


def sizes_of(b: Backprop, v: Value) -> Sizes:
    """(10, m) for a vector of each example, where matrices hold the batch."""
    found = tuple(map(str, v.shape))
    if not b.batch or not v.type.batched or len(found) > 1:
        return found
    return (*(found or ("1",)), "m")


def written(sizes: Sizes) -> str:
    """10 × m."""
    return " × ".join(sizes) if sizes else "1"


def products(b: Backprop, passages: tuple[Passage, ...]) -> Iterator[tuple[Term, str]]:
    """(∂L/∂W, "[10 × m] [m × 16] = [10 × 16]") for each gradient that is a matrix product."""
    if not b.batch:
        return
    known = {b.names[v]: sizes_of(b, v) for v in b.equations.stand_in}
    for p in passages:
        body = _product_of(p.closed)
        if not p.parameter or body is None:
            continue
        left, right = (_size(x, known) for x in body.parts)
        if left and right and len(left) == len(right) == 2 and left[1] == right[0]:
            whole = written((left[0], right[1]))
            yield p.left, f"[{written(left)}] [{written(right)}] = [{whole}]"


def _product_of(term: Term) -> Term | None:
    """The product behind a number."""
    while term.kind in ("times", "neg"):
        term = term.parts[-1]
    return term if term.kind == "product" else None


def _size(term: Term, known: dict[Term, Sizes]) -> Sizes | None:
    """The shape of a term, where it follows from those of its names."""
    if term in known:
        return known[term]
    if term.kind == "transpose":
        inner = _size(term.parts[0], known)
        return inner[::-1] if inner is not None and len(inner) == 2 else None
    if term.kind == "partial":
        return _size(term.parts[1], known)
    if term.kind == "prime":
        return _size(term.parts[0], known)
    if term.kind == "product":
        left, right = (_size(x, known) for x in term.parts)
        return (left[0], right[1]) if left and right and len(right) == 2 else None
    if term.kind in ("add", "sub", "hadamard", "times", "neg", "power"):
        found = [s for x in term.parts if (s := _size(x, known))]
        return max(found, key=len) if found else None
    return None
