"""PyTorch, eager, images and weights channels-last in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..rows import Row
from . import torch_


def make(row: Row) -> Callable[[int], torch.Tensor]:
    return torch_.make(row, channels_last=row.is_image)
