"""What a product looks like to the machine: its axes in normal form, its block, its chunks.

In: a `Product` and what is known of the host. Out: a `Shape`: axes that are contiguous in every
operand become one (a 1×1 convolution is an ordinary product), and the choices that decide its
speed, none of which can change a result:
* `Block`: which rows and how many vectors of columns are summed in registers at a time;
* `Chunk`: how much of the depth is gone through for all rows before the next part of it, so that
  this part of B (and of A) stays in the second cache;
* whether panels of B are packed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from ..plan import Access, Extent, Product
from .cpu_nest import accesses, draws, positions

CROWDED = 4096  # bytes: 64 sets of 64-byte lines
NEAR = 24 * 1024  # bytes of B that stay in the first cache
FAR = 1024 * 1024  # bytes of A that the second cache does not hold
PANEL = 320 * 1024  # bytes of B that a chunk may take of the second cache
SUMS = 128 * 1024  # bytes of sums that wait for the next chunk
BAND = 256 * 1024  # bytes of A, and of B beside it, where rows of A lie side by side


@dataclass(frozen=True)
class Axis:
    """Nested rows or depth: `size` indices (times the batch if `batched`).

    `axes` are the axes of the kernel that it stands for, `a` the step in A; `places` are the steps
    in every access of the epilogue (rows), or the step in B (depth).
    """

    size: int
    batched: bool
    axes: tuple[int, ...]
    a: int
    places: tuple[int, ...]

    @property
    def text(self) -> str:
        """The number of indices, in a kernel."""
        if not self.batched:
            return str(self.size)
        return "batch" if self.size == 1 else f"batch * {self.size}"

    def at(self, batch: int) -> int:
        return self.size * batch if self.batched else self.size


@dataclass(frozen=True)
class Block:
    """`rows` indices of row axis `axis` (all of those inside it) × `vectors` of columns."""

    rows: int
    vectors: int
    axis: int = 0


# Between small blocks of wide rows the processor reads ahead into weights and states, so that they
# come while sums are made: a seventh faster than with the blocks that multiply fastest.
UPDATING = Block(4, 4)
SHALLOW = 256  # depth up to which that decides


@dataclass(frozen=True)
class Chunk:
    """`size` indices of depth axis `axis` and all of those inside it. `band`: rows whose sums wait
    in memory meanwhile; 0 where the chunk is the whole depth."""

    axis: int
    size: int
    band: int


def merged(axes: list[Axis], apart: frozenset[int] | set[int] = frozenset()) -> tuple[Axis, ...]:
    """Axes of one index disappear, contiguous neighbours become one; `apart` keep their index."""
    result: list[Axis] = []
    for axis in axes:
        if axis.size == 1 and not axis.batched:
            continue
        if result and _joins(result[-1], axis, apart):
            left = result[-1]
            both = (*left.axes, *axis.axes)
            result[-1] = Axis(left.size * axis.size, left.batched, both, axis.a, axis.places)
        else:
            result.append(axis)
    return tuple(result) or (replace(axes[-1], axes=()),)


def _joins(left: Axis, right: Axis, apart: frozenset[int] | set[int]) -> bool:
    if right.batched or apart & {*left.axes, *right.axes}:
        return False
    steps = zip((left.a, *left.places), (right.a, *right.places), strict=True)
    return all(outer == inner * right.size for outer, inner in steps)


def row_axes(kernel: Product) -> tuple[Axis, ...]:
    found = accesses(kernel.epilogue)
    axes = [
        Axis(e.size, e.batched, (n,), kernel.a.row[n], tuple(_step(x, n) for x in found))
        for n, e in enumerate(kernel.rows)
    ]
    return merged(axes, positions(kernel.epilogue) - {-1})


def depth_axes(kernel: Product) -> tuple[Axis, ...]:
    return merged(
        [
            Axis(e.size, e.batched, (n,), kernel.a.column[n], (kernel.b.row[n],))
            for n, e in enumerate(kernel.depth)
        ]
    )


def _step(access: Access, n: int) -> int:
    return access.strides[n] if access.strides else 0


def turned(kernel: Product) -> Product:
    """Cᵀ = Bᵀ·Aᵀ where that makes the columns contiguous and C's rows are not."""
    if len(kernel.rows) > 1:
        return kernel
    places = [w.access for w in kernel.epilogue.writes]
    inner_rows = kernel.a.row == (1,) and kernel.b.column != (1,)
    if not (inner_rows and all(p.strides[0] == 1 for p in places)) or draws(kernel.epilogue):
        return kernel
    if any(p.strides[1] == 1 for p in places):
        return kernel
    a = replace(kernel.b, row=kernel.b.column, column=kernel.b.row)
    b = replace(kernel.a, row=kernel.a.column, column=kernel.a.row)
    stage = kernel.epilogue

    def turn(access: Access) -> Access:
        return replace(access, strides=access.strides[::-1]) if access.strides else access

    if positions(stage) - {-1}:
        return kernel
    stage = replace(
        stage,
        reads=tuple(turn(r) for r in stage.reads),
        writes=tuple(replace(w, access=turn(w.access)) for w in stage.writes),
    )
    return replace(kernel, rows=(kernel.columns,), columns=kernel.rows[0], a=a, b=b, epilogue=stage)


def lanes_for(dtype: str, columns: Extent) -> int:
    """The widest vector, or half or a quarter of it where there are so few columns."""
    lanes = 8 if dtype == "f64" else 16
    while lanes > 4 and not columns.batched and columns.size <= lanes // 2:
        lanes //= 2
    return lanes


# ------------------------------------------------------------------------------------- the block


def choose_block(
    rows: tuple[Axis, ...], columns: int, depth: int, lanes: int, registers: int, capacity: int,
    tallest: int = 32, size: int = 4, fresh: float = 0.0,
) -> Block:  # fmt: skip
    """The block that wastes least: R·V sums, V vectors of B and one number of A must fit.

    `fresh`: bytes of A that come from far memory for each number of it that is used.
    """
    across = -(-columns // lanes)
    best, best_cost = Block(1, 1, len(rows) - 1), float("inf")
    inside = 1
    for axis in reversed(range(len(rows))):
        count = rows[axis].at(capacity)
        for vectors in range(1, min(across, 8) + 1):
            most = max(1, (registers - 1) // vectors - 1)
            for height in range(1, min(count, most // inside, tallest // inside) + 1):
                cost = _cost(count, inside, across, height, vectors, depth,
                             rows[axis].batched, lanes * size, fresh)  # fmt: skip
                outer = prod(a.at(capacity) for a in rows[:axis])
                units = outer * -(-count // height) * -(-across // vectors)
                cost *= _imbalance(units) / (count * inside)
                if cost < best_cost * 0.9999:
                    best, best_cost = Block(height, vectors, axis), cost
        inside *= count
        if inside > min(registers, tallest):
            break
    return best


def _imbalance(units: int) -> float:
    """How much longer two threads take for so many equal parts than for any number."""
    return 2 * -(-units // 2) / units


def _cost(
    count: int, inside: int, across: int, height: int, vectors: int, depth: int, batched: bool,
    vector: int, fresh: float,
) -> float:  # fmt: skip
    """Turns of the innermost loop for one k, with the number of instructions of each.

    Two multiplications can start together, with two loads; a sum waits 4 turns for itself, so fewer
    than 8 sums leave the multipliers idle. A block that ends early costs its beginning and its end;
    a panel that the first cache does not hold comes from the second, and A from further away.
    """

    def turn(h: int, v: int) -> float:
        far = v * vector / 64 * 0.4 if v * vector * depth > NEAR else 0.0
        ends = (1.5 * h * v + 12) / depth
        return max(h * v / 2, (h + v) / 2, 4) + 0.3 + far + ends + 0.1 * h * fresh

    def along(v: int) -> float:
        full, rest = divmod(count, height)
        if batched:
            return (full + (rest > 0)) * turn(height * inside, v)
        return full * turn(height * inside, v) + (turn(rest * inside, v) if rest else 0)

    full, rest = divmod(across, vectors)
    return full * along(vectors) + (along(rest) if rest else 0)


def updates(kernel: Product, rows: tuple[Axis, ...]) -> bool:
    """Whether the epilogue reads a number for each sum that was last used a step ago: a weight, a
    state of its optimizer."""
    reads = kernel.epilogue.reads[1:]
    own = any(r.strides and r.strides[-1] == 1 and r.example == 0 for r in reads)
    return own and not any(axis.batched for axis in rows)


def fits_updating(rows: tuple[Axis, ...], columns: int, depth: int, lanes: int, registers: int
                  ) -> bool:  # fmt: skip
    """Whether blocks of `UPDATING` are ones that multiply well."""
    height, vectors = UPDATING.rows, UPDATING.vectors
    enough = len(rows) == 1 and rows[0].size >= 4 * height and columns >= 2 * vectors * lanes
    return enough and depth <= SHALLOW and registers > height * vectors + vectors


def fresh_bytes(rows: tuple[Axis, ...], depth: tuple[Axis, ...], capacity: int, size: int) -> float:
    """Bytes that each use of a number of A brings from beyond the second cache: the windows of a
    convolution overlap, the rows of a matrix do not."""
    axes = [*rows, *depth]
    span = 1 + sum((a.at(capacity) - 1) * abs(a.a) for a in axes)
    uses = prod(a.at(capacity) for a in axes)
    return size * min(1.0, span / uses) if span * size > FAR else 0.0


def tallest(rows: tuple[Axis, ...], depth: tuple[Axis, ...], size: int) -> int:
    """The most rows of a block: those of A are read side by side, and must fit the few places
    that the first cache has for lines a multiple of 4 KiB apart."""
    step = rows[-1].a * size
    if depth[-1].a != 1 or step % (CROWDED // 4):
        return 32
    return 7 if step % CROWDED == 0 else 14


# ------------------------------------------------------------------------------------- the chunk


def choose_chunk(
    depth: tuple[Axis, ...], rows: int, block_rows: int, width: int, capacity: int, size: int
) -> Chunk:
    """Whole where a panel of B fits the second cache; else as much of the depth as fits."""
    counts = [axis.at(capacity) for axis in depth]
    transposed = depth[-1].a != 1
    most = max(1, (BAND if transposed else PANEL) // (width * size))
    if transposed:
        most = min(most, 512, max(64, BAND // (size * min(rows, 256))))
    if prod(counts) <= most or rows <= block_rows:
        return Chunk(0, counts[0], 0)
    inside = prod(counts)
    for axis, count in enumerate(counts):
        inside //= count
        if inside <= most or axis == len(counts) - 1:
            parts = -(-count // max(1, most // inside))
            part = -(-count // parts)
            band = SUMS // (width * size)
            if transposed:
                band = min(band, BAND // (size * part * inside))
            return Chunk(axis, part, max(band, block_rows))
    raise AssertionError("a depth without axes")
