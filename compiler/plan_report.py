"""What a plan costs: bytes by kind of buffer, and work and traffic of every kernel.

In: a `Plan` (and a batch). Out: numbers for `summary`, for the refusal of plans that do not fit,
and for profiles.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from math import prod

from .plan import AnyKernel, Lookup, Loops, Plan, Product, Recurrence, Scatter


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by kind of buffer; `arena` is what is allocated, `unshared` what temporaries would take
    if none shared its place with another."""

    kinds: dict[str, int]
    arena: int
    unshared: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Operations, and bytes moved if each buffer is read once and written once."""

    flops: int
    nbytes: int


def memory_report(plan: Plan) -> Memory:
    """The memory of a plan at its capacity."""
    kinds: dict[str, int] = {}
    for b in plan.buffers:
        if b.kind == "view" or b.within >= 0:  # memory of another buffer
            continue
        kinds[b.kind] = kinds.get(b.kind, 0) + b.nbytes(plan.capacity)
    unshared = kinds.get("temp", 0)
    temps = [b for b in plan.buffers if b.kind == "temp"]
    if temps:
        start = min(b.offset for b in temps)
        kinds["temp"] = max(b.offset + b.nbytes(plan.capacity) for b in temps) - start
    return Memory(kinds, plan.arena, unshared)


def arena_parts(plan: Plan, learned: Container[str]) -> dict[str, int]:
    """The arena at capacity by what lies in it, in words for people; together they are all of it.

    `learned`: names of the net's own parameters and states, so that others are the optimizer's.
    Activations, gradients and masks share places: what counts is the stretch that they need.
    """
    kinds = memory_report(plan).kinds
    states = [b for b in plan.buffers if b.kind == "state"]
    own = sum(b.nbytes(plan.capacity) for b in states if b.name in learned)
    parts = {
        "parameters": kinds.get("param", 0),
        "states of the net": own,
        "optimizer state": kinds.get("state", 0) - own,
        "inputs": kinds.get("input", 0),
        "activations": kinds.get("temp", 0),
        "outputs": kinds.get("output", 0),
    }
    parts["other"] = plan.arena - sum(parts.values())
    return {name: size for name, size in parts.items() if size > 0}


def kernel_cost(plan: Plan, kernel: AnyKernel, batch: int) -> Cost:
    """Work and traffic of one kernel for a batch."""
    read = {kernel.slots[s] for s in kernel.reads}
    written = {kernel.slots[s] for s in kernel.writes}
    nbytes = sum(plan.buffers[i].nbytes(batch) for i in (*read, *written))
    if isinstance(kernel, Lookup):  # of the table, the rows that are asked for
        table = plan.buffers[kernel.slots[kernel.table.slot]]
        wanted = kernel.rows.at(batch) * kernel.columns * table.type.numpy.itemsize
        nbytes -= max(0, table.nbytes(batch) - wanted)
    return Cost(_flops(kernel, batch), nbytes)


def plan_cost(plan: Plan, batch: int) -> Cost:
    """Work and traffic of the whole step."""
    costs = [kernel_cost(plan, k, batch) for k in plan.kernels]
    return Cost(sum(c.flops for c in costs), sum(c.nbytes for c in costs))


def _flops(kernel: AnyKernel, batch: int) -> int:
    if kernel.frame is not None:
        batch *= kernel.frame.steps
    if isinstance(kernel, Recurrence):
        return kernel.over.steps * sum(_flops(k, batch) for k in kernel.turns)
    if isinstance(kernel, Product):
        elements = kernel.row_count(batch) * kernel.columns.at(batch) * kernel.loop.at(batch)
        return elements * (2 * kernel.depth_count(batch) + len(kernel.epilogue.lets))
    if isinstance(kernel, Lookup):
        return kernel.rows.at(batch) * kernel.columns * len(kernel.epilogue.lets)
    if isinstance(kernel, Scatter):
        return kernel.rows.at(batch) * kernel.columns
    if not isinstance(kernel, Loops):
        return 0  # moves numbers
    total = 0
    for k, stage in enumerate(kernel.stages):
        examples = batch if kernel.batched or (kernel.over_batch and k == 0) else 1
        total += examples * prod(stage.axes) * (len(stage.lets) + len(stage.folds))
    return total
