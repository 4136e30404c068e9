"""What this machine can do: fused multiply-adds in registers, and bytes to and from memory.

In: threads, an element type and a working set. Out: the best rates found in a few tenths of a
second on these threads at once. They are the roofs that a profile compares kernels with
(Williams, Waterman, Patterson: Roofline, 2009).
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..cpu import host
from ..threads import Crew
from .kernels import addresses, flops_per_turn

ROUNDS = 60  # the best counts: others use the machine too
ROUND = 0.002  # seconds: short, so that one is likely that nothing disturbs
LEAST, MOST = 1 << 14, 1 << 27  # bytes of working set
TYPES: dict[str, np.dtype[Any]] = {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64)}
# arena, row, batch, thread, threads
KERNEL = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3)


@dataclass(frozen=True)
class Peaks:
    """`flops` and `bytes` a second; the latter in a working set of `working_set` bytes."""

    flops: float
    nbytes: float
    working_set: int
    threads: int
    dtype: str

    def best(self, other: Peaks) -> Peaks:
        """The better of two measurements: before and after what they are compared with."""
        flops, nbytes = max(self.flops, other.flops), max(self.nbytes, other.nbytes)
        return replace(self, flops=flops, nbytes=nbytes)


def measure_peaks(threads: int, dtype: str = "f32", working_set: int = MOST) -> Peaks:
    """The roofs of `threads` threads at once."""
    registers = host().registers
    found = addresses(dtype, registers)
    crew = Crew(threads)
    size = min(max(working_set, LEAST), MOST)
    flops = _flops(found["fma"], crew, threads, dtype, flops_per_turn(dtype, registers))
    nbytes = _bandwidth(found["triad"], crew, threads, dtype, size)
    return Peaks(flops, nbytes, size, threads, dtype)


def _flops(address: int, crew: Crew, threads: int, dtype: str, per_turn: int) -> float:
    numbers = np.zeros((threads, 512), TYPES[dtype])  # zeros stay zeros: no overflow, no denormals
    rows = np.zeros((threads, 1), np.int64)

    def run(thread: int, turns: int) -> None:
        place = numbers[thread].ctypes.data
        KERNEL(address)(place, rows[thread].ctypes.data, turns, thread, threads)

    return per_turn * threads * _best(run, crew, threads)


def _bandwidth(address: int, crew: Crew, threads: int, dtype: str, working_set: int) -> float:
    count = working_set // (3 * TYPES[dtype].itemsize) // 64 * 64
    arrays = np.ones((3, count + 16), TYPES[dtype])
    rows = np.array([[*(arrays.strides[0] * k for k in range(3)), 0]] * threads, np.int64)

    def run(thread: int, turns: int) -> None:
        rows[thread, 3] = turns
        place = arrays.ctypes.data
        KERNEL(address)(place, rows[thread].ctypes.data, count, thread, threads)

    return 3 * count * TYPES[dtype].itemsize * _best(run, crew, threads)


def _best(run: Callable[[int, int], None], crew: Crew, threads: int) -> float:
    """The most turns a second that all threads make side by side."""
    turns = 1
    # The best of three: on a busy machine a single turn may take as long as a round should.
    while (seconds := min(_together(run, crew, threads, turns) for _ in range(3))) < ROUND / 2:
        turns = int(turns * min(64.0, max(2.0, ROUND / max(seconds, 1e-9))))
    return max(turns / _together(run, crew, threads, turns) for _ in range(ROUNDS))


def _together(run: Callable[[int, int], None], crew: Crew, threads: int, turns: int) -> float:
    """Seconds from the common start to the last thread's end."""
    gate = threading.Barrier(threads)
    spans = np.zeros((threads, 2))
    done = [threading.Event() for _ in range(threads)]

    def task(thread: int) -> None:
        gate.wait()
        spans[thread, 0] = time.perf_counter()
        run(thread, turns)
        spans[thread, 1] = time.perf_counter()
        done[thread].set()

    crew.run(task, threads)
    for event in done:
        event.wait()
    return float(spans[:, 1].max() - spans[:, 0].min())
