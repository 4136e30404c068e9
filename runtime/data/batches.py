"""The order of examples, and batches made ready ahead of the training step.

In: a part, a seed, an epoch. Out: a permutation that depends on nothing else (so that training
resumes at any step), and chunks of gathered rows prepared by a background thread. Sets that fit
in memory need no chunks: the compiled loop gathers rows itself from `part.array(…)` by the order.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from .dataset import Array, Indices, Part, Shape
from .transforms import Draws

_WORD = 2**64


def permutation(n: int, seed: int, epoch: int) -> Indices:
    """The order of n examples in an epoch: a pure function of its arguments.

    Philox (Salmon et al., 2011) keyed by (seed, epoch) gives 64 raw bits an example; the low bits
    are replaced by the example's number, so that keys differ, and the sorted keys are the order.
    Raw bits and sorting are the same in every version of NumPy, which its `permutation` is not.
    """
    key = np.array([seed % _WORD, epoch % _WORD], np.uint64)
    keys: NDArray[np.uint64] = np.random.Philox(key=key).random_raw(n)
    mask = np.uint64((1 << max(1, (n - 1).bit_length())) - 1) if n else np.uint64(0)
    keys &= ~mask
    keys |= np.arange(n, dtype=np.uint64)
    keys.sort()
    keys &= mask
    return keys.view(np.int64)


@dataclass(frozen=True)
class Request:
    """How a net's input wants a field. `clock`: whose number of steps the field's lengths bound."""

    field: str
    dtype: str | None = None
    shape: Shape | None = None
    clock: str = ""


@dataclass(frozen=True)
class Chunk:
    """The rows of several consecutive batches, side by side."""

    first_step: int
    sizes: NDArray[np.int64]  # examples in each batch: only the very last may be short
    arrays: dict[str, Array]


@dataclass(frozen=True)
class Batches:
    """One epoch over a part, cut into batches.

    `last = "keep"` leaves the remainder as a short batch; `"drop"` leaves it out.
    """

    part: Part
    requests: Mapping[str, Request]  # by the net's input
    batch: int
    seed: int = 0
    epoch: int = 0
    shuffle: bool = True
    last: str = "keep"

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"a batch holds at least one example, not {self.batch}")
        if self.last not in ("keep", "drop"):
            raise ValueError(f'last is "keep" or "drop", not {self.last!r}')

    @property
    def order(self) -> Indices:
        """Positions in the part, in the order of this epoch."""
        n = len(self.part)
        order = permutation(n, self.seed, self.epoch) if self.shuffle else np.arange(n)
        return order[: n - n % self.batch] if self.last == "drop" else order

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The number of examples in each batch."""
        full, rest = divmod(len(self.part), self.batch)
        short = [rest] if rest and self.last == "keep" else []
        return np.array([self.batch] * full + short, np.int64)

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[dict[str, Array]]:
        """Batch by batch, gathered here and now: for evaluation and small sets."""
        order = self.order
        for start in range(0, len(order), self.batch):
            yield gather(self.part, self.requests, order[start : start + self.batch])

    def chunks(self, steps_per_chunk: int, start: int = 0, ahead: int = 2) -> Chunks:
        """Batches from step `start` on, prepared by a thread, `ahead` chunks at most in store."""
        return chunks(
            self.part, self.requests, self.order, self.batch, steps_per_chunk, start, ahead
        )


def gather(
    part: Part, requests: Mapping[str, Request], positions: Indices, draws: Draws | None = None
) -> dict[str, Array]:
    """Some rows of each input's field; with `draws`, pictures as training sees them."""
    return {
        name: part.rows(wanted.field, positions, wanted.dtype, wanted.shape, draws)
        for name, wanted in requests.items()
    }


def chunks(
    part: Part,
    requests: Mapping[str, Request],
    order: Indices,
    batch: int,
    steps_per_chunk: int,
    start: int = 0,
    ahead: int = 2,
    draws: Draws | None = None,
) -> Chunks:
    """Start preparing; use the result in a `with`, so that its thread ends with the block."""
    return Chunks(part, dict(requests), order, batch, steps_per_chunk, start, ahead, draws)


class Chunks:
    """An iterator of `Chunk`s filled by a thread; an exception there is raised here."""

    def __init__(
        self,
        part: Part,
        requests: dict[str, Request],
        order: Indices,
        batch: int,
        steps_per_chunk: int,
        start: int,
        ahead: int,
        draws: Draws | None = None,
    ) -> None:
        if batch < 1 or steps_per_chunk < 1 or ahead < 1 or start < 0:
            raise ValueError("batch, steps_per_chunk and ahead are at least 1, start at least 0")
        self._part, self._requests, self._order = part, requests, order
        self._batch, self._steps, self._start = batch, steps_per_chunk, start
        self._draws = draws
        self._ready: queue.Queue[Chunk | BaseException | None] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._fill, name="chainrule-data", daemon=True)
        self._thread.start()

    def __iter__(self) -> Chunks:
        return self

    def __next__(self) -> Chunk:
        if self._ended:
            raise StopIteration
        item = self._ready.get()
        if isinstance(item, Chunk):
            return item
        self.close()
        if item is None:
            raise StopIteration
        raise item

    def __enter__(self) -> Chunks:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread, whatever it is doing; safe to call twice."""
        self._ended = True
        self._stop.set()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._ready.get_nowait()  # room for a `put` that waits
            self._thread.join(0.01)

    def _fill(self) -> None:
        try:
            width = self._batch * self._steps
            for first in range(self._start * self._batch, len(self._order), width):
                if self._stop.is_set():
                    return
                self._put(self._chunk(first, self._order[first : first + width]))
            self._put(None)
        except BaseException as error:  # handed over to the thread that iterates
            self._put(error)

    def _chunk(self, first: int, positions: Indices) -> Chunk:
        full, rest = divmod(len(positions), self._batch)
        sizes = np.array([self._batch] * full + ([rest] if rest else []), np.int64)
        arrays = gather(self._part, self._requests, positions, self._draws)
        return Chunk(first // self._batch, sizes, arrays)

    def _put(self, item: Chunk | BaseException | None) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._ready.put(item, timeout=0.05)
                return
