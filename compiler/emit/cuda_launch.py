"""What is launched for a plan on CUDA, and where the slots of each launch lie.

In: launches (a kernel on its slots, or a recurrence with launches inside), where the buffers lie, a
number of examples and of steps. Out: a `Run`: every call in order, and one table of byte offsets
that all of them read. A recurrence becomes the calls of all its steps, one after another; for what
moves from step to step there is a row of the table for each, so that no kernel knows of steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..plan import Spot

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CudaLaunch:
    """Kernel number `kernel` on these slots. `of`: the kernel of the plan that it does, or a part
    of it. `frame`: the number of the frame that its examples are counted in, 0 for none.

    A row of the table has the offset of each slot, then `more` offsets; for all of them how far
    apart the copies lie that every worker has; and the steps of frame number `along`, if not 0.
    """

    kernel: int
    slots: tuple[int, ...]
    label: str
    of: int
    frame: int
    apart: tuple[int, ...]
    more: tuple[int, ...] = ()
    along: int = 0


@dataclass(frozen=True, slots=True)
class CudaLoop:
    """A recurrence: launches before, in and after its turns, whose slots are `spots`."""

    slots: tuple[int, ...]
    label: str
    of: int
    frame: int
    reverse: bool
    spots: tuple[Spot, ...]
    parts: tuple[tuple[AnyLaunch, ...], ...]


AnyLaunch = CudaLaunch | CudaLoop


@dataclass(frozen=True, slots=True)
class CudaCall:
    """Kernel number `kernel` on the row at `table[at]`, with `batch` examples; for `of` of the
    plan."""

    kernel: int
    at: int
    batch: int
    of: int


@dataclass(frozen=True, slots=True)
class Run:
    """One step of the plan."""

    table: Places
    calls: tuple[CudaCall, ...]


def launched(
    launches: Sequence[AnyLaunch], places: Sequence[int], batch: int, steps: Sequence[int]
) -> Run:
    """The run of `batch` examples. `places`: byte offset of every buffer; `steps[k]`: how many
    frame number k has (1 for number 0, which is none)."""
    made = _Table(batch, steps)
    once = np.array([places], np.int64).reshape(1, -1)
    laid = [made.laid(launch, once) for launch in launches]
    calls = tuple(call for one in laid for call in made.calls(one, 0))
    table = np.concatenate([*made.rows, np.zeros(1, np.int64)])  # never empty
    return Run(table, calls)


@dataclass(frozen=True, slots=True)
class _Laid:
    """A launch in the table: its first row and the length of one; there is a row for each time
    around. Of a recurrence: what is inside, and how many turns each part takes."""

    launch: AnyLaunch
    start: int = 0
    width: int = 0
    inside: tuple[tuple[int, tuple[_Laid, ...]], ...] = ()


class _Table:
    """Rows for all launches, those inside recurrences once for every turn."""

    def __init__(self, batch: int, steps: Sequence[int]) -> None:
        self.batch, self.steps = batch, steps
        self.rows: list[Places] = []
        self.end = 0

    def laid(self, launch: AnyLaunch, places: Places) -> _Laid:
        """`places` [times around, slots]: where what its slots name lies."""
        mine = places[:, list(launch.slots)]
        if isinstance(launch, CudaLaunch):
            return self._row(launch, mine)
        steps = self.steps[launch.frame]
        turns = (np.zeros(1, np.int64), np.arange(steps), np.full(1, steps))
        inside = []
        for part, now in zip(launch.parts, turns, strict=True):
            moved = mine[:, None, [s.slot for s in launch.spots]] + self._moves(launch, now, steps)
            inner = moved.reshape(-1, len(launch.spots))
            inside.append((len(now), tuple([self.laid(one, inner) for one in part])))
        return _Laid(launch, inside=tuple(inside))

    def _row(self, launch: CudaLaunch, places: Places) -> _Laid:
        tail = [*launch.more, *launch.apart]
        if launch.along:
            tail.append(self.steps[launch.along])
        behind = np.broadcast_to(np.array(tail, np.int64), (len(places), len(tail)))
        rows = np.concatenate([places, behind], axis=1)
        start, self.end = self.end, self.end + rows.size
        self.rows.append(rows.reshape(-1))
        return _Laid(launch, start, rows.shape[1])

    def _moves(self, loop: CudaLoop, turns: Places, steps: int) -> Places:
        """[turns, spots]: how far each spot is from the beginning of its slot, in bytes."""
        at = steps - 1 - turns if loop.reverse else turns
        moves = np.zeros((len(turns), len(loop.spots)), np.int64)
        for k, spot in enumerate(loop.spots):
            size = spot.type.size * spot.type.numpy.itemsize
            rows = size * (self.batch if spot.type.batched else 1)
            if spot.kind == "axis":
                moves[:, k] = at * size
            elif spot.kind == "rows":
                moves[:, k] = (at + spot.lead) * rows
            elif spot.kind == "ring":
                moves[:, k] = (turns + spot.lead) % 2 * rows
        return moves

    def calls(self, laid: _Laid, around: int) -> Iterator[CudaCall]:
        """The calls of a launch when it comes for the `around`th time."""
        launch = laid.launch
        if isinstance(launch, CudaLaunch):
            examples = self.batch * self.steps[launch.frame]
            yield CudaCall(launch.kernel, laid.start + around * laid.width, examples, launch.of)
        for turns, inside in laid.inside:
            for turn in range(turns):
                for one in inside:
                    yield from self.calls(one, around * turns + turn)
