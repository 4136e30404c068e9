"""Pieces of one long sequence of numbers, cut as they are taken: a text needs its own memory only.

In: the numbers, and where pieces begin. Out: rows `[n, window]` like those of an array.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Windows:
    """Row i holds `numbers[offset + i·stride : … + window]`."""

    numbers: NDArray[np.int32]
    window: int
    stride: int
    count: int
    offset: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        return self.count, self.window

    @property
    def dtype(self) -> np.dtype[np.int32]:
        return self.numbers.dtype

    @cached_property
    def _rows(self) -> NDArray[np.int32]:
        views = np.lib.stride_tricks.sliding_window_view(self.numbers[self.offset :], self.window)
        return views[:: self.stride][: self.count]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    def with_numbers(self, numbers: NDArray[np.int32]) -> Windows:
        """The same pieces of other numbers."""
        return replace(self, numbers=numbers)

    def covered(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the numbers lie in some of the rows."""
        starts = self.offset + rows * self.stride
        edges = np.bincount(starts, minlength=len(self.numbers) + 1)
        edges -= np.bincount(starts + self.window, minlength=len(self.numbers) + 1)
        return np.asarray(np.cumsum(edges)[:-1] > 0)
