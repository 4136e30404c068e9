"""What must hold of every graph between passes, checked at the cost of what is new.

In: a graph. Out: nothing, or `Broken` naming the pass, the value and the reason. A user never meets
this one: it is how a wrong pass is found at the pass that is wrong.
"""

from __future__ import annotations

from .graph import Graph, Output
from .types import ShapeError
from .value import Value


class Broken(Exception):
    """A graph that no pass may produce."""


class Verifier:
    """Remembers the values that were checked, so that a pass costs what it changed."""

    def __init__(self) -> None:
        self._checked: set[Value] = set()

    def check(self, graph: Graph, after: str = "") -> None:
        """Operands before users, types as inferred, leaves known, outputs of the right types."""
        where = f" after `{after}`" if after else ""
        for v in graph.nodes:
            if v in self._checked:
                continue
            self._check_value(v, where)
            if v.op.family == "leaf" and "name" in v.attrs:
                _check_leaf(graph, v, where)
            self._checked.add(v)
        for o in graph.outputs:
            _check_output(o, where)

    def _check_value(self, v: Value, where: str) -> None:
        if not all(a in self._checked for a in v.args):
            raise Broken(f"{v!r} comes before its operands{where}")
        try:
            found = v.op.type_of(v.args, v.attrs)
        except ShapeError as error:
            raise Broken(f"{v!r} does not fit its operands{where}: {error}") from None
        if (found.shape, found.dtype, found.batched) != (
            v.type.shape,
            v.type.dtype,
            v.type.batched,
        ):
            raise Broken(f"{v!r} should be {found}{where}")


def verify(graph: Graph, after: str = "") -> None:
    """Check a whole graph. Raises Broken."""
    Verifier().check(graph, after)


def _check_leaf(graph: Graph, v: Value, where: str) -> None:
    known = graph.leaves.get(v.attrs["name"])
    if known is None:
        raise Broken(f"the leaf {v!r} is not declared{where}")
    if known.value.type != v.type:
        raise Broken(f"the leaf {v!r} is declared as {known.value.type}{where}")


def _check_output(o: Output, where: str) -> None:
    if o.kind in ("update", "gradient"):
        if o.target is None:
            raise Broken(f"the {o.kind} `{o.name}` has no target{where}")
        a, b = o.value.type, o.target.type
        if (a.shape, a.batched) != (b.shape, b.batched):
            raise Broken(f"the {o.kind} `{o.name}` is {a}, its target {b}{where}")
    if o.kind in ("loss", "metric") and o.value.shape != ():
        raise Broken(f"the {o.kind} `{o.name}` is {o.value.type}, not a number{where}")
