"""Learning-rate schedules: a factor on the optimizer's own `lr`, for every step.

In: step numbers (from 1), the steps of an epoch and of the whole run. Out: one factor for each
step, which the trainer hands to the step as the runtime scalar `rate`. All but `Plateau` are
functions of the step alone, so a resumed run needs nothing remembered. Times are in epochs and may
be fractions: `t = (step - 1) / steps of an epoch` have gone by when a step starts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Rates = NDArray[np.float64]


@dataclass(frozen=True)
class Length:
    """How long a run is: steps in one epoch, and in all of it."""

    per_epoch: int
    total: int

    @property
    def epochs(self) -> float:
        return self.total / self.per_epoch


@dataclass(frozen=True)
class Schedule:
    """The constant schedule: always 1."""

    def rates(self, steps: NDArray[np.int64], length: Length) -> Rates:
        """The factor of each step."""
        return np.ones(len(steps))


@dataclass(frozen=True)
class Step(Schedule):
    """Times `factor` after every `every` epochs."""

    every: float
    factor: float = 0.1

    def rates(self, steps: NDArray[np.int64], length: Length) -> Rates:
        # The tiny addend keeps 0.1 * 30 epochs from falling one step late.
        turns = np.floor((steps - 1) / (self.every * length.per_epoch) + 1e-9)
        return np.asarray(self.factor**turns, np.float64)


@dataclass(frozen=True)
class Exponential(Schedule):
    """Times `factor` after every epoch."""

    factor: float = 0.95

    def rates(self, steps: NDArray[np.int64], length: Length) -> Rates:
        return np.asarray(self.factor ** ((steps - 1) // length.per_epoch), np.float64)


@dataclass(frozen=True)
class Warmup(Schedule):
    """Rises in a straight line from 0 to 1 over the first `epochs`, then stays."""

    epochs: float

    def rates(self, steps: NDArray[np.int64], length: Length) -> Rates:
        return np.minimum(1.0, steps / max(1.0, self.epochs * length.per_epoch))


@dataclass(frozen=True)
class Decay(Schedule):
    """A warm-up, then a fall from 1 to `floor` that ends with the run."""

    warmup: float = 0.0
    floor: float = 0.0

    def rates(self, steps: NDArray[np.int64], length: Length) -> Rates:
        start = self.warmup * length.per_epoch
        done = np.clip((steps - 1 - start) / max(1.0, length.total - start), 0.0, 1.0)
        falling = self.floor + (1 - self.floor) * self.fall(done)
        rising = steps / max(1.0, start)
        return np.where(steps - 1 < start, np.minimum(1.0, rising), falling)

    def fall(self, done: Rates) -> Rates:
        """From 1 at `done` = 0 to 0 at `done` = 1."""
        return 1 - done


@dataclass(frozen=True)
class Linear(Decay):
    """A warm-up, then a straight line down to `floor` at the end of the run."""


@dataclass(frozen=True)
class Cosine(Decay):
    """A warm-up, then half a cosine down to `floor` (Loshchilov & Hutter, 2017, one cycle)."""

    def fall(self, done: Rates) -> Rates:
        return np.asarray((1 + np.cos(math.pi * done)) / 2, np.float64)


@dataclass(frozen=True)
class Plateau(Schedule):
    """Times `factor` when the watched number has not improved for `patience` epochs."""

    factor: float = 0.1
    patience: int = 5
    min_delta: float = 1e-4
    floor: float = 0.0
    monitor: str = ""


@dataclass(frozen=True)
class PlateauState:
    """What a plateau remembers between epochs; a checkpoint keeps it."""

    rate: float = 1.0
    best: float = math.inf
    waited: int = 0

    def after(self, plateau: Plateau, value: float) -> PlateauState:
        """The state after an epoch whose watched number, smaller being better, was `value`."""
        if value < self.best - plateau.min_delta:
            return replace(self, best=value, waited=0)
        if self.waited + 1 < plateau.patience:
            return replace(self, waited=self.waited + 1)
        return replace(self, rate=max(plateau.floor, self.rate * plateau.factor), waited=0)


def combined(
    schedules: Sequence[Schedule], first: int, count: int, length: Length, plateau: float = 1.0
) -> Rates:
    """The product of the schedules for `count` steps from number `first`."""
    steps = np.arange(first, first + count, dtype=np.int64)
    rates = np.full(count, plateau)
    for schedule in schedules:
        rates *= schedule.rates(steps, length)
    return rates
