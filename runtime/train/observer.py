"""What a training run tells while it goes on: a terminal, a notebook or a test listens.

In: facts from the loop. Out: nothing; an observer never changes the run. `Observer` itself is the
quiet one: listeners override what they want to hear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # NumPy takes a while to load, and who listens to the compiler needs none
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Started:
    """Known before the first step."""

    net: str
    examples: int
    batch: int
    per_epoch: int
    epochs: float
    parameters: int
    device: str
    resumed_at: int  # steps done before, 0 for a fresh run


@dataclass(frozen=True)
class Progress:
    """Somewhere in an epoch; told several times a second."""

    epoch: int
    step: int
    total: int
    epoch_share: float  # 0…1 of this epoch
    values: Mapping[str, float]  # means since the start of the epoch
    examples_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class EpochDone:
    """An epoch and its validation are over."""

    epoch: int
    epochs: float
    step: int
    train: Mapping[str, float]
    valid: Mapping[str, float]
    seconds: float
    examples_per_second: float
    rate: float  # the schedule's factor at the last step
    best: bool


class Observer:
    """Hears everything and says nothing."""

    def started(self, facts: Started) -> None:
        """Before the first step."""

    def progress(self, facts: Progress) -> None:
        """Between two runs of steps."""

    def sample(self, epoch: int, values: Mapping[str, NDArray[Any]]) -> None:
        """After the epochs that the `sample` line asks for: the net's numbers, to show what it
        makes with them."""

    def epoch_values(self, epoch: int, values: Mapping[str, NDArray[Any]]) -> None:
        """After every epoch: the net's numbers, to measure something with them."""

    def epoch_done(self, facts: EpochDone) -> None:
        """After the validation of an epoch."""

    def note(self, text: str) -> None:
        """Something worth a line: an early stop, a learning rate lowered."""
