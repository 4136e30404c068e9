"""Where a run stands: what a checkpoint keeps besides the tensors.

In: counters of the loop. Out: JSON values and back. A run that is resumed from them continues bit
for bit, because the order of examples and all random draws depend on these numbers alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..schedules import PlateauState
from ..session import Means
from .watch import Watch


@dataclass
class State:
    """`step` counts from the start of the run, `in_epoch` from the start of epoch `epoch` (from
    1)."""

    means: Means
    watch: Watch
    epoch: int = 1
    in_epoch: int = 0
    step: int = 0
    plateau: PlateauState = field(default_factory=PlateauState)
    seconds: float = 0.0
    finished: bool = False
    stopped_early: bool = False

    def as_json(self) -> dict[str, Any]:
        """Sums as hexadecimal texts: exact, and NaN is allowed."""
        best = self.plateau.best if math.isfinite(self.plateau.best) else None
        return {
            "epoch": self.epoch,
            "in_epoch": self.in_epoch,
            "step": self.step,
            "seconds": self.seconds,
            "finished": self.finished,
            "stopped_early": self.stopped_early,
            "watch": self.watch.as_json(),
            "plateau": {
                "rate": self.plateau.rate, "best": best, "waited": self.plateau.waited,
            },
            "means": {
                "names": list(self.means.names),
                "sums": [float(s).hex() for s in self.means.sums],
                "examples": self.means.examples,
            },
        }  # fmt: skip

    @classmethod
    def from_json(cls, facts: Mapping[str, Any], names: tuple[str, ...], min_delta: float) -> State:
        """Raises KeyError, TypeError or ValueError where the facts are not such a state."""
        means = Means(names)
        held = facts["means"]
        if tuple(held["names"]) == names:
            means.sums = np.array([float.fromhex(s) for s in held["sums"]], np.float64)
            means.examples = int(held["examples"])
        p = facts["plateau"]
        best = math.inf if p["best"] is None else float(p["best"])
        return cls(
            means,
            Watch.from_json(facts["watch"], min_delta),
            int(facts["epoch"]),
            int(facts["in_epoch"]),
            int(facts["step"]),
            PlateauState(float(p["rate"]), best, int(p["waited"])),
            seconds=float(facts["seconds"]),
            finished=bool(facts["finished"]),
            stopped_early=bool(facts["stopped_early"]),
        )
