"""Products as CUDA kernels: tiles in shared memory, sums in registers, the epilogue at the end.

In: a `Product` of the plan. Out: its `CudaKernel`s: one; or, where few tiles have a long depth, one
whose blocks each sum a part of the depth, and one that adds the parts in their order and goes on
with the epilogue.

A block computes one tile of C. It walks the depth a slice at a time: while one slice is multiplied,
the next is on its way from memory (two buffers in shared memory, one barrier a slice). A thread
holds `tall` × `wide` sums in registers; its rows and columns lie in fours side by side, so that
shared memory is read four words at a time. Rows and depth may be nested axes: where a row begins
is worked out before the depth is walked, where a term lies once for each slice (`cuda_loads`).
The finished sums go through shared memory to the epilogue, which reads and writes along the axis
that lies side by side in C. Sums run over k in ascending order.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from math import gcd, prod

from ..plan import Access, Extent, Product, Stage, Write
from ..scalar import Element
from .cuda_kernel import (
    BATCH,
    CudaKernel,
    Frame,
    Launch,
    Parts,
    Tile,
    Tuning,
    accesses,
    apart,
    decode,
)
from .cuda_loads import LINE, Side, groups_of
from .cuda_text import Indices, Program
from .cuda_tiles import choose_parts, choose_tile, flat, launch
from .cuda_writer import NUMPY, Text, literal

_PASS = 40960  # bytes of shared memory that sums may take on their way to the epilogue
_THREADS = 256  # of a block that adds parts


def emit_product(product: Product, capacity: int, tuning: Tuning) -> tuple[CudaKernel, ...]:
    """Texts of a `Product`. `capacity` (the largest batch) only helps to choose sizes."""
    parts = choose_parts(product, capacity, tuning)
    tile = choose_tile(product, capacity, tuning, parts)
    if parts.count == 1:
        return (_Tiles(product, capacity, tile, parts).write(),)
    partial = replace(product, epilogue=_kept(product, capacity))
    threads = min(_THREADS, tuning.threads)
    return (
        _Tiles(partial, capacity, tile, parts).write(),
        _Adder(product, capacity, parts).write(threads),
    )


def _kept(product: Product, capacity: int) -> Stage:
    """The epilogue that leaves the sums in the last slot, as [loop, rows, columns]."""
    steps = [1]
    for extent in (product.columns, *product.rows[:0:-1]):
        steps.append(steps[-1] * extent.at(capacity))
    each = product.row_count(capacity) * product.columns.at(capacity)
    place = Access(len(product.slots), product.dtype, tuple(steps[::-1]), 0, each)
    stage = product.epilogue
    return replace(stage, reads=stage.reads[:1], lets=(), writes=(Write(place, Element(0)),))


class _Epilogue:
    """What becomes of the sum at (l, i, j); the same in both kernels."""

    def __init__(self, product: Product, capacity: int, slots: int) -> None:
        self.product, self.capacity = product, capacity
        private = {len(product.slots)} if slots > len(product.slots) else set()
        self.frame = Frame(slots, (product.epilogue,), private)
        self.loop = "0" if product.loop == Extent(1) else "l"
        stage = product.epilogue
        self.column = len(product.rows)
        wanted = apart(stage) - {self.column, BATCH}
        self.groups = groups_of(product.rows, *accesses(stage), apart=wanted)
        self.out = Text()

    @property
    def by_rows(self) -> bool:
        """Whether neighbours in C are neighbouring rows."""
        places = [w.access.strides for w in self.product.epilogue.writes]
        return bool(places) and all(s[-1] != 1 and s[-2] == 1 for s in places)

    def sizes(self) -> None:
        """The extents of C, as names."""
        out, product = self.out, self.product
        out.line(f"rows = {_extent(flat(product.rows))}")
        out.line(f"columns = {_extent(product.columns)}")

    def row(self) -> dict[int, str]:
        """The indices of row `i`."""
        return decode(self.out, "i", self.groups, self.product.row_count(self.capacity))

    def element(self, index: dict[int, str], accumulator: str) -> None:
        """The program of the epilogue at row `i` (whose indices are `index`) and column `j`."""
        loop, stage = self.loop, self.product.epilogue
        index = {BATCH: loop, **index, self.column: "j"}
        if loop == "0":
            del index[BATCH]
        known = "i * columns + j" if loop == "0" else f"({loop} * rows + i) * columns + j"
        axes = tuple(index.get(k, "0") for k in range(len(stage.axes)))
        at = Indices(axes, f"({known})", f"{self._first()}{known}")
        program = Program(stage, known={0: accumulator})
        program.lets(self.out, at, lambda a: self.frame.place(a, index))
        program.writes(self.out, at, lambda a: self.frame.place(a, index))

    def _first(self) -> str:
        """Draws of a split batch count from the example that this part begins with (i64[2])."""
        extents = (self.product.loop, *self.product.rows, self.product.columns)
        if not any(e.batched for e in extents):
            return ""
        return f"i64[2] * {prod(e.size for e in extents)} + "


class _Tiles(_Epilogue):
    """The kernel whose blocks compute tiles."""

    def __init__(self, product: Product, capacity: int, tile: Tile, parts: Parts) -> None:
        super().__init__(product, capacity, len(product.slots) + (parts.count > 1))
        self.tile, self.parts = tile, parts
        dtype = product.dtype
        a, b = (self.frame.base(m.slot, dtype) for m in (product.a, product.b))
        self.sides = (
            Side("a", a, product.a, product.rows, product.depth, tile, capacity),
            Side("b", b, product.b, (product.columns,), product.depth, tile, capacity),
        )
        self.down, self.across = tile.rows // tile.tall, tile.columns // tile.wide
        self.high, self.long = _side_by_side(tile.tall), _side_by_side(tile.wide)
        # Terms written out in a turn: four cost registers (163 a thread: a block less) and time to
        # compile, one costs a tenth more instructions.
        self.steps = 2 - tile.depth % 2
        self.buffer = tile.depth * (tile.rows + LINE + tile.columns + LINE)
        # Rows of C that go to the epilogue at a time: whole groups of the threads' rows.
        itemsize, line = (8 if dtype == "f64" else 4), tile.columns + LINE
        self.passes = tile.tall // self.high
        while self.passes > 1 and itemsize * line * tile.rows * 2 // self.passes <= _PASS:
            self.passes //= 2
        self.shared = max(2 * self.buffer, tile.rows // self.passes * line)

    def write(self) -> CudaKernel:
        product, tile, out = self.product, self.tile, self.out
        numpy = NUMPY[product.dtype]
        out.line("t = cuda.threadIdx.x")
        out.line(f"tile = cuda.shared.array({self.shared}, dtype={numpy}, alignment=16)")
        self._place_block()
        self.frame.bases_text(out, "part")
        for side in self.sides:
            side.places(out, self.loop)
        for r, c in self._cells(range(tile.tall)):
            out.line(f"c{r}_{c} = {literal(0, product.dtype)}")
        self._walk()
        self._passes()
        doc = (
            f"C[i, j] = sum over k of A[i, k] B[k, j], {tile.rows} x {tile.columns} of C a block, "
            f"{tile.tall} x {tile.wide} a thread."
        )
        grid = launch(product, tile, self.parts)
        return self.frame.finish("product", doc, out, grid, self.parts)

    def _cells(self, rows: range) -> list[tuple[int, int]]:
        return [(r, c) for r in rows for c in range(self.tile.wide)]

    def _place_block(self) -> None:
        """Which tile of which product this block computes, and which elements this thread."""
        product, tile, out = self.product, self.tile, self.out
        self.sizes()
        out.line(f"depth = {_extent(flat(product.depth))}")
        out.line(f"wide = (columns + {tile.columns - 1}) // {tile.columns}")
        out.line(f"high = (rows + {tile.rows - 1}) // {tile.rows}")
        out.line("block = int(cuda.blockIdx.x)")
        out.line(f"i0 = block // wide % high * {tile.rows}")
        out.line(f"j0 = block % wide * {tile.columns}")
        if self.loop != "0":
            out.line(f"l = block // (wide * high) % ({_extent(product.loop)})")
        if self.parts.count > 1:
            out.line(f"part = block // (wide * high * {_extent(product.loop)})")
            out.line(f"start = part * {self.parts.length}")
            out.line(f"stop = min(start + {self.parts.length}, depth)")
        else:
            out.line("start = 0")
            out.line("stop = depth")
        self._place_thread()

    def _place_thread(self) -> None:
        """A warp's threads stand 4 × 8 where they can: that needs the fewest words of the tiles."""
        out, down, across = self.out, self.down, self.across
        if down % 4 or across % 8:
            out.line(f"y = t // {across}")
            out.line(f"x = t % {across}")
        else:
            out.line(f"y = t // 32 // {across // 8} * 4 + t % 32 // 8")
            out.line(f"x = t // 32 % {across // 8} * 8 + t % 8")
        out.line(f"y_at = np.uint64(y * {self.high})")
        out.line(f"x_at = np.uint64({self.tile.depth * (self.tile.rows + LINE)} + x * {self.long})")

    def _walk(self) -> None:
        """Along the depth: multiply a slice while the next one is fetched."""
        out, depth, tile = self.out, self.tile.depth, self.tile
        self._bring("fetch", "start")
        self._bring("stow", "start", "np.uint64(0)")
        out.sync()
        out.line("turn = 0")
        with out.block(f"for k0 in range(start, stop, {depth})"):
            out.line(f"next = k0 + {depth}")
            # Whole slices: only the last turn has nothing to fetch. Else fetching knows its end.
            whole = all(side.whole for side in self.sides)
            with out.block("if next < stop") if whole else nullcontext():
                self._bring("fetch", "next")
            out.line(f"here = np.uint64((turn & 1) * {self.buffer})")
            out.line("turn += 1")
            # Places are products and sums of multiples of four: that shows the compiler which words
            # may be read together. A place that is counted up would not.
            with out.block(f"for n in range(np.uint64({depth // self.steps}))"):
                for place, own, width in (("a", "y", tile.rows), ("b", "x", tile.columns)):
                    walked = f"n * np.uint64({self.steps * (width + LINE)})"
                    out.line(f"{place}_at = here + {walked} + {own}_at")
                for step in range(self.steps):
                    self._multiply(step)
            self._bring("stow", "next", f"np.uint64((turn & 1) * {self.buffer})")
            out.sync()

    def _bring(self, step: str, k: str, buffer: str = "") -> None:
        """Both operands of the slice that begins at k, into registers or from there to a buffer."""
        dtype = self.product.dtype
        for side in self.sides:
            if step == "fetch":
                side.fetch(self.out, k, dtype)
            else:
                side.stow(self.out, k, buffer, dtype)

    def _multiply(self, step: int) -> None:
        """One term of every sum. Indices are unsigned here: Numba gives every signed index a test
        for counting from the end, which would cost more than the products."""
        tile, out = self.tile, self.out
        down, across = step * (tile.rows + LINE), step * (tile.columns + LINE)
        for r in range(tile.tall):
            place = down + _where(r, self.high, self.down)
            out.line(f"a{r} = tile[a_at + np.uint64({place})]")
        for c in range(tile.wide):
            place = across + _where(c, self.long, self.across)
            out.line(f"b{c} = tile[b_at + np.uint64({place})]")
        for r, c in self._cells(range(tile.tall)):
            out.line(f"c{r}_{c} += a{r} * b{c}")

    def _passes(self) -> None:
        """The sums go through shared memory to the epilogue, some rows of every thread at a
        time."""
        out, tile, passes = self.out, self.tile, self.passes
        each, first = tile.tall // passes, "i0"
        if passes == 1:
            self._lay(range(tile.tall))
        else:
            out.line(f"for turn in range({passes}):")
            out.depth += 1
            for g in range(passes):
                with out.block(f"if turn == {g}"):
                    self._lay(range(g * each, (g + 1) * each))
            first = f"i0 + turn * {tile.rows // passes}"
        out.sync()
        self._elements(first)
        if passes > 1:
            out.sync()  # before the next sums take the place of these
            out.depth -= 1

    def _lay(self, rows: range) -> None:
        """A thread's sums of some rows, in shared memory, the first of the rows at its start."""
        line, skipped = self.tile.columns + LINE, _where(rows[0], self.high, self.down)
        self.out.line(f"c_at = np.uint64(y * {self.high * line} + x * {self.long})")
        for r, c in self._cells(rows):
            down = (_where(r, self.high, self.down) - skipped) * line
            place = down + _where(c, self.long, self.across)
            self.out.line(f"tile[c_at + np.uint64({place})] = c{r}_{c}")

    def _elements(self, first: str) -> None:
        """The epilogue of the sums in shared memory; neighbouring threads take neighbours in C."""
        out, tile, height = self.out, self.tile, self.tile.rows // self.passes
        side = height if self.by_rows else tile.columns
        width = gcd(tile.threads, 32)
        while width > side:
            width //= 2
        fast = f"(t % {width}, {{}}, {width})"
        slow = f"(t // {width}, {{}}, {tile.threads // width})"
        rows, columns = (fast, slow) if self.by_rows else (slow, fast)
        with out.block(f"for m in range{rows.format(height)}"):
            out.line(f"i = {first} + m")
            with out.block("if i < rows"):
                index = self.row()
                with out.block(f"for n in range{columns.format(tile.columns)}"):
                    out.line("j = j0 + n")
                    with out.block("if j < columns"):
                        out.line(f"c = tile[np.uint64(m * {tile.columns + LINE} + n)]")
                        self.element(index, "c")


class _Adder(_Epilogue):
    """The kernel that adds the parts of every sum and goes on with the epilogue."""

    def __init__(self, product: Product, capacity: int, parts: Parts) -> None:
        super().__init__(product, capacity, len(product.slots) + 1)
        self.parts = parts
        self.base = self.frame.base(len(product.slots), product.dtype)

    def write(self, threads: int) -> CudaKernel:
        product, out, parts = self.product, self.out, self.parts
        dtype = product.dtype
        self.frame.bases_text(out, "0")
        self.sizes()
        every = "rows * columns"
        every += "" if self.loop == "0" else f" * {_extent(product.loop)}"
        line = product.columns.at(self.capacity)
        each = product.row_count(self.capacity) * line
        with out.block(f"for q in range(cuda.grid(1), {every}, cuda.gridsize(1))"):
            out.line("j = q % columns")
            out.line("i = q // columns" if self.loop == "0" else "i = q // columns % rows")
            if self.loop != "0":
                out.line("l = q // columns // rows")
            start = f"{self.base} + i * {line} + j"
            out.line(f"at_c = {start}" + (f" + l * {each}" if self.loop != "0" else ""))
            out.line(f"c = {literal(0, dtype)}")
            with out.block(f"for part in range({parts.count})"):
                out.line(f"c += {dtype}[np.uint64(at_c + part * {parts.results})]")
            self.element(self.row(), "c")
        doc = f"Adds the {parts.count} parts of every sum in their order; then the epilogue."
        factor = ((flat((*product.rows, product.columns)), threads), (product.loop, 1))
        return self.frame.finish("added", doc, out, Launch(threads, factor), parts)


def _side_by_side(many: int) -> int:
    """How many of a thread's rows or columns are neighbours: as many as one read brings."""
    return gcd(many, 4)


def _where(number: int, together: int, threads: int) -> int:
    """Place of a thread's row or column in the tile, counted from its first."""
    return number // together * together * threads + number % together


def _extent(extent: Extent) -> str:
    if not extent.batched:
        return str(extent.size)
    return "batch" if extent.size == 1 else f"{extent.size} * batch"
