"""Kernels that a profile adds to a net's own: a time stamp, nothing at all, and the two that find
out what the machine can do.

In: nothing but the host. Out: addresses of compiled kernels with the signature of all others, so
that the driver runs a time stamp like any entry of its table. They lie in the kernel cache.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from .. import kernel_cache

# Accumulators by vector registers: enough to hide the latency of a fused multiply-add (4 cycles,
# two units), and all of them in registers.
ACCUMULATORS = {32: 12, 8: 5}
REPEATS = 8  # fused multiply-adds of each accumulator in one turn of the loop

HEAD = '''"""{title} Words: {digest}."""
from chainrule.runtime.simd import *
from chainrule.runtime.profile.words import *


@kernel
def run(arena, row, batch, thread, threads):
'''
# row: address of the first step's stamp, bytes from step to step, number of the first step. The
# step under way stands in the arena's header.
STAMP = """\
    write_i64(number(row, 0) + (header(arena, 1) - number(row, 2)) * number(row, 1), clock())
"""
NOTHING = "    pass\n"
# a = b + s·c, `batch` elements, row[3] times: STREAM's triad (McCalpin 1995). Each thread keeps to
# its own part.
TRIAD = """\
    a = at_{dtype}(arena, row, 0)
    b = at_{dtype}(arena, row, 1)
    c = at_{dtype}(arena, row, 2)
    first = share(batch, thread, threads, {lanes})
    last = share(batch, thread + 1, threads, {lanes})
    for turn in range(number(row, 3)):
        for i in range(first, last, {lanes}):
            store(a, i, load(b, i, {lanes}) * 3.0 + load(c, i, {lanes}))
"""


def addresses(dtype: str, registers: int) -> dict[str, int]:
    """Where the kernels lie: stamp, nothing, triad, fma."""
    lanes = 16 if dtype == "f32" else 8
    bodies = {
        "stamp": STAMP,
        "nothing": NOTHING,
        "triad": TRIAD.format(dtype=dtype, lanes=lanes),
        "fma": multiply_adds(dtype, lanes, accumulators(registers)),
    }
    head = {n: HEAD.format(title=f"Of profiles: {n}.", digest=_digest()) for n in bodies}
    found = kernel_cache.compile_all([head[n] + body for n, body in bodies.items()], helpers=0)
    return dict(zip(bodies, found, strict=True))


def accumulators(registers: int) -> int:
    return ACCUMULATORS.get(registers, 2)


def flops_per_turn(dtype: str, registers: int) -> int:
    """Of one turn of the loop below: a multiplication and an addition each."""
    lanes = 16 if dtype == "f32" else 8
    return 2 * lanes * accumulators(registers) * REPEATS


def multiply_adds(dtype: str, lanes: int, count: int) -> str:
    """`batch` turns of fused multiply-adds in registers, no two of which wait for each other."""
    lines = [f"p = at_{dtype}(arena, row, 0)", f"x = load(p, 0, {lanes})"]
    lines += [f"c{k} = load(p, {lanes * k}, {lanes})" for k in range(count)]
    lines += ["for turn in range(batch):"]
    lines += [f"    c{k} = fma(x, x, c{k})" for _ in range(REPEATS) for k in range(count)]
    lines += [f"store(p, {lanes * k}, c{k})" for k in range(count)]
    return "".join(f"    {line}\n" for line in lines)


@cache
def _digest() -> str:
    """Of the words: a kernel compiled with others is another kernel."""
    words = Path(__file__).with_name("words.py")
    return hashlib.sha256(words.read_bytes()).hexdigest()[:16]
