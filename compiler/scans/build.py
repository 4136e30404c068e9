"""Scans from their pieces, and the pieces of scans.

In: a body with its placeholders, operands, attributes. Out: `scan` values and their `part`s. The
one place that knows in which order operands and results stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..graph import Graph, Output
from ..op import build, operation
from ..ops.scan import Body, frame_of, inside
from ..types import Frame, Type
from ..value import Value, current_origin

Pair = tuple[Value, Value]  # a placeholder and the operand that it stands for


@dataclass
class Recurrence:
    """A scan in pieces. Pairs are (placeholder, operand)."""

    carries: list[Pair] = field(default_factory=list)
    sequences: list[Pair] = field(default_factory=list)
    shared: list[Pair] = field(default_factory=list)
    next: list[Value] = field(default_factory=list)  # of each carried value
    yields: list[Value] = field(default_factory=list)
    sums: list[Value] = field(default_factory=list)
    steps: int = 1
    clock: str = ""
    reverse: bool = False
    truncate: int = 0
    framed: bool = False

    def value(self) -> Value:
        """The scan. Its placeholders that nothing asks for stay."""
        pairs = [*self.carries, *self.sequences, *self.shared]
        body = Body((b for b, _ in pairs), (*self.next, *self.yields, *self.sums))
        attrs = {
            "body": body, "carries": len(self.carries), "sequences": len(self.sequences),
            "sums": len(self.sums), "steps": self.steps, "clock": self.clock,
            "reverse": self.reverse, "truncate": self.truncate, "framed": self.framed,
        }  # fmt: skip
        return build(operation("scan"), tuple(a for _, a in pairs), attrs)


def pieces(scan: Value) -> Recurrence:
    """A scan taken apart."""
    a: Mapping[str, Any] = scan.attrs
    body: Body = a["body"]
    pairs = list(zip(body.bound, scan.args, strict=True))
    n, m = a["carries"], a["carries"] + a["sequences"]
    last = len(body.results) - a["sums"]
    return Recurrence(
        pairs[:n], pairs[n:m], pairs[m:], list(body.results[:n]), list(body.results[n:last]),
        list(body.results[last:]), a["steps"], a["clock"], a["reverse"], a["truncate"], a["framed"],
    )  # fmt: skip


def part(scan: Value, index: int, name: str = "") -> Value:
    """Result `index` of a scan: last carried values, yields, sums."""
    made = build(operation("part"), (scan,), {"index": index, "type": part_type(scan, index)})
    origin = replace(current_origin(), name=name)
    return Value(made.op, made.args, made.attrs, made.type, origin)


def part_type(scan: Value, index: int) -> Type:
    """The type of a result of a scan."""
    body: Body = scan.attrs["body"]
    t = body.results[index].type
    n = scan.attrs["carries"]
    if n <= index < len(body.results) - scan.attrs["sums"]:
        if scan.attrs["framed"]:
            return t.with_(frame=frame_of(scan))
        return t.with_(shape=(scan.attrs["steps"], *t.shape))
    return t


def with_results(scan: Value, args: tuple[Value, ...], body: Body) -> Value:
    """The same scan with another body (of as many results of each kind) on other operands."""
    return Value(scan.op, args, {**scan.attrs, "body": body}, scan.type, scan.origin)


def body_graph(body: Body, name: str = "step") -> Graph:
    """A body as a graph whose outputs are its results, "0", "1", …"""
    outputs = (Output("output", str(k), v) for k, v in enumerate(body.results))
    return Graph(name, tuple(outputs))


def within_bodies(graph: Graph, change: Callable[[Graph], Graph]) -> Graph:
    """The graph with `change` applied to the body of every scan, as a graph of its own."""
    if not any(v.op.family == "scan" for v in graph.nodes):
        return graph
    changed: dict[Body, Body] = {}

    def on(v: Value) -> Value:
        if v.op.family != "scan":
            return v
        old: Body = v.attrs["body"]
        if old not in changed:
            before = body_graph(old)
            after = change(before)
            same = after is before
            changed[old] = old if same else Body(old.bound, (o.value for o in after.outputs))
        body = changed[old]
        return v if body is old else with_results(v, v.args, body)

    return graph.rewrite(on)


def depends(body_values: Sequence[Value], on: set[Value]) -> set[Value]:
    """The values among `body_values` (operands first) that depend on any of `on`; those too."""
    found = set(on)
    for v in body_values:
        if any(a in found for a in v.args):
            found.add(v)
    return found


__all__ = [
    "Body", "Frame", "Pair", "Recurrence", "body_graph", "depends", "frame_of", "inside", "part",
    "part_type", "pieces", "with_results", "within_bodies",
]  # fmt: skip
