"""A net in use: what only parameters decide is computed once, when they are loaded.

In: the simplified graph of a net that is not being trained. Out: `Prepared`: a graph of examples,
whose weights already hold the normalisations that follow them (`rules.folding`), and a graph that
computes those weights from the parameters.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from .graph import Graph, Leaf, Output, leaf
from .op import View
from .rewrite import Rule, Step, Trace, fitted, rules
from .rules.folding import folded, into_weights, known, scaled_product
from .value import Value, origin


@dataclass(frozen=True)
class Prepared:
    """`graph` reads what `before` gives, output by output, as parameters of those names."""

    graph: Graph
    before: Graph | None = None


def prepared(graph: Graph, trace: Trace | None = None) -> Prepared:
    """A graph in two parts; training steps and gradients stay whole. A step of generating changes
    what it carries for each example, not the parameters."""
    if graph.training or any(_learns(o) for o in graph.outputs):
        return Prepared(graph)
    return _split(with_folded_normalisation(graph, trace))


def _learns(o: Output) -> bool:
    own = o.target is not None and o.target.type.batched
    return o.kind == "gradient" or (o.kind == "update" and not own)


def with_folded_normalisation(graph: Graph, trace: Trace | None = None) -> Graph:
    """Every normalisation with known statistics inside the weights before it, where nothing else
    reads the product as it was."""
    fixed = _known(graph)
    uses = Counter(a for v in graph.nodes for a in v.args)
    uses.update(o.value for o in graph.outputs)
    covered: set[Value] = set()
    chosen: dict[Value, Value] = {}
    for v in reversed(graph.nodes):
        if v in covered or v in fixed:
            continue
        found = scaled_product(v, fixed.__contains__, lambda u: uses[u] == 1)
        if found is None or found.scale is None:
            continue
        covered.update(found.inner)
        with origin(replace(v.origin, name="")):
            after = fitted(folded(found, fixed.__contains__), v.type)
        chosen[v] = after.named(v.origin.name)
        if trace is not None:
            trace.steps.append(Step(_rule(), v, chosen[v]))
    return _exchanged(graph, chosen)


def _rule() -> Rule:
    """The rule with its family, as derivations name it."""
    return next(r for r in rules("use") if r.name == into_weights.name)


def _exchanged(graph: Graph, chosen: dict[Value, Value]) -> Graph:
    """Each chosen value replaced; a replacement is built from what stood before it."""
    if not chosen:
        return graph
    new: dict[Value, Value] = {}

    def anew(root: Value) -> Value:
        pending = [root]
        while pending:
            v = pending[-1]
            if v in new:
                pending.pop()
                continue
            source = chosen.get(v, v)
            waiting = [a for a in source.args if a not in new]
            if waiting:
                pending += waiting
                continue
            new[v] = source.on(tuple(new[a] for a in source.args))
            pending.pop()
        return new[root]

    for o in graph.outputs:
        anew(o.value)
    return graph.mapped(new)


def _known(graph: Graph) -> set[Value]:
    """What parameters and states alone determine."""
    found: set[Value] = set()
    for v in graph.nodes:
        if all(a in found for a in v.args) if v.args else known(v):
            found.add(v)
    return found


def _split(graph: Graph) -> Prepared:
    """What is known and computed (not merely moved) becomes a parameter of the first part."""
    fixed = _known(graph)
    made = {v for v in fixed if _computes(v, fixed)}
    ready: dict[Value, Value] = {}
    outputs: list[Output] = []
    leaves: dict[str, Leaf] = {}

    def given(v: Value) -> Value:
        if v not in ready:
            name = _name(v, {*graph.leaves, *leaves})
            new = leaf("param", name, v.type)
            ready[v], leaves[name] = new, Leaf(new, "param")
            outputs.append(Output("output", name, v))
        return ready[v]

    new: dict[Value, Value] = {}
    for v in graph.nodes:
        if v not in fixed:
            new[v] = v.on(tuple(given(a) if a in made else new.get(a, a) for a in v.args))
    if not outputs:
        return Prepared(graph)
    main = graph.mapped(new)
    used = set(main.nodes)
    kept = {n: f for n, f in graph.leaves.items() if f.kind != "param" or f.value in used}
    kept = {n: f for n, f in kept.items() if f.kind != "state" or f.value in used}
    return Prepared(
        replace(main, leaves={**kept, **leaves}),
        Graph(f"{graph.name} weights", tuple(outputs), graph.leaves),
    )


def _computes(v: Value, fixed: set[Value]) -> bool:
    """Whether v is more than a view of a parameter, or a number."""
    pending, leaves, work = [v], False, False
    while pending:
        x = pending.pop()
        leaves |= "name" in x.attrs and x.op.family == "leaf"
        work |= bool(x.args) and not isinstance(x.op, View)
        pending += x.args
    return leaves and work


def _name(v: Value, taken: set[str]) -> str:
    """After the largest parameter that v is made of."""
    params = [x for x in Graph("", (Output("output", "", v),)).nodes if "name" in x.attrs]
    base = str(max(params, key=lambda x: x.type.size).attrs["name"])
    name, k = f"{base} in use", 2
    while name in taken:
        name, k = f"{base} in use {k}", k + 1
    return name


__all__ = ["Prepared", "prepared", "with_folded_normalisation"]
