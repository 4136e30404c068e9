"""Padded images: one buffer holds an image and the border around it.

A convolution with padding reads its image inside a larger one. What else needs the image reads it
there too: the image itself is then computed straight into its place, and lies in memory once.

In: a graph whose convolutions are products over windows. Out: the same values, equal ones shared,
and every other use of a padded value a slice of the padded one.
"""

from __future__ import annotations

from typing import Any

from .graph import Graph
from .op import apply
from .value import Value, origin


def share_padding(graph: Graph) -> Graph:
    """Read padded values inside their padding."""
    graph = shared(graph)
    inside = _padded(graph)
    if not inside:
        return graph
    new: dict[Value, Value] = {}
    for v in graph.nodes:
        if v in inside.values():
            new[v] = v.on(tuple(new[a] for a in v.args))
        else:
            new[v] = v.on(tuple(_read(a, new, inside) for a in v.args))
    return graph.mapped(new)


def shared(graph: Graph) -> Graph:
    """Equal values as one: lowering makes the padding of an image once for each of its uses."""
    new: dict[Value, Value] = {}
    known: dict[tuple[Any, ...], Value] = {}
    for v in graph.nodes:
        made = v.on(tuple(new[a] for a in v.args))
        named = v.op.family == "leaf" and "name" in v.attrs
        new[v] = made if named else known.setdefault(made.key(), made)
    return graph if all(a is b for a, b in new.items()) else graph.mapped(new)


def _padded(graph: Graph) -> dict[Value, Value]:
    """The padded value of each value that is computed, padded, and used elsewhere."""
    found: dict[Value, Value] = {}
    for v in graph.nodes:
        if v.op.name != "pad" or v.args[0].op.family == "leaf":
            continue
        (x,) = v.args
        if x not in found and any(u.op.name != "pad" for u, _ in graph.users[x]):
            found[x] = v
    return found


def _read(a: Value, new: dict[Value, Value], inside: dict[Value, Value]) -> Value:
    padded = inside.get(a)
    if padded is None:
        return new[a]
    if padded not in new:  # only `a` itself stands before it
        new[padded] = padded.on((new[a],))
    with origin(a.origin):
        return apply("slice", new[padded], start=padded.attrs["start"], size=a.shape)
