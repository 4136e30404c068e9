"""Recurrences for the interpreter of plans: where each step's places lie, in NumPy.

In: a recurrence, the memory of its slots, the number of examples and of steps. Out: for each turn,
the kernels to run and the memory that their slots begin at. All examples go through the steps
together, which is what going in groups must be equal to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.plan import Along, AnyKernel, Recurrence, Spot

Array = NDArray[Any]


def turns_of(
    kernel: Recurrence, memory: Sequence[Array], batch: int, steps: int
) -> Iterator[tuple[AnyKernel, list[Array]]]:
    """Every kernel inside, in order, with the memory of its slots."""
    for turn in range(-1, steps + 1):
        part = kernel.turns if 0 <= turn < steps else kernel.before if turn < 0 else kernel.after
        now = max(turn, 0)
        step = steps - 1 - now if kernel.reverse else now
        for k in part:
            spots = [kernel.spots[s] for s in k.slots]
            yield k, [memory[s.slot][place_of(s, now, step, batch) :] for s in spots]


def place_of(spot: Spot, turn: int, step: int, batch: int) -> int:
    """The element of a slot where a spot begins."""
    rows = batch if spot.type.batched else 1
    if spot.kind == "still":
        return 0
    if spot.kind == "axis":
        return step * spot.type.size
    number = (turn + spot.lead) % 2 if spot.kind == "ring" else step + spot.lead
    return number * rows * spot.type.size


def copy_along(kernel: Along, rows: Array, axis: Array, batch: int, steps: int) -> None:
    """What `plan.Along` says."""
    examples = batch if kernel.type.batched else 1
    size, most = kernel.type.size, kernel.over.steps
    found = np.zeros((examples, most, size), rows.dtype)
    taken = rows[: steps * examples * size].reshape(steps, examples, size)
    found[:, :steps] = taken.swapaxes(0, 1)
    axis[: found.size] = found.reshape(-1)
