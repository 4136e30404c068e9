"""Which values share a kernel: groups, grown in one pass over the graph.

In: the normal form. Out: `Groups`: each value that is not simply computed where it is used has a
home. Every group has a depth, greater than that of all groups it reads from; so a value may join a
group if everything else it needs is less deep, or if nothing outside reads that group yet (its
depth may then grow). No other check against cycles is needed, and the pass is linear. A value that
must come after others (`Graph.after`) is deeper than their groups, as if it read them.

Kinds of groups, after what their kernel is: `product` and `lookup` (epilogue), `scatter` (alone),
`fold` and `over` (a fold, over the batch too, and what is computed from its results), `each`
(elementwise, without batch), `batched` (any per-example work in stages), `pieces` (concatenation
without batch).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..types import Frame
from ..value import Value
from .affine import Place, compose, contiguous, digits
from .forms import (
    LIMIT,
    Fold,
    Form,
    Gathered,
    Given,
    Matmul,
    Normal,
    Pieces,
    Point,
    Result,
    Scanned,
    Scattered,
    Stepped,
    example_of,
    frame_of,
)
from .products import Layout
from .stages import along_product, position_terms, positions_of

CAPACITY = 64  # members of one group: longer programs compile slowly and spill registers
FOLLOWERS = ("product", "lookup", "fold", "over", "each")  # one index space, each element once


class Group:
    """Values that one kernel computes. `shape`: the index space its members share (all kinds but
    `batched` and `pieces`)."""

    __slots__ = ("axes", "batched", "depth", "folded", "frame", "index", "kind", "late", "layout",
                 "members", "shape", "size", "used")  # fmt: skip

    def __init__(self, kind: str, index: int, depth: int, v: Value, shape: tuple[int, ...]) -> None:
        self.kind, self.index, self.depth, self.shape = kind, index, depth, shape
        self.size, self.batched = v.type.size, v.type.batched
        self.members: list[Value] = []
        self.used = False
        self.late: set[Group] = set()  # groups that must be done first, though nothing is read
        self.layout: Layout | None = None
        self.axes: tuple[int, ...] = ()
        self.folded = 0
        self.frame: Frame | None = None  # what its examples are those of


class Groups:
    """The homes of values. What has none is computed by its users (or is a leaf)."""

    def __init__(self, normal: Normal) -> None:
        self.normal = normal
        self.home: dict[Value, Group] = {}
        self.all: list[Group] = []
        self.sources: dict[Value, tuple[Group, ...]] = {}  # of values without a home
        self.waits: dict[Value, tuple[Group, ...]] = {}  # `late` of values without a home
        self.open: dict[tuple[object, ...], Group] = {}
        self._weight: dict[Value, int] = {}
        self._seed: dict[Value, Value] = {}
        for form in normal.forms.values():
            self._place(form)

    def _place(self, form: Form) -> None:
        if isinstance(form, Given):
            return
        v = form.value
        if isinstance(form, Result):  # its scan computes it
            self.home[v] = self.home[form.operands[0].value]
            self.home[v].members.append(v)
            return
        late = self._late(form)
        sources = tuple(dict.fromkeys((*self._sources(form), *late)))
        if isinstance(form, Point):
            group = self._host(form, sources)
            if group is None and self._floats(form):
                self.sources[v] = sources
                if late:
                    self.waits[v] = late
                return
            group = group or self._opened(form, sources)
        elif v.type.batched and isinstance(form, Fold | Pieces):
            group = self._host(form, sources) or self._opened(form, sources)
        else:
            group = self._opened(form, sources)
        group.members.append(v)
        self.home[v] = group
        group.late.update(g for g in late if g is not group)
        for g in sources:
            if g is not group:
                g.used = True
                if g.depth >= group.depth:
                    group.depth = g.depth + 1

    def _sources(self, form: Form) -> tuple[Group, ...]:
        found: dict[Group, None] = {}
        for o in form.operands:
            w = o.value
            group = self.home.get(w)
            if group is not None:
                found[group] = None
            elif w in self.sources:
                found.update(dict.fromkeys(self.sources[w]))
        return tuple(found)

    def _late(self, form: Form) -> tuple[Group, ...]:
        """The groups that must be done before this value, or what it computes on the way, may be
        computed."""
        found: dict[Group, None] = {}
        for g in self.normal.after.get(form.value, ()):
            home = self.home.get(g)
            found.update(dict.fromkeys(self.sources.get(g, ()) if home is None else (home,)))
        for o in form.operands:
            found.update(dict.fromkeys(self.waits.get(o.value, ())))
        return tuple(found)

    def _floats(self, form: Point) -> bool:
        """Whether users compute this value themselves, so that it needs no memory."""
        v = form.value
        if v in self.normal.stored:
            return False
        weight = 1
        for o in form.operands:
            weight += self._weight.get(o.value, 0)
            if o.value.type.size == v.type.size:
                seed = self._seed.get(o.value, o.value)
                if v not in self._seed or (seed in self.home and self._seed[v] not in self.home):
                    self._seed[v] = seed
        if weight > LIMIT:
            self.normal.stored.add(v)
            return False
        self._weight[v] = weight
        return True

    def _host(self, form: Form, sources: Sequence[Group]) -> Group | None:
        """A group that computes an operand and may compute this value too."""
        if not sources:
            return None
        top = max(g.depth for g in sources)
        deepest = [g for g in sources if g.depth == top]
        if len(deepest) == 1 and self._accepts(deepest[0], form):
            return deepest[0]
        free = sorted((g for g in sources if not g.used), key=lambda g: (-g.depth, -g.index))
        for g in free:
            if self._accepts(g, form):
                return g
        return None

    def _accepts(self, g: Group, form: Form) -> bool:
        if len(g.members) >= CAPACITY:
            return False
        v = form.value
        if v.type.batched and v.type.frame != g.frame:
            return False
        if g.kind == "batched":
            return v.type.batched
        if g.kind not in FOLLOWERS or not isinstance(form, Point):
            return False
        if v.type.size != g.size or v.type.batched != g.batched:
            return False
        return self._fits(g, form)

    def _fits(self, g: Group, form: Point) -> bool:
        """Whether the value can be computed element by element in the space of the group."""
        layout, axes = g.layout, g.shape
        start: Place = (0, contiguous(axes))
        pending: list[tuple[Point, Place]] = [(form, start)]
        seen: set[tuple[Value, Place]] = set()
        while pending:
            point, at = pending.pop()
            if not _countable(point, at, axes, layout):
                return False
            for o in point.operands:
                w = o.value
                place = compose(o.offset, o.strides, point.value.shape, at, axes)
                if place is None:
                    return False
                if (w, place) in seen:
                    continue
                seen.add((w, place))
                below = self.normal.forms[w]
                home = self.home.get(w)
                if home is g:
                    if place != start:
                        return False
                elif home is None and isinstance(below, Point):
                    pending.append((below, place))
                elif layout is not None and not along_product(
                    layout, axes, place[1], example_of(below)
                ):
                    return False
        return True

    def _opened(self, form: Form, sources: Iterable[Group]) -> Group:
        """The group for this kind of work at its depth; a new one if there is none."""
        v = form.value
        depth = 1 + max((g.depth for g in sources), default=0)
        kind, shape, key = self._kind(form)
        group = self.open.get((*key, depth)) if key else None
        if group is not None and group.depth == depth and len(group.members) < CAPACITY:
            fresh = kind != "each" or (isinstance(form, Point) and self._accepts(group, form))
            if fresh:
                return group
        group = Group(kind, len(self.all), depth, v, shape)
        group.frame = frame_of(form)
        if isinstance(form, Matmul | Gathered):
            group.layout = form.layout
        if isinstance(form, Fold):
            group.axes, group.folded = form.axes, form.folded
        self.all.append(group)
        if key:
            self.open[(*key, depth)] = group
        return group

    def _kind(self, form: Form) -> tuple[str, tuple[int, ...], tuple[object, ...]]:
        """Kind of kernel, index space, and what values must agree in to share it (() nothing)."""
        v = form.value
        if isinstance(form, Matmul):
            return "product", v.shape, ()
        if isinstance(form, Gathered | Scattered):
            return "lookup" if isinstance(form, Gathered) else "scatter", v.shape, ()
        if isinstance(form, Fold) and not v.type.batched:
            kind = "over" if form.batch else "fold"
            seed = None if v.type.size == 1 and form.batch else self._seed_of(form)
            return kind, form.kept, (kind, form.axes, form.folded, seed, frame_of(form))
        if isinstance(form, Scanned | Stepped):
            return "scan" if isinstance(form, Scanned) else "along", (), ()
        if v.type.batched:
            return "batched", (), ("batched", v.type.frame)
        if isinstance(form, Pieces):
            return "pieces", (), ()
        seed = None if v.type.size == 1 else self._seed_of(form)
        return "each", v.shape, ("each", v.type.size, seed)

    def _seed_of(self, form: Form) -> Value | None:
        """What ties small kernels over the same numbers together: the largest thing they read, of
        those that a kernel makes."""
        if not form.operands:
            return None
        seeds = [self._seed.get(o.value, o.value) for o in form.operands]
        return max(seeds, key=lambda v: (v in self.home, v.type.size))


def _countable(point: Point, at: Place, axes: tuple[int, ...], layout: Layout | None) -> bool:
    """Whether the positions that the expression asks for are known in the group's space."""
    if point.draws:
        natural = at == (0, contiguous(axes))
        return natural and (layout is None or layout.in_order)
    wanted = positions_of(point.expression)
    if not wanted:
        return True
    found = digits(*at, axes, point.value.shape)
    if found is None:
        return False
    if layout is None:
        return True
    known: Callable[[int], int | None] = lambda k: position_terms(layout, k)  # noqa: E731
    return all(
        c == 0 or known(k) is not None
        for axis in wanted
        for k, c in enumerate(found[axis][1])
    )  # fmt: skip
