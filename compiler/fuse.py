"""Fusion: values become kernels.

In: a lowered graph. Out: `Fused`: drafts of kernels in an order that respects what they read,
each slot naming a `Home` (a leaf, an output, the new value of a parameter, a temporary) instead
of a buffer. Which values share a kernel is decided forwards (`kernels.groups`); what has to lie
in memory is decided backwards, here: a kernel is written once all its users are, so it stores
exactly what they read. A cheap value whose own operands are in memory anyway is computed again.
Leaves order, barriers, addresses and the legality of in-place updates to `schedule`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from .graph import Graph, Output
from .kernels.affine import Place, contiguous, still
from .kernels.borders import Strip, border
from .kernels.drafts import Draft, Fused, Home, Slots, copying, span_of, used
from .kernels.forms import (
    EXPENSIVE,
    Fold,
    Gathered,
    Given,
    Matmul,
    Operand,
    Pieces,
    Point,
    Result,
    Scattered,
    Stepped,
    example_of,
)
from .kernels.groups import Group, Groups
from .kernels.labels import label
from .kernels.lookup_kernels import lookup, read_rows, scatter
from .kernels.normal import normalise
from .kernels.recurrence import recurrence
from .kernels.stages import StageBuilder, simplified
from .plan import Access, Along, Loops, Matrix, Product, Stage
from .plan import Fold as PlanFold
from .scalar import Call, Element, Literal
from .value import Value

_AGAIN = 6  # additions' worth of work that is computed again rather than stored
_READS = 2  # … from at most so many values in memory
_SMALL = 8  # a value with so many times fewer elements costs nothing to read
_NESTED = 3  # how far ahead the choice between memory and again looks


def make_kernels(graph: Graph, spread: Mapping[Value, int] | None = None) -> Fused:
    """The kernels of a lowered graph. `spread`: leaves whose examples do not lie one after another,
    and how many elements they are apart."""
    return _Writer(graph, spread).fused()


class _Writer:
    """Writes the kernels of all groups, users before what they use."""

    def __init__(self, graph: Graph, spread: Mapping[Value, int] | None) -> None:
        self.normal = normalise(graph, spread)
        self.inside = spread is not None  # of a recurrence
        self.forms = self.normal.forms
        self.groups = Groups(self.normal)
        self.home = self.groups.home
        self.stored = self.normal.stored
        self.homes: dict[Value, list[Home]] = {}
        self.results: list[tuple[Output, Home]] = []
        self.copies: list[tuple[Value, Home]] = []
        self.again: set[Value] = set()
        self._name_homes()

    def fused(self) -> Fused:
        written: list[tuple[Group, Draft]] = []
        for group in sorted(self.groups.all, key=lambda g: (-g.depth, -g.index)):
            draft = self._write(group)
            if draft is not None:
                written.append((group, draft))
        written.reverse()
        number = {group: i for i, (group, _) in enumerate(written)}
        drafts = [
            replace(
                d,
                kernel=d.kernel
                if g.kind in ("scan", "along")
                else replace(d.kernel, frame=g.frame),
                after=tuple(sorted(number[h] for h in g.late if h in number)),
            )
            for g, d in written
        ]
        drafts += [self._copy(v, home) for v, home in self.copies]
        return Fused(self.normal, tuple(drafts), tuple(self.results))

    # ------------------------------------------------------------ where values lie

    def _name_homes(self) -> None:
        """Outputs have places of their own; an update's is its target."""
        found: list[tuple[Output, Value, Home]] = []
        for o, v in self.normal.outputs:
            name, kind = o.name, "output"
            if o.kind == "update":
                assert o.target is not None
                name, kind = str(o.target.attrs["name"]), "update"
            found.append((o, v, Home(kind, name, v)))
        # A value read by others is read where it is updated in place: no copy is then needed.
        for o, v, home in sorted(found, key=lambda f: f[2].kind != "update"):
            form = self.forms[v]
            if isinstance(form, Given):
                self._given_result(o, form, home)
                continue
            homes = self.homes.setdefault(v, [])
            same = next((h for h in homes if h.kind == "output" == home.kind), None)
            if same is None:
                homes.append(home)
                if len(homes) > 1 and not isinstance(form, Point | Matmul | Gathered):
                    self.copies.append((v, homes.pop()))
            self.results.append((o, same or home))

    def _given_result(self, o: Output, form: Given, home: Home) -> None:
        given = Home("given", form.name, form.value)
        if home.kind == "update" and home.name == form.name:
            return  # keeps its value
        if home.kind == "update" or form.name in self.normal.updated:
            self.copies.append((form.value, home))
            self.results.append((o, home))
            return
        self.results.append((o, given))

    def _homes_of(self, v: Value) -> list[Home]:
        homes = self.homes.get(v)
        if homes is None:
            form = self.forms[v]
            home = Home("given", form.name, v) if isinstance(form, Given) else Home("temp", "", v)
            homes = self.homes[v] = [home]
        return homes

    # ------------------------------------------------------------ memory or again

    def _from_memory(self, v: Value) -> bool:
        """Whether another group's value is read; decided once."""
        if v in self.stored:
            return True
        if v in self.again:
            return False
        if self._cheap(v, sure=True) or self._widens(v) or self._cheap(v):
            self.again.add(v)
            return False
        self.stored.add(v)
        return True

    def _widens(self, v: Value) -> bool:
        """Whether v only converts something narrower (a mask), which is then stored instead."""
        form = self.forms[v]
        if not isinstance(form, Point) or len(form.operands) != 1 or not form.operands[0].same:
            return False
        w = form.operands[0].value
        conversion = form.expression == Call(v.type.dtype, Element(0))
        narrow = w.type.numpy.itemsize < v.type.numpy.itemsize
        if not (conversion and narrow and self.home.get(w) is self.home[v]):
            return False
        self.stored.add(w)
        return True

    def _cheap(self, v: Value, nested: int = 0, sure: bool = False) -> bool:
        """Whether v is little work from one or two values of its own size that lie in memory, or
        (unless that must be sure) will: what cannot be computed again cheaply itself is stored for
        this one too."""
        cost, reads = 0, set()
        pending, seen = [(v, True)], {v}
        while pending:
            w, counts = pending.pop()
            form = self.forms[w]
            if not isinstance(form, Point) or form.draws:
                return False
            cost += self._work(form) if counts else 0
            if cost > _AGAIN:
                return False
            for o in form.operands:
                u = o.value
                if u in seen:
                    continue
                seen.add(u)
                below = self.forms[u]
                small = _is_small(u, v)
                if isinstance(below, Given) and below.name in self.normal.updated and not small:
                    return False  # its update would have to wait for one more reader
                if self._lies(u):
                    reads |= set() if small else {u}
                elif small:
                    if u not in self.home:
                        pending.append((u, False))
                elif isinstance(below, Matmul | Gathered) or not _one_for_one(o, form):
                    return False
                elif not sure and self._is_stored_rather(u, nested):
                    reads.add(u)
                else:
                    pending.append((u, True))
        return len(reads) <= _READS

    def _is_stored_rather(self, v: Value, nested: int) -> bool:
        return v in self.home and nested < _NESTED and not self._cheap(v, nested + 1)

    def _lies(self, v: Value) -> bool:
        """Whether a value is in memory whatever is decided here."""
        kinds = Given | Fold | Pieces | Scattered | Result | Stepped
        return v in self.stored or isinstance(self.forms[v], kinds)

    def _work(self, form: Point) -> int:
        """Additions' worth of work; a division by a few numbers is done by their reciprocals."""
        e = form.expression
        if isinstance(e, Call) and e.function == "div" and len(form.operands) == 2:
            return 1 if _is_small(form.operands[1].value, form.value) else form.cost
        return form.cost

    # ------------------------------------------------------------ kernels

    def _write(self, g: Group) -> Draft | None:
        if not any(v in self.stored for v in g.members):
            return None
        slots = Slots(self._homes_of)
        if g.kind == "product":
            return self._product(g, slots)
        if g.kind == "scan":
            return self._scan(g)
        if g.kind == "along":
            return self._along(g, slots)
        if g.kind == "lookup":
            return self._lookup(g, slots)
        if g.kind == "scatter":
            return self._scatter(g, slots)
        staged = g.kind in ("batched", "pieces")
        return self._staged(g, slots) if staged else self._follow(g, slots)

    def _builder(self, g: Group, slots: Slots, axes: tuple[int, ...],
                 policy: Callable[[Value, Place], bool]) -> StageBuilder:  # fmt: skip
        return StageBuilder(self.forms, axes, policy, slots.of, g.layout)

    def _policy(self, g: Group, v: Value, place: Place) -> bool:
        """Read v? In a group whose members share one index space."""
        home = self.home.get(v)
        if home is None:
            return False
        if home is not g:
            return self._from_memory(v)
        if isinstance(self.forms[v], Point):
            return False
        self.stored.add(v)
        return True

    def _points(self, g: Group, builder: StageBuilder, slots: Slots) -> list[Value]:
        """Everything that must be stored and is computed element by element."""
        results = []
        for v in g.members:
            if v in self.stored and isinstance(self.forms[v], Point | Matmul | Gathered):
                term = builder.term(v, builder.natural)
                for home in self._homes_of(v):
                    builder.write(slots.at(home), v, term, builder.natural)
                results.append(v)
        return results

    def _product(self, g: Group, slots: Slots) -> Draft:
        form = self.forms[g.members[0]]
        assert isinstance(form, Matmul)
        v, lay = form.value, form.layout
        matrices = []
        for o, walk in zip(form.operands, (lay.a, lay.b), strict=True):
            slot = slots.of(o.value)
            matrices.append(Matrix(slot, walk.row, walk.column, o.offset, walk.loop))
        builder = self._builder(g, slots, g.shape, partial(self._policy, g))
        builder.start_with_sum(v)
        results = self._points(g, builder, slots)
        stage = builder.stage()
        reads, writes = used([stage])
        values = tuple(builder.values)
        kernel = Product(
            self._label(g, results), slots.numbers, values, span_of(values),
            tuple(sorted({m.slot for m in matrices} | reads)), writes,
            lay.rows, lay.columns, lay.depth, lay.loop, matrices[0], matrices[1],
            v.type.dtype, stage,
        )  # fmt: skip
        return Draft(kernel, slots.homes)

    def _lookup(self, g: Group, slots: Slots) -> Draft:
        form = self.forms[g.members[0]]
        assert isinstance(form, Gathered)
        table, ids = read_rows(form, slots, self._example)
        builder = self._builder(g, slots, g.shape, partial(self._policy, g))
        builder.start_with_sum(form.value)
        results = self._points(g, builder, slots)
        return lookup(form, table, ids, builder, slots, self._label(g, results))

    def _example(self, v: Value) -> int:
        """From one example to the next."""
        return example_of(self.forms[v])

    def _scan(self, g: Group) -> Draft:
        scan, *results = g.members
        args = [self.normal.rep[a] for a in scan.args]
        operands = [(self._homes_of(a)[0], self._example(a)) for a in args]
        parts = {int(v.attrs["index"]): self._homes_of(v)[0] for v in results}
        return recurrence(scan, tuple(results), operands, parts, make_kernels, self.inside)

    def _along(self, g: Group, slots: Slots) -> Draft:
        (v,) = g.members
        rows = self.forms[v].operands[0].value
        frame = rows.type.frame
        assert frame is not None
        both = slots.of(rows), slots.of(v)
        kernel = Along(
            self._label(g, [v]), slots.numbers, (v,), v.origin.span, both[:1], both[1:],
            frame, rows.type.with_(frame=None),
        )  # fmt: skip
        return Draft(kernel, slots.homes)

    def _scatter(self, g: Group, slots: Slots) -> Draft:
        (v,) = g.members
        form = self.forms[v]
        assert isinstance(form, Scattered)
        return scatter(form, self._homes_of(v)[0], slots, self._example, self._label(g, [v]))

    def _follow(self, g: Group, slots: Slots) -> Draft:
        """`each`, `fold`, `over`: one stage of folds, one stage of points, or both."""
        builder = self._builder(g, slots, g.shape, partial(self._policy, g))
        results = self._points(g, builder, slots)
        stages = [builder.stage()] if results else []
        values = list(builder.values)
        if g.kind != "each":
            first = self._builder(g, slots, g.axes, partial(self._policy, g))
            folds = [v for v in g.members if v in self.stored and isinstance(self.forms[v], Fold)]
            for v in folds:
                self._fold(first, v, slots)
            stages.insert(0, first.stage())
            values = list(first.values) + folds + values
            results = folds + results
        stages_ = simplified(stages, together=True)
        return self._loops(g, slots, stages_, tuple(values), results)

    def _fold(self, builder: StageBuilder, v: Value, slots: Slots) -> None:
        form = self.forms[v]
        assert isinstance(form, Fold)
        axes = builder.axes
        terms = [builder.read_or_compute(o.value, (o.offset, o.strides)) for o in form.operands]
        value, _ = builder.compute(form.expression, terms, v)
        slot = slots.at(self._homes_of(v)[0])
        kept = len(axes) - form.folded
        example = v.type.size if v.type.batched else 0
        access = Access(slot, v.type.dtype, contiguous(axes[:kept]), 0, example)
        builder.folds.append(PlanFold(access, value, form.kind, form.folded, form.batch))

    def _staged(self, g: Group, slots: Slots) -> Draft:
        """Stages by level: a value is computed where its operands are first complete."""
        level = self._levels(g)
        builders: dict[tuple[int, int, tuple[int, ...]], StageBuilder] = {}

        def at(depth: int, rank: int, axes: tuple[int, ...]) -> StageBuilder:
            key = (depth, rank, axes)
            if key not in builders:
                policy = partial(self._level_policy, g, level, depth)
                builders[key] = self._builder(g, slots, axes, policy)
            return builders[key]

        results: list[Value] = []
        for v in reversed(g.members):
            if v not in self.stored:
                continue
            form, here = self.forms[v], level[v]
            if isinstance(form, Fold):
                self._fold(at(here, 1, form.axes), v, slots)
            elif isinstance(form, Pieces):
                self._pieces(form, partial(at, here), slots)
            else:
                builder = at(here, 1, v.shape)
                term = builder.term(v, builder.natural)
                for home in self._homes_of(v):
                    builder.write(slots.at(home), v, term, builder.natural)
            results.insert(0, v)
        order = sorted(builders, key=lambda k: k[:2])
        stages = simplified([builders[k].stage() for k in order], together=False)
        computed = [v for k in order for v in builders[k].values]
        computed += [v for v in results if not isinstance(self.forms[v], Point)]
        return self._loops(g, slots, stages, tuple(dict.fromkeys(computed)), results)

    def _levels(self, g: Group) -> dict[Value, int]:
        level: dict[Value, int] = {}
        for v in g.members:
            here, form = 0, self.forms[v]
            shape = form.axes if isinstance(form, Fold) else v.shape
            for o in form.operands:
                for w, same in self._within(g, o, shape):
                    behind = not isinstance(self.forms[w], Point)
                    behind = behind or (w in self.normal.hoisted and not same)
                    here = max(here, level[w] + behind)
            level[v] = here
        return level

    def _within(self, g: Group, o: Operand, shape: tuple[int, ...]) -> list[tuple[Value, bool]]:
        """The members of g that an operand is or, having no home, is computed from, and whether
        element for element."""
        start = (o.value, o.same and o.value.shape == shape)
        found, pending, seen = [], [start], {start}
        while pending:
            w, same = pending.pop()
            home = self.home.get(w)
            if home is g:
                found.append((w, same))
            if home is not None or g not in self.groups.sources.get(w, ()):
                continue
            for below in self.forms[w].operands:
                plain = same and below.same and below.value.shape == w.shape
                step = (below.value, plain)
                if step not in seen:
                    seen.add(step)
                    pending.append(step)
        return found

    def _level_policy(self, g: Group, level: dict[Value, int], depth: int, v: Value,
                      place: Place) -> bool:  # fmt: skip
        home = self.home.get(v)
        if home is None:
            return False
        if home is not g:
            return self._from_memory(v)
        if isinstance(self.forms[v], Point):
            if level[v] >= depth:
                return False
            if v not in self.stored and self.normal.cost[v] < EXPENSIVE:
                return False
        self.stored.add(v)
        return True

    def _pieces(self, form: Pieces, at: Callable[[int, tuple[int, ...]], StageBuilder],
                slots: Slots) -> None:  # fmt: skip
        v = form.value
        slot = slots.at(self._homes_of(v)[0])
        if not form.covered:
            for start, shape, steps in _uncovered(form):
                at(0, shape).write(slot, v, (Literal(form.fill), ""), (start, steps))
        for k, (o, box) in enumerate(zip(form.operands, form.boxes, strict=True)):
            builder = at(k + 1 if form.adds else 1, box.shape)
            term = builder.read_or_compute(o.value, (o.offset, o.strides))
            place = box.start, still(box.steps, box.shape)
            if form.adds:
                term = builder.added(v, place, term)
            builder.write(slot, v, term, place)

    def _loops(self, g: Group, slots: Slots, stages: tuple[Stage, ...],
               values: tuple[Value, ...], results: Sequence[Value]) -> Draft:  # fmt: skip
        values = tuple(v for v in values if v.args)
        reads, writes = used(stages)
        batched = g.kind == "batched"
        kernel = Loops(
            self._label(g, results), slots.numbers, values, span_of(values),
            tuple(sorted(reads)), writes, stages, batched, g.kind == "over",
        )  # fmt: skip
        return Draft(kernel, slots.homes)

    def _label(self, g: Group, results: Sequence[Value]) -> str:
        homes = [h for v in results for h in self._homes_of(v)]
        started = g.kind in ("product", "lookup", "scatter", "fold", "over")
        first = g.members[0] if started else None
        return label(results, [h.name for h in homes if h.kind == "update"], first)

    def _copy(self, v: Value, home: Home) -> Draft:
        """A value into a second place."""
        own = self._homes_of(v)[0]
        name = f"copy of {v.origin.name or home.name}"
        return Draft(copying(name, v, example_of(self.forms[v])), (own, home))


def _uncovered(form: Pieces) -> tuple[Strip, ...]:
    """What is filled: the border of a single piece; everything where there are more of them."""
    v = form.value
    if len(form.boxes) == 1 and not form.adds:
        (box,) = form.boxes
        found = border(v.type.size, box.start, box.shape, box.steps)
        if found is not None:
            return found
    return ((0, v.shape, contiguous(v.shape)),)


def _is_small(x: Value, beside: Value) -> bool:
    """Few numbers for many: one for a channel or for a batch."""
    return _SMALL * x.type.size <= beside.type.size or x.type.batched < beside.type.batched


def _one_for_one(o: Operand, form: Point) -> bool:
    return o.same and o.value.type.batched == form.value.type.batched
