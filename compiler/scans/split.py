"""Products of joined vectors as sums of products: W·[h; x] is W_h·h + W_x·x.

In: the body of a scan as a graph. Out: the same step in which what belongs to the carried value and
what belongs to the sequence are separate products, so that the second can be made for all steps at
once. The gradient is split alike: a slice of Wᵀ·δ is a slice of Wᵀ times δ, and δ·[h; x]ᵀ is
[δ·hᵀ, δ·xᵀ].
"""

from __future__ import annotations

from ..graph import Graph
from ..op import apply
from ..value import Value, origin


def split(graph: Graph) -> Graph:
    """Joined operands apart, in every product of the graph."""
    new: dict[Value, Value] = {}
    for v in graph.nodes:
        w = v.on(tuple(new[a] for a in v.args))
        with origin(v.origin):
            new[v] = _split(w)
    return graph if all(a is b for a, b in new.items()) else graph.mapped(new)


def _split(v: Value) -> Value:
    name = v.op.name
    if name == "matmul" and _is_joined(v.args[1]) and len(v.args[0].shape) == 2:
        return _product(v)
    if name == "outer" and _is_joined(v.args[1]):
        x, joined = v.args
        return apply("concat", *(apply("outer", x, y) for y in joined.args), axis=1)
    if name == "sum" and v.attrs["batch"] and not v.attrs["axes"]:
        (x,) = v.args
        if x.op.name == "concat" and all(a.type.batched for a in x.args):
            parts = (apply("sum", a, over="batch") for a in x.args)
            return apply("concat", *parts, axis=x.attrs["axis"])
    if name == "slice" and len(v.shape) == 1:
        return _sliced(v.args[0], v.attrs["start"][0], v.shape[0]) or v
    return v


def _is_joined(v: Value) -> bool:
    return v.op.name == "concat" and len(v.shape) == 1


def _product(v: Value) -> Value:
    matrix, joined = v.args
    rows, at = matrix.shape[0], 0
    total: Value | None = None
    for x in joined.args:
        columns = apply("slice", matrix, start=(0, at), size=(rows, x.shape[0]))
        part = apply("matmul", columns, x)
        total = part if total is None else total + part
        at += x.shape[0]
    assert total is not None
    return total


def _sliced(v: Value, start: int, size: int) -> Value | None:
    """Elements start … start + size of a vector that is a product, or a sum of such."""
    if v.op.name in ("add", "sub") and all(a.shape == v.shape for a in v.args):
        parts = [_sliced(a, start, size) for a in v.args]
        if all(p is None for p in parts):
            return None
        whole = (
            apply("slice", a, start=(start,), size=(size,)) if p is None else p
            for a, p in zip(v.args, parts, strict=True)
        )
        return apply(v.op.name, *whole)
    if v.op.name == "matmul" and len(v.args[0].shape) == 2 and len(v.args[1].shape) == 1:
        matrix, x = v.args
        rows = apply("slice", matrix, start=(start, 0), size=(size, matrix.shape[1]))
        return apply("matmul", rows, x)
    return None
