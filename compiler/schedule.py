"""Scheduling: kernels get an order, barriers, and buffers in one arena.

In: a lowered graph and the largest batch. Out: a `Plan`.

Kernels run in epochs, with a barrier between one and the next: a kernel belongs to the first epoch
after everything it depends on. It depends on the kernels that write what it reads, on those that
it must come after (values computed again are computed late, or nothing is saved), and, where it
updates a parameter or state in place, on all kernels that still read the old value. If those could
only run after it, the new value goes to a temporary instead and is copied at the end.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

from ..dsl.collector import without_collector
from .fuse import make_kernels
from .graph import Graph
from .kernels.drafts import Draft, Fused, Home, copying
from .memory import Life, aligned, place
from .plan import (
    HEADER,
    Access,
    Along,
    Buffer,
    Lookup,
    Plan,
    Product,
    Recurrence,
    Scatter,
    Stage,
)
from .types import Type
from .value import Value

_NUMBER = 8  # bytes that each runtime scalar takes


@without_collector()
def plan(graph: Graph, capacity: int) -> Plan:
    """The plan of a step: fused, ordered, placed."""
    fused = make_kernels(graph)
    order = _Order(list(fused.drafts), fused.normal.updated)
    return _Arena(graph, fused, order, capacity).plan()


# ---------------------------------------------------------------- order


@dataclass
class _Order:
    """Epochs of kernels. `moved`: names whose update had to go through a temporary."""

    drafts: list[Draft]
    updated: set[str]
    epoch: dict[int, int] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    sequence: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.writer: dict[Home, int] = {}
        self.within: dict[Home, tuple[Home, int]] = {}
        self.readers: dict[str, set[int]] = defaultdict(set)
        for i, d in enumerate(self.drafts):
            for slot in d.kernel.writes:
                self.writer[d.homes[slot]] = i
            for part, whole, lead in d.within:
                self.writer[part] = i
                self.within[part] = whole, lead
        for i, d in enumerate(self.drafts):
            for slot in d.kernel.reads:
                home = d.homes[slot]
                if home.kind == "given" and home.name in self.updated:
                    self.readers[home.name].add(i)
        self.updates = {h.name: (h, i) for h, i in self.writer.items() if h.kind == "update"}
        self.users: dict[int, list[int]] = defaultdict(list)  # reads after write
        self.waits: dict[int, list[tuple[int, str]]] = defaultdict(list)  # writes after read
        self.needs: dict[int, int] = {}
        self.stalls: dict[int, int] = {}
        for i in range(len(self.drafts)):
            self._enter(i)
        for name, (home, i) in self.updates.items():
            if not updates_in_place(self.drafts[i], home):
                self.moved.add(name)
                continue
            for reader in self.readers[name] - {i}:
                self.waits[reader].append((i, name))
                self.stalls[i] += 1
        self._run()

    def _enter(self, i: int) -> None:
        d = self.drafts[i]
        before = {self.writer[d.homes[s]] for s in d.kernel.reads if d.homes[s].kind != "given"}
        before.update(d.after)
        before.discard(i)
        for b in before:
            self.users[b].append(i)
        self.needs[i], self.stalls[i] = len(before), 0

    def _run(self) -> None:
        ready = [i for i in self.needs if not self.needs[i] and not self.stalls[i]]
        now, count = 0, len(self.drafts)
        while len(self.epoch) < count:
            while not ready:
                ready = self._give_way()
            for i in sorted(ready):
                self.epoch[i] = now
                self.sequence.append(i)
            ready = self._released(ready)
            now += 1
        for name in sorted(self.moved):
            self._copy_back(name)

    def _released(self, done: list[int]) -> list[int]:
        ready = []
        for i in done:
            for user in self.users[i]:
                self.needs[user] -= 1
                if not self.needs[user] and not self.stalls[user]:
                    ready.append(user)
            for waiting, name in self.waits[i]:
                if name in self.moved:
                    continue
                self.stalls[waiting] -= 1
                if not self.needs[waiting] and not self.stalls[waiting]:
                    ready.append(waiting)
        return ready

    def _give_way(self) -> list[int]:
        """Everything waits: the smallest update that holds up its kernel goes to a temporary."""
        held = [
            (home.value.type.size, name, i)
            for name, (home, i) in self.updates.items()
            if name not in self.moved and i not in self.epoch and not self.needs[i]
        ]
        _, name, i = min(held)
        self.moved.add(name)
        self.stalls[i] -= sum(
            1 for r in self.readers[name] if r != i and r not in self.epoch
        )  # fmt: skip
        return [] if self.stalls[i] else [i]

    def _copy_back(self, name: str) -> None:
        """The new value, from its temporary to where it belongs, once the old one is not needed."""
        home, writer = self.updates[name]
        v = home.value
        kernel = copying(f"new {name}", v, v.type.size if v.type.batched else 0)
        i = len(self.drafts)
        self.drafts.append(Draft(kernel, (home, Home("back", name, v))))
        before = {writer, *self.readers[name]}
        self.epoch[i] = 1 + max(self.epoch[b] for b in before)
        self.sequence.append(i)


def updates_in_place(draft: Draft, home: Home) -> bool:
    """Whether a kernel may write the new value over the old: it reads none but the same element."""
    kernel = draft.kernel
    old = {s for s in kernel.reads if draft.homes[s].kind == "given"
           and draft.homes[s].name == home.name}  # fmt: skip
    if not old:
        return True
    new = next(s for s in kernel.writes if draft.homes[s] == home)
    throughout, stages = _read_where(draft)
    if throughout & old:
        return False
    for stage in stages:
        reads = {_element(a) for a in stage.reads if a.slot in old}
        written = {_element(w.access) for w in stage.writes if w.access.slot == new}
        if reads and reads != written:
            return False
        if any(f.access.slot == new for f in stage.folds):
            return False
    return True


def _read_where(draft: Draft) -> tuple[set[int], tuple[Stage, ...]]:
    """Slots that a kernel reads until its end, in no order; the stages that read the others."""
    kernel = draft.kernel
    if isinstance(kernel, Product):
        return {kernel.a.slot, kernel.b.slot}, (kernel.epilogue,)
    if isinstance(kernel, Lookup):
        return {kernel.table.slot, kernel.ids.slot}, (kernel.epilogue,)
    if isinstance(kernel, Scatter):
        return {kernel.ids.slot, kernel.source.slot}, ()
    if isinstance(kernel, Along | Recurrence):
        return set(kernel.reads), ()
    return set(), kernel.stages


def overwrites(draft: Draft, old: Home, new: Home) -> bool:
    """Whether a kernel may write one value over another that it reads: in one stage, each element
    from the same element, and nowhere else."""
    out, inward = draft.homes.index(new), draft.homes.index(old)
    throughout, stages = _read_where(draft)
    if inward in throughout:
        return False
    reads = [(k, _element(a)) for k, s in enumerate(stages) for a in s.reads if a.slot == inward]
    writes = [
        (k, _element(w.access)) for k, s in enumerate(stages) for w in s.writes
        if w.access.slot == out
    ]  # fmt: skip
    folded = any(f.access.slot == out for s in stages for f in s.folds)
    return not folded and len(writes) == 1 and set(reads) == set(writes)


def _bytes(home: Home) -> tuple[object, ...]:
    t = home.value.type
    return t.size, t.dtype, t.batched, t.frame


def _element(a: Access) -> tuple[object, ...]:
    return a.offset, a.strides, a.example


# ---------------------------------------------------------------- memory


class _Arena:
    """Buffers of all homes, and the plan that refers to them."""

    def __init__(self, graph: Graph, fused: Fused, order: _Order, capacity: int) -> None:
        self.graph, self.fused, self.order, self.capacity = graph, fused, order, capacity
        self.buffers: list[Buffer] = []
        self.index: dict[Home, int] = {}
        self.leaf: dict[str, int] = {}
        self.end = HEADER

    def plan(self) -> Plan:
        self._leaves()
        self._outputs()
        self._temporaries()
        order = self.order
        order.sequence.sort(key=lambda i: (order.epoch[i], i))
        kernels, barriers, last = [], [], -1
        for i in order.sequence:
            d = order.drafts[i]
            kernels.append(replace(d.kernel, slots=tuple(map(self._buffer, d.homes))))
            barriers.append(bool(kernels[:-1]) and order.epoch[i] != last)
            last = order.epoch[i]
        recorded, outputs = self._results()
        contents = tuple(tuple(h.value for h in order.drafts[i].homes) for i in order.sequence)
        return Plan(
            self.graph.name, tuple(kernels), tuple(barriers), tuple(self.buffers),
            aligned(self.end), self.capacity, recorded, outputs, self.fused.normal.seeded, contents,
        )  # fmt: skip

    def _add(self, name: str, kind: str, type: Type, order: tuple[int, ...] = ()) -> int:
        buffer = Buffer(name, kind, type, self.end, order)
        self.buffers.append(buffer)
        size = buffer.nbytes(self.capacity)
        self.end += _NUMBER if kind == "scalar" and type.size == 1 else aligned(size)
        return len(self.buffers) - 1

    def _leaves(self) -> None:
        """Scalars, then params and states side by side (one copy saves them all), then inputs."""
        known: dict[str, tuple[str, Value]] = {
            leaf.name: (leaf.kind, leaf.value) for leaf in self.graph.leaves.values()
        }
        targets = [o.target for o in self.graph.outputs if o.target is not None]
        for v in [*targets, *self.fused.normal.given.values()]:
            known[str(v.attrs["name"])] = (v.op.name, v)
        for kinds in (("scalar",), ("param",), ("state",), ("input",)):
            for name, (kind, v) in known.items():
                if kind in kinds:
                    self.leaf[name] = self._add(name, kind, v.type, v.attrs.get("order", ()))
            self.end = aligned(self.end)

    def _outputs(self) -> None:
        taken = set(self.leaf)
        for _, home in self.fused.results:
            if home.kind != "output" or home in self.index:
                continue
            name, k = home.name, 2
            while name in taken:
                name, k = f"{home.name}:{k}", k + 1
            taken.add(name)
            self.index[home] = self._add(name, "output", home.value.type)

    def _temporaries(self) -> None:
        born: dict[Home, int] = {}
        dies: dict[Home, int] = {}
        for i in self.order.sequence:
            d, now = self.order.drafts[i], self.order.epoch[i]
            for part in d.homes:
                home = self.order.within[part][0] if part in self.order.within else part
                if self._is_temporary(home):
                    born[home] = min(born.get(home, now), now)
                    dies[home] = max(dies.get(home, now), now)
        heirs = self._heirs(born, dies)
        first: dict[Home, Home] = {}  # whose place a result takes in the end
        for home in born:
            old = heirs.get(home)
            first[home] = home if old is None else first[old]
            dies[first[home]] = max(dies[first[home]], dies[home])
        homes = [home for home in born if first[home] is home]
        types = [h.value.type for h in homes]
        sizes = [Buffer("", "temp", t, 0).nbytes(self.capacity) for t in types]
        lives = [Life(max(n, 1), born[h], dies[h]) for n, h in zip(sizes, homes, strict=True)]
        offsets, size = place(lives)
        start = aligned(self.end)
        for home, type, offset in zip(homes, types, offsets, strict=True):
            self.index[home] = len(self.buffers)
            name = home.value.origin.name
            self.buffers.append(Buffer(name, "temp", type, start + offset))
        self.index.update({home: self.index[old] for home, old in first.items()})
        for home, (whole, lead) in self.order.within.items():
            of = self.index[whole]
            self.index[home] = len(self.buffers)
            made = Buffer(home.value.origin.name, "temp", home.value.type, self.buffers[of].offset)
            self.buffers.append(replace(made, within=of, lead=lead))
        self.end = start + size

    def _heirs(self, born: dict[Home, int], dies: dict[Home, int]) -> dict[Home, Home]:
        """Results that may be written over an operand: the last kernel that reads it, and no other
        of its epoch, makes each of them from the same element."""
        last: dict[Home, list[int]] = defaultdict(list)  # kernels of the epoch in which it dies
        for i in self.order.sequence:
            for home in set(self.order.drafts[i].homes):
                if home in dies and dies[home] == self.order.epoch[i]:
                    last[home].append(i)
        found: dict[Home, Home] = {}
        taken: set[Home] = set()
        for i in self.order.sequence:
            d, now = self.order.drafts[i], self.order.epoch[i]
            results = [d.homes[s] for s in d.kernel.writes]
            dying = [
                d.homes[s] for s in d.kernel.reads
                if s not in d.kernel.writes and last.get(d.homes[s]) == [i]
            ]  # fmt: skip
            for new in results:
                for old in dying if new in born and born[new] == now else ():
                    alike = _bytes(old) == _bytes(new) and born[old] < now
                    if old not in taken and alike and overwrites(d, old, new):
                        found[new] = old
                        taken.add(old)
                        break
        return found

    def _is_temporary(self, home: Home) -> bool:
        return home.kind == "temp" or (home.kind == "update" and home.name in self.order.moved)

    def _buffer(self, home: Home) -> int:
        if home.kind in ("given", "back"):
            return self.leaf[home.name]
        if home.kind == "update" and home.name not in self.order.moved:
            return self.leaf[home.name]
        return self.index[home]

    def _results(self) -> tuple[dict[str, int], dict[str, int]]:
        """Scalars to record at every step, and everything else that can be read."""
        recorded: dict[str, int] = {}
        outputs: dict[str, int] = {}
        for o, home in self.fused.results:
            if o.kind == "update":
                continue
            type = home.value.type
            number = type.size == 1 and not type.batched
            where = recorded if o.kind in ("loss", "metric") and number else outputs
            where[o.name] = self._seen_as(o.name, o.value.type, self._buffer(home))
        return recorded, outputs

    def _seen_as(self, name: str, type: Type, index: int) -> int:
        """A reshaped value shares its operand's memory, but is read in its own shape."""
        base = self.buffers[index]
        if base.type.shape == type.shape or base.order:
            return index
        self.buffers.append(Buffer(name, "view", base.type.with_(shape=type.shape), base.offset))
        return len(self.buffers) - 1
