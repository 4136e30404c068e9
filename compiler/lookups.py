"""Lowering of products with one-hot vectors that only lowering has brought to light.

In: a graph whose sequences are laid out. Out: the same, where a product of a matrix with the
one-hot vectors of all steps, and the sums that are its gradients, are lookups. The laws are those
of `rules/lookup`, which the simplifier applies to what stands outside of scans.
"""

from __future__ import annotations

from .graph import Graph
from .rewrite import Table
from .rules.lookup import RULES
from .value import Value, origin


def looked_up(graph: Graph) -> Graph:
    """Every product with one-hot vectors of enough classes as a lookup."""
    if not any(v.op.name == "one_hot" for v in graph.nodes):
        return graph
    table = Table()
    new: dict[Value, Value] = {}
    for v in graph.nodes:
        new[v] = _changed(v.on(tuple(new[a] for a in v.args)), table)
    return graph if all(a is b for a, b in new.items()) else graph.mapped(new)


def _changed(v: Value, table: Table) -> Value:
    for rule in RULES:
        if v.op.name in rule.on:
            with origin(v.origin):
                after = rule.change(v, table)
            if after is not None:
                return after
    return v
