"""The gradient by what a scan carries, at every step.

In: a graph with scans. Out: the same graph, in which every carried value has a zero added to it at
each step, and the leaves of those zeros: ∂L/∂(zero at step t) is ∂L/∂hₜ. Differentiating a scan
gives its gradient by what enters it; what it carries has no value outside of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..graph import Graph, leaf, substituted
from ..ops.scan import bound
from ..value import Value, origin
from .build import pieces


@dataclass(frozen=True)
class Carried:
    """A carried value of a scan. `zeros` is the leaf [steps, *shape] that is added to it."""

    word: str
    scan: Value
    zeros: Value


def disturbed(graph: Graph) -> tuple[Graph, list[Carried]]:
    """The graph with zeros added to what its outermost scans carry."""
    found: list[Carried] = []

    def change(v: Value) -> Value:
        if v.op.family != "scan" or not v.attrs["carries"]:
            return v
        with origin(v.origin):
            p = pieces(v)
            results = [*p.next, *p.yields, *p.sums]
            for k, (held, _) in enumerate(p.carries):
                if not held.type.is_float or results[k] is held:
                    continue
                of: dict[str, Any] = {"shape": (p.steps, *held.type.shape)}
                zeros = leaf("input", f"zeros~{len(found)}", held.type.with_(**of))
                given = bound("zero", held.type)
                p.sequences.append((given, zeros))
                results = substituted(results, {results[k]: results[k] + given})
                word = held.origin.name.rpartition(".")[2] or "h"
                found.append(Carried(word, v, zeros))
            n, m = len(p.next), len(p.next) + len(p.yields)
            p.next, p.yields, p.sums = results[:n], results[n:m], results[m:]
            return p.value()

    return graph.rewrite(change), found
