"""`Product` kernels as Python text: blocks of sums in registers, the epilogue on each block.

In: a kernel, the largest batch, the registers of the target. Out: the lines of its function's
body. B is read in place where its rows are contiguous; else panels of it are packed into
scratch memory. A block's sums go to a small tile that stays in the first cache, from where the
epilogue takes them (bias, activation, their derivatives, the update of a weight): no sum
travels to memory and back. Threads share rows, columns or whole products, never the depth, and
each sum runs over k in ascending order: neither the shape of the block nor the number of
threads can change a result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..plan import Access, Extent, Matrix, Product
from ..scalar import Element
from .cpu_body import Body, Given, indent
from .cpu_nest import Loop, Place, draws, positions

CROWDED = 4096  # bytes: 64 sets of 64-byte lines


@dataclass(frozen=True)
class Block:
    """`rows` × `vectors` accumulators."""

    rows: int
    vectors: int


@dataclass(frozen=True)
class WrittenProduct:
    """The body of a kernel's function. `scratch` is in bytes, for each thread. `divisible`: cutting
    the work into more parts than threads costs nothing."""

    lines: list[str]
    divisible: bool
    scratch: int


def choose_block(
    rows: int, columns: int, lanes: int, registers: int, batched: bool = False, tallest: int = 16
) -> Block:
    """The block that wastes least: R·V sums, V vectors of B and one number of A must fit.

    Each step of k costs R·V multiplications and R + V loads. `batched` rows that fill no block go
    one by one.
    """
    across = -(-columns // lanes)
    best, best_cost = Block(1, 1), float("inf")
    for vectors in range(1, min(across, 8) + 1):
        for height in range(1, max(2, (registers - 1) // vectors)):
            if height > max(rows, 1) or height > tallest:
                break
            cost = _cost(rows, across, height, vectors, batched)
            if cost < best_cost:
                best, best_cost = Block(height, vectors), cost
    return best


def _cost(rows: int, across: int, height: int, vectors: int, batched: bool) -> float:
    """Turns of the innermost loop for one k, with the number of instructions of each.

    Two multiplications can start together, with two loads; a sum waits 4 turns for itself, so fewer
    than 8 sums leave the multipliers idle.
    """

    def turn(h: int, v: int) -> float:
        return max(h * v / 2, (h + v) / 2, 4) + 0.3

    def along(v: int) -> float:
        full, rest = divmod(rows, height)
        if batched:
            return full * turn(height, v) + rest * turn(1, v)
        return full * turn(height, v) + (turn(rest, v) if rest else 0)

    full, rest = divmod(across, vectors)
    return full * along(vectors) + (along(rest) if rest else 0)


def product_body(
    kernel: Product, capacity: int, registers: int, block: Block | None = None
) -> WrittenProduct:
    """The text of a `Product` kernel, after the slots have been given names."""
    return _Product(_turned(kernel), capacity, registers, block).body()


def _turned(kernel: Product) -> Product:
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
    return replace(
        kernel, rows=(kernel.columns,), columns=kernel.rows[0], a=a, b=b, epilogue=stage
    )


class _Product:
    def __init__(self, kernel: Product, capacity: int, registers: int, block: Block | None) -> None:
        self.kernel, self.capacity = kernel, capacity
        self.dtype = kernel.dtype
        self.lanes = 8 if kernel.dtype == "f64" else 16
        self.bytes = 8 if kernel.dtype == "f64" else 4
        rows, columns = kernel.row_count(capacity), kernel.columns.at(capacity)
        self.block = block or choose_block(
            rows, columns, self.lanes, registers, kernel.rows[0].batched, self.tallest()
        )
        self.width = self.block.vectors * self.lanes
        # Rows of B a multiple of 4 KiB apart share few places in the caches and evict each other.
        crowded = kernel.b.row[0] * self.bytes % CROWDED == 0 and kernel.depth_count(capacity) >= 64
        worth = crowded and rows >= 4 * self.block.rows
        self.packs = columns > 1 and (kernel.b.column != (1,) or worth)
        self.by = self.split()

    def tallest(self) -> int:
        """The most rows of a block: those of A are read side by side, and must fit the few places
        that the first cache has for lines a multiple of 4 KiB apart."""
        a = self.kernel.a
        if a.column != (1,) or a.row[0] * self.bytes % (CROWDED // 2):
            return 16
        return 7 if a.row[0] * self.bytes % CROWDED == 0 else 14

    def split(self) -> str:
        """What threads share: whole products, columns or rows, whichever divides best by two."""
        kernel, capacity = self.kernel, self.capacity
        if kernel.loop.at(capacity) >= 4:
            return "l"
        blocks_i = -(-kernel.row_count(capacity) // self.block.rows)
        blocks_j = -(-kernel.columns.at(capacity) // self.width)
        if self.packs and blocks_j > 1:
            return "j"
        return "i" if _balance(blocks_i) >= _balance(blocks_j) else "j"

    def body(self) -> WrittenProduct:
        kernel = self.kernel
        lines = [
            "seed = header(arena, 0)",
            "step = header(arena, 1)",
            "first_example = header(arena, 2)",
        ] if draws(kernel.epilogue) else []  # fmt: skip
        lines += [
            f"rows = {_extent(kernel.rows[0])}",
            f"columns = {_extent(kernel.columns)}",
            f"depth = {_extent(kernel.depth[0])}",
            f"loops = {_extent(kernel.loop)}",
        ]
        lines += self.shares()
        scratch = 0
        if self.packs:
            scratch = kernel.depth_count(self.capacity) * self.width * self.bytes
            lines.append(f"panel = at_{self.dtype}(arena, row, {len(kernel.slots)})")
        if not self.direct():
            lines.append(f"tile = local_{self.dtype}({self.block.rows * self.width})")
        self.loops = (
            Loop("l", None, (-2,)),
            Loop("(i + r)", None, (0,)),
            Loop("(j + s)", None, (1,), vector=True),
        )
        self.program = Body(
            kernel.epilogue, self.loops, self.places(kernel.epilogue.reads),
            self.lanes, self.counter(),
            fixed={0: Given("x", self.dtype, 3)}, tail="(w - s)",
        )  # fmt: skip
        lines += self.program.lines(0, False)
        lines += [
            "for l in range(l0, l1):",
            *indent(self.program.lines(1, False)),
            f"    for j in range(j0, j1, {self.width}):",
            f"        w = least({self.width}, j1 - j)",
            *indent(self.pack(), 2),
            f"        for i in range(i0, i1, {self.block.rows}):",
            f"            h = least({self.block.rows}, i1 - i)",
            *indent(self.multiply(), 3),
            *indent(self.epilogue(), 3),
        ]
        return WrittenProduct(lines, not (self.packs and self.by == "i"), scratch)

    def counter(self) -> str:
        """Where in its stream the draw of the first lane lies."""
        kernel = self.kernel
        product = "(first_example + l)" if kernel.loop.batched else "l"
        row = "first_example + i + r" if kernel.rows[0].batched else "i + r"
        return f"({product} * rows + {row}) * columns + j + s"

    def shares(self) -> list[str]:
        ends = {"l": ("loops", 1), "i": ("rows", self.block.rows), "j": ("columns", self.width)}
        lines = []
        for name, (total, unit) in ends.items():
            if name == self.by:
                lines.append(
                    f"{name}0, {name}1 = share({total}, thread, threads, {unit}), "
                    f"share({total}, thread + 1, threads, {unit})"
                )
            else:
                lines.append(f"{name}0, {name}1 = 0, {total}")
        return lines

    # -------------------------------------------------------------------------------- the sums

    def pack(self) -> list[str]:
        if not self.packs:
            return []
        b, lanes, width = self.kernel.b, self.lanes, self.width
        copy = (
            f"store(panel, k * {width} + s, "
            f"gather(p{b.slot}, {_at(b, 'k', '(j + s)')}, {b.column[0]}, {lanes}, w - s))"
        )
        if b.column == (1,):
            copy = (
                f"store(panel, k * {width} + s, load(p{b.slot}, {_at(b, 'k', '(j + s)')}, {lanes}))"
            )
        if b.row != (1,):
            return [
                f"for s in range(0, w, {lanes}):",
                "    for k in range(depth):",
                f"        {copy}",
            ]
        return [
            f"for s in range(0, w, {lanes}):",
            f"    for k in range(0, depth - {lanes - 1}, {lanes}):",
            f"        transpose({lanes}, p{b.slot}, {_at(b, 'k', '(j + s)')}, {b.column[0]}, w - s, "
            f"panel, k * {width} + s, {width})",
            f"    for k in range(depth - depth % {lanes}, depth):",
            f"        {copy}",
        ]

    def multiply(self) -> list[str]:
        """A call for each shape that a block can have; the last columns may fill fewer vectors."""
        shapes = self.widths()
        lines: list[str] = []
        for n, vectors in enumerate(shapes):
            last = n == len(shapes) - 1
            inner = self.heights(vectors)
            if last and n == 0:
                return inner
            condition = "" if last else f"w > {shapes[n + 1] * self.lanes}"
            lines += ["else:" if last else f"{'elif' if n else 'if'} {condition}:", *indent(inner)]
        return lines

    def widths(self) -> list[int]:
        """Numbers of vectors that a block of columns may take, falling."""
        columns, most = self.kernel.columns, self.block.vectors
        if columns.batched:
            return [most, *(v for v in (2, 1) if v < most)]
        left = -(-(columns.size % self.width) // self.lanes)
        whole = columns.size >= self.width or left == most
        return ([most] if whole else []) + ([left] if 0 < left < most else [])

    def heights(self, vectors: int) -> list[str]:
        rows = self.kernel.rows[0]
        full = self.call(self.block.rows, vectors, "0")
        if not rows.batched and rows.size % self.block.rows == 0:
            return [full]
        if not rows.batched:
            left = self.call(rows.size % self.block.rows, vectors, "0")
            return [f"if h == {self.block.rows}:", f"    {full}", "else:", f"    {left}"]
        if self.block.rows == 1:
            return [full]
        single = self.call(1, vectors, "r")
        return [f"if h == {self.block.rows}:", f"    {full}", "else:", "    for r in range(h):",
                f"        {single}"]  # fmt: skip

    def call(self, height: int, vectors: int, r: str) -> str:
        a, b = self.kernel.a, self.kernel.b
        row = "i" if r == "0" else f"(i + {r})"
        source = (
            f"panel, 0, {self.width}" if self.packs else f"p{b.slot}, {_at(b, 0, 'j')}, {b.row[0]}"
        )
        if self.direct():
            access = self.kernel.epilogue.writes[0].access
            base = f"{access.offset} + {access.example} * l + {access.strides[0]} * {row} + j"
            target = f"p{access.slot}, {base}, {access.strides[0]}"
        else:
            target = f"tile, {r} * {self.width}, {self.width}"
        return (
            f"multiply({height}, {vectors}, {self.lanes}, p{a.slot}, {_at(a, row, 0)}, {a.row[0]}, "
            f"{a.column[0]}, {source}, depth, {target}, True)"
        )

    def direct(self) -> bool:
        """The sums themselves are the result, and whole vectors: they go where they belong."""
        stage, columns = self.kernel.epilogue, self.kernel.columns
        if columns.batched or columns.size % self.lanes or len(stage.writes) != 1:
            return False
        write = stage.writes[0]
        plain = write.value == Element(0) and write.access.strides[1] == 1
        return plain and write.access.dtype == self.dtype

    # ----------------------------------------------------------------------------- the epilogue

    def places(self, accesses: tuple[Access, ...]) -> tuple[Place, ...]:
        return tuple(
            Place(a.slot, a.dtype, a.offset, (a.example, *(a.strides or (0, 0)))) for a in accesses
        )

    def epilogue(self) -> list[str]:
        if self.direct():
            return []
        columns = self.kernel.columns
        part = columns.batched or columns.size % self.lanes != 0
        stage = self.kernel.epilogue
        writes = [
            self.program.write(place, self.program.vector_of(w.value, place.dtype), part)
            for w, place in zip(
                stage.writes, self.places(tuple(w.access for w in stage.writes)), strict=True
            )
        ]
        inner = [
            f"x = load(tile, r * {self.width} + s, {self.lanes})",
            *self.program.lines(3, part),
            *writes,
        ]
        return [
            "for r in range(h):",
            *indent(self.program.lines(2, False)),
            f"    for s in range(0, w, {self.lanes}):",
            *indent(inner, 2),
        ]


def _balance(blocks: int) -> float:
    """The part of the work that two threads do side by side."""
    return blocks / (2 * -(-blocks // 2)) if blocks else 0.0


def _extent(extent: Extent) -> str:
    if not extent.batched:
        return str(extent.size)
    return "batch" if extent.size == 1 else f"batch * {extent.size}"


def _at(matrix: Matrix, i: str | int, j: str | int) -> str:
    """The index of element (i, j) in product l."""
    terms = [str(matrix.offset)]
    if matrix.loop:
        terms.append(f"{matrix.loop} * l")
    if i != 0 and matrix.row[0]:
        terms.append(f"{matrix.row[0]} * {i}")
    if j != 0 and matrix.column[0]:
        terms.append(f"{matrix.column[0]} * {j}")
    return " + ".join(terms)
