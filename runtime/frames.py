"""How many steps the sequences of each run have.

In: the frames of a plan, and lengths by the names of clocks. Out: a table of steps, one column for
each frame, the first of which is 1: what lies in no frame has one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..compiler.plan import Buffer
from ..compiler.types import Frame


class Frames:
    """The frames of a plan by number, and how many steps they had last."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._numbers = {frame: k + 1 for k, frame in enumerate(frames)}
        self._last: dict[Frame, int] = {}

    def of(self, buffer: Buffer) -> tuple[int, int]:
        """The number of a buffer's frame, 0 for none, and the most steps it may have."""
        frame = buffer.type.frame
        if frame is None:
            return 0, 1
        return self._numbers.setdefault(frame, len(self._numbers) + 1), frame.steps

    def last(self, frame: Frame) -> int:
        """The steps in the last step of the last run."""
        return self._last.get(frame, frame.steps)

    def steps(self, count: int, lengths: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
        """[count, 1 + frames]. Raises ValueError where a length is not one for each step, from 1 to
        what the plan holds."""
        table = np.ones((count, 1 + len(self._numbers)), np.int64)
        for frame, number in self._numbers.items():
            table[:, number] = frame.steps
            if frame.clock in lengths:
                found = np.asarray(lengths[frame.clock], np.int64)
                if found.shape != (count,):
                    raise ValueError(f"`{frame.clock}` needs {count} lengths, got {found.shape}")
                if count and not 1 <= found.min() <= found.max() <= frame.steps:
                    raise ValueError(f"`{frame.clock}` has 1 to {frame.steps} steps, "
                                     f"got {found.min()} to {found.max()}")  # fmt: skip
                table[:, number] = found
            if count:
                self._last[frame] = int(table[-1, number])
        return table
