"""`Product` kernels as Python text: blocks of sums in registers, the epilogue on each block.

In: a kernel, the largest batch, the registers of the target. Out: the lines of its function's
body, and those that stand before the function. Dense products and convolutions are one thing
here: rows and depth are nested axes, and A is read in place through its strides. B is read in
place where its rows are contiguous; else panels of it are packed into scratch memory. A
block's sums go to a small tile that stays in the first cache, from where the epilogue takes them
(bias, activation, their derivatives, the update of a weight). Where the depth is long it is cut
into chunks, and the sums wait in scratch memory between them. Threads share the blocks, never
the depth, and each sum runs over k in ascending order: neither the shape of the block nor the
number of threads can change a result.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ..plan import Product
from ..scalar import Element
from .cpu_body import indent
from .cpu_product_finish import Finish, Inside
from .cpu_product_shape import (
    CROWDED,
    NEAR,
    UPDATING,
    Block,
    choose_block,
    choose_chunk,
    depth_axes,
    fits_updating,
    fresh_bytes,
    lanes_for,
    row_axes,
    tallest,
    turned,
    updates,
)
from .cpu_product_text import extent, packed, parts, product_of, sum_of, times, units
from .cpu_winograd import suits, winograd_body

ALIGN = 64  # bytes
MANY = 200  # rows for which a panel of B may be copied at little cost
FEWER = 48  # the same where the depth is long, and so is the way to its rows


@dataclass(frozen=True)
class WrittenProduct:
    """A kernel's function: the words it uses, its body. `scratch` is in bytes, for each thread.
    `divisible`: cutting the work into more parts than threads costs nothing."""

    words: list[str]
    lines: list[str]
    divisible: bool
    scratch: int


def product_body(
    kernel: Product, capacity: int, registers: int, block: Block | None = None
) -> WrittenProduct:
    """The text of a `Product` kernel, after the slots have been given names."""
    fast = winograd_body(kernel, capacity, registers) if block is None else None
    if fast is not None:
        return WrittenProduct(fast.words, fast.lines, fast.divisible, fast.scratch)
    return _Product(turned(kernel), capacity, registers, block).written()


def product_work(kernel: Product, batch: int) -> float:
    """Nanoseconds on one thread, roughly, on a host with wide registers."""
    lanes = lanes_for(kernel.dtype, kernel.columns)
    wide = 16 if kernel.dtype == "f32" else 8
    across = -(-kernel.columns.at(batch) // lanes) * lanes / wide
    depth = kernel.depth_count(batch) * (0.18 if suits(kernel, batch) else 0.32)
    turns = kernel.loop.at(batch) * kernel.row_count(batch) * across
    return 50 + turns * (depth + 5 * len(kernel.epilogue.writes))


class _Product:
    def __init__(self, kernel: Product, capacity: int, registers: int, block: Block | None) -> None:
        self.kernel, self.capacity = kernel, capacity
        self.dtype = kernel.dtype
        self.bytes = 8 if kernel.dtype == "f64" else 4
        self.lanes = lanes_for(kernel.dtype, kernel.columns)
        self.rows, self.depth = row_axes(kernel), depth_axes(kernel)
        count, columns = kernel.row_count(capacity), kernel.columns.at(capacity)
        self.deep = kernel.depth_count(capacity)
        self.updates = updates(kernel, self.rows)
        self.block = block or self.chosen_block(columns, registers)
        self.cut = self.rows[self.block.axis]
        self.inner = self.rows[self.block.axis + 1 :]
        self.height = self.block.rows * prod(a.size for a in self.inner)
        self.width = self.block.vectors * self.lanes
        self.chunk = choose_chunk(self.depth, count, self.height, self.width, capacity, self.bytes)
        self.packs = columns > 1 and (kernel.b.column != (1,) or self.worth_packing(count))
        self.shapes: dict[tuple[int, int], str] = {}

    def chosen_block(self, columns: int, registers: int) -> Block:
        if self.updates and fits_updating(self.rows, columns, self.deep, self.lanes, registers):
            return UPDATING
        return choose_block(
            self.rows, columns, self.deep, self.lanes, registers, self.capacity,
            tallest(self.rows, self.depth, self.bytes), self.bytes,
            fresh_bytes(self.rows, self.depth, self.capacity, self.bytes),
        )  # fmt: skip

    def worth_packing(self, rows: int) -> bool:
        """Rows of B far apart share few places in the caches and evict each other."""
        step = self.depth[-1].places[0] * self.bytes
        if step % CROWDED == 0:
            return self.deep >= 64 and rows >= 4 * self.height
        far = step > self.width * self.bytes and self.deep * self.width * self.bytes > NEAR
        return far and rows >= (FEWER if self.chunk.band else MANY)

    # ------------------------------------------------------------------------------ the function

    def written(self) -> WrittenProduct:
        kernel = self.kernel
        self.finish = Finish(
            kernel, self.rows, self.inside(), self.lanes, self.width,
            self.block.rows if self.updates else 0,
        )  # fmt: skip
        lines = []
        scratch = self.panel_bytes() + self.sums_bytes()
        if scratch:
            lines.append(f"own = at_{self.dtype}(arena, row, {len(kernel.slots)})")
        if not self.direct() and not self.chunk.band:
            lines.append(f"tile = local_{self.dtype}({self.height * self.width})")
        outer = [a.text for a in self.rows[: self.block.axis]]
        blocks = product_of(*outer, parts(self.cut.text, self.block.rows))
        columns = extent(kernel.columns)
        panels = parts(columns, self.width)
        lines += self.finish.first()
        lines += units(extent(kernel.loop), panels, self.width, columns, blocks, self.lanes)
        lines += indent(self.panel_lines())
        words = [f"{name} = register_block({text})" for text, name in self.words().items()]
        many = self.packs and kernel.row_count(self.capacity) < 64 * self.height
        return WrittenProduct(words, lines, not many, scratch)

    def inside(self) -> tuple[Inside, ...]:
        """The axis that blocks cut, and those inside it."""
        n, alone = self.block.axis, self.block.rows == 1
        bounds = str(self.block.rows)
        if self.cut.batched:
            bounds = "first, h"
        elif self.ragged():
            bounds = "h"
        name = f"i{n}" if alone else f"(i{n} + r{n})"
        step = prod(a.size for a in self.inner)
        result = [Inside(name, "" if alone else f"r{n}", bounds, step)]
        for k, axis in enumerate(self.inner):
            step //= axis.size
            result.append(Inside(f"r{n + 1 + k}", f"r{n + 1 + k}", str(axis.size), step))
        return tuple(result)

    def panel_lines(self) -> list[str]:
        """Everything for one panel of columns."""
        lines = self.finish.of_product()
        if not self.chunk.band:
            n = self.depth[0].text
            lines += [f"n = {n}", *self.pack()]
            body = [*self.decoded(), *self.multiply(), *self.epilogue()]
            return [*lines, "for t in range(start, to):", *indent(body)]
        most = max(1, self.chunk.band // self.height)
        inside = [
            *self.pack(),
            "for t in range(u0, u1):",
            *indent([*self.decoded(), *self.multiply()]),
        ]
        return [
            *lines,
            f"for u0 in range(start, to, {most}):",
            f"    u1 = least(u0 + {most}, to)",
            *indent(self.chunked(inside)),
            "    for t in range(u0, u1):",
            *indent([*self.decoded(), *self.epilogue()], 2),
        ]

    def chunked(self, inside: list[str]) -> list[str]:
        """The loops over the chunks of the depth around some lines."""
        axis, size = self.chunk.axis, self.chunk.size
        lines: list[str] = []
        for n in range(axis):
            lines += indent([f"for d{n} in range({self.depth[n].text}):"], n)
        count = self.depth[axis].text
        started = " + ".join(f"d{n}" for n in range(axis + 1))
        lines += indent([
            f"for d{axis} in range(0, {count}, {size}):",
            f"    n = least({size}, {count} - d{axis})",
            f"    fresh = {started} == 0",
            *indent(inside),
        ], axis)  # fmt: skip
        return lines

    # -------------------------------------------------------------------------------- the panel

    def panel_bytes(self) -> int:
        if not self.packs:
            return 0
        counts = [a.at(self.capacity) for a in self.depth]
        if self.chunk.band:
            counts = [self.chunk.size, *counts[self.chunk.axis + 1 :]]
        return -(-prod(counts) * self.width * self.bytes // ALIGN) * ALIGN

    def sums_bytes(self) -> int:
        if not self.chunk.band:
            return 0
        return max(1, self.chunk.band // self.height) * self.height * self.width * self.bytes

    def b_origin(self) -> str:
        """The first element of B in a chunk, without its columns."""
        b = self.kernel.b
        steps = [(f"d{n}", a.places[0]) for n, a in enumerate(self.depth[: self.chunk.axis + 1])]
        return sum_of(b.offset, ("l", b.loop), *(steps if self.chunk.band else ()))

    def pack(self) -> list[str]:
        """Copy a panel of B so that its rows become neighbours."""
        if not self.packs:
            return []
        axes = self.depth[self.chunk.axis :]
        return packed(self.kernel.b, self.b_origin(), axes, "n", self.lanes, self.width, "0")

    # ---------------------------------------------------------------------------------- the block

    def decoded(self) -> list[str]:
        """Where block t lies along the row axes; `h`: how many rows it has along the cut one."""
        n, size = self.block.axis, self.block.rows
        pieces = parts(self.cut.text, size)
        lines = []
        rest = "t"
        if n:
            lines.append(f"i{n} = t % {pieces}{times(size)}")
            rest = "t" if pieces == "1" else f"t // {pieces}"
        for k in range(n - 1, 0, -1):
            lines += [f"i{k} = ({rest}) % {self.rows[k].text}"]
            rest = f"({rest}) // {self.rows[k].text}"
        if n:
            lines.append(f"i0 = {rest}")
            return lines + ([f"h = least({size}, {self.cut.text} - i{n})"] if self.ragged() else [])
        if not self.cut.batched or size == 1:
            lines.append(f"i0 = t{times(size)}")
            return lines + ([f"h = least({size}, {self.cut.text} - i0)"] if self.ragged() else [])
        # The last block of a batch begins earlier, so that it is full; its first rows are done.
        return [
            f"i0 = least(t * {size}, {self.cut.text} - {size})",
            "i0 = 0 if i0 < 0 else i0",
            f"first = t * {size} - i0",
            f"h = least({size}, {self.cut.text} - i0)",
        ]

    def ragged(self) -> bool:
        """The last block along the cut axis has fewer rows, known here."""
        return not self.cut.batched and self.cut.size % self.block.rows != 0

    def multiply(self) -> list[str]:
        """A call for each width that a panel can have; the last columns may fill fewer vectors."""
        widths = self.widths()
        lines: list[str] = []
        for n, vectors in enumerate(widths):
            last = n == len(widths) - 1
            inner = self.heights(vectors)
            if last and n == 0:
                return inner
            condition = "" if last else f"w > {widths[n + 1] * self.lanes}"
            lines += ["else:" if last else f"{'elif' if n else 'if'} {condition}:", *indent(inner)]
        return lines

    def widths(self) -> list[int]:
        """Numbers of vectors that a panel of columns may take, falling."""
        columns, most = self.kernel.columns, self.block.vectors
        if columns.batched:
            return [most, *(v for v in (2, 1) if v < most)]
        left = -(-(columns.size % self.width) // self.lanes)
        whole = columns.size >= self.width or left == most
        return ([most] if whole else []) + ([left] if 0 < left < most else [])

    def heights(self, vectors: int) -> list[str]:
        size = self.block.rows
        full = self.call(size, vectors)
        if self.cut.batched and size > 1:
            single = self.call(1, vectors, "r")
            return [f"if h == {size}:", f"    {full}", "else:", "    for r in range(h):",
                    f"        {single}"]  # fmt: skip
        if not self.ragged():
            return [full]
        if self.cut.size < size:
            return [self.call(self.cut.size % size, vectors)]
        left = self.call(self.cut.size % size, vectors)
        return [f"if h == {size}:", f"    {full}", "else:", f"    {left}"]

    def call(self, height: int, vectors: int, r: str = "") -> str:
        """Sums of a block of so many rows; `r`: from this row of the tile on."""
        kernel, last, a = self.kernel, self.block.axis, self.kernel.a
        name = self.shapes.setdefault((height, vectors), f"sums_{height}x{vectors}")
        chunks = self.depth[: self.chunk.axis + 1] if self.chunk.band else ()
        outer = [(f"i{n}", axis.a) for n, axis in enumerate(self.rows[: last + 1])]
        if r:
            outer.append((r, self.cut.a))
        places = [(f"d{n}", axis.a) for n, axis in enumerate(chunks)]
        left = sum_of(a.offset, ("l", a.loop), *outer, *places)
        right = "own, 0" if self.packs else f"p{kernel.b.slot}, {self.b_origin()} + j"
        fresh = "fresh" if self.chunk.band else "True"
        return f"{name}(p{a.slot}, {left}, {right}, {self.target(r)}, n, {fresh})"

    def target(self, r: str) -> str:
        """Where the sums of a block go: the pointer and the index."""
        if self.direct():
            access = self.kernel.epilogue.writes[0].access
            steps = [
                (f"i{n}", a.places[-1]) for n, a in enumerate(self.rows[: self.block.axis + 1])
            ]
            if r:
                steps.append((r, self.cut.places[-1]))
            place = sum_of(access.offset, ("l", access.example), *steps, ("j", 1))
            return f"p{access.slot}, {place}"
        row = sum_of(0, *([(r, prod(a.size for a in self.inner) * self.width)] if r else ()))
        if not self.chunk.band:
            return f"tile, {row}"
        return f"own, {self.tile()} + {row}"

    def tile(self) -> str:
        """The first of a block's waiting sums."""
        return f"{self.panel_bytes() // self.bytes} + (t - u0) * {self.height * self.width}"

    def words(self) -> dict[str, str]:
        """The register blocks in use: their text, and their names."""
        found = {}
        for (height, vectors), name in self.shapes.items():
            rows: list[tuple[int, int, int]] = []
            for n, axis in enumerate((self.cut, *self.inner)):
                count = height if n == 0 else axis.size
                step = prod(a.size for a in self.inner[n:]) * self.width
                if self.direct():
                    step = axis.places[-1]
                if count > 1 or not rows:
                    rows.append((count, axis.a, step))
            depth: list[tuple[int, int, int]] = []
            axes = self.depth[self.chunk.axis :]
            for n, axis in enumerate(axes):
                packed = prod(a.size for a in axes[n + 1 :]) * self.width
                step = packed if self.packs else axis.places[0]
                count = self.count() if n == 0 else axis.size
                depth.append((count, axis.a, step))
            text = f'"{self.dtype}", {self.lanes}, {vectors}, {tuple(rows)}, {tuple(depth)}'
            if axes[-1].a == 1:
                text += f", {self.cut.a * height}"
            elif self.chunk.band:
                text += f", {self.chunk.size * axes[0].a}"
            found[text] = name
        return found

    def count(self) -> int:
        """The turns of a chunk's outermost loop; 0 where only the kernel knows."""
        axis = self.depth[self.chunk.axis]
        if axis.batched or (self.chunk.band and axis.size % self.chunk.size):
            return 0
        return self.chunk.size

    def direct(self) -> bool:
        """The sums themselves are the result, and whole vectors: they go where they belong."""
        stage, columns = self.kernel.epilogue, self.kernel.columns
        if self.chunk.band or columns.batched or columns.size % self.lanes:
            return False
        if len(stage.writes) != 1:
            return False
        write = stage.writes[0]
        plain = write.value == Element(0) and write.access.strides[-1] == 1
        return plain and write.access.dtype == self.dtype

    def epilogue(self) -> list[str]:
        if self.direct():
            return []
        return self.finish.of_block(*(("own", self.tile()) if self.chunk.band else ("tile", "0")))
