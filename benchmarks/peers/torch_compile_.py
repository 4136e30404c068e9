"""PyTorch with torch.compile over the net and its loss, images channels-last."""

from __future__ import annotations

from collections.abc import Callable

from ..rows import Row
from . import torch_


def make(row: Row) -> Callable[[int], None]:
    return torch_.make(row, channels_last=row.is_image, compiled=True)
