"""Launches of a plan on the CPU, and the tables in which the runtime finds them.

In: launches (a compiled kernel on its slots, or a recurrence with launches inside), where the
buffers lie. Out: `Tables`: the offsets of every launch's slots, and for recurrences a code of whole
numbers that `runtime/recurrence.py` walks. Everything is a list of numbers, so that an exported
package has it, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..plan import Spot

LOOP, ALONG = 1, 0  # kinds of code
KERNEL_WORDS, MOVE_WORDS = 5, 7
HEAD = 11  # words before the table of kernels inside


@dataclass(frozen=True)
class Along:
    """Rows of `nbytes` become an axis of `steps`; see `plan.Along`."""

    frame: int
    nbytes: int
    steps: int
    batched: bool


@dataclass(frozen=True)
class Loop:
    """The inside of a recurrence. `group`: examples at a time, 0 for all of them together."""

    frame: int
    reverse: bool
    group: int
    spots: tuple[Spot, ...]
    parts: tuple[tuple[Launch, ...], ...]  # before, turns, after

    @property
    def inside(self) -> tuple[Launch, ...]:
        return tuple(launch for part in self.parts for launch in part)


@dataclass(frozen=True)
class Launch:
    """Run source `source` on these slots. `work`: estimated nanoseconds on one thread. `frame`: the
    number of the frame that its examples are counted in, 0 for none.

    With `code` it is not a source that runs, but a recurrence or a copy along the steps; `groups`:
    in how many parts threads may share it (0: they walk it together).
    """

    source: int
    slots: tuple[int, ...]
    barrier: bool
    work: float
    frame: int = 0
    code: Loop | Along | None = None
    groups: int = 0


def sources_of(launches: Iterable[Launch]) -> Iterator[Launch]:
    """Launches that run a source, those inside recurrences, too."""
    for launch in launches:
        if launch.code is None:
            yield launch
        elif isinstance(launch.code, Loop):
            yield from sources_of(launch.code.inside)


@dataclass
class Tables:
    """`rows`: number 0 is the thread's own; then for each launch the byte offsets of its slots, and
    of kernel scratch; `starts`: where the rows of each launch of the plan begin. In the row of a
    recurrence, the first number is the place of its code in `code`, told by `coded`.

    `late` are the rows that depend on the batch: (row, offset, bytes for each example).
    `code` has the addresses of compiled kernels at `sources`: (place, source; −1 for the walker).
    """

    rows: list[int] = field(default_factory=lambda: [0])
    starts: list[int] = field(default_factory=list)
    code: list[int] = field(default_factory=list)
    coded: list[tuple[int, int]] = field(default_factory=list)
    sources: list[tuple[int, int]] = field(default_factory=list)
    late: list[tuple[int, int, int]] = field(default_factory=list)

    def add(
        self, launches: Sequence[Launch], places: Sequence[int], scratch: int,
        ahead: Mapping[int, int],
    ) -> None:  # fmt: skip
        """`places`: where each buffer lies; `ahead`: bytes that some begin later, for each example
        of the batch."""
        for launch in launches:
            start = self._row(launch, places, scratch)
            self.starts.append(start)
            first = start + (launch.code is not None)
            for k, s in enumerate(launch.slots):
                if s in ahead:
                    self.late.append((first + k, places[s], ahead[s]))

    def _row(self, launch: Launch, places: Sequence[int], scratch: int) -> int:
        """The rows of a launch and of those inside it; where its own begins."""
        start = len(self.rows)
        own = [places[s] for s in launch.slots]
        if launch.code is None:
            self.rows += [*own, scratch]
            return start
        self.rows += [0, *own]
        self._code(launch, start, scratch)
        return start

    def _code(self, launch: Launch, start: int, scratch: int) -> None:
        self.coded.append((start, len(self.code)))
        if isinstance(launch.code, Along):
            a = launch.code
            self.code += [ALONG, start, a.frame, a.nbytes, a.steps, int(a.batched)]
        elif launch.code is not None:
            self._loop(launch.code, start, scratch)

    def _loop(self, loop: Loop, start: int, scratch: int) -> None:
        """The code of a recurrence: its head, its kernels, what moves; then that of those inside.

        What never moves comes first, then what only `before` and `after` ask for.
        """
        at = len(self.code)
        counts = [len(part) for part in loop.parts]
        kernels = at + HEAD
        self.code += [0] * (HEAD + KERNEL_WORDS * sum(counts))
        moves: list[list[list[int]]] = [[], [], []]
        later: list[tuple[Launch, int]] = []
        for number, (part, launch) in enumerate(_numbered(loop)):
            row = self._inside(launch, scratch, later)
            place = kernels + KERNEL_WORDS * number
            self.sources.append((place, launch.source))
            alone = launch.source >= 0 and launch.groups == 0
            self.code[place : place + KERNEL_WORDS] = [
                0, row, launch.frame, int(launch.barrier), int(alone),
            ]  # fmt: skip
            first = row + (launch.code is not None)
            for k, s in enumerate(launch.slots):
                spot = loop.spots[s]
                which = 0 if spot.kind == "still" else 2 if part == 1 else 1
                moves[which].append(_move(first + k, start + 1 + spot.slot, spot))
        self.code[at : at + HEAD] = [
            LOOP, start, loop.frame, int(loop.reverse), loop.group, *counts, *map(len, moves),
        ]  # fmt: skip
        for group in moves:
            for move in group:
                self.code += move
        for launch, row in later:
            self._code(launch, row, scratch)

    def _inside(self, launch: Launch, scratch: int, later: list[tuple[Launch, int]]) -> int:
        """A row whose places are told at each step."""
        start = len(self.rows)
        if launch.code is None:
            self.rows += [*(0 for _ in launch.slots), scratch]
        else:
            self.rows += [0, *(0 for _ in launch.slots)]
            later.append((launch, start))
        return start


def _numbered(loop: Loop) -> Iterator[tuple[int, Launch]]:
    for part, launches in enumerate(loop.parts):
        for launch in launches:
            yield part, launch


def _move(target: int, source: int, spot: Spot) -> list[int]:
    """rows[target] = rows[source] + e0·w₂ + position·(batch·w₃ + w₄), where the position is step +
    lead, in a ring the parity of turn + lead."""
    item = spot.type.numpy.itemsize
    size = spot.type.size * item
    words = [target, source, spot.example * item, 0, 0, spot.lead, 0]
    if spot.kind == "axis":
        words[4] = size
    elif spot.kind != "still":
        words[3 if spot.type.batched else 4] = size
        words[6] = int(spot.kind == "ring")
    return words
