"""What a training run is made of, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compiler.graph import Graph
from ...dsl.source import Span
from ..data import Dataset
from ..device import Device
from ..history import History
from .settings import Settings

Array = NDArray[Any]


@dataclass(frozen=True)
class Job:
    """`step` is the graph of a training step, `evaluation` the forward graph without training;
    `bound` says which field feeds which input; `facts` go into
    checkpoints (net, settings, file), for `predict` and for refusals."""

    step: Graph
    evaluation: Graph
    dataset: Dataset
    bound: Mapping[str, str]
    settings: Settings
    device: Device
    optimizer: str = ""
    folder: Path | None = None  # where checkpoints and history go; None writes nothing
    base: Path = field(default_factory=Path)  # where files named in the net are
    facts: Mapping[str, Any] = field(default_factory=dict)
    span: Span | None = None
    start: Mapping[str, Array] = field(default_factory=dict)  # values to start from, not drawn


@dataclass(frozen=True)
class Outcome:
    """`values` are the net's parameters and states: the best ones where `stop_early` asks for
    it."""

    values: dict[str, Array]
    history: History
    step: int
    epoch: int
    best_epoch: int | None
    stopped_early: bool
    interrupted: bool
    checkpoint: Path | None
    model: Path | None


def finite(array: Array) -> bool:
    """No NaN, no infinity. (The sum is enough: one such element makes it so, and no copy is
    made.)"""
    if array.dtype.kind != "f":
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.sum(array, dtype=np.float64)
    return bool(np.isfinite(total))
