"""The slope of a ReLU, read from its result.

The derivative of max(z, c) asks whether z > c, and max(z, c) > c says the same. The result lies in
memory anyway, because the next layer's weights need it; z does not have to, nor a mask of its own.

In: a graph. Out: the same comparisons, of the results. After simplification, so that derivations
keep the textbook's g′(z).
"""

from __future__ import annotations

from .graph import Graph
from .op import apply
from .value import Value, origin


def slopes_from_results(graph: Graph) -> Graph:
    """Every z > c for which max(z, c) is computed, as max(z, c) > c."""
    known = {
        (v.args[0], float(v.args[1].attrs["value"])): v
        for v in graph.nodes
        if v.op.name == "maximum" and v.args[1].is_constant
    }
    if not known:
        return graph
    new: dict[Value, Value] = {}
    for v in graph.nodes:
        result = _result(v, known)
        if result is None:
            new[v] = v.on(tuple(new[a] for a in v.args))
            continue
        if result not in new:  # its operands are those of v
            new[result] = result.on(tuple(new[a] for a in result.args))
        with origin(v.origin):
            new[v] = apply("gt", new[result], new[v.args[1]])
    return graph if all(a is b for a, b in new.items()) else graph.mapped(new)


def _result(v: Value, known: dict[tuple[Value, float], Value]) -> Value | None:
    if v.op.name != "gt" or not v.args[1].is_constant:
        return None
    found = known.get((v.args[0], float(v.args[1].attrs["value"])))
    return found if found is not None and found.type.with_(dtype="bool") == v.type else None
