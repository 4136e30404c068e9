"""Words of generated kernels that are about ranges and panels.

`share(total, thread, threads, unit)` is where a thread's part of `total` begins: parts are
multiples of `unit` and differ by one unit at most. `transpose` copies a square of a matrix with
rows and columns exchanged, in registers.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .lanes import BYTES, I32, I64, X
from .memory import NAME, STORED
from .vector import Vec


@intrinsic
def share(typingctx: Any, total: Any, thread: Any, threads: Any, unit: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        total, thread, threads, unit = args
        b = builder
        blocks = b.sdiv(b.add(total, b.sub(unit, ir.Constant(I64, 1))), unit)
        first = b.mul(b.sdiv(b.mul(blocks, thread), threads), unit)
        return b.select(b.icmp_signed("<", first, total), first, total)

    return types.int64(types.int64, types.int64, types.int64, types.int64), lower


@intrinsic
def least(typingctx: Any, x: Any, y: Any) -> Any:
    """The smaller of two whole numbers; Python's `min` would be compiled anew for each kernel."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.icmp_signed("<", args[0], args[1]), args[0], args[1])

    return types.int64(types.int64, types.int64), lower


@intrinsic(prefer_literal=True)
def transpose(
    typingctx: Any, lanes: Any, source: Any, si: Any, column: Any, count: Any,
    target: Any, ti: Any, row: Any,
) -> Any:  # fmt: skip
    """target[ti + row·k + j] = source[si + column·j + k] for k, j below `lanes`.

    Of the columns, only `count` exist; the others repeat the last.
    """
    if not isinstance(lanes, types.IntegerLiteral) or source not in NAME or target != source:
        return None
    kind = Vec(NAME[source], lanes.literal_value)
    whole = types.int64

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        _, source_, si, column, count, target_, ti, row = args
        b, n = builder, kind.lanes
        stored = context.get_data_type(STORED[kind.dtype])
        vector = ir.VectorType(stored, n)
        last = b.sub(count, ir.Constant(I64, 1))
        lines = []
        for j in range(n):
            number = ir.Constant(I64, j)
            near = b.select(b.icmp_signed("<", number, last), number, last)
            place = b.gep(source_, [b.add(si, b.mul(near, column))], source_etype=stored)
            value = b.load(b.bitcast(place, vector.as_pointer()), typ=vector)
            value.align = BYTES[kind.dtype]
            lines.append(X(b, value))
        for k, line in enumerate(exchanged(lines)):
            index = b.add(ti, b.mul(ir.Constant(I64, k), row))
            place = b.gep(target_, [index], source_etype=stored)
            b.store(line.v, b.bitcast(place, vector.as_pointer())).align = BYTES[kind.dtype]
        return context.get_dummy_value()

    sig = types.void(lanes, source, whole, whole, whole, target, whole, whole)
    return sig, lower


def exchanged(lines: list[X]) -> list[X]:
    """The transpose of n vectors of n lanes, by swapping quadrants, then quadrants of those, …"""
    n = len(lines)
    width = n // 2
    while width:
        swapped = list(lines)
        low = [i if not i & width else n + i - width for i in range(n)]
        high = [i + width if not i & width else n + i for i in range(n)]
        for i in range(n):
            if not i & width:
                swapped[i] = _shuffle(lines[i], lines[i + width], low)
                swapped[i + width] = _shuffle(lines[i], lines[i + width], high)
        lines, width = swapped, width // 2
    return lines


def _shuffle(x: X, y: X, places: list[int]) -> X:
    mask = ir.Constant(ir.VectorType(I32, x.lanes), places)
    return X(x.b, x.b.shuffle_vector(x.v, y.v, mask))
