"""Places in memory: temporaries that share an arena because they never live at the same time.

In: sizes and lifetimes, in epochs (what runs between two barriers). Out: an offset for each, and
the bytes needed. Two temporaries may overlap only if their lifetimes do not share an epoch: within
one, threads are free to run ahead of each other, so reuse never asks for a barrier of its own.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

from .plan import ALIGN

_SMALL = 600  # up to so many temporaries the quadratic method is tried as well


@dataclass(frozen=True, slots=True)
class Life:
    """`nbytes` needed from epoch `born` to epoch `dies`, both included."""

    nbytes: int
    born: int
    dies: int


def aligned(n: int) -> int:
    return -(-n // ALIGN) * ALIGN


def place(lives: Sequence[Life]) -> tuple[list[int], int]:
    """Offsets, and the end of the last one: the better of two greedy methods."""
    found = _in_time(lives)
    if len(lives) <= _SMALL:
        found = min(found, _by_size(lives), key=lambda f: f[1])
    return found


def _in_time(lives: Sequence[Life]) -> tuple[list[int], int]:
    """As they are born, each into the tightest hole; one sweep."""
    offsets, end = [0] * len(lives), 0
    holes: list[tuple[int, int]] = []  # (offset, size), by offset, never adjacent
    ends: list[tuple[int, int]] = []  # (dies, index), by dies
    for i in sorted(range(len(lives)), key=lambda i: (lives[i].born, -lives[i].nbytes)):
        life = lives[i]
        while ends and ends[0][0] < life.born:
            dead = ends.pop(0)[1]
            _free(holes, offsets[dead], aligned(lives[dead].nbytes))
        size = aligned(life.nbytes)
        fitting = [h for h in holes if h[1] >= size]
        if fitting:
            hole = min(fitting, key=lambda h: h[1])
            holes.remove(hole)
            offsets[i] = hole[0]
            if hole[1] > size:
                insort(holes, (hole[0] + size, hole[1] - size))
        elif holes and sum(holes[-1]) == end:  # the last hole, made longer
            offsets[i] = holes.pop()[0]
            end = offsets[i] + size
        else:
            offsets[i] = end
            end += size
        insort(ends, (life.dies, i))
    return offsets, end


def _free(holes: list[tuple[int, int]], offset: int, size: int) -> None:
    insort(holes, (offset, size))
    at = holes.index((offset, size))
    if at + 1 < len(holes) and offset + size == holes[at + 1][0]:
        size += holes.pop(at + 1)[1]
        holes[at] = (offset, size)
    if at and sum(holes[at - 1]) == offset:
        before = holes[at - 1]
        holes[at - 1 : at + 1] = [(before[0], before[1] + size)]


def _by_size(lives: Sequence[Life]) -> tuple[list[int], int]:
    """The largest first, each as low as it can lie."""
    offsets, end = [0] * len(lives), 0
    placed: list[tuple[int, int, int, int]] = []  # offset, end, born, dies; by offset
    for i in sorted(range(len(lives)), key=lambda i: (-lives[i].nbytes, lives[i].born)):
        life, at = lives[i], 0
        size = aligned(life.nbytes)
        for start, stop, born, dies in placed:
            if born > life.dies or dies < life.born:
                continue
            if start >= at + size:
                break
            at = max(at, stop)
        offsets[i] = at
        end = max(end, at + size)
        insort(placed, (at, at + size, life.born, life.dies))
    return offsets, end
