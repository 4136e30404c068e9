"""The heart of products and convolutions: a block of sums held in registers.

`register_block(…)` makes a word for kernels that computes R × V·lanes sums of A·B: V vectors of
a row of B are read in place, one element of A at a time is broadcast and multiplied into them.
R·V accumulators live in registers through all loops over the depth, so each number loaded is
used R or V times. All strides are literals: an address is one register and a constant. Every
sum runs over the depth in ascending order with one fma a step, whatever the block: the choice
of R and V cannot change a result.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .lanes import BYTES, I8, I32, I64, X, declare, splat
from .memory import NAME, POINTER, STORED
from .vector import Vec

Axes = tuple[tuple[int, int, int], ...]
Pointers = tuple[Any, Any]
Sums = list[list[X]]
LONGEST = 64  # fma instructions in the body of the innermost loop, after unrolling
MOST_LINES = 4  # of 64 bytes that one turn of it asks for ahead of time


def register_block(
    dtype: str, lanes: int, vectors: int, rows: Axes, depth: Axes, ahead: int = 0
) -> Any:
    """A word `block(a, ai, b, bi, c, ci, n, start)`: C = A·B, or C + A·B unless `start`.

    a, b, c are pointers, ai, bi, ci the index of their first element. `rows` are nested axes
    (count, step in A, step in C), `depth` are (count, step in A, step in B), outermost first;
    a depth whose first count is 0 takes `n` (at least 1) instead. Vectors of C are
    neighbours, and so are those of B; all are read and written whole. `ahead`: how far from this
    block's rows of A those of the next begin, to be fetched meanwhile; 0: nothing is.
    """
    kind, pointer, whole = Vec(dtype, lanes), POINTER[dtype], types.int64
    places = [
        tuple(sum(i * axis[side] for i, axis in zip(index, rows, strict=True)) for side in (1, 2))
        for index in product(*(range(axis[0]) for axis in rows))
    ]

    def block(
        typingctx: Any, a: Any, ai: Any, b: Any, bi: Any, c: Any, ci: Any, n: Any, start: Any
    ) -> Any:
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            number = context.get_data_type(STORED[dtype])
            _Block(builder, number, kind, vectors, places, depth, ahead).emit(*args)
            return context.get_dummy_value()

        sig = types.void(pointer, whole, pointer, whole, pointer, whole, whole, types.boolean)
        return sig, lower

    return intrinsic(block)


@intrinsic
def ask(typingctx: Any, pointer: Any, index: Any) -> Any:
    """Let the line of element `index` come from memory, without waiting for it."""
    if pointer not in NAME:
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        number = context.get_data_type(STORED[NAME[pointer]])
        fetch(builder, builder.gep(args[0], [args[1]], source_etype=number), 3)
        return context.get_dummy_value()

    return types.void(pointer, types.int64), lower


def fetch(b: ir.IRBuilder, place: Any, nearness: int) -> None:
    """Into the caches from level 4 − nearness on; there need be no such place."""
    name = declare(b, "llvm.prefetch.p0", ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
    how = [ir.Constant(I32, n) for n in (0, nearness, 1)]  # to read it; data
    b.call(name, [b.bitcast(place, I8.as_pointer()), *how])


class _Block:
    """Emits one register block."""

    def __init__(
        self, b: ir.IRBuilder, number: ir.Type, kind: Vec, across: int,
        rows: list[tuple[int, ...]], depth: Axes, ahead: int,
    ) -> None:  # fmt: skip
        self.b, self.number, self.kind, self.across = b, number, kind, across
        self.rows, self.depth, self.ahead = rows, depth, ahead
        self.inner_turn: Any = None
        self.vector = ir.VectorType(number, kind.lanes)

    def emit(self, a: Any, ai: Any, b: Any, bi: Any, c: Any, ci: Any, n: Any, start: Any) -> None:
        pointers = self.step(a, ai), self.step(b, bi)
        origin = self.step(c, ci)
        places = [
            [self.vector_at(origin, place + j * self.kind.lanes) for j in range(self.across)]
            for _, place in self.rows
        ]
        sums = self.nest(self.depth, n, pointers, self.opening(places, start))
        for line, targets in zip(sums, places, strict=True):
            for total, place in zip(line, targets, strict=True):
                self.b.store(total.v, place).align = BYTES[self.kind.dtype]

    # ------------------------------------------------------------------------------------ memory

    def step(self, pointer: Any, index: Any) -> Any:
        return self.b.gep(pointer, [index], source_etype=self.number)

    def at(self, pointer: Any, place: int) -> Any:
        return self.step(pointer, ir.Constant(I64, place)) if place else pointer

    def vector_at(self, pointer: Any, place: int) -> Any:
        return self.b.bitcast(self.at(pointer, place), self.vector.as_pointer())

    def load(self, place: Any) -> X:
        value = self.b.load(place, typ=self.vector)
        value.align = BYTES[self.kind.dtype]
        return X(self.b, value)

    # --------------------------------------------------------------------------------- the depth

    def nest(self, depth: Axes, n: Any, pointers: Pointers, sums: Sums) -> Sums:
        """All turns of the loops over `depth`."""
        count, a_step, b_step = depth[0]
        turns = ir.Constant(I64, count) if count else n
        if len(depth) > 1:
            return self.loop(
                turns, (a_step, b_step), pointers, sums,
                lambda at, so_far: self.nest(depth[1:], n, at, so_far),
            )  # fmt: skip
        times = self.unrolled(count)

        def body(at: Pointers, so_far: Sums) -> Sums:
            for u in range(times):
                so_far = self.turn(at, u * a_step, u * b_step, so_far)
            return so_far

        if not count:
            asking = self.fetching(body, 0, 1, a_step)
            return self.loop(n, (a_step, b_step), pointers, sums, asking)
        turns = count // times
        steps = (times * a_step, times * b_step)
        number = ir.Constant(I64, turns)
        return self.loop(number, steps, pointers, sums, self.fetching(body, turns, times, a_step))

    def fetching(
        self, body: Callable[[Pointers, Sums], Sums], turns: int, times: int, step: int
    ) -> Callable[[Pointers, Sums], Sums]:
        """`body`, asking for what lies `ahead` in A. The processor does not see it coming by
        itself: it follows the rows of a block, each too short.

        Where the depth lies side by side, each turn asks for its part of `ahead` numbers, the rows
        of the next block; else for the number that is as far ahead, in the next chunk.
        """

        def next_chunk(at: Pointers, sums: Sums) -> Sums:
            for u in range(times):
                self.fetch(at[0], self.ahead + u * step, 2)
            return body(at, sums)

        if self.ahead and step != 1:
            return next_chunk
        if not self.ahead or turns < 2:
            return body
        line = 64 // BYTES[self.kind.dtype]
        lines = -(-self.ahead // (line * turns))
        part = -(-self.ahead // turns) if lines == 1 else lines * line

        def next_block(at: Pointers, sums: Sums) -> Sums:
            # `at` goes on by one number a step, what is asked for by `part` a turn.
            further = self.b.mul(self.inner_turn, ir.Constant(I64, part - times))
            place = self.step(at[0], further)
            for n in range(lines):
                self.fetch(place, self.ahead + n * line, 3)
            return body(at, sums)

        return next_block if lines <= MOST_LINES else body

    def fetch(self, pointer: Any, place: int, nearness: int) -> None:
        fetch(self.b, self.at(pointer, place), nearness)

    def unrolled(self, count: int) -> int:
        """How many turns of the innermost loop stand in a row: a divisor of their number."""
        size = len(self.rows) * self.across
        fitting = [u for u in range(1, 9) if count and count % u == 0 and u * size <= LONGEST]
        return max(fitting, default=1)

    def loop(
        self, turns: Any, steps: tuple[int, int], pointers: Pointers, sums: Sums,
        body: Callable[[Pointers, Sums], Sums],
    ) -> Sums:  # fmt: skip
        """`body` so many times (at least once), the pointers going on by `steps`."""
        b = self.b
        if isinstance(turns, ir.Constant) and turns.constant == 1:
            return body(pointers, sums)
        before, start = b.block, b.append_basic_block("depth")
        b.branch(start)
        b.position_at_end(start)
        turn = self.inner_turn = b.phi(I64)
        at = (b.phi(pointers[0].type), b.phi(pointers[1].type))
        carried = [[X(b, b.phi(self.vector)) for _ in line] for line in sums]
        turn.add_incoming(ir.Constant(I64, 0), before)
        for phi, pointer in zip(at, pointers, strict=True):
            phi.add_incoming(pointer, before)
        results = body(at, carried)
        last = b.block
        following = b.add(turn, ir.Constant(I64, 1))
        turn.add_incoming(following, last)
        for phi, pointer, step in zip(at, at, steps, strict=True):
            phi.add_incoming(self.at(pointer, step), last)
        for phis, old, new in zip(carried, sums, results, strict=True):
            for x, first, then in zip(phis, old, new, strict=True):
                x.v.add_incoming(first.v, before)
                x.v.add_incoming(then.v, last)
        after = b.append_basic_block("depth.end")
        b.cbranch(b.icmp_signed("<", following, turns), start, after)
        b.position_at_end(after)
        return results

    def turn(self, pointers: Pointers, a_place: int, b_place: int, sums: Sums) -> Sums:
        """One step of the depth: a row of B times a number of each row of A."""
        lanes = self.kind.lanes
        across = [
            self.load(self.vector_at(pointers[1], b_place + j * lanes)) for j in range(self.across)
        ]
        results = []
        for (place, _), line in zip(self.rows, sums, strict=True):
            number = self.b.load(self.at(pointers[0], place + a_place), typ=self.number)
            factor = splat(self.b, number, lanes)
            results.append([factor.fma(x, old) for x, old in zip(across, line, strict=True)])
        return results

    def opening(self, places: list[list[Any]], start: Any) -> Sums:
        """Zeros, or the sums so far."""
        b = self.b
        blank = X(b, ir.Constant(self.vector, [0.0] * self.kind.lanes))
        if isinstance(start, ir.Constant) and start.constant:
            return [[blank] * self.across for _ in places]
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
