"""Lowering of sums over the batch: first within each example, then over the examples.

In: a graph. Out: the same graph in which a reduction over the batch and many other elements (the
statistics of a channel over all pixels of all images, the gradient of a bias) is one reduction
for each example, which threads share, and a small one over the batch. Long sums in f32 are more
accurate for it, too. Matrix products stay as they are.
"""

from __future__ import annotations

from math import prod

from .graph import Graph
from .kernels.products import letters_of
from .op import apply
from .value import Value, origin

FEW = 16  # elements of an example: fewer are not worth a second reduction


def within_examples(graph: Graph) -> Graph:
    """Every long reduction over the batch in two."""
    new: dict[Value, Value] = {}
    for v in graph.nodes:
        new[v] = _parted(v.on(tuple(new[a] for a in v.args)))
    return graph if all(a is b for a, b in new.items()) else graph.mapped(new)


def _parted(v: Value) -> Value:
    if v.op.name in ("sum", "max", "min"):
        return _reduction(v)
    return _contraction(v) if v.op.name == "einsum" else v


def _reduction(v: Value) -> Value:
    (x,) = v.args
    axes = v.attrs["axes"]
    if not (v.attrs["batch"] and x.type.batched) or prod(x.shape[k] for k in axes) < FEW:
        return v
    with origin(v.origin):
        inner = apply(v.op.name, x, over=tuple(axes), keep=v.attrs["keep"])
        return apply(v.op.name, inner, over=("batch",))


def _contraction(v: Value) -> Value:
    spec: str = v.attrs["spec"]
    letters = letters_of(spec, *(a.shape for a in v.args))
    inner = [c for c in letters.depth + letters.alone if c != "b"]
    if letters.is_product or not letters.over_batch or prod(letters.size[c] for c in inner) < FEW:
        return v
    operands, result = spec.split("->")
    with origin(v.origin):
        parts = apply("einsum", *v.args, spec=f"{operands}->b{result}")
        return apply("sum", parts, over=("batch",))
