"""Watching one number from epoch to epoch: is it the best, and has it stopped improving?

In: what is to be watched and the names that there are. Out: a `Watch`, fed once an epoch. Smaller
is better for losses and for metrics named as errors; greater is better for the others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ...dsl.diagnostics import did_you_mean, fail
from ...dsl.source import Span

_ERRORS = re.compile(r"(^|_)(loss|error|mse|rmse|mae|perplexity|deviation)(_|$)")


@dataclass(frozen=True)
class Monitor:
    """A number of each epoch: which part, which name, and whether more is better."""

    split: str  # train or valid
    name: str
    greater: bool

    def value(self, train: Mapping[str, float], valid: Mapping[str, float]) -> float:
        """The number as one where smaller is better; NaN counts as infinitely bad."""
        found = (valid if self.split == "valid" else train)[self.name]
        if math.isnan(found):
            return math.inf
        return -found if self.greater else found

    def __str__(self) -> str:
        return f"{'validation' if self.split == 'valid' else 'training'} {self.name}"


def monitor(
    wanted: str,
    losses: Collection[str],
    metrics: Collection[str],
    has_valid: bool,
    span: Span | None = None,
) -> Monitor:
    """The number meant by `loss`, `accuracy`, `valid_accuracy`, `train_loss` or nothing at all.

    Raises Failure E276 where there is none of that name, or no validation part.
    """
    split = "valid" if has_valid else "train"
    name = wanted
    known = [*losses, *metrics]
    for prefix in ("valid", "train"):
        if wanted.startswith(f"{prefix}_") and wanted not in known:
            split, name = prefix, wanted[len(prefix) + 1 :]
    if split == "valid" and not has_valid:
        message = f"`{wanted}` needs a validation part, and the data have none"
        raise fail("E276", message, span, help="pipe the data through `split(valid = 0.1)`")
    if not name or (name == "loss" and name not in known):
        name = next(iter(losses))
    if name not in known:
        near = did_you_mean(name, known)
        shown = ", ".join(f"`{k}`" for k in known)
        message = f"there is no loss or metric `{name}` to watch"
        raise fail("E276", message, span, help=near or f"there are {shown}")
    return Monitor(split, name, name in metrics and not _ERRORS.search(name.lower()))


@dataclass
class Watch:
    """The best so far, and how many epochs ago it was."""

    min_delta: float = 0.0
    best: float = math.inf
    best_epoch: int = 0
    waited: int = 0

    def see(self, epoch: int, value: float) -> bool:
        """Take the number of an epoch (smaller is better); is it the best so far?"""
        if value < self.best - self.min_delta:
            self.best, self.best_epoch, self.waited = value, epoch, 0
            return True
        self.waited += 1
        return False

    def as_json(self) -> dict[str, Any]:
        best = self.best if math.isfinite(self.best) else None
        return {"best": best, "best_epoch": self.best_epoch, "waited": self.waited}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any], min_delta: float) -> Watch:
        best = math.inf if facts["best"] is None else float(facts["best"])
        return cls(min_delta, best, int(facts["best_epoch"]), int(facts["waited"]))
