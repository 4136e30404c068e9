"""Examples on their way into a run of steps: all in memory, or gathered a piece at a time.

In: a part of a data set and how the net's inputs want its fields. Out: for consecutive steps, the
arrays and the rows of each batch in them. A part that fits is held as the net wants it, once, and
the compiled loop gathers its rows; a larger one, many pictures kept as bytes, and pictures that
training changes at random are prepared by a background thread, pieces ahead of the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .data import Chunk, Chunks, Draws, Part, Request, available_memory, chunks
from .data.dataset import Array
from .data.orders import by_length

Rows = NDArray[np.int64]
MEMORY_SHARE = 0.4  # of what is free: a part larger than that is streamed
PIECE = 16 << 20  # bytes gathered at a time when streaming
AS_BYTES = 256 << 20  # bytes that pictures may grow to; larger sets stay the bytes they are


class Taken(NamedTuple):
    """Consecutive steps: arrays, the rows of their batches in them, and for each clock how many
    steps the longest sequence of each batch has."""

    fields: Mapping[str, Array]
    rows: Rows
    lengths: Mapping[str, Rows]


class EpochFeed(Protocol):
    """The steps of one epoch, in order."""

    def take(self, steps: int) -> Taken:
        """The next batches: `steps` at most, one at least."""

    def __enter__(self) -> EpochFeed: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Feeder:
    """A part, ready to be fed; made once and used for every epoch.

    With a `seed`, for training, pictures are changed as the data set's `augment` says.
    """

    def __init__(
        self,
        part: Part,
        requests: Mapping[str, Request],
        *,
        stream: bool | None = None,
        seed: int | None = None,
    ) -> None:
        self.part, self.requests = part, dict(requests)
        columns = [part.column(r.field) for r in requests.values()]
        self.seed = seed if any(c.augment is not None for c in columns) else None
        self.row_bytes = sum(
            part.bytes(r.field, r.dtype) // max(1, len(part)) for r in requests.values()
        )
        needed = self.row_bytes * len(part)
        most = MEMORY_SHARE * available_memory()
        if any(c.raw.dtype == np.uint8 for c in columns):
            most = min(most, AS_BYTES)
        self.streams = (needed > most if stream is None else stream) or self.seed is not None
        self._arrays: dict[str, Array] | None = None
        self.lengths = _lengths(part, self.requests)

    def __len__(self) -> int:
        return len(self.part)

    @property
    def arrays(self) -> dict[str, Array]:
        """Every field whole, as the net wants it."""
        if self._arrays is None:
            self._arrays = {
                name: self.part.array(r.field, r.dtype, r.shape)
                for name, r in self.requests.items()
            }
        return self._arrays

    def epoch(self, order: Rows, batch: int, start: int = 0, number: int = 0) -> EpochFeed:
        """The batches of an epoch in that order, from step `start` (from 0) on; what is drawn for
        each example depends on the number of the epoch."""
        first = np.arange(start * batch, len(order), batch)
        lengths = {
            clock: np.maximum.reduceat(each[order], first) if len(first) else each[:0]
            for clock, each in self.lengths.items()
        }
        if not self.streams:
            return _Held(self.arrays, order, batch, start, lengths, start)
        steps = max(1, PIECE // max(1, self.row_bytes * batch))
        draws = None if self.seed is None else Draws(self.seed, number)
        source = chunks(self.part, self.requests, order, batch, steps, start, draws=draws)
        return _Streamed(source, batch, lengths)

    def measuring_order(self) -> Rows:
        """For scores: the shortest sequences first, so that batches end with their longest."""
        clocked = tuple(r.field for r in self.requests.values() if r.clock in self.lengths)
        return by_length(self.part, tuple(dict.fromkeys(clocked)))


def _lengths(part: Part, requests: Mapping[str, Request]) -> dict[str, Rows]:
    """For each clock, the steps that each example has; no clock whose sequences are all full."""
    found: dict[str, Rows] = {}
    most: dict[str, int] = {}
    for request in requests.values():
        if not request.clock or not request.shape:
            continue
        steps = np.maximum(1, part.lengths(request.field))
        known = found.get(request.clock)
        found[request.clock] = steps if known is None else np.maximum(known, steps)
        most[request.clock] = max(request.shape[0], most.get(request.clock, 0))
    return {c: each for c, each in found.items() if len(each) and each.min() < most[c]}


@dataclass
class _Held:
    """Rows of arrays that lie in memory."""

    arrays: Mapping[str, Array]
    order: Rows
    batch: int
    position: int
    lengths: Mapping[str, Rows]
    start: int

    def take(self, steps: int) -> Taken:
        first, begun = self.position * self.batch, self.position - self.start
        self.position += steps
        lengths = {c: each[begun : begun + steps] for c, each in self.lengths.items()}
        return Taken(self.arrays, self.order[first : self.position * self.batch], lengths)

    def __enter__(self) -> EpochFeed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class _Streamed:
    """Rows of pieces that a thread prepares ahead."""

    def __init__(self, source: Chunks, batch: int, lengths: Mapping[str, Rows]) -> None:
        self._source, self._batch = source, batch
        self._lengths, self._done = lengths, 0
        self._piece: Chunk | None = None
        self._used = 0

    def take(self, steps: int) -> Taken:
        if self._piece is None or self._used >= len(self._piece.sizes):
            self._piece, self._used = next(self._source), 0
        sizes = self._piece.sizes[self._used : self._used + steps]
        first = self._used * self._batch
        self._used += len(sizes)
        begun, self._done = self._done, self._done + len(sizes)
        lengths = {c: each[begun : self._done] for c, each in self._lengths.items()}
        rows = np.arange(first, first + int(sizes.sum()), dtype=np.int64)
        return Taken(self._piece.arrays, rows, lengths)

    def __enter__(self) -> EpochFeed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._source.close()
