"""The rewriting engine: a graph in, a graph that no rule can change out.

Rules live in `rules/`, one family a file, and are indexed by the operation at their root. Values
are brought to normal form operands first, through a table in which the same expression is one node;
so a rule sees normal operands, and two ways to write the same thing meet. The result is a fixed
point after one walk. Every rule lowers the number of operations or moves something one way (numbers
outwards, repetitions outwards); a budget ends the walk all the same if a new rule forgets that.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from .graph import Graph
from .op import Op, apply, registry
from .scans.build import within_bodies
from .types import Type
from .value import Origin, Value, origin

_NEW = Origin()  # marks what a rule has just built; it gets the place of the value it replaces
COMMUTATIVE = frozenset(("add", "mul", "maximum", "minimum", "eq", "ne", "and", "or"))


@dataclass(frozen=True)
class Rule:
    """Before → after, with a name and a reason. `change` gives the new value, or None.

    `on`: the operations at the root. `stage`: simplify, or stabilise (before differentiation).
    `samples` are values on which the rule applies, for the tests of equivalence.
    """

    name: str
    reason: str
    on: tuple[str, ...]
    change: Callable[[Value, Table], Value | None]
    samples: Callable[[], Sequence[Value]]
    stage: str = "simplify"
    family: str = ""
    before: Value | None = None  # the pattern, where the rule is an equation
    after: Value | None = None


@dataclass(frozen=True)
class Step:
    """One rewriting that was done."""

    rule: Rule
    before: Value
    after: Value


@dataclass
class Trace:
    """The rewritings of a walk, in order: what a derivation prints."""

    steps: list[Step] = field(default_factory=list)


class Table:
    """Values by what they compute: the same expression is one node."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Value] = {}
        self._ages: dict[Value, int] = {}

    def intern(self, v: Value) -> Value:
        """The first value that computes the same."""
        first = self._known.setdefault(_key(v), v)
        if first is v:
            self._ages.setdefault(v, len(self._ages))
        return first

    def older(self, v: Value, others: Iterable[Value]) -> bool:
        """Was `v` here before each of the others?"""
        age = self._ages[v]
        return all(age < self._ages.get(o, age + 1) for o in others)

    def find(self, name: str, *args: Value) -> Value | None:
        """The elementwise operation `name` on these operands, if the graph has it already."""
        ids = tuple(id(a) for a in args)
        if name in COMMUTATIVE:
            ids = tuple(sorted(ids))
        return self._known.get((registry()[name], *ids))


def _key(v: Value) -> tuple[Any, ...]:
    if v.op.family == "leaf" and "name" in v.attrs:
        return (v.op, v.attrs["name"])
    ids = tuple(id(a) for a in v.args)
    if len(ids) == 2 and v.op.name in COMMUTATIVE:
        ids = tuple(sorted(ids))
    if not v.attrs:
        return (v.op, *ids)
    return (v.op, *ids, *sorted(v.attrs.items()))


@cache
def rules(stage: str = "simplify") -> tuple[Rule, ...]:
    """Every rule of a stage, from the files of `rules/` in alphabetical order."""
    package = importlib.import_module(".rules", __package__)
    found: list[Rule] = []
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        module = importlib.import_module(f".rules.{info.name}", __package__)
        family = info.name
        found += [replace(r, family=family) for r in module.RULES if r.stage == stage]
    return tuple(found)


@cache
def _index(stage: str) -> dict[str, tuple[Rule, ...]]:
    by_op: dict[str, list[Rule]] = {}
    for rule in rules(stage):
        for word in rule.on:
            by_op.setdefault(word, []).append(rule)
    return {word: tuple(found) for word, found in by_op.items()}


def rewritten(graph: Graph, stage: str | None, trace: Trace | None = None) -> Graph:
    """The graph with the rules of a stage applied to a fixed point, inside the bodies of scans too;
    with None, only shared."""
    graph = within_bodies(graph, lambda step: rewritten(step, stage, trace))
    nodes = graph.nodes
    engine = Engine(_index(stage) if stage else {}, trace, budget=100 * len(nodes) + 1000)
    with origin(_NEW):
        for v in nodes:
            engine.normal(v)
    if all(engine.done[v] is v for v in nodes):
        return graph
    return graph.mapped(engine.done)


class Engine:
    """One walk over a graph."""

    def __init__(
        self, index: dict[str, tuple[Rule, ...]], trace: Trace | None = None, budget: int = 10**9
    ) -> None:
        self.index, self.trace, self.budget = index, trace, budget
        self.table = Table()
        self.done: dict[Value, Value] = {}  # value -> its normal form

    def normal(self, root: Value) -> Value:
        """The normal form of a value. A loop: what a rule returns is brought to normal form too."""
        done = self.done
        becoming: dict[Value, Value] = {}
        stack = [root]
        while stack:
            v = stack[-1]
            if v in done:
                stack.pop()
                continue
            if v in becoming:
                done[v] = done[becoming[v]]
                stack.pop()
                continue
            waiting = [a for a in v.args if a not in done]
            if waiting:
                stack += reversed(waiting)
                continue
            shared = self._shared(v, root)
            if shared in done:
                done[v] = done[shared]
                stack.pop()
                continue
            after = self._changed(shared)
            if after is None:
                done[v] = done[shared] = shared
                stack.pop()
            else:
                becoming[v] = becoming[shared] = after
                stack.append(after)
        return done[root]

    def _shared(self, v: Value, root: Value) -> Value:
        args = tuple(self.done[a] for a in v.args)
        if v.op.name == "mul" and args[1].is_constant and not args[0].is_constant:
            args = args[::-1]  # 2·x, not x·2
        place = replace(root.origin, name="") if v.origin is _NEW else v.origin
        if place is not v.origin or any(a is not b for a, b in zip(args, v.args, strict=True)):
            # Normal forms keep their types, so that there is nothing to infer anew.
            v = Value(v.op, args, v.attrs, v.type, place)
        return self.table.intern(v)

    def _changed(self, v: Value) -> Value | None:
        found = self.index.get(v.op.name)
        if not found or self.budget <= 0:
            return None
        for rule in found:
            after = rule.change(v, self.table)
            if after is None or after is v:
                continue
            after = fitted(after, v.type)
            if after.origin is _NEW:
                after = Value(after.op, after.args, after.attrs, after.type, v.origin)
            self.budget -= 1
            if self.trace is not None:
                self.trace.steps.append(Step(rule, v, after))
            return after
        return None


def fitted(v: Value, type: Type) -> Value:
    """`v` repeated or converted to exactly that type (a rule may give a smaller value)."""
    if v.type.dtype != type.dtype:
        v = apply("cast", v, dtype=type.dtype)
    if v.shape != type.shape or v.type.batched != type.batched:
        v = apply("broadcast", v, shape=type.shape, batch=type.batched and not v.type.batched)
    return v


def is_elementwise(op: Op) -> bool:
    """Element by element from operands (draws have none)."""
    return op.family == "elementwise" and bool(op.parameters)


def elementwise_words() -> tuple[str, ...]:
    return tuple(name for name, op in registry().items() if is_elementwise(op))


def first_samples(found: Iterable[Value]) -> Callable[[], Sequence[Value]]:
    """Samples that are ready made."""
    kept = tuple(found)
    return lambda: kept
