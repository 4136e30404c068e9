"""Matrix products as CUDA kernels: tiles in shared memory, sums in registers, the epilogue at the
end.

In: a `Product` of the plan. Out: a `CudaKernel`. A block computes one tile of C for one value of
the loop; a thread (y, x) of it the elements (y + r·threads down, x + c·threads across), so that
neighbouring threads read neighbouring words of shared memory and write neighbouring elements of
C. Sums run over k in ascending order and are never split.
"""

from __future__ import annotations

from ..plan import Access, Extent, Matrix, Product
from .cuda_kernel import BATCH, CudaKernel, Frame, Launch, Tile, Tuning
from .cuda_text import Indices, Program
from .cuda_writer import NUMPY, Text, literal, load, times, total

# From the most work per word read to the most blocks.
TILES = (Tile(64, 64, 16, 4, 4), Tile(32, 32, 16, 2, 2), Tile(16, 16, 16, 1, 1))


def choose_tile(product: Product, capacity: int, tuning: Tuning) -> Tile:
    """The largest tile that still gives every multiprocessor a block; else the smallest."""
    if tuning.tile is not None:
        return tuning.tile
    for tile in TILES:
        if _launch(product, tile).blocks(capacity) >= tuning.blocks:
            return tile
    return TILES[-1]


def emit_product(product: Product, capacity: int, tuning: Tuning) -> CudaKernel:
    """Text of a `Product` kernel. `capacity` (the largest batch) only helps to choose the tile."""
    tile = choose_tile(product, capacity, tuning)
    return _Writer(product, tile).write()


def _launch(product: Product, tile: Tile) -> Launch:
    factors = ((product.rows[0], tile.rows), (product.columns, tile.columns), (product.loop, 1))
    return Launch(tile.threads, factors)


class _Writer:
    def __init__(self, product: Product, tile: Tile) -> None:
        self.product, self.tile, self.out = product, tile, Text()
        self.frame = Frame(len(product.slots), (product.epilogue,))
        self.a = self.frame.base(product.a.slot, product.dtype)
        self.b = self.frame.base(product.b.slot, product.dtype)
        # One word more than the tile: columns of a transposed tile fall into different banks.
        self.a_line, self.b_line = tile.rows + 1, tile.columns + 1

    def write(self) -> CudaKernel:
        product, tile, out = self.product, self.tile, self.out
        numpy = NUMPY[product.dtype]
        out.line("t = cuda.threadIdx.x")
        out.line(f"a_tile = cuda.shared.array({tile.depth * self.a_line}, dtype={numpy})")
        out.line(f"b_tile = cuda.shared.array({tile.depth * self.b_line}, dtype={numpy})")
        self.frame.bases_text(out)
        self._place_block()
        for r, c in self._cells():
            out.line(f"c{r}_{c} = {literal(0, product.dtype)}")
        with out.block(f"for k0 in range(0, depth, {tile.depth})"):
            self._fetch("a", product.a.column == (1,))
            self._fetch("b", product.b.column != (1,))
            out.sync()
            self._multiply()
            out.sync()
        self._epilogue()
        doc = (
            f"C[i, j] = sum over k of A[i, k] B[k, j], {tile.rows} x {tile.columns} of C a block, "
            f"{tile.tall} x {tile.wide} a thread."
        )
        return self.frame.finish("product", doc, out, _launch(product, tile))

    def _cells(self) -> list[tuple[int, int]]:
        return [(r, c) for r in range(self.tile.tall) for c in range(self.tile.wide)]

    def _place_block(self) -> None:
        """Which tile of which product this block computes, and which elements this thread."""
        product, tile, out = self.product, self.tile, self.out
        out.line(f"rows = {_extent(product.rows[0])}")
        out.line(f"columns = {_extent(product.columns)}")
        out.line(f"depth = {_extent(product.depth[0])}")
        out.line(f"across = (columns + {tile.columns - 1}) // {tile.columns}")
        out.line("block = cuda.blockIdx.x")
        if product.loop != Extent(1):
            out.line(f"tiles = (rows + {tile.rows - 1}) // {tile.rows} * across")
            out.line("l = block // tiles")
            out.line("block = block % tiles")
        out.line(f"i0 = block // across * {tile.rows}")
        out.line(f"j0 = block % across * {tile.columns}")
        wide = tile.columns // tile.wide
        out.line(f"y = t // {wide}")
        out.line(f"x = t % {wide}")
        out.line(f"a_line = np.uint64({self.a_line})")
        out.line(f"b_line = np.uint64({self.b_line})")
        for r in range(tile.tall):
            out.line(f"down{r} = np.uint64(y + {r * (tile.rows // tile.tall)})")
        for c in range(tile.wide):
            out.line(f"across{c} = np.uint64(x + {c * wide})")

    def _fetch(self, which: str, along_k: bool) -> None:
        """Bring one tile into shared memory; neighbouring threads read along the axis whose
        elements lie side by side."""
        tile, out = self.tile, self.out
        count = tile.depth * (tile.rows if which == "a" else tile.columns)
        if count % tile.threads:
            with out.block(f"for s in range(t, {count}, {tile.threads})"):
                self._fetch_one(which, along_k)
            return
        # Written out where every thread has equally many: all loads can then be under way at once.
        for start in range(0, count, tile.threads):
            out.line(f"s = t + {start}")
            self._fetch_one(which, along_k)

    def _fetch_one(self, which: str, along_k: bool) -> None:
        """Element s of a tile; zero beyond the edges."""
        product, tile, out = self.product, self.tile, self.out
        is_a = which == "a"
        side = tile.rows if is_a else tile.columns
        bound, start, line = ("rows", "i0", self.a_line) if is_a else ("columns", "j0", self.b_line)
        slow, fast = ("m", "k") if along_k else ("k", "m")
        width = tile.depth if along_k else side
        out.line(f"{slow} = s // {width}")
        out.line(f"{fast} = s % {width}")
        out.line(f"{which} = {literal(0, product.dtype)}")
        with out.block(f"if {start} + m < {bound} and k0 + k < depth"):
            matrix = product.a if is_a else product.b
            row, column = f"({start} + m)", "(k0 + k)"
            i, j = (row, column) if is_a else (column, row)
            place = self._matrix(matrix, self.a if is_a else self.b, i, j)
            out.line(f"{which} = {load(place, product.dtype)}")
        out.line(f"{which}_tile[k * {line} + m] = {which}")

    def _matrix(self, matrix: Matrix, base: str, i: str, j: str) -> str:
        terms = [base, str(matrix.offset)]
        for name, stride in (("l", matrix.loop), (i, matrix.row[0]), (j, matrix.column[0])):
            if stride and not (name == "l" and self.product.loop == Extent(1)):
                terms.append(times(name, stride))
        return total(terms)

    def _multiply(self) -> None:
        """The terms of one pair of tiles, k ascending. Indices are unsigned here: Numba gives every
        signed index a test for counting from the end, which would cost more than the products."""
        tile, out = self.tile, self.out
        with out.block(f"for n in range(np.uint64({tile.depth}))"):
            for r in range(tile.tall):
                out.line(f"a{r} = a_tile[n * a_line + down{r}]")
            for c in range(tile.wide):
                out.line(f"b{c} = b_tile[n * b_line + across{c}]")
            for r, c in self._cells():
                out.line(f"c{r}_{c} += a{r} * b{c}")

    def _epilogue(self) -> None:
        """What becomes of each sum that lies inside C."""
        tile, out = self.tile, self.out
        for r in range(tile.tall):
            out.line(f"i = i0 + y{f' + {r * (tile.rows // tile.tall)}' if r else ''}")
            for c in range(tile.wide):
                out.line(f"j = j0 + x{f' + {c * (tile.columns // tile.wide)}' if c else ''}")
                with out.block("if i < rows and j < columns"):
                    self._cell(f"c{r}_{c}")

    def _cell(self, accumulator: str) -> None:
        loop = "0" if self.product.loop == Extent(1) else "l"
        index = {BATCH: loop, 0: "i", 1: "j"}
        if loop == "0":
            del index[BATCH]
        known = f"({loop} * rows + i) * columns + j" if loop != "0" else "i * columns + j"
        at = Indices(("i", "j"), f"({known})", f"{self._first()}{known}")
        program = Program(self.product.epilogue, known={0: accumulator})

        def place(access: Access) -> str:
            return self.frame.place(access, index)

        program.lets(self.out, at, place)
        program.writes(self.out, at, place)

    def _first(self) -> str:
        """Draws of a split batch count from the example that this part begins with (i64[2])."""
        extents = (self.product.loop, self.product.rows[0], self.product.columns)
        if not any(e.batched for e in extents):
            return ""
        size = extents[0].size * extents[1].size * extents[2].size
        return f"i64[2] * {size} + "


def _extent(extent: Extent) -> str:
    if not extent.batched:
        return str(extent.size)
    return "batch" if extent.size == 1 else f"{extent.size} * batch"
