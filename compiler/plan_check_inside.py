"""Whether a recurrence inside a plan can be trusted.

In: a plan and one of its recurrences. Out: nothing, or the reason why it must not run, from the
same checks that a plan goes through: the places of one step are taken for buffers of a small plan
of their own. That a place moves within its buffer at every step is checked here.
"""

from __future__ import annotations

from collections.abc import Callable

from .plan import ALIGN, HEADER, Buffer, Plan, Recurrence, Spot
from .types import Type


def inner_plan(plan: Plan, kernel: Recurrence, fault: Callable[[str], Exception]) -> Plan:
    """One step as a plan: before, turn and after, one after another. Raises what `fault` makes."""
    reads, writes = set(), set()
    for k in kernel.inside:
        reads |= {kernel.spots[k.slots[s]].slot for s in k.reads}
        writes |= {kernel.spots[k.slots[s]].slot for s in k.writes}
    if writes != set(kernel.writes) or reads - writes != set(kernel.reads):
        raise fault(f"{kernel.label}: slots {sorted(reads - writes)} are read and {sorted(writes)}"
                    f" written, declared {kernel.reads} and {kernel.writes}")  # fmt: skip
    buffers, offset = [], HEADER
    for number, spot in enumerate(kernel.spots):
        _check_spot(plan, kernel, spot, fault)
        kind = "temp" if spot.slot in kernel.writes else "view"
        made = Buffer(str(number), kind, _room(spot), offset)
        buffers.append(made)
        offset += -(-made.nbytes(plan.capacity) // ALIGN) * ALIGN
    waits = [w for part in kernel.waits for w in part]
    starts = {len(kernel.before), len(kernel.before) + len(kernel.turns)}
    barriers = tuple(k > 0 and (w or k in starts) for k, w in enumerate(waits))
    inside = kernel.inside
    return Plan(kernel.label, inside, barriers, tuple(buffers), offset, plan.capacity, {}, {})


def _room(spot: Spot) -> Type:
    """The type of what one step may touch: from the first example to the last."""
    t = spot.type
    steps = t.frame.steps if t.frame is not None else 1
    if t.batched and spot.example > steps * t.size:
        return t.with_(shape=(spot.example,))
    return t


def _check_spot(
    plan: Plan, kernel: Recurrence, spot: Spot, fault: Callable[[str], Exception]
) -> None:
    """Every place that a spot takes lies in its buffer."""
    where = f"{kernel.label}: slot {spot.slot}"
    if not 0 <= spot.slot < len(kernel.slots):
        raise fault(f"{kernel.label}: there is no slot {spot.slot}")
    b = plan.buffers[kernel.slots[spot.slot]]
    if b.type.dtype != spot.type.dtype:
        raise fault(f"{where}: {b.type.dtype} taken for {spot.type.dtype}")
    examples = plan.capacity if spot.type.batched else 1
    size, steps = spot.type.size, kernel.over.steps
    if spot.type.batched and spot.example < size:
        raise fault(f"{where}: examples overlap")
    inside = spot.type.frame.steps if spot.type.frame is not None else 1
    last = {
        "still": (examples - 1) * spot.example + inside * size,
        "axis": (examples - 1) * spot.example + steps * size,
        "rows": examples * size * (steps + max(0, spot.lead)),
        "ring": examples * size * 2,
    }[spot.kind]
    if last * b.type.numpy.itemsize > b.nbytes(plan.capacity):
        raise fault(f"{where}: reaches element {last} of {b.name or b.kind}")
