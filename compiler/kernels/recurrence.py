"""A scan as a kernel that runs others: its body fused, its values given places that move.

In: a scan whose operands lie in memory, where they and its results lie, and fusion itself for the
body. Out: a draft of a `Recurrence`. What is carried lies in a ring of two: a step reads one half
and writes the other. Where it is also yielded, old or new, all its values lie in one stack, and the
yields are parts of that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..graph import Graph, Output
from ..ops.scan import Body, slice_type
from ..ops.scan import frame_of as steps_of
from ..plan import Along, AnyKernel, Lookup, Loops, Product, Recurrence, Scatter, Spot
from ..types import Frame, Type
from ..value import Value
from .drafts import Draft, Fused, Home, copying

Fuse = Callable[[Graph, Mapping[Value, int]], Fused]
Operand = tuple[Home, int]  # where it lies; elements from one example to the next
_RING = Frame("", 2)


def recurrence(
    scan: Value, results: Sequence[Value], operands: Sequence[Operand],
    parts: Mapping[int, Home], fuse: Fuse, inside: bool,
) -> Draft:  # fmt: skip
    """The draft of a scan. `parts`: the results that are asked for, by index; `inside`: of a step
    of another one."""
    return _Maker(scan, results, operands, parts, inside).draft(fuse)


def is_apart(kernel: AnyKernel) -> bool:
    """Whether a kernel computes each example from that example alone."""
    if isinstance(kernel, Product):
        return kernel.rows[0].batched or kernel.loop.batched or kernel.columns.batched
    if isinstance(kernel, Lookup):
        return kernel.rows.batched
    if isinstance(kernel, Scatter):
        return kernel.each
    if isinstance(kernel, Along):
        return kernel.type.batched
    if isinstance(kernel, Recurrence):
        return kernel.apart
    return kernel.batched


@dataclass(frozen=True, slots=True)
class _Step:
    """A kernel inside, with the barriers that must have been before it."""

    draft: Draft
    epoch: int


class _Maker:
    def __init__(
        self, scan: Value, results: Sequence[Value], operands: Sequence[Operand],
        parts: Mapping[int, Home], inside: bool,
    ) -> None:  # fmt: skip
        body: Body = scan.attrs["body"]
        self.scan, self.results, self.body = scan, results, body
        self.operands, self.parts, self.inside = operands, parts, inside
        self.carries, self.sequences = scan.attrs["carries"], scan.attrs["sequences"]
        self.over = steps_of(scan)
        self.slots: dict[Home, int] = {}
        self.spots: dict[Spot, int] = {}
        self.of_home: dict[Home, Spot] = {}  # of the body's own homes
        self.read: set[int] = set()
        self.rings: dict[int, Home] = {}  # of carried values
        self.stacks: dict[int, Home] = {}  # of those that are yielded, too
        self.shared: set[int] = set()  # yields that lie in stacks
        self.within: list[tuple[Home, Home, int]] = []

    # ------------------------------------------------------------ the whole

    def draft(self, fuse: Fuse) -> Draft:
        wanted = [*range(self.carries), *sorted(k for k in self.parts if k >= self.carries)]
        results = self.body.results
        graph = Graph("step", tuple(Output("output", str(k), results[k]) for k in wanted))
        spread = {b: self._example(k) for k, b in enumerate(self.body.bound)}
        fused = fuse(graph, spread)
        if fused.normal.seeded:
            raise TypeError("draws of a step must be made for all steps before it")
        steps = _in_order(fused, self._copies(fused))
        before = [self._first(k) for k in range(self.carries)]
        after = [self._last(k) for k in range(self.carries) if k in self.parts]
        turns = [self._placed(s.draft) for s in steps]
        inside = [*before, *turns, *after]
        waits = (
            tuple(k == 0 for k in range(len(before))),
            tuple(k == 0 or s.epoch != t.epoch for k, (s, t) in enumerate(_pairs(steps))),
            tuple(k == 0 for k in range(len(after))),
        )
        numbers = range(len(self.slots))
        kernel = Recurrence(
            self._label(), tuple(numbers), (self.scan, *self.results), self.scan.origin.span,
            tuple(sorted(self.read)), tuple(n for n in numbers if n not in self.read),
            self.over, bool(self.scan.attrs["reverse"]), tuple(self.spots), tuple(before),
            tuple(turns), tuple(after), waits, all(map(is_apart, inside)),
        )  # fmt: skip
        return Draft(kernel, tuple(self.slots), within=tuple(self.within))

    def _label(self) -> str:
        names = [b.origin.name for b in self.body.bound[: self.carries]]
        named = ", ".join(n for n in names if n) or "values"
        steps = self.over.clock or str(self.over.steps)
        return f"{named} over {steps} steps" if names else f"values of {steps} steps"

    # ------------------------------------------------------------ what goes where

    def _copies(self, fused: Fused) -> list[Draft]:
        """Places of the results; what has one already is copied."""
        self._find_stacks(fused)
        taken: set[Home] = set()
        copies = []
        for o, home in fused.results:
            k = int(o.name)
            if k in self.shared:
                continue
            if home.kind == "output" and home not in taken:
                taken.add(home)
                self.of_home[home] = self._result(k)
                continue
            own = Home("result", o.name, home.value)
            self.of_home[own] = self._result(k)
            name = f"copy of {o.value.origin.name or o.name}"
            copies.append(Draft(copying(name, home.value, self._spacing(home)), (home, own)))
        return copies

    def _find_stacks(self, fused: Fused) -> None:
        """Carried values whose old or new value is yielded: one stack of all their values, one more
        than there are steps, of which the yields are parts."""
        home_of = {int(o.name): home for o, home in fused.results}
        new: dict[Home, int] = {}
        for k in range(self.carries):
            if self.body.bound[k].type.batched and home_of[k].kind == "output":
                new.setdefault(home_of[k], k)
        old = {b: k for k, b in enumerate(self.body.bound[: self.carries]) if b.type.batched}
        for k, home in home_of.items():
            if self.inside or k < self.carries or self.parts[k].kind != "temp":
                continue
            carried = old.get(home.value) if home.kind == "given" else new.get(home)
            if carried is None:
                continue
            lead = self._lead(home.kind != "given")
            self.shared.add(k)
            self.within.append((self.parts[k], self._stack(carried), lead))

    def _lead(self, new: bool) -> int:
        """Where in a stack the step t finds a carried value, and where it leaves the new one."""
        return int(new != bool(self.scan.attrs["reverse"]))

    def _stack(self, k: int) -> Home:
        """All values of what is carried, the first of them, too."""
        if k not in self.stacks:
            bound = self.body.bound[k]
            frame = Frame(self.over.clock, self.over.steps + 1)
            whole = Value(bound.op, (), bound.attrs, bound.type.with_(frame=frame), bound.origin)
            self.stacks[k] = Home("temp", str(bound.attrs["name"]), whole)
        return self.stacks[k]

    def _spacing(self, home: Home) -> int:
        """From one example to the next where a body's value is read."""
        if home.kind == "given":
            return self._example(self.body.bound.index(home.value))
        return home.value.type.size if home.value.type.batched else 0

    def _result(self, k: int) -> Spot:
        """Where a step leaves result k."""
        if k < self.carries:
            return self._carried(k, new=True)
        t = self.body.results[k].type
        return Spot(self._slot(self.parts[k]), "rows", t, t.size if t.batched else 0)

    def _carried(self, k: int, new: bool) -> Spot:
        """Where a step finds, or leaves, what is carried: in its stack, or in a ring of two."""
        bound = self.body.bound[k]
        t = bound.type
        example = t.size if t.batched else 0
        if k in self.stacks:
            return Spot(self._slot(self.stacks[k]), "rows", t, example, self._lead(new))
        if k not in self.rings:
            ring = Value(bound.op, (), bound.attrs, t.with_(frame=_RING), bound.origin)
            self.rings[k] = Home("temp", str(bound.attrs["name"]), ring)
        return Spot(self._slot(self.rings[k]), "ring", t, example, int(new))

    def _slot(self, home: Home) -> int:
        return self.slots.setdefault(home, len(self.slots))

    def _example(self, k: int) -> int:
        """From one example to the next in what placeholder k stands for, in its own memory."""
        if k < self.carries:
            t = self.body.bound[k].type
            return t.size if t.batched else 0
        return self.operands[k][1]

    def _given(self, k: int) -> Spot:
        """Where a step finds what placeholder k stands for."""
        if k < self.carries:
            return self._carried(k, new=False)
        home, example = self.operands[k]
        slot = self._slot(home)
        self.read.add(slot)
        t = self.scan.args[k].type
        if k >= self.carries + self.sequences:
            return Spot(slot, "still", t, example)
        kind = "axis" if t.frame is None else "rows"
        return Spot(slot, kind, slice_type(t, self.over.steps), example)

    def _spot(self, home: Home) -> int:
        spot = self.of_home.get(home)
        if spot is None:
            if home.kind == "given":
                spot = self._given(self.body.bound.index(home.value))
            else:
                t = home.value.type
                steps = t.frame.steps if t.frame is not None else 1
                spot = Spot(self._slot(_anew(home)), "still", t, steps * t.size if t.batched else 0)
            self.of_home[home] = spot
        return self.spots.setdefault(spot, len(self.spots))

    # ------------------------------------------------------------ kernels

    def _placed(self, d: Draft) -> AnyKernel:
        return replace(d.kernel, slots=tuple(self._spot(h) for h in d.homes))

    def _first(self, k: int) -> Loops:
        """The first value of what is carried, to where the first step looks for it."""
        home, example = self.operands[k]
        slot = self._slot(home)
        self.read.add(slot)
        bound = self.body.bound[k]
        start = Spot(slot, "still", self.scan.args[k].type, example)
        return self._copy(f"first {bound.origin.name}", bound, start, self._old(k), example)

    def _last(self, k: int) -> Loops:
        """The last value of what is carried, from where a next step would look for it."""
        bound, old = self.body.bound[k], self._old(k)
        t: Type = bound.type
        example = t.size if t.batched else 0
        target = Spot(self._slot(self.parts[k]), "still", t, example)
        return self._copy(f"last {bound.origin.name}", bound, old, target, example)

    def _old(self, k: int) -> Spot:
        return self._given(k)

    def _copy(self, name: str, v: Value, source: Spot, target: Spot, example: int) -> Loops:
        numbers = [self.spots.setdefault(s, len(self.spots)) for s in (source, target)]
        return replace(copying(name, v, example), slots=tuple(numbers))


def _anew(home: Home) -> Home:
    """A place of its own for a value inside: another scan may have the same body, and run at the
    same time."""
    v = home.value
    return replace(home, value=Value(v.op, v.args, v.attrs, v.type, v.origin))


def _in_order(fused: Fused, copies: list[Draft]) -> list[_Step]:
    """Kernels by epoch: each in the first after all that it reads."""
    epoch: dict[Home, int] = {}
    steps: list[_Step] = []
    numbers: list[int] = []
    for d in (*fused.drafts, *copies):
        waits = [epoch[d.homes[s]] + 1 for s in d.kernel.reads if d.homes[s] in epoch]
        waits += [numbers[k] + 1 for k in d.after]
        now = max(waits, default=0)
        numbers.append(now)
        steps.append(_Step(d, now))
        for s in d.kernel.writes:
            epoch[d.homes[s]] = now
    return sorted(steps, key=lambda s: s.epoch)


def _pairs(steps: Sequence[_Step]) -> list[tuple[_Step, _Step]]:
    """Each step with the one before it."""
    return list(zip(steps, [*steps[:1], *steps[:-1]], strict=True))
