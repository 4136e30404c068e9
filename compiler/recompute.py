"""Recomputation instead of storage: values of the forward pass that the backward pass makes anew.

In: a lowered training step whose `checkpointing` says so. Out: the same numbers, in a step that
cuts the forward pass into segments. What crosses from one segment into a later one is kept; what
the backward pass needs of the inside of a segment it computes again from there (Chen, Xu, Zhang &
Guestrin, "Training deep nets with sublinear memory cost", 2016). Only values of examples are
computed again: statistics of the batch, parameters and updates are what they were, and a draw gives
the same numbers whenever it is asked.

Nothing may be shared after this pass: what is computed again is the same expression as what was
computed first. `Graph.after` holds it back until the gradient arrives at its segment.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from math import isqrt

from .fuse import make_kernels
from .graph import Graph, topological
from .value import Value


def recompute(graph: Graph) -> Graph:
    """The step with its activations computed again, as its `checkpointing` asks for."""
    if graph.checkpointing is None:
        return graph
    forward = _Forward(graph)
    cuts = forward.cuts(graph.checkpointing)
    return _Again(graph, forward, cuts).graph() if cuts else graph


class _Forward:
    """The forward pass in a line, and what it costs to cut it.

    `crossing[p]`: bytes an example of what is computed up to place p and used behind it. `held[p]`:
    bytes an example, up to p, of what the kernels of the step keep for the backward pass.
    """

    def __init__(self, graph: Graph) -> None:
        order = [v for v in topological(_roots(graph)) if v.op.family != "leaf"]
        self.place = {v: p for p, v in enumerate(order)}
        self.until = dict.fromkeys(order, -1)  # place of the last use in the forward pass
        for v, p in self.place.items():
            for a in v.args:
                if a in self.place:
                    self.until[a] = max(self.until[a], p)
        steps = [0] * (len(order) + 1)
        for v, p in self.place.items():
            if v.type.batched and self.until[v] > p:
                steps[p] += _width(v)
                steps[self.until[v]] -= _width(v)
        self.crossing = list(accumulate(steps))[:-1]
        held = [0] * len(order)
        for v in self._held(graph):
            held[self._behind(v)] += _width(v)
        self.held = list(accumulate(held))

    def _held(self, graph: Graph) -> set[Value]:
        """What kernels of the forward pass write and kernels of the backward pass read. Fusion
        decides it: of a chain of equations few values ever lie in memory."""
        written: set[Value] = set()
        read: set[Value] = set()
        for d in make_kernels(graph).drafts:
            results = [d.homes[s] for s in d.kernel.writes]
            if any(h.value in self.place for h in results):
                written |= {h.value for h in results if h.kind == "temp"}
            else:
                read |= {d.homes[s].value for s in d.kernel.reads}
        return written & read

    def _behind(self, v: Value) -> int:
        """The place at which v can be computed, be it part of the forward pass or not (a mask)."""
        found, pending, seen = 0, [v], {v}
        while pending:
            x = pending.pop()
            if x in self.place:
                found = max(found, self.place[x])
                continue
            pending += [a for a in x.args if a not in seen]
            seen.update(x.args)
        return found

    def cuts(self, segments: int) -> list[int]:
        """The last place of every segment but the last; segments = 0: as many as need least."""
        if not self.held or not self.held[-1]:
            return []
        if segments:
            return self._cut(segments)
        most = 2 * isqrt(len(self.held)) + 2
        tried = [self._cut(k) for k in range(2, most + 1)]
        return min([[], *tried], key=self._needed)

    def _cut(self, segments: int) -> list[int]:
        """Segments that hold about the same, each ended where least crosses."""
        share = self.held[-1] / segments
        found: list[int] = []
        for k in range(1, segments):
            low = bisect_left(self.held, (k - 0.5) * share)
            high = bisect_right(self.held, (k + 0.5) * share)
            low = max(low, found[-1] + 1 if found else 0)
            places = range(low, min(high, len(self.held) - 1))
            if places:
                found.append(
                    min(places, key=lambda p: (self.crossing[p], abs(self.held[p] - k * share)))
                )
        return found

    def _needed(self, cuts: list[int]) -> tuple[int, int]:
        """Bytes an example at the worst moment, about: all that is kept, and one segment."""
        kept = sum(
            _width(v) for v, p in self.place.items()
            if v.type.batched and bisect_left(cuts, p) < bisect_left(cuts, self.until[v])
        )  # fmt: skip
        ends = [0, *(self.held[c] for c in cuts), self.held[-1]]
        largest = max(b - a for a, b in pairwise(ends))
        return kept + largest, len(cuts)


def _roots(graph: Graph) -> Iterator[Value]:
    """What the forward pass gives: losses, metrics, outputs, new running statistics."""
    for o in graph.outputs:
        x = o.target
        running = x is not None and x.op.name == "state" and x.origin.role == "forward"
        if running or o.kind in ("loss", "metric", "output"):
            yield o.value


def _width(v: Value) -> int:
    return v.type.size * v.type.numpy.itemsize if v.type.batched else 0


class _Again:
    """Builds the step anew: what is late reads copies of what is inside earlier segments."""

    def __init__(self, graph: Graph, forward: _Forward, cuts: Sequence[int]) -> None:
        self.old, self.last = graph, len(cuts)
        self.segment: dict[Value, int] = {}
        self.forward = forward.place
        for v in graph.nodes:
            place = forward.place.get(v)
            if place is not None:
                self.segment[v] = bisect_left(cuts, place)
            else:
                self.segment[v] = max((self.segment[a] for a in v.args), default=0)
        until = forward.until
        self.kept = {
            v for v, p in forward.place.items()
            if bisect_left(cuts, p) < bisect_left(cuts, until[v])
        }  # fmt: skip
        self.kept |= {o.value for o in graph.outputs}
        self.copies: dict[Value, Value] = {}
        self.needs: dict[Value, frozenset[int]] = {}  # segments that a copy computes again

    def graph(self) -> Graph:
        new: dict[Value, Value] = {}
        level: dict[Value, int] = {}
        first: dict[int, tuple[int, tuple[Value, ...]]] = {}  # by segment: level, what arrives
        for v in self.old.nodes:
            if not self._late(v):
                new[v] = v
                continue
            args = tuple(new[a] if self._late(a) else self._copy(a) for a in v.args)
            new[v] = v.on(args)
            above = [a for a in v.args if self._late(a)]
            level[v] = 1 + max((level[a] for a in above), default=0)
            if not above:
                continue
            for k in {k for a in v.args for k in self.needs.get(a, ())}:
                if k not in first or level[v] < first[k][0]:
                    top = max(level[a] for a in above)
                    first[k] = level[v], tuple(new[a] for a in above if level[a] == top)
        after = {
            copy: first[self.segment[v]][1]
            for v, copy in self.copies.items()
            if self.segment[v] in first
        }
        if not self.copies:
            return self.old
        read = {a for v in self.copies for a in v.args if a in self.kept}
        return replace(self.old.mapped(new), after=after, kept=frozenset(read))

    def _late(self, v: Value) -> bool:
        """Whether v needs what the last segment gives: the backward pass proper."""
        inside = v in self.forward or v.op.family == "leaf"
        return not inside and self.segment[v] == self.last

    def _stays(self, v: Value) -> bool:
        early = v.type.batched and self.segment[v] < self.last
        return not early or v in self.kept or v.op.family == "leaf"

    def _copy(self, root: Value) -> Value:
        """What late users read instead of `root`: a copy, or the value itself if that is kept."""
        pending = [root]
        while pending:
            v = pending[-1]
            if v in self.copies or self._stays(v):
                pending.pop()
                continue
            waiting = [a for a in v.args if a not in self.copies and not self._stays(a)]
            if waiting:
                pending += waiting
                continue
            args = tuple(self.copies.get(a, a) for a in v.args)
            self.copies[v] = Value(v.op, args, v.attrs, v.type, v.origin)
            inner = [self.needs[a] for a in v.args if a in self.needs]
            self.needs[v] = frozenset((self.segment[v],)).union(*inner)
            pending.pop()
        return self.copies.get(root, root)


__all__ = ["recompute"]
