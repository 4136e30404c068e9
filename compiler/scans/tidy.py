"""Scans without what nobody needs: equal ones become one, dead results and operands go.

In: a graph. Out: the same mathematics. The gradient makes a second scan that yields more than the
first; both have the same placeholders, so they are one with the yields of both. Afterwards, only
what is asked for stays: a carried value that no wanted result depends on is not carried. A sequence
that is the same at every step is a shared value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..graph import Graph, substituted, topological
from ..op import apply, build, operation
from ..value import Value, origin
from .build import Pair, Recurrence, pieces, within_bodies


def tidy(graph: Graph) -> Graph:
    """Merged and pruned, inside bodies first."""
    if not any(v.op.family == "scan" for v in graph.nodes):
        return graph
    graph = within_bodies(graph, tidy)
    while True:
        merged = _merged(graph)
        if merged is graph:
            break
        graph = merged
    return _pruned(graph)


# ---------------------------------------------------------------- equal scans


def _merged(graph: Graph) -> Graph:
    groups: dict[tuple[object, ...], list[Value]] = {}
    for v in graph.nodes:
        if v.op.family == "scan":
            p = pieces(v)
            key = (v.args, v.attrs["body"].bound, tuple(p.next), p.steps, p.clock, p.reverse,
                   p.framed)  # fmt: skip
            groups.setdefault(key, []).append(v)
    if all(len(g) == 1 for g in groups.values()):
        return graph
    place: dict[Value, tuple[Value, dict[int, int]]] = {}
    for group in groups.values():
        if len(group) > 1:
            _merge(group, place)

    def change(v: Value, new: Mapping[Value, Value]) -> Value | None:
        if v.op.family != "part" or v.args[0] not in place:
            return None
        scan, index = place[v.args[0]]
        if scan not in whole:
            whole[scan] = scan.on(tuple(new[a] for a in scan.args))
        attrs = {**v.attrs, "index": index[v.attrs["index"]]}
        return Value(v.op, (whole[scan],), attrs, v.type, v.origin)

    whole: dict[Value, Value] = {}
    return _rebuilt(graph, change)


def _merge(group: list[Value], place: dict[Value, tuple[Value, dict[int, int]]]) -> None:
    parts = [pieces(v) for v in group]
    first = parts[0]
    yields = list(dict.fromkeys(y for p in parts for y in p.yields))
    sums = list(dict.fromkeys(s for p in parts for s in p.sums))
    with origin(group[0].origin):
        scan = replace(first, yields=yields, sums=sums).value()
    n, m = len(first.next), len(first.next) + len(yields)
    for v, p in zip(group, parts, strict=True):
        index = {k: k for k in range(n)}
        for k, y in enumerate(p.yields):
            index[n + k] = n + yields.index(y)
        for k, s in enumerate(p.sums):
            index[n + len(p.yields) + k] = m + sums.index(s)
        place[v] = (scan, index)


# ---------------------------------------------------------------- what nobody needs


def _pruned(graph: Graph) -> Graph:
    used: dict[Value, set[int]] = {}
    for v in graph.nodes:
        if v.op.family == "part":
            used.setdefault(v.args[0], set()).add(v.attrs["index"])
    fresh: dict[Value, tuple[Value, dict[int, int]]] = {}

    def change(v: Value, new: Mapping[Value, Value]) -> Value | None:
        if v.op.family == "scan":
            made, index = _smaller(v, used.get(v, set()), new)
            fresh[v] = (made, index)
            return made
        if v.op.family == "part" and v.args[0] in fresh:
            made, index = fresh[v.args[0]]
            attrs = {**v.attrs, "index": index[v.attrs["index"]]}
            if made is v.args[0] and attrs == v.attrs:
                return v
            return Value(v.op, (made,), attrs, v.type, v.origin)
        return None

    return _rebuilt(graph, change)


def _smaller(
    scan: Value, used: set[int], new: Mapping[Value, Value]
) -> tuple[Value, dict[int, int]]:
    """The scan with only the results `used`, on new operands; where each result is now."""
    p = pieces(scan)
    n, m = len(p.next), len(p.next) + len(p.yields)
    same = {k: k for k in range(m + len(p.sums))}
    args = tuple(new[a] for a in scan.args)
    constant_sequences = any(_slice_of_repeated(a) is not None for _, a in p.sequences)
    alive = _alive(p, used)
    results = [r for k, r in enumerate([*p.next, *p.yields, *p.sums])
               if (k in alive if k < n else k in used)]  # fmt: skip
    reached = set(topological(results))
    whole = len(results) == len(same) and all(b in reached for b in scan.attrs["body"].bound)
    if whole and not constant_sequences:
        return scan.on(args), same

    def kept(pairs: list[Pair]) -> list[Pair]:
        return [(b, new[a]) for b, a in pairs if b in reached]

    index: dict[int, int] = {}
    for k in same:
        if k in alive if k < n else k in used:
            index[k] = len(index)
    q = replace(
        p,
        carries=[(b, new[a]) for k, (b, a) in enumerate(p.carries) if k in alive],
        sequences=kept(p.sequences),
        shared=kept(p.shared),
        next=[v for k, v in enumerate(p.next) if k in alive],
        yields=[v for k, v in enumerate(p.yields) if n + k in used],
        sums=[v for k, v in enumerate(p.sums) if m + k in used],
    )
    with origin(scan.origin):
        if constant_sequences:
            q = _without_repeated(q)
        return q.value(), index


def _alive(p: Recurrence, used: set[int]) -> set[int]:
    """The carried values that something wanted depends on."""
    n = len(p.next)
    outer = [*p.yields, *p.sums]
    roots = [outer[k - n] for k in used if k >= n]
    alive = {k for k in used if k < n}
    while True:
        reached = set(topological([*roots, *(p.next[k] for k in alive)]))
        more = {k for k, (b, _) in enumerate(p.carries) if b in reached} - alive
        if not more:
            return alive
        alive |= more


# ---------------------------------------------------------------- the same at every step


def _slice_of_repeated(a: Value) -> Value | None:
    """The value that a sequence repeats at every step."""
    if a.op.name != "broadcast" or a.type.frame is not None:
        return None
    (x,) = a.args
    if len(x.shape) < len(a.shape):
        return x
    return x if x.shape[0] == 1 < a.shape[0] else None


def _without_repeated(q: Recurrence) -> Recurrence:
    moved: dict[Value, Value] = {}
    sequences, shared = [], list(q.shared)
    for b, a in q.sequences:
        x = _slice_of_repeated(a)
        if x is None:
            sequences.append((b, a))
            continue
        if len(x.shape) == len(a.shape):
            x = apply("reshape", x, shape=x.shape[1:])
        batch = b.type.batched and not x.type.batched
        if x.shape != b.shape or batch:
            x = build(operation("broadcast"), (x,), {"shape": b.shape, "batch": batch})
        if all(v.is_constant or v.op.name == "broadcast" for v in topological([x])):
            moved[b] = x  # a number, known inside too
        else:
            shared.append((b, x))
    results = substituted([*q.next, *q.yields, *q.sums], moved)
    n, m = len(q.next), len(q.next) + len(q.yields)
    return replace(
        q, sequences=sequences, shared=shared, next=results[:n], yields=results[n:m],
        sums=results[m:],
    )  # fmt: skip


# ---------------------------------------------------------------- a walk


def _rebuilt(graph: Graph, change: Callable[[Value, Mapping[Value, Value]], Value | None]) -> Graph:
    """A new graph; `change(v, new)` gives the new value of v, or None for the same operation."""
    new: dict[Value, Value] = {}
    for v in graph.nodes:
        made = change(v, new)
        new[v] = v.on(tuple(new[a] for a in v.args)) if made is None else made
    if all(a is b for a, b in new.items()):
        return graph
    return graph.mapped(new)
