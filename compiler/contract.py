"""Lowering of products: matmul, outer and einsum with the views and sums around them → einsum.

In: a graph of readable products. Out: the same graph in which every product is one `einsum` that
reads its operands where they lie: no transposition is carried out, added axes of size 1 are left
out, and a sum over the batch (or another index that both operands have) is an index that the result
lacks.
"""

from __future__ import annotations

from .graph import Graph
from .op import Contraction, apply
from .value import Value, origin


def contract(graph: Graph) -> Graph:
    """Every contraction of the graph as an einsum."""

    new: dict[Value, Value] = {}
    for v in graph.nodes:
        new[v] = _contracted(v.on(tuple(new[a] for a in v.args)))
    return graph if all(a is b for a, b in new.items()) else graph.mapped(new)


def _contracted(v: Value) -> Value:
    if isinstance(v.op, Contraction):
        return _einsum(v, v.op.spec(tuple(a.type for a in v.args), v.attrs))
    if v.op.name == "sum" and v.args[0].op.name == "einsum":
        return _summed(v) or v
    if v.op.name == "sum" and not v.attrs["axes"] and v.args[0].op.name == "reshape":
        return _summed_behind_reshape(v) or v
    if v.op.name == "transpose" and v.args[0].op.name == "einsum":
        return _permuted(v)
    return v


def _einsum(v: Value, spec: str) -> Value:
    operands, result = spec.split("->")
    letters = operands.split(",")
    with origin(v.origin):
        read = [_read(a, part) for a, part in zip(v.args, letters, strict=True)]
        gone = {c for old, (_, new) in zip(letters, read, strict=True) for c in old if c not in new}
        read = [_dropped(a, part, gone) for a, part in read]
        kept = "".join(c for c in result if c not in gone)
        new = f"{read[0][1]},{read[1][1]}->{kept}"
        if v.op.name == "einsum" and new == spec:
            return v
        y = apply("einsum", *(a for a, _ in read), spec=new)
        if y.shape != v.shape:
            y = apply("reshape", y, shape=v.shape)
        return y


def _read(x: Value, letters: str) -> tuple[Value, str]:
    """The operand behind transpositions and reshapes that only add axes of size 1."""
    batch, named = ("b", letters[1:]) if x.type.batched else ("", letters)
    while x.op.name in ("transpose", "reshape"):
        (inner,) = x.args
        if x.op.name == "transpose":
            order = x.attrs["perm"]
            named = "".join(named[order.index(k)] for k in range(len(order)))
        else:
            behind = _unsqueezed(inner.shape, x.shape, named)
            if behind is None:
                break
            named = behind
        x = inner
    return x, batch + named


def _dropped(x: Value, letters: str, gone: set[str]) -> tuple[Value, str]:
    """The operand without the axes, of size 1, whose letters are gone."""
    if not gone & set(letters):
        return x, letters
    named = letters[1:] if x.type.batched else letters
    shape = tuple(n for c, n in zip(named, x.shape, strict=True) if c not in gone)
    left = "".join(c for c in letters if c not in gone)
    return apply("reshape", x, shape=shape), left


def _unsqueezed(inner: tuple[int, ...], outer: tuple[int, ...], named: str) -> str | None:
    """Letters of `inner`'s axes, where the two shapes differ by axes of size 1 that `outer` has."""
    if 1 in inner or [n for n in outer if n != 1] != list(inner):
        return None
    return "".join(c for c, n in zip(named, outer, strict=True) if n != 1)


def _summed(v: Value) -> Value | None:
    """Σ over indices that both operands have is part of the contraction."""
    (product,) = v.args
    if v.attrs["keep"] and v.attrs["axes"]:
        return None
    operands, result = product.attrs["spec"].split("->")
    left, right = operands.split(",")
    named = result.lstrip("b")
    gone = {named[k] for k in v.attrs["axes"]} | ({"b"} if v.attrs["batch"] else set())
    if not all(c in left and c in right for c in gone):
        return None
    kept = "".join(c for c in result if c not in gone)
    with origin(v.origin):
        return apply("einsum", *product.args, spec=f"{operands}->{kept}")


def _summed_behind_reshape(v: Value) -> Value | None:
    """Σ over the batch of a product that only has other axes."""
    (product,) = v.args[0].args
    if product.op.name != "einsum":
        return None
    with origin(v.origin):
        total = apply("sum", product, over="batch")
        found = _summed(total)
        return None if found is None else apply("reshape", found, shape=v.shape)


def _permuted(v: Value) -> Value:
    (product,) = v.args
    operands, result = product.attrs["spec"].split("->")
    batch, named = ("b", result[1:]) if product.type.batched else ("", result)
    order = "".join(named[k] for k in v.attrs["perm"])
    with origin(v.origin):
        return apply("einsum", *product.args, spec=f"{operands}->{batch}{order}")
