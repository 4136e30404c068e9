"""The computation graph: named outputs over shared, immutable values.

`Graph` is what every stage after the syntax takes and gives. It is a set of outputs; the nodes are
what they reach. `networkx` gives the same graph as a `MultiDiGraph` (operand slot as edge key, so
that `x * x` has two edges), built when asked for: rebuilding one after every pass would cost more
than the passes do (docs/architecture.md has the measurement).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..dsl.source import Span
from .op import operation
from .types import Type
from .value import Origin, Value

if TYPE_CHECKING:
    import networkx as nx

# What an output is for. An "update" assigns its value to `target` after the step.
OUTPUT_KINDS = ("output", "loss", "metric", "gradient", "update")


@dataclass(frozen=True)
class Output:
    """One result of a graph. `target` is the param or state an update or gradient belongs to."""

    kind: str
    name: str
    value: Value
    target: Value | None = None
    span: Span | None = None


@dataclass(frozen=True)
class Leaf:
    """What is known of a given value besides its type.

    `initial` is a value without inputs (draws and arithmetic), evaluated once by the reference
    interpreter; `initialiser` is how the user wrote it. Parameters only: `frozen`, `decay`, `file`.
    """

    value: Value
    kind: str  # input, param, state, scalar
    initial: Value | None = None
    initialiser: str = ""
    frozen: bool = False
    decay: float = 0.0
    file: str = ""
    span: Span | None = None

    @property
    def name(self) -> str:
        return str(self.value.attrs["name"])


@dataclass(frozen=True)
class Graph:
    """Outputs, and the leaves they may use, by name. `training` says which `when` was taken;
    `places` where each block instance was written, by its path.

    `checkpointing`: into how many segments the forward pass is to be cut whose inner values are
    computed again in the backward pass (0: as many as save most; None: nothing is). `after` and
    `kept` are what the pass that does so leaves: values that must not be computed before some
    others are, and values that lie in memory whatever fusion would rather compute on the way.
    """

    name: str
    outputs: tuple[Output, ...]
    leaves: Mapping[str, Leaf] = field(default_factory=dict)
    training: bool = False
    places: Mapping[str, Span] = field(default_factory=dict)
    checkpointing: int | None = None
    after: Mapping[Value, tuple[Value, ...]] = field(default_factory=dict)
    kept: frozenset[Value] = frozenset()

    @cached_property
    def nodes(self) -> tuple[Value, ...]:
        """Every value, operands before users, in the order a reader would write them."""
        return topological((o.value for o in self.outputs), self.after)

    @cached_property
    def users(self) -> dict[Value, list[tuple[Value, int]]]:
        """(user, operand slot) of every value."""
        users: dict[Value, list[tuple[Value, int]]] = {v: [] for v in self.nodes}
        for v in self.nodes:
            for slot, a in enumerate(v.args):
                users[a].append((v, slot))
        return users

    @cached_property
    def networkx(self) -> nx.MultiDiGraph:
        """The same graph for algorithms: node = Value, edge key = operand slot."""
        import networkx as nx  # 0.1 s that training does without

        g = nx.MultiDiGraph(name=self.name)
        for v in self.nodes:
            g.add_node(v, op=v.op.name, type=v.type, attrs=dict(v.attrs), origin=v.origin)
        g.add_edges_from((a, v, slot) for v in self.nodes for slot, a in enumerate(v.args))
        return g

    def of_kind(self, kind: str) -> tuple[Output, ...]:
        return tuple(o for o in self.outputs if o.kind == kind)

    def leaves_of(self, kind: str) -> tuple[Leaf, ...]:
        return tuple(leaf for leaf in self.leaves.values() if leaf.kind == kind)

    @property
    def inputs(self) -> tuple[Leaf, ...]:
        return self.leaves_of("input")

    @property
    def params(self) -> tuple[Leaf, ...]:
        return self.leaves_of("param")

    @property
    def states(self) -> tuple[Leaf, ...]:
        return self.leaves_of("state")

    def loss(self, name: str | None = None) -> Output:
        """The loss of that name, or the only one. Raises KeyError."""
        losses = [o for o in self.outputs if o.kind == "loss" and name in (None, o.name)]
        if not losses:
            raise KeyError(name or "loss")
        return losses[0]

    def with_outputs(self, outputs: Iterable[Output]) -> Graph:
        return replace(self, outputs=tuple(outputs))

    def mapped(self, new: Mapping[Value, Value]) -> Graph:
        """Outputs (and their targets, and leaves) exchanged for what `new` holds."""
        outputs = [
            replace(o, value=new.get(o.value, o.value), target=new.get(o.target, o.target))
            if o.target is not None
            else replace(o, value=new.get(o.value, o.value))
            for o in self.outputs
        ]
        leaves = {n: replace(f, value=new.get(f.value, f.value)) for n, f in self.leaves.items()}
        return replace(self, outputs=tuple(outputs), leaves=leaves)

    def rewrite(self, change: Callable[[Value], Value]) -> Graph:
        """Rebuild from the leaves: `change` sees each value once, its operands already new."""
        new: dict[Value, Value] = {}
        for v in self.nodes:
            args = tuple(new[a] for a in v.args)
            same = all(a is b for a, b in zip(args, v.args, strict=True))
            new[v] = change(v if same else v.with_args(args))
        if all(a is b for a, b in new.items()):
            return self
        return self.mapped(new)


def topological(
    roots: Iterable[Value], after: Mapping[Value, tuple[Value, ...]] | None = None
) -> tuple[Value, ...]:
    """Every value reachable from `roots`, operands (and what it comes `after`) first. No recursion:
    graphs are deep."""
    order: list[Value] = []
    waits = after or {}
    done: set[Value] = set()
    for root in roots:
        stack: list[tuple[Value, int]] = [(root, 0)]
        while stack:
            v, slot = stack.pop()
            if v in done:
                continue
            before = (*waits[v], *v.args) if v in waits else v.args
            while slot < len(before) and before[slot] in done:
                slot += 1
            if slot < len(before):
                stack.append((v, slot + 1))
                stack.append((before[slot], 0))
                continue
            done.add(v)
            order.append(v)
    return tuple(order)


def substituted(roots: Iterable[Value], new: Mapping[Value, Value]) -> list[Value]:
    """The values with some of those below exchanged for others of the same type."""
    wanted = list(roots)
    done: dict[Value, Value] = dict(new)
    for v in topological(wanted):
        if v not in done:
            done[v] = v.on(tuple(done[a] for a in v.args))
    return [done[r] for r in wanted]


def leaf(kind: str, name: str, type: Type, span: Span | None = None, **more: Any) -> Value:
    """An input, param, state or scalar of that name."""
    where = Origin(span=span, name=name, **more)
    return Value(operation(kind), (), {"name": name, "type": type}, type, where)
