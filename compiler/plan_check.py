"""Whether a plan can be trusted: offsets in range, memory shared in turns, barriers where needed.

In: a `Plan`. Out: nothing, or `PlanError` with the kernel and the reason. Knows nothing of the
graph the plan came from: it checks what `plan.py` promises. Cheap enough to run on every plan.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from .plan import (
    ALIGN,
    HEADER,
    Access,
    Along,
    AnyKernel,
    Buffer,
    Lookup,
    Loops,
    Plan,
    Product,
    Recurrence,
    Scatter,
    Stage,
)
from .plan_check_inside import inner_plan

_PERSISTENT = ("input", "param", "state", "scalar", "output")


class PlanError(Exception):
    """A plan that must not run."""


@dataclass(frozen=True, slots=True)
class Use:
    """One access of a kernel with the sizes it runs over."""

    access: Access
    sizes: tuple[int, ...]  # examples or loop first
    writes: bool
    stage: int


def check_plan(plan: Plan) -> None:
    """Raise PlanError if a promise of `plan.py` is broken."""
    _check_buffers(plan)
    _check_kernels(plan)


def _check_kernels(plan: Plan) -> None:
    epochs = epochs_of(plan)
    for kernel in plan.kernels:
        if isinstance(kernel, Recurrence):
            _check_kernels(inner_plan(plan, kernel, PlanError))
        else:
            _check_kernel(plan, kernel)
    _check_epochs(plan, epochs)
    _check_lives(plan, epochs)


def epochs_of(plan: Plan) -> list[int]:
    """The number of barriers before each kernel."""
    result, now = [], 0
    for barrier in plan.barriers:
        now += barrier
        result.append(now)
    return result


# ---------------------------------------------------------------- one at a time


def _check_buffers(plan: Plan) -> None:
    names = [b.name for b in plan.buffers if b.kind in _PERSISTENT]
    if len(set(names)) != len(names):
        raise PlanError("two buffers have one name")
    fixed = sorted(_range(plan, b) for b in plan.buffers if b.kind in _PERSISTENT)
    for (_, end), (start, _) in pairwise(fixed):
        if start < end:
            raise PlanError(f"persistent buffers overlap at byte {start}")
    for b in plan.buffers:
        start, end = _range(plan, b)
        step = b.type.numpy.itemsize if b.kind == "scalar" else ALIGN
        if start < HEADER or end > plan.arena or start % step:
            raise PlanError(f"buffer {b.name or b.kind} lies at {start}…{end} of {plan.arena}")


def _check_kernel(plan: Plan, kernel: AnyKernel) -> None:
    where = kernel.label
    reads: set[int] = set()
    writes: set[int] = set()
    for use in _uses(plan, kernel):
        a = use.access
        (writes if use.writes else reads).add(a.slot)
        if not 0 <= a.slot < len(kernel.slots):
            raise PlanError(f"{where}: there is no slot {a.slot}")
        b = plan.buffers[kernel.slots[a.slot]]
        if a.dtype != b.type.dtype:
            raise PlanError(f"{where}: {b.type.dtype} of slot {a.slot} taken for {a.dtype}")
        low, high = _reach(use)
        if low < 0 or high >= b.nbytes(plan.capacity) // b.type.numpy.itemsize:
            raise PlanError(f"{where}: slot {a.slot} reaches elements {low}…{high}")
    if reads != set(kernel.reads) or writes != set(kernel.writes):
        raise PlanError(f"{where}: slots {sorted(reads)} are read and {sorted(writes)} written,"
                        f" declared {kernel.reads} and {kernel.writes}")  # fmt: skip
    _check_in_place(plan, kernel)


def _check_in_place(plan: Plan, kernel: AnyKernel) -> None:
    """What a kernel reads and also writes: the same element, or the result of an earlier stage."""
    touched: dict[int, list[Use]] = {}
    for use in _uses(plan, kernel):
        touched.setdefault(kernel.slots[use.access.slot], []).append(use)
    for uses in touched.values():
        written = [u for u in uses if u.writes]
        first = min((w.stage for w in written), default=0)
        for u in (u for u in uses if not u.writes):
            for w in written:
                if w.stage < u.stage or first < u.stage < w.stage:
                    continue  # the kernel's own result, still in the making
                if w.stage > u.stage or not _same_element(u, w):
                    raise PlanError(f"{kernel.label}: reads what it overwrites")


def _same_element(u: Use, w: Use) -> bool:
    a, b = u.access, w.access
    return (a.offset, a.strides, a.example, u.sizes) == (b.offset, b.strides, b.example, w.sizes)


def _uses(plan: Plan, kernel: AnyKernel) -> Iterator[Use]:
    """Every access, with the extent of each index at the plan's capacity."""
    batch = plan.capacity * (kernel.frame.steps if kernel.frame is not None else 1)
    if isinstance(kernel, Product):
        yield from _product_uses(kernel, batch)
        return
    if isinstance(kernel, Lookup | Scatter):
        yield from _lookup_uses(kernel, batch)
        return
    if isinstance(kernel, Along):
        yield from _along_uses(kernel, batch if kernel.type.batched else 1)
        return
    assert isinstance(kernel, Loops)
    for k, stage in enumerate(kernel.stages):
        examples = batch if kernel.batched or (kernel.over_batch and k == 0) else 1
        yield from _stage_uses(stage, (examples, *stage.axes), k)


def _product_uses(k: Product, batch: int) -> Iterator[Use]:
    columns, loop = k.columns.at(batch), k.loop.at(batch)
    rows, depth = (tuple(e.at(batch) for e in axes) for axes in (k.rows, k.depth))
    for m, sizes in ((k.a, (loop, *rows, *depth)), (k.b, (loop, *depth, columns))):
        # Read until the very end: an epilogue must not touch the operands.
        yield Use(Access(m.slot, k.dtype, (*m.row, *m.column), m.offset, m.loop), sizes, False, -1)
    for use in _stage_uses(k.epilogue, (loop, *rows, columns), 0):
        if use.access.slot >= 0:
            yield use


def _lookup_uses(k: Lookup | Scatter, batch: int) -> Iterator[Use]:
    examples = batch if k.rows.batched else 1
    yield Use(k.ids, (examples, k.rows.size), False, -1)
    if isinstance(k, Scatter):
        yield Use(k.source, (examples, k.rows.size, k.columns), False, -1)
        yield Use(k.target, (examples, k.count, k.columns), True, 0)
        return
    yield Use(k.table, (examples, k.count, k.columns), False, -1)
    for use in _stage_uses(k.epilogue, (1, k.rows.at(batch), k.columns), 0):
        if use.access.slot >= 0:
            yield use


def _along_uses(k: Along, examples: int) -> Iterator[Use]:
    steps, size = k.over.steps, k.type.size
    rows, axis = (Access(s, k.type.dtype, (size, 1)) for s in (0, 1))
    yield Use(replace(rows, example=steps * size), (examples, steps, size), False, -1)
    yield Use(replace(axis, example=steps * size), (examples, steps, size), True, 0)


def _stage_uses(stage: Stage, sizes: tuple[int, ...], k: int) -> Iterator[Use]:
    for a in stage.reads:
        yield Use(a, sizes, False, k)
    for w in stage.writes:
        yield Use(w.access, sizes, True, k)
    for f in stage.folds:
        kept = sizes[: len(sizes) - f.axes]
        yield Use(f.access, (1, *kept[1:]) if f.batch else kept, True, k)


def _reach(use: Use) -> tuple[int, int]:
    """First and last element touched."""
    low = high = use.access.offset
    strides = (use.access.example, *use.access.strides)
    for s, n in zip(strides, use.sizes, strict=True):
        if n < 1:
            return 0, -1
        low, high = low + min(0, s * (n - 1)), high + max(0, s * (n - 1))
    return low, high


# ---------------------------------------------------------------- in time


def _check_epochs(plan: Plan, epochs: list[int]) -> None:
    """Between two barriers, no kernel writes what another one touches."""
    touched: list[tuple[int, int, bool, int]] = []
    for i, kernel in enumerate(plan.kernels):
        if i and epochs[i] != epochs[i - 1]:
            _check_epoch(plan, touched)
            touched = []
        for slot in {*kernel.reads, *kernel.writes}:
            start, end = _range(plan, plan.buffers[kernel.slots[slot]])
            touched.append((start, end, slot in kernel.writes, i))
    _check_epoch(plan, touched)


def _check_epoch(plan: Plan, touched: list[tuple[int, int, bool, int]]) -> None:
    active: list[tuple[int, int, bool, int]] = []
    for use in sorted(touched):
        active = [a for a in active if a[1] > use[0]]
        for a in active:
            if a[3] != use[3] and (a[2] or use[2]):
                first, second = sorted((a[3], use[3]))
                raise PlanError(f"no barrier between `{plan.kernels[first].label}` and"
                                f" `{plan.kernels[second].label}`")  # fmt: skip
        active.append(use)


def _check_lives(plan: Plan, epochs: list[int]) -> None:
    """A temporary is written before it is read; its bytes are its own until its last use."""
    places: dict[int, int] = {
        i: b.within if b.within >= 0 else i for i, b in enumerate(plan.buffers)
    }
    born: dict[int, int] = {}
    dies: dict[int, int] = {}
    for kernel, now in zip(plan.kernels, epochs, strict=True):
        written = {places[kernel.slots[s]] for s in kernel.writes}
        for slot in (*kernel.reads, *kernel.writes):
            index = places[kernel.slots[slot]]
            if plan.buffers[index].kind != "temp":
                continue
            if index not in born and index not in written:
                raise PlanError(f"{kernel.label}: reads a temporary that nothing has written")
            born.setdefault(index, now)
            dies[index] = now
    alive: list[tuple[int, int, int]] = []  # start, end, index; by start
    leaving = sorted(born, key=dies.__getitem__, reverse=True)
    for index in sorted(born, key=born.__getitem__):
        while leaving and dies[leaving[-1]] < born[index]:
            gone = leaving.pop()
            alive.remove((*_range(plan, plan.buffers[gone]), gone))
        entry = (*_range(plan, plan.buffers[index]), index)
        at = bisect_left(alive, entry)
        for other in alive[max(at - 1, 0) : at + 1]:
            if other[0] < entry[1] and entry[0] < other[1]:
                raise PlanError(f"two temporaries share bytes {entry[0]}…{entry[1]} at once")
        insort(alive, entry)


def _range(plan: Plan, b: Buffer) -> tuple[int, int]:
    return b.offset, b.offset + b.ahead * plan.capacity + b.nbytes(plan.capacity)
