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

from ..plan import Access, Extent, Product
from ..scalar import Element
from .cpu_body import Body, Given, indent
from .cpu_nest import Loop, Place, draws
from .cpu_product_shape import (
    CROWDED,
    NEAR,
    Axis,
    Block,
    choose_block,
    choose_chunk,
    depth_axes,
    lanes_for,
    row_axes,
    tallest,
    turned,
)

ALIGN = 64  # bytes


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
    return _Product(turned(kernel), capacity, registers, block).written()


class _Product:
    def __init__(self, kernel: Product, capacity: int, registers: int, block: Block | None) -> None:
        self.kernel, self.capacity = kernel, capacity
        self.dtype = kernel.dtype
        self.bytes = 8 if kernel.dtype == "f64" else 4
        self.lanes = lanes_for(kernel.dtype, kernel.columns)
        self.rows, self.depth = row_axes(kernel), depth_axes(kernel)
        count, columns = kernel.row_count(capacity), kernel.columns.at(capacity)
        self.deep = kernel.depth_count(capacity)
        self.block = block or choose_block(
            self.rows, columns, self.deep, self.lanes, registers, capacity,
            tallest(self.rows, self.depth, self.bytes), self.bytes,
        )  # fmt: skip
        self.cut = self.rows[self.block.axis]
        self.inner = self.rows[self.block.axis + 1 :]
        self.height = self.block.rows * prod(a.size for a in self.inner)
        self.width = self.block.vectors * self.lanes
        self.chunk = choose_chunk(self.depth, count, self.height, self.width, capacity, self.bytes)
        self.packs = columns > 1 and (kernel.b.column != (1,) or self.worth_packing(count))
        self.shapes: dict[tuple[int, int], str] = {}

    def worth_packing(self, rows: int) -> bool:
        """Rows of B far apart share few places in the caches and evict each other."""
        if rows < 4 * self.height:
            return False
        step = self.depth[-1].places[0] * self.bytes
        if step % CROWDED == 0:
            return self.deep >= 64
        far = step >= 512 and step > self.width * self.bytes
        return far and rows >= 32 * self.height and self.deep * self.width * self.bytes > NEAR

    # ------------------------------------------------------------------------------ the function

    def written(self) -> WrittenProduct:
        kernel, last = self.kernel, self.block.axis
        self.loops = (
            Loop("l", None, (-2,)),
            *(Loop(f"i{n}", None, self.rows[n].axes or (-2,)) for n in range(last)),
            Loop("(j + s)", None, (len(kernel.rows),), vector=True),
            *(Loop(name, None, a.axes or (-2,)) for name, a in zip(self.names(), self.rows[last:], strict=True)),
        )  # fmt: skip
        self.program = Body(
            kernel.epilogue, self.loops, self.places(kernel.epilogue.reads),
            self.lanes, self.counter(),
            fixed={0: Given("x", self.dtype, len(self.loops))}, tail="(w - s)",
        )  # fmt: skip
        lines = [
            "seed = header(arena, 0)",
            "step = header(arena, 1)",
            "first_example = header(arena, 2)",
        ] if draws(kernel.epilogue) else []  # fmt: skip
        scratch = self.panel_bytes() + self.sums_bytes()
        if scratch:
            lines.append(f"own = at_{self.dtype}(arena, row, {len(kernel.slots)})")
        if not self.direct() and not self.chunk.band:
            lines.append(f"tile = local_{self.dtype}({self.height * self.width})")
        lines += self.program.lines(0, False)
        lines += self.ranges()
        lines += indent(self.panel_lines())
        words = [f"{name} = register_block({text})" for text, name in self.words().items()]
        many = self.packs and kernel.row_count(self.capacity) < 64 * self.height
        return WrittenProduct(words, lines, not many, scratch)

    def names(self) -> list[str]:
        """The index along the axis that blocks cut, and along those inside it."""
        n = self.block.axis
        cut = f"i{n}" if self.block.rows == 1 else f"(i{n} + r{n})"
        return [cut, *(f"r{n + 1 + k}" for k in range(len(self.inner)))]

    def counter(self) -> str:
        """Where in its stream the draw of the first lane lies."""
        kernel = self.kernel
        product = "l"
        if kernel.loop.batched:
            product = f"(first_example{_times(kernel.loop.size)} + l)"
        terms = []
        last = self.block.axis
        names = [*(f"i{n}" for n in range(last)), *self.names()]
        for n, (name, axis) in enumerate(zip(names, self.rows, strict=True)):
            if axis.batched:
                name = f"(first_example{_times(axis.size)} + {name})"
            terms.append(name + _times(prod(a.size for a in self.rows[n + 1 :])))
        rows = _product(*(a.text for a in self.rows))
        columns = _product(_extent(kernel.columns))
        return f"({product} * {rows} + {' + '.join(terms)}) * {columns} + j + s"

    def ranges(self) -> list[str]:
        """This thread's blocks: in each panel of columns of each product, some of the blocks."""
        kernel = self.kernel
        outer = [a.text for a in self.rows[: self.block.axis]]
        blocks = _product(*outer, _parts(self.cut.text, self.block.rows))
        panels = _parts(_extent(kernel.columns), self.width)
        loops = _extent(kernel.loop)
        units = _product(loops, panels, blocks)
        column = "0" if panels == "1" else f"p % {panels} * {self.width}"
        product = "0" if loops == "1" else ("p" if panels == "1" else f"p // {panels}")
        return [
            f"columns = {_extent(kernel.columns)}",
            f"blocks = {blocks}",
            f"begin, end = share({units}, thread, threads, 1), "
            f"share({units}, thread + 1, threads, 1)",
            "for p in range(begin // blocks, (end + blocks - 1) // blocks if end > begin else 0):",
            f"    l, j = {product}, {column}",
            f"    w = least({self.width}, columns - j)",
            "    start, to = (begin - p * blocks if begin > p * blocks else 0), least(end - p * blocks, blocks)",
        ]

    def panel_lines(self) -> list[str]:
        """Everything for one panel of columns."""
        lines = self.program.lines(1, False)
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

    def inner_depth(self) -> tuple[Axis, ...]:
        return self.depth[self.chunk.axis + 1 :]

    def b_origin(self) -> str:
        """The first element of B in a chunk, without its columns."""
        b = self.kernel.b
        steps = [(f"d{n}", a.places[0]) for n, a in enumerate(self.depth[: self.chunk.axis + 1])]
        return _sum(b.offset, ("l", b.loop), *(steps if self.chunk.band else ()))

    def pack(self) -> list[str]:
        """Copy a panel of B so that its rows become neighbours."""
        if not self.packs:
            return []
        axes = self.depth[self.chunk.axis :]
        lanes, width, column = self.lanes, self.width, self.kernel.b.column[0]
        loops = []
        place, flat = self.b_origin(), "0"
        for n, axis in enumerate(axes[:-1]):
            loops.append(f"for k{n} in range({'n' if n == 0 else axis.size}):")
            place = f"{place} + {axis.places[0]} * k{n}"
            flat = _sum(0, (flat, 1), (f"k{n}", prod(a.size for a in axes[n + 1 :])))
        last = axes[-1]
        count = "n" if len(axes) == 1 else str(last.size)
        lines = [f"o = {place}", f"q = ({flat}) * {width}"]
        source = _sum(0, ("o", 1), ("k", last.places[0]), ("(j + s)", column))
        pointer = f"p{self.kernel.b.slot}"
        copy = f"store(own, q + k * {width} + s, gather({pointer}, {source}, {column}, {lanes}, w - s))"
        if column == 1:
            copy = f"store(own, q + k * {width} + s, load({pointer}, {source}, {lanes}))"
        if last.places[0] != 1:
            lines += [f"for s in range(0, w, {lanes}):", f"    for k in range({count}):",
                      f"        {copy}"]  # fmt: skip
        else:
            lines += [
                f"for s in range(0, w, {lanes}):",
                f"    for k in range(0, {count} - {lanes - 1}, {lanes}):",
                f"        transpose({lanes}, {pointer}, {source}, {column}, w - s, "
                f"own, q + k * {width} + s, {width})",
                f"    for k in range({count} - {count} % {lanes}, {count}):",
                f"        {copy}",
            ]
        result: list[str] = []
        for n, loop in enumerate(loops):
            result += indent([loop], n)
        return result + indent(lines, len(loops))

    # ---------------------------------------------------------------------------------- the block

    def decoded(self) -> list[str]:
        """Where block t lies along the row axes; `h`: how many rows it has along the cut one."""
        n, size = self.block.axis, self.block.rows
        parts = _parts(self.cut.text, size)
        lines = []
        rest = "t"
        if n:
            lines.append(f"i{n} = t % {parts}{_times(size)}")
            rest = "t" if parts == "1" else f"t // {parts}"
        for k in range(n - 1, 0, -1):
            lines += [f"i{k} = ({rest}) % {self.rows[k].text}"]
            rest = f"({rest}) // {self.rows[k].text}"
        if n:
            lines.append(f"i0 = {rest}")
            return lines + ([f"h = least({size}, {self.cut.text} - i{n})"] if self.ragged() else [])
        if not self.cut.batched or size == 1:
            lines.append(f"i0 = t{_times(size)}")
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
        left = _sum(a.offset, ("l", a.loop), *outer, *places)
        if self.packs:
            right = "own, 0"
        else:
            right = f"p{kernel.b.slot}, {self.b_origin()} + j"
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
            place = _sum(access.offset, ("l", access.example), *steps, ("j", 1))
            return f"p{access.slot}, {place}"
        row = _sum(0, *([(r, prod(a.size for a in self.inner) * self.width)] if r else ()))
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

    # ------------------------------------------------------------------------------ the epilogue

    def places(self, accesses: tuple[Access, ...]) -> tuple[Place, ...]:
        """Accesses in the order of the loops: rows outside a block, columns, rows of the block."""
        last = self.block.axis
        result = []
        for access in accesses:
            steps = access.strides or (0,) * (len(self.kernel.rows) + 1)
            rows = [steps[a.axes[-1]] if a.axes else 0 for a in self.rows]
            strides = (access.example, *rows[:last], steps[-1], *rows[last:])
            result.append(Place(access.slot, access.dtype, access.offset, strides))
        return tuple(result)

    def epilogue(self) -> list[str]:
        """The program on every vector of a block's sums."""
        if self.direct():
            return []
        columns, stage, last = self.kernel.columns, self.kernel.epilogue, self.block.axis
        part = columns.batched or columns.size % self.lanes != 0
        writes = [
            self.program.write(place, self.program.vector_of(w.value, place.dtype), part)
            for w, place in zip(
                stage.writes, self.places(tuple(w.access for w in stage.writes)), strict=True
            )
        ]
        lines = [line for n in range(last) for line in self.program.lines(2 + n, False)]
        lines += [
            f"for s in range(0, w, {self.lanes}):",
            *indent(self.program.lines(2 + last, part)),
        ]
        depth, flat = 1, []
        for n, axis in enumerate((self.cut, *self.inner)):
            name = f"r{last + n}"
            if n or self.block.rows > 1:
                bounds = str(axis.size) if n else self.bounds()
                lines += indent([f"for {name} in range({bounds}):"], depth)
                flat.append((name, prod(a.size for a in self.inner[n:])))
                depth += 1
            if n == len(self.inner):
                lines += indent([self.read_sum(_sum(0, *flat))], depth)
            lines += indent(self.program.lines(3 + last + n, part), depth)
        return [*lines, *indent(writes, depth)]

    def read_sum(self, row: str) -> str:
        """A vector of the sums in a row of the block."""
        where = f"own, {self.tile()}" if self.chunk.band else "tile, 0"
        return f"x = load({where} + ({row}) * {self.width} + s, {self.lanes})"

    def bounds(self) -> str:
        """The rows of a block that are to be finished."""
        if self.cut.batched:
            return "first, h"
        return "h" if self.ragged() else str(self.block.rows)


def _extent(extent: Extent) -> str:
    if not extent.batched:
        return str(extent.size)
    return "batch" if extent.size == 1 else f"batch * {extent.size}"


def _times(factor: int) -> str:
    return "" if factor == 1 else f" * {factor}"


def _product(*factors: str) -> str:
    """A product of texts, numbers multiplied out."""
    number = prod(int(f) for f in factors if f.isdigit())
    words = [f if f.isidentifier() else f"({f})" for f in factors if not f.isdigit()]
    if number != 1 or not words:
        words.append(str(number))
    text = " * ".join(words)
    return text if len(words) == 1 else f"({text})"


def _parts(count: str, size: int) -> str:
    """How many parts of `size` it takes, as text."""
    if count.isdigit():
        return str(-(-int(count) // size))
    return count if size == 1 else f"(({count} + {size - 1}) // {size})"


def _sum(offset: int, *terms: tuple[str, int]) -> str:
    """offset + Σ step·name, without what is nothing."""
    texts = [name if step == 1 else f"{step} * {name}" for name, step in terms
             if step and name != "0"]  # fmt: skip
    if offset or not texts:
        texts.append(str(offset))
    return " + ".join(texts)
