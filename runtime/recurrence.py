"""Walks the code of a recurrence: the kernels of its steps, whose places move.

In: the row of a launch, whose first number is the address of its code (`emit/cpu_launch.py` writes
it). Out: every step done, for the caller's part of the examples; or, where examples are not apart,
for all of them, with all threads at it together. Each thread moves places in rows of its own. It is
called like a kernel, and calls itself for a recurrence inside another. Nothing here imports the
rest of chainrule.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from . import simd
from .driver import HEADER_COUNTER, HEADER_FRAMES, at, call, copy, write_i64
from .simd.barrier import meet
from .simd.blocks import least, share
from .simd.lanes import I8

HEAD, KERNEL, MOVE = 11, 5, 7  # words: as `emit/cpu_launch.py` has them


@intrinsic
def clear(typingctx: Any, target: Any, size: Any) -> Any:
    """`size` bytes of zeros."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], I8.as_pointer())
        zero = ir.Constant(I8, 0)
        cgutils.memset(builder, place, args[1], zero)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), lower


def run(arena: int, row: int, batch: int, thread: int, threads: int) -> None:
    """The steps of a recurrence, or a copy along the steps.

    Code of a copy: 0, the row's number, frame, bytes of a row, steps, per example. Of a recurrence:
    1, the row's number, frame, reverse, examples at a time (0: all, threads together), the numbers
    of kernels before, in and after the turns, the numbers of moves: of what stays, of what only
    those before and after need, of the others; then each kernel: address, row, frame, wait, by one
    thread; then each move, see there.
    """
    code = at(row, 0)
    rows = row - 8 * at(code, 1)
    frames = at(arena, HEADER_FRAMES)
    steps = at(frames, at(code, 2))
    if at(code, 0) == 0:
        size, most, examples = at(code, 3), at(code, 4), batch
        if at(code, 5) == 0:
            examples = 1
        source, target = arena + at(row, 1), arena + at(row, 2)
        first, last = share(examples, thread, threads, 1), share(examples, thread + 1, threads, 1)
        for e in range(first, last):
            place = target + e * most * size
            for t in range(steps):
                copy(place + t * size, source + (t * examples + e) * size, size)
            clear(place + steps * size, (most - steps) * size)
    else:
        backwards, group = at(code, 3), at(code, 4)
        turning = at(code, 5) + at(code, 6)
        inside = turning + at(code, 7)
        still = at(code, 8)
        edges = still + at(code, 9)
        kernels = code + 8 * HEAD
        moves = kernels + 8 * KERNEL * inside
        together = group == 0
        first, stride = thread, threads
        if together:
            group, first, stride = batch, 0, 1
        for c in range(first, (batch + group - 1) // group, stride):
            begin = c * group
            count = least(group, batch - begin)
            for n in range(-1, steps + 1):
                turn, k0, k1, m0, m1 = n, at(code, 5), turning, edges, edges + at(code, 10)
                if n < 0:
                    turn, k0, k1, m0, m1 = 0, 0, at(code, 5), 0, edges
                if n == steps:
                    turn, k0, k1, m0, m1 = n, turning, inside, still, edges
                t = turn
                if backwards:
                    t = steps - 1 - turn
                for m in range(m0, m1):
                    move = moves + 8 * MOVE * m
                    position = t + at(move, 5)
                    if at(move, 6):
                        position = (turn + at(move, 5)) & 1
                    place = at(rows, at(move, 1)) + begin * at(move, 2)
                    place += position * (batch * at(move, 3) + at(move, 4))
                    write_i64(rows + 8 * at(move, 0), place)
                for k in range(k0, k1):
                    kernel = kernels + 8 * KERNEL * k
                    address, own = at(kernel, 0), rows + 8 * at(kernel, 1)
                    examples = count * at(frames, at(kernel, 2))
                    if together:
                        if threads > 1 and at(kernel, 3):
                            counter = at(arena, HEADER_COUNTER)
                            write_i64(rows, meet(counter, at(rows, 0), threads))
                        if at(kernel, 4) == 0:
                            call(address, arena, own, examples, thread, threads)
                        elif thread == 0:
                            call(address, arena, own, examples, 0, 1)
                    else:
                        call(address, arena, own, examples, 0, 1)


SIGNATURE = types.void(*[types.int64] * 5)


def compiled() -> Any:
    """`run` as a C function, in an exported package."""
    keep = simd.settings["disk_cache"]
    return numba.cfunc(SIGNATURE, cache=keep, error_model="numpy")(run)
