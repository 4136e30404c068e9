"""PyTorch, eager, images and weights channels-last in memory."""

from __future__ import annotations

from collections.abc import Callable

from ..rows import Row
from . import torch_


def make(row: Row) -> Callable[[int], None]:
    return torch_.make(row, channels_last=row.is_image)
