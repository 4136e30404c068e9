"""One step of a net that generates, and what is computed once before the first step.

In: a module, a net, the sizes that the data fix. Out: `Stepwise`: a graph of a single step, whose
scans are their bodies, applied once, and whose carried values are states; and a graph of everything
that does not depend on what is fed back (an encoder, the features of an image). How tokens are
chosen is left to `runtime.generate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...dsl.source import Span
from ..elaborate import Module, forward
from ..graph import Graph, Leaf, Output, leaf, substituted, topological
from ..op import apply, constant
from ..scans.build import pieces
from ..types import Type
from ..value import Value, origin
from .causal import check_causal
from .choice import Loop, find_loop

SCORES = "scores"  # the output of the step graph
LENGTH = ".length"


@dataclass(frozen=True)
class Carried:
    """A state of the step graph. It begins as the output `source` of the prefix graph, or else as
    `initial`, which parameters alone decide."""

    name: str
    type: Type
    source: str = ""
    initial: Value | None = None


@dataclass(frozen=True)
class Stepwise:
    """`step` has the input `feed` [1], states `carried`, and as further inputs what `prefix` gives
    under these names (`given`), or what the net is given (`direct`); its output is `scores` [k].

    `before` takes what the net is given, and has an output for each of `given`, and for the first
    values of some of `carried`; None where there are none.
    """

    feed: str
    clock: str
    classes: int
    step: Graph
    before: Graph | None
    carried: tuple[Carried, ...]
    given: tuple[str, ...]
    direct: tuple[str, ...]

    @property
    def inputs(self) -> tuple[Leaf, ...]:
        """What must be given to generate: the inputs besides the one that is fed back."""
        graph = self.step if self.before is None else self.before
        names = {leaf.name: leaf for leaf in graph.inputs}
        names |= {n: self.step.leaves[n] for n in self.direct}
        return tuple(f for n, f in names.items() if n != self.feed and not n.endswith(LENGTH))


def stepwise(
    module: Module,
    net: str | None = None,
    *,
    dtype: str = "f32",
    sizes: Mapping[str, int] | None = None,
    feed: str = "",
    scores: str = "",
    span: Span | None = None,
) -> Stepwise:
    """The net taken apart. Raises Failure E286, E287, and what elaboration raises."""
    known = dict(sizes or {})
    whole = forward(module, net, dtype=dtype, sizes=known)

    def of(steps: int, clock: str) -> Graph:
        return forward(module, net, dtype=dtype, sizes={**known, clock: steps})

    loop = find_loop(whole, lambda c: of(known[c] + 1, c), feed, scores, span)
    clock = loop.clock
    longer = loop.within(of(known[clock] + 1, clock))
    lengths = {f.name + LENGTH for f in whole.inputs if f.value.attrs.get("clock") == clock}
    walked = check_causal(
        longer.scores.value, loop.scores.value, loop.feed.value, lengths, whole.places
    )
    graph = of(1, clock)
    return _Split(graph, loop.within(graph), walked, lengths).result()


class _Split:
    """The graph of one step in the making. `graph` is the net elaborated for a single step."""

    def __init__(self, graph: Graph, loop: Loop, walked: list[int], lengths: set[str]) -> None:
        self.graph, self.loop = graph, loop
        self.order = topological([loop.scores.value])
        scans = [v for v in self.order if v.op.family == "scan"]
        self.walked = {scans[k] for k in walked}
        self.lengths = lengths
        self.per_input = self._depends({f.value for f in graph.inputs if f.name not in lengths})
        one = {graph.leaves[n].value for n in lengths if n in graph.leaves}
        self.moving = self._depends({loop.feed.value, *self.walked, *one})
        self.leaves: dict[str, Leaf] = {}
        self.before: dict[str, Value] = {}  # outputs of the first graph
        self.carried: list[Carried] = []
        self.updates: dict[Value, Value] = {}  # state -> its next value
        self.states: dict[Value, int] = {}
        self.given: list[str] = []
        self.new: dict[Value, Value] = {}
        self.parts: dict[Value, list[Value]] = {}

    def _depends(self, on: set[Value]) -> set[Value]:
        found = set(on)
        for v in self.order:
            if any(a in found for a in v.args):
                found.add(v)
        return found

    def result(self) -> Stepwise:
        for v in self.order:
            if v in self.moving:
                self.new[v] = self._moving(v)
        value = _logits(self.new[self.loop.scores.value])
        scores = apply("reshape", value, shape=value.shape[1:])
        step = self._step_graph(scores)
        outputs = tuple(Output("output", n, v) for n, v in self._needed(step).items())
        before = None
        if outputs:
            before = _with_used_leaves(Graph(f"{self.graph.name} before", outputs), self.graph)
        kept = {f.name for f in step.states}
        feed = self.loop.feed
        used = {f.name for f in step.inputs}
        return Stepwise(
            feed.name, self.loop.clock, int(feed.value.type.classes or 0), step, before,
            tuple(c for c in self.carried if c.name in kept),
            tuple(n for n in self.given if n in used),
            tuple(n for n in used if n not in self.given and n != feed.name),
        )  # fmt: skip

    # ------------------------------------------------------------ the values of a step

    def _moving(self, v: Value) -> Value:
        if v.attrs.get("name") in self.lengths:  # a step is there: its mask is true
            return apply("broadcast", constant(1.0, "i32"), shape=(), batch=True)
        if v in self.walked:
            self._scan(v)
            return v
        if v.op.family == "part" and v.args[0] in self.parts:
            with origin(v.origin):
                r = self.parts[v.args[0]][v.attrs["index"]]
                return r if r.shape == v.shape else apply("reshape", r, shape=v.shape)
        return v.on(tuple(self._known(a) for a in v.args))

    def _known(self, v: Value) -> Value:
        """A value as the step has it."""
        if v not in self.new:
            self.new[v] = self._fixed(v)
        return self.new[v]

    def _fixed(self, v: Value) -> Value:
        """What no step changes: a parameter, an input, or what is computed before."""
        if v.op.name == "input":
            return v
        if v not in self.per_input:
            return v
        if v.op.name in ("broadcast", "reshape", "transpose") and v.args[0] in self.per_input:
            return v.on((self._known(v.args[0]),))
        word = v.origin.name or v.op.name
        made = leaf("input", self._name(word), v.type, v.origin.span)
        name = str(made.attrs["name"])
        self.leaves[name] = Leaf(made, "input", span=v.origin.span)
        self.before[name] = v
        self.given.append(name)
        return made

    def _name(self, word: str) -> str:
        base, k = f"given {word}", 2
        name = base
        while name in self.leaves or name in self.graph.leaves:
            name, k = f"{base} {k}", k + 1
        return name

    def _scan(self, scan: Value) -> None:
        """The body, once."""
        p = pieces(scan)
        placed: dict[Value, Value] = {}
        for b, first in p.carries:
            placed[b] = self._state(b, first)
        for b, a in p.sequences:
            with origin(b.origin):
                placed[b] = _as_step(self._known(a), b.type)
        for b, a in p.shared:
            placed[b] = self._known(a)
        found = substituted([*p.next, *p.yields], placed)
        for (b, _), after in zip(p.carries, found, strict=False):
            self.updates[placed[b]] = after
        self.parts[scan] = found

    def _state(self, b: Value, first: Value) -> Value:
        number = len(self.carried) + 1
        where = f"{b.origin.instance}." if b.origin.instance else ""
        name = f"carried {number} {where}{b.origin.name}"
        state = Value(
            leaf("state", name, b.type).op, (), {"name": name, "type": b.type}, b.type, b.origin
        )
        if first in self.per_input:
            source = f"first {number} {b.origin.name}"
            self.before[source] = first
            self.carried.append(Carried(name, b.type, source))
        else:
            self.carried.append(Carried(name, b.type, "", first))
        self.leaves[name] = Leaf(state, "state", span=b.origin.span)
        return state

    # ------------------------------------------------------------ the two graphs

    def _step_graph(self, scores: Value) -> Graph:
        """Scores, and the next values of what they depend on."""
        alive: dict[Value, None] = {}
        while True:
            reached = set(topological([scores, *(self.updates[s] for s in alive)]))
            more = [s for s in self.updates if s in reached and s not in alive]
            if not more:
                break
            alive.update(dict.fromkeys(more))
        outputs = [Output("output", SCORES, scores)]
        outputs += [Output("update", str(s.attrs["name"]), self.updates[s], s) for s in alive]
        graph = Graph(f"{self.graph.name} step", tuple(outputs))
        known = replace(self.graph, leaves={**self.graph.leaves, **self.leaves})
        return _with_used_leaves(graph, known)

    def _needed(self, step: Graph) -> dict[str, Value]:
        """What the step asks of the first graph."""
        states = {f.name for f in step.states}
        first = {c.source for c in self.carried if c.name in states}
        return {n: v for n, v in self.before.items() if n in step.leaves or n in first}


def _as_step(x: Value, type: Type) -> Value:
    """The only step of a sequence of one."""
    made = apply("reshape", x, shape=x.shape[1:])
    return Value(made.op, made.args, made.attrs, made.type.with_(classes=type.classes), made.origin)


def _with_used_leaves(graph: Graph, source: Graph) -> Graph:
    used = set(graph.nodes) | {o.target for o in graph.outputs}
    leaves = {name: f for name, f in source.leaves.items() if f.value in used}
    return replace(graph, leaves=leaves)


def _logits(v: Value) -> Value:
    """Scores whose softmax are the probabilities; a softmax at the end is taken off."""
    if v.op.name == "div" and v.args[0].op.name == "exp":
        total = topological([v.args[1]])
        if any(x.op.name == "sum" and x.args[0] is v.args[0] for x in total):
            return v.args[0].args[0]
    return v


__all__ = ["LENGTH", "SCORES", "Carried", "Stepwise", "stepwise"]
