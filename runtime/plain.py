"""The plain interpreter: every operation by its NumPy reference, one after another.

In: values or a graph, and arrays for the leaves by name. Out: arrays. It is slow and simple, and
shares nothing with the emitted kernels, so it is what they are tested against. Batched arrays carry
the batch as axis 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from ..compiler.graph import Graph, topological
from ..compiler.op import Array, Run
from ..compiler.value import Value

Given = Mapping[str, Array | float]


def evaluate(
    values: Sequence[Value], given: Given, *, batch: int = 1, seed: int = 0, step: int = 1
) -> list[Array]:
    """The numbers of `values`. Raises KeyError where a leaf is not given."""
    found: dict[Value, Array] = {}
    wanted = set(values)
    for v, result in computed(values, given, Run(batch, seed, step)):
        if v in wanted:
            found[v] = result
    return [found[v] for v in values]


def run_graph(
    graph: Graph, given: Given, *, batch: int = 1, seed: int = 0, step: int = 1
) -> dict[tuple[str, str], Array]:
    """Every output of a graph, by (kind, name)."""
    values = [o.value for o in graph.outputs]
    results = evaluate(values, given, batch=batch, seed=seed, step=step)
    return {(o.kind, o.name): r for o, r in zip(graph.outputs, results, strict=True)}


def first_not_finite(
    graph: Graph, given: Given, *, batch: int = 1, seed: int = 0, step: int = 1
) -> Value | None:
    """The first value with NaN or infinity, so its operands are finite; a leaf counts too."""
    roots = [o.value for o in graph.outputs]
    for v, result in computed(roots, given, Run(batch, seed, step)):
        if v.type.is_float and v.op.family != "scan" and not np.all(np.isfinite(result)):
            return v
    return None


def computed(roots: Iterable[Value], given: Given, run: Run) -> Iterator[tuple[Value, Array]]:
    """(value, numbers) in order; numbers are dropped as soon as nobody needs them any more."""
    order = topological(roots)
    uses: dict[Value, int] = {}
    for v in order:
        for a in v.args:
            uses[a] = uses.get(a, 0) + 1
    held: dict[Value, Array] = {}
    # A vanishing denominator is news for `first_not_finite`, not a warning on the terminal.
    with np.errstate(all="ignore"):
        for v in order:
            if v.op.family == "leaf" and "name" in v.attrs:
                result = _given(v, given, run)
            else:
                result = v.op.compute(v, tuple(held[a] for a in v.args), run)
            yield v, result
            if uses.get(v):
                held[v] = result
            for a in v.args:
                uses[a] -= 1
                if not uses[a]:
                    held.pop(a, None)


def _given(v: Value, given: Given, run: Run) -> Array:
    name = v.attrs["name"]
    if name not in given and name == "step":
        return np.asarray(run.step, v.type.numpy)
    array = np.asarray(given[name], dtype=v.type.numpy)
    if v.type.frame is not None:  # a user has examples of steps, the graph steps of examples
        array = np.swapaxes(array, 0, 1)
        shape: tuple[int, ...] = (v.type.frame.steps, run.batch, *v.shape)
        if array.shape == shape:
            return array.reshape(-1, *v.shape)
    shape = (run.batch, *v.shape) if v.type.batched else v.shape
    if array.shape != shape:
        raise ValueError(f"`{name}` has shape {list(array.shape)}, expected {list(shape)}")
    return array
