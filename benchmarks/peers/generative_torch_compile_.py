"""PyTorch on a generative row with torch.compile over each net and its loss."""

from __future__ import annotations

from collections.abc import Callable

from ..generative import Generative
from . import generative_torch_


def make(row: Generative) -> Callable[[int], float]:
    return generative_torch_.make(row, compiled=True)
