"""What a device does: hold the arena of one plan, and run it.

In: a `Plan`. Out: a `Loaded` program whose buffers are read and written by name as NumPy
arrays. The trainer and the Python API know only this; `cpu`, `cuda` and `plain` implement it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..compiler.plan import Plan

Array = NDArray[Any]


@dataclass(frozen=True)
class Feed:
    """The examples of a run of consecutive steps.

    `fields`: input name -> contiguous array [n, *shape] of the input's element type. `rows`: int64
    positions in those arrays; step i takes rows[i·batch : (i+1)·batch], the last step what is left.
    `scalars`: runtime scalar -> one number per step; "step" and the seed are given separately.
    `lengths`: clock -> how many steps of the sequence each step of the run has (int64); a clock
    that is not named runs all its steps.
    """

    fields: Mapping[str, Array]
    rows: NDArray[np.int64]
    batch: int
    scalars: Mapping[str, NDArray[np.float64]]
    lengths: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return -(-len(self.rows) // self.batch)


class Loaded(Protocol):
    """A plan in a device's memory."""

    plan: Plan

    def write(self, name: str, array: Array) -> None:
        """Set an input (any number of examples up to the capacity), param, state or scalar, in the
        user's orientation. Raises ValueError on another shape."""

    def read(self, name: str, batch: int | None = None) -> Array:
        """A copy of an input, param, state, scalar or output; `batch` examples where batched."""

    def run(
        self, batch: int, *, seed: int = 0, step: int = 1, lengths: Mapping[str, int] | None = None
    ) -> dict[str, float]:
        """One run on what was written; gives the recorded scalars. `lengths`: clock -> how many
        steps of the sequences there are."""

    def run_steps(self, feed: Feed, *, seed: int, step: int) -> NDArray[np.float64]:
        """Consecutive steps without returning to Python between them; the first has number `step`.
        Gives [steps, recorded] in the order of `plan.recorded`. A step whose recorded numbers are
        not finite ends the run early: fewer rows come back, the bad one last."""

    def snapshot(self) -> Any:
        """Params and states as they are, cheap to take and to `restore`."""

    def restore(self, snapshot: Any) -> None: ...


class Device(Protocol):
    """A target. `threads` and memory are its own affair."""

    name: str

    def load(self, plan: Plan) -> Loaded:
        """Compile (or find in the cache) and allocate. Raises Failure where memory is too small."""
