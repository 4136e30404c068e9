"""Layout: which way round each parameter matrix is stored.

A product reads its matrix in rows if the contracted index comes first: C[e, i] = Σⱼ X[e, j]·W[i, j]
wants W stored as [j, i], ∂X[e, j] = Σᵢ G[e, i]·W[i, j] as [i, j]. Each product has one vote, and so
has each lookup of rows; the forward one decides where they are even. The choice spreads over
everything that meets the matrix element by element: gradients (an einsum gives its result either
way), optimizer states, updates. So nothing is ever transposed while running.

In: a contracted graph. Out: the same mathematics, in which the leaves that were turned round have
`order` (1, 0) in their attrs, and their types the sizes exchanged.
"""

from __future__ import annotations

from dataclasses import replace

from .graph import Graph, Leaf, Output
from .op import apply, build
from .rewrite import is_elementwise
from .types import Type
from .value import Value, origin


def layout(graph: Graph) -> Graph:
    """Turn round the matrices for which more products want it than not."""
    turned = _turned(graph)
    return _Turning(graph, turned).result() if turned else graph


def _turned(graph: Graph) -> set[Value]:
    """All values to be stored transposed."""
    seen: set[Value] = set()
    turned: set[Value] = set()
    for v in graph.nodes:
        if v in seen or v.op.name != "param" or not _is_matrix(v):
            continue
        group = _group(graph, v)
        seen |= group
        if _wanted(graph, group):
            turned |= group
    return turned


def _is_matrix(v: Value) -> bool:
    return len(v.shape) == 2 and not v.type.batched


def _turns(v: Value) -> bool:
    """Can `v` be computed the other way round at no cost?"""
    if not _is_matrix(v):
        return False
    if v.op.name in ("param", "state", "einsum"):
        return True
    return is_elementwise(v.op) and v.op.name != "one_hot"


def _group(graph: Graph, start: Value) -> set[Value]:
    """What meets `start` element by element, at the same shape."""
    group = {start}
    stack = [start]
    while stack:
        v = stack.pop()
        near = [u for u, _ in graph.users[v] if is_elementwise(u.op)]
        if is_elementwise(v.op):
            near += v.args
        for u in near:
            if u not in group and u.shape == start.shape and _turns(u):
                group.add(u)
                stack.append(u)
    return group


def _wanted(graph: Graph, group: set[Value]) -> bool:
    votes_for = votes_against = 0
    for v in group:
        for user, slot in graph.users[v]:
            if user.op.name == "gather":  # rows of a table lie side by side
                votes_against += slot == 0
            elif user.op.name == "transpose":
                votes_for += sum(u.op.name == "gather" and k == 0 for u, k in graph.users[user])
            if user.op.name != "einsum":
                continue
            operands, result = user.attrs["spec"].split("->")
            first, last = operands.split(",")[slot]
            if last not in result and first in result:
                votes_for += 1
            elif first not in result and last in result:
                votes_against += 1
    return votes_for > 0 and votes_for >= votes_against


class _Turning:
    """One walk over the graph with the values of `turned` built the other way round."""

    def __init__(self, graph: Graph, turned: set[Value]) -> None:
        self.graph, self.members = graph, turned
        self.straight: dict[Value, Value] = {}  # old -> new in the user's orientation
        self.turned: dict[Value, Value] = {}  # old -> new, transposed

    def result(self) -> Graph:
        for v in self.graph.nodes:
            if v not in self.members and not any(a in self.members for a in v.args):
                self.straight[v] = v.on(tuple(self.straight[a] for a in v.args))
                continue
            with origin(v.origin):
                if v in self.members:
                    self.turned[v] = self._turn(v)
                else:
                    self.straight[v] = self._follow(v)
        outputs = [self._output(o) for o in self.graph.outputs]
        leaves = {name: self._leaf(f) for name, f in self.graph.leaves.items()}
        return replace(self.graph, outputs=tuple(outputs), leaves=leaves)

    def _straight(self, v: Value) -> Value:
        """`v` in the user's orientation."""
        if v not in self.straight:
            self.straight[v] = apply("transpose", self.turned[v])
        return self.straight[v]

    def _turn(self, v: Value) -> Value:
        """A member, transposed."""
        if v.op.family == "leaf":
            return _turned_leaf(v)
        if v.op.name == "einsum":
            args, spec = self._einsum_operands(v)
            operands, result = spec.split("->")
            return apply("einsum", *args, spec=f"{operands}->{result[::-1]}")
        turned = tuple(self.turned[a] if a in self.members else self._other(a) for a in v.args)
        return build(v.op, turned, v.attrs)

    def _other(self, a: Value) -> Value:
        """An operand that meets a turned matrix: a row becomes a column."""
        x = self._straight(a)
        if x.type.size == 1:
            return x
        if len(x.shape) == 1:
            return apply("reshape", x, shape=(x.shape[0], 1))
        if 1 in x.shape:
            return apply("reshape", x, shape=x.shape[::-1])
        return apply("transpose", x)

    def _follow(self, v: Value) -> Value:
        """A value that stays as it is, on operands of which some are turned."""
        if v.op.name == "einsum":
            operands, spec = self._einsum_operands(v)
            return apply("einsum", *operands, spec=spec)
        if v.op.name in ("sum", "max", "min") and not (v.attrs["keep"] and v.shape != (1, 1)):
            axes = tuple(sorted(1 - k for k in v.attrs["axes"]))
            return apply(v.op.name, self.turned[v.args[0]], axis=axes, keep=v.attrs["keep"])
        return v.on(tuple(self._straight(a) for a in v.args))

    def _einsum_operands(self, v: Value) -> tuple[list[Value], str]:
        operands, result = v.attrs["spec"].split("->")
        args, letters = [], []
        for a, part in zip(v.args, operands.split(","), strict=True):
            member = a in self.members
            args.append(self.turned[a] if member else self._straight(a))
            letters.append(part[::-1] if member else part)
        return args, f"{letters[0]},{letters[1]}->{result}"

    def _output(self, o: Output) -> Output:
        if o.kind != "update" or o.target not in self.members:
            return replace(o, value=self._straight(o.value))
        if o.value in self.members:
            value = self.turned[o.value]
        else:
            value = apply("transpose", self._straight(o.value))
        target = self._leaf_value(o.target)
        return replace(o, value=value, target=target)

    def _leaf(self, f: Leaf) -> Leaf:
        return replace(f, value=self._leaf_value(f.value))

    def _leaf_value(self, v: Value) -> Value:
        return self.turned.get(v) or self.straight.get(v) or v


def _turned_leaf(v: Value) -> Value:
    t: Type = v.type.with_(shape=v.shape[::-1])
    attrs = {"name": v.attrs["name"], "type": t, "order": (1, 0)}
    return Value(v.op, (), attrs, t, v.origin)
