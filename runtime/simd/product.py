"""The heart of matrix products: a block of sums held in registers.

`multiply(R, V, lanes, …)` computes an R × V·lanes block of A·B: V vectors of a row of B are
read in place, one element of A at a time is broadcast and multiplied into them. R·V
accumulators live in registers, so each number loaded is used R or V times. `pack` copies a
panel of B so that its rows become neighbours. Every sum runs over k in ascending order with one
fma a step, whatever the block: the choice of R and V cannot change a result.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .lanes import BYTES, I64, X, splat
from .memory import NAME, STORED
from .vector import Vec


@intrinsic(prefer_literal=True)
def multiply(
    typingctx: Any, height: Any, vectors: Any, lanes: Any,
    a: Any, ai: Any, a_row: Any, a_column: Any, b: Any, bi: Any, b_row: Any, depth: Any,
    c: Any, ci: Any, c_row: Any, start: Any,
) -> Any:  # fmt: skip
    """C = A·B, or C + A·B unless `start`, for `height` rows and `vectors`·`lanes` columns.

    Pointers with the index of their first element; A has strides for rows and columns, B and C
    for rows. The vectors are read and written whole.
    """
    shape = (height, vectors, lanes)
    if not all(isinstance(n, types.IntegerLiteral) for n in shape) or a not in NAME or c != a:
        return None
    rows, across, width = (n.literal_value for n in shape)
    kind = Vec(NAME[a], width)
    whole = types.int64
    sig = types.void(height, vectors, lanes, a, whole, whole, whole, b, whole, whole, whole, c,
                     whole, whole, types.boolean)  # fmt: skip

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        Block(builder, context.get_data_type(STORED[kind.dtype]), kind, rows, across).emit(args[3:])
        return context.get_dummy_value()

    return sig, lower


class Block:
    """Emits one register block."""

    def __init__(self, b: ir.IRBuilder, number: ir.Type, kind: Vec, rows: int, across: int) -> None:
        self.b, self.number, self.kind, self.rows, self.across = b, number, kind, rows, across
        self.vector = ir.VectorType(number, kind.lanes)

    def at(self, pointer: Any, *steps: Any) -> Any:
        for step in steps:
            pointer = self.b.gep(pointer, [step], source_etype=self.number)
        return pointer

    def places(self, pointer: Any, first: Any, row: Any) -> list[list[Any]]:
        """Addresses of the block's vectors."""
        b, lanes = self.b, self.kind.lanes
        return [
            [
                b.bitcast(
                    self.at(
                        pointer, first, b.mul(ir.Constant(I64, i), row), ir.Constant(I64, j * lanes)
                    ),
                    self.vector.as_pointer(),
                )
                for j in range(self.across)
            ]
            for i in range(self.rows)
        ]

    def load(self, place: Any) -> X:
        value = self.b.load(place, typ=self.vector)
        value.align = BYTES[self.kind.dtype]
        return X(self.b, value)

    def emit(self, args: Any) -> None:
        a, ai, a_row, a_column, b_, bi, b_row, depth, c, ci, c_row, start = args
        b = self.b
        places = self.places(c, ci, c_row)
        first = self.opening(places, start)
        before, loop, after = b.block, b.append_basic_block("k"), b.append_basic_block("k.end")
        zero = ir.Constant(I64, 0)
        b.cbranch(b.icmp_signed(">", depth, zero), loop, after)
        b.position_at_end(loop)
        k = b.phi(I64)
        sums = [[b.phi(self.vector) for _ in line] for line in first]
        k.add_incoming(zero, before)
        here = self.at(a, b.add(ai, b.mul(k, a_column)))
        row = self.at(b_, b.add(bi, b.mul(k, b_row)))
        across = [
            self.load(b.bitcast(self.at(row, ir.Constant(I64, j * self.kind.lanes)),
                                self.vector.as_pointer()))
            for j in range(self.across)
        ]  # fmt: skip
        results = []
        for i, line in enumerate(sums):
            place = self.at(here, b.mul(ir.Constant(I64, i), a_row))
            s = splat(b, b.load(place, typ=self.number), self.kind.lanes)
            results.append([s.fma(x, X(b, old)) for x, old in zip(across, line, strict=True)])
        step = b.add(k, ir.Constant(I64, 1))
        k.add_incoming(step, loop)
        b.cbranch(b.icmp_signed("<", step, depth), loop, after)
        b.position_at_end(after)
        for i, line in enumerate(sums):
            for j, total in enumerate(line):
                total.add_incoming(first[i][j].v, before)
                total.add_incoming(results[i][j].v, loop)
                final = b.phi(self.vector)
                final.add_incoming(first[i][j].v, before)
                final.add_incoming(results[i][j].v, loop)
                sums[i][j] = final
        for line, targets in zip(sums, places, strict=True):
            for total, place in zip(line, targets, strict=True):
                b.store(total, place).align = BYTES[self.kind.dtype]

    def opening(self, places: list[list[Any]], start: Any) -> list[list[X]]:
        """Zeros, or the sums so far."""
        b = self.b
        blank = X(b, ir.Constant(self.vector, [0.0] * self.kind.lanes))
        fresh = [[blank] * self.across for _ in places]
        if isinstance(start, ir.Constant) and start.constant:
            return fresh
        before, other, joined = b.block, b.append_basic_block("more"), b.append_basic_block("begin")
        b.cbranch(start, joined, other)
        b.position_at_end(other)
        known = [[self.load(place) for place in line] for line in places]
        b.branch(joined)
        b.position_at_end(joined)
        result = []
        for line in known:
            merged = []
            for x in line:
                phi = b.phi(self.vector)
                phi.add_incoming(blank.v, before)
                phi.add_incoming(x.v, other)
                merged.append(X(b, phi))
            result.append(merged)
        return result
