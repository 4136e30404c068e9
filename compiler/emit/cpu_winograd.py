"""Convolutions by Winograd's F(2×2, 3×3), where that measures faster than the sum itself.

In: a `Product` with the geometry of a 3×3 window that moves by one pixel. Out: the kernel's text,
or None where the direct way is better. 16 multiplications do the work of 36: tiles of the input
are transformed in groups that stay in the second cache, 16 small products (one for each place in
a tile) run through the same register blocks as any other, and the results are transformed back
and given to the same epilogue. f32 only: the sums are rounded differently (about 1e-5 relative),
though always alike, on any number of threads.

Forward, and by data (the same with weights read backwards): rows (example, height, width), depth
(3, 3, channels). By weights: rows (3, 3, channels), depth (example, height, width); the sums over
all tiles are taken in the transformed space, and come back once.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..plan import Product
from .cpu_body import indent
from .cpu_nest import positions
from .cpu_product_finish import Finish, Inside
from .cpu_product_shape import Axis, depth_axes, row_axes
from .cpu_product_text import extent, packed, parts, product_of, sum_of, times, units

LANES = 16
BYTES = 4
TILES = 320 * 1024  # bytes of transformed tiles that the second cache may hold
FEWEST = 16  # channels, on either side
FEWEST_TILES = 64
BLOCKS = {4: 6, 3: 8, 2: 14, 1: 16}  # rows of a register block with so many vectors


@dataclass(frozen=True)
class WrittenWinograd:
    """As `WrittenProduct`."""

    words: list[str]
    lines: list[str]
    divisible: bool
    scratch: int


@dataclass(frozen=True)
class Window:
    """A 3×3 window over images of `height` × `width` results, `channels` deep.

    `image`, `line`, `pixel`: steps in A.
    """

    height: int
    width: int
    channels: int
    image: int
    line: int
    pixel: int

    @property
    def tiles(self) -> tuple[int, int]:
        return -(-self.height // 2), -(-self.width // 2)


def apart(axes: tuple[Axis, ...]) -> tuple[Axis, ...] | None:
    """(3, 3, channels) from axes of which the inner two may have become one."""
    if len(axes) == 2 and axes[1].size % 3 == 0 and axes[1].a == 1:
        high, both = axes
        channels = both.size // 3
        steps = tuple(p * channels for p in both.places)
        wide = Axis(3, False, both.axes, channels, steps)
        axes = (high, wide, Axis(channels, False, both.axes, 1, both.places))
    sizes = [a.size for a in axes]
    if len(axes) != 3 or sizes[:2] != [3, 3] or any(a.batched for a in axes):
        return None
    return axes


def window(pixels: tuple[Axis, ...], taps: tuple[Axis, ...] | None) -> Window | None:
    """The window's geometry, if there is one: it moves by as much as its taps lie apart."""
    if taps is None or len(pixels) != 3 or not pixels[0].batched or pixels[0].size != 1:
        return None
    image, line, pixel = pixels
    if (line.a, pixel.a) != (taps[0].a, taps[1].a) or taps[2].a != 1:
        return None
    if line.size < 2 or pixel.size < 2:
        return None
    return Window(line.size, pixel.size, taps[2].size, image.a, line.a, pixel.a)


def suits(kernel: Product, capacity: int) -> Window | None:
    """The window, if the kernel is such a convolution and large enough."""
    columns = kernel.columns
    if kernel.dtype != "f32" or columns.batched or kernel.loop.at(2) != 1:
        return None
    if columns.size < FEWEST or columns.size % LANES or not vectors_for(kernel):
        return None
    if len(kernel.rows) < 2:
        return None
    rows, depth = row_axes(kernel), depth_axes(kernel)
    found = window(rows, apart(depth))
    if found is None:
        found = window(depth, apart(rows))
        odd = found is not None and (found.height % 2 or found.width % 2)
        if odd or kernel.b.column != (1,) or positions(kernel.epilogue) - {-1}:
            return None
    if found is None or found.channels < FEWEST or found.channels % LANES:
        return None
    enough = capacity * found.tiles[0] * found.tiles[1] >= FEWEST_TILES
    return found if enough else None


def vectors_for(kernel: Product) -> int:
    """Vectors of a panel of columns; 0 where they do not divide, or would make many narrow ones."""
    across = kernel.columns.size // LANES
    return next((v for v in (4, 3, 2) if across % v == 0), 1 if across == 1 else 0)


def winograd_body(kernel: Product, capacity: int, registers: int) -> WrittenWinograd | None:
    """The text of the kernel; None where it is no such convolution, or too small a one."""
    found = suits(kernel, capacity) if registers >= 32 else None
    if found is None:
        return None
    if apart(depth_axes(kernel)) is None:
        return _ByWeights(kernel, found, vectors_for(kernel)).written()
    return _Forward(kernel, found, capacity, vectors_for(kernel)).written()


def word(name: str, kind: str, source: tuple[int, int], target: tuple[int, int]) -> str:
    """The definition of a transform."""
    return f'{name} = winograd("{kind}", "f32", {LANES}, {source}, {target})'


class _Forward:
    def __init__(self, kernel: Product, found: Window, capacity: int, vectors: int) -> None:
        self.kernel, self.window, self.capacity = kernel, found, capacity
        self.rows, depth = row_axes(kernel), apart(depth_axes(kernel))
        assert depth is not None
        self.depth = depth
        self.vectors, self.height = vectors, BLOCKS[vectors]
        self.width = vectors * LANES
        channels = found.channels
        most = max(24, TILES // (16 * BYTES * channels))
        self.group = max(1, most // self.height) * self.height
        self.packs = kernel.b.column != (1,)
        # Scratch, in elements: packed weights, transformed weights, tiles, results.
        self.weights = 9 * channels * self.width if self.packs else 0
        self.tiles = self.weights + 16 * channels * self.width
        self.results = self.tiles + 16 * channels * self.group
        self.end = self.results + 16 * self.width * self.group

    def written(self) -> WrittenWinograd:
        kernel, width, channels = self.kernel, self.width, self.window.channels
        inside = tuple(
            Inside(f"(i{n} + r{n})", f"r{n}", f"h{n}" if size % 2 else "2", step)
            for n, size, step in ((1, self.window.height, 2), (2, self.window.width, 1))
        )
        self.finish = Finish(kernel, self.rows, inside, LANES, width)
        columns = extent(kernel.columns)
        high, wide = self.window.tiles
        lines = [
            f"own = at_f32(arena, row, {len(kernel.slots)})",
            f"tile = local_f32({4 * width})",
            *self.finish.first(),
            f"tiles = {product_of('batch', str(high * wide))}",
            *units("1", parts(columns, width), width, columns, parts("tiles", self.group), LANES),
            *indent(self.finish.of_product()),
            *indent(self.transformed_weights()),
            "    for t in range(start, to):",
            f"        count = least({self.group}, tiles - t * {self.group})",
            "        for n in range(count):",
            *indent(self.decoded(), 3),
            *indent(self.transformed_input(), 3),
            "        for f in range(16):",
            f"            for n in range(0, count, {self.height}):",
            f"                sums(own, {self.tiles} + (f * {self.group} + n) * {channels}, "
            f"own, {self.weights} + f * {channels * width}, "
            f"own, {self.results} + (f * {self.group} + n) * {width}, {channels}, True)",
            "        for n in range(count):",
            *indent(self.decoded(), 3),
            f"            for s in range(0, {width}, {LANES}):",
            f"                output(own, {self.results} + n * {width} + s, tile, s)",
            *indent(self.finish.of_block("tile", "0"), 3),
        ]
        many = self.capacity * high * wide >= 1024
        return WrittenWinograd(self.words(), lines, many, self.end * BYTES)

    def words(self) -> list[str]:
        channels, width, group = self.window.channels, self.width, self.group
        whole = (channels * width, group * channels, group * width)
        weights, tiles, results = ((4 * n, n) for n in whole)
        taps = (3 * channels * width, channels * width)
        if not self.packs:
            taps = (self.depth[0].places[0], self.depth[1].places[0])
        block = f"(({self.height}, {channels}, {width}),), (({channels}, 1, {width}),)"

        return [
            word("weights", "weights", taps, weights),
            word("input", "input", (self.window.line, self.window.pixel), tiles),
            word("output", "output", results, (2 * width, width)),
            f'sums = register_block("f32", {LANES}, {self.vectors}, {block})',
        ]

    def transformed_weights(self) -> list[str]:
        """G g Gᵀ for the panel's columns."""
        b, width, lines = self.kernel.b, self.width, []
        source = f"p{b.slot}, {sum_of(b.offset, ('c', self.depth[2].places[0]), ('(j + s)', 1))}"
        if self.packs:
            lines = packed(b, str(b.offset), self.depth, "3", LANES, width, "0")
            source = f"own, c * {width} + s"
        return [
            *lines,
            f"for c in range({self.window.channels}):",
            f"    for s in range(0, {width}, {LANES}):",
            f"        weights({source}, own, {self.weights} + c * {width} + s)",
        ]

    def decoded(self) -> list[str]:
        """Where tile n of group t lies; how much of it there is."""
        high, wide = self.window.tiles
        lines = [
            f"m = t * {self.group} + n",
            f"i2 = m % {wide} * 2",
            f"i1 = m // {wide} % {high} * 2",
            f"i0 = m // {high * wide}",
        ]
        for n, size in ((1, self.window.height), (2, self.window.width)):
            if size % 2:
                lines.append(f"h{n} = least(2, {size} - i{n})")
        return lines

    def transformed_input(self) -> list[str]:
        """Bᵀ d B of a tile, for all channels."""
        a, found = self.kernel.a, self.window
        steps = (("i0", found.image), ("i1", found.line), ("i2", found.pixel), ("c", 1))
        return [
            f"for c in range(0, {found.channels}, {LANES}):",
            f"    input(p{a.slot}, {sum_of(a.offset, *steps)}, "
            f"own, {self.tiles} + n{times(found.channels)} + c)",
        ]


class _ByWeights:
    """dg = Gᵀ[Σ (A δ Aᵀ) ⊙ (Bᵀ d B)]G: `part` channels by `width` columns at a time, whose sums
    over all tiles stay in the second cache; the tiles come in groups."""

    GROUP = 48

    def __init__(self, kernel: Product, found: Window, vectors: int) -> None:
        self.kernel, self.window = kernel, found
        rows = apart(row_axes(kernel))
        assert rows is not None
        self.rows, self.pixels = rows, depth_axes(kernel)
        self.vectors, self.height = vectors, 4 if vectors == 4 else 8
        self.width = vectors * LANES
        panels = kernel.columns.size // self.width
        sizes = [n for n in (64, 48, 32, 16) if found.channels % n == 0]
        self.part = next((n for n in sizes if panels * found.channels // n > 1), sizes[-1])
        self.gradients = 16 * self.part * self.GROUP
        self.sums = self.gradients + 16 * self.width * self.GROUP
        self.end = self.sums + 16 * self.part * self.width

    def written(self) -> WrittenWinograd:
        kernel, width, part, group = self.kernel, self.width, self.part, self.GROUP
        inside = (
            Inside("r0", "r0", "3", 3), Inside("r1", "r1", "3", 1), Inside("(c0 + c)", "", "", 0)
        )  # fmt: skip
        finish = Finish(kernel, self.rows, inside, LANES, width)
        columns = extent(kernel.columns)
        high, wide = self.window.tiles
        blocks = str(self.window.channels // part)
        lines = [
            f"own = at_f32(arena, row, {len(kernel.slots)})",
            f"tile = local_f32({9 * width})",
            *finish.first(),
            f"tiles = {product_of('batch', str(high * wide))}",
            *units("1", parts(columns, width), width, columns, blocks, LANES),
            *indent(finish.of_product()),
            "    for t in range(start, to):",
            f"        c0 = t * {part}",
            f"        for u in range(0, tiles, {group}):",
            f"            count = least({group}, tiles - u)",
            "            for n in range(count):",
            *indent(self.transformed(), 4),
            "            for f in range(16):",
            f"                for c in range(0, {part}, {self.height}):",
            f"                    sums(own, f * {group * part} + c, "
            f"own, {self.gradients} + f * {group * width}, "
            f"own, {self.sums} + (f * {part} + c) * {width}, count, u == 0)",
            f"        for c in range({part}):",
            f"            for s in range(0, {width}, {LANES}):",
            f"                summed(own, {self.sums} + c * {width} + s, tile, s)",
            *indent(finish.of_block("tile", "0"), 3),
        ]
        return WrittenWinograd(self.words(), lines, False, self.end * BYTES)

    def words(self) -> list[str]:
        part, width, group = self.part, self.width, self.GROUP
        whole = (part * group, width * group, part * width)
        tiles, gradients, sums = ((4 * n, n) for n in whole)
        seen = (self.pixels[1].places[0], self.pixels[2].places[0])
        block = f"(({self.height}, 1, {width}),), ((0, {part}, {width}),)"
        return [
            word("input", "input", (self.window.line, self.window.pixel), tiles),
            word("gradient", "gradient", seen, gradients),
            word("summed", "summed", sums, (3 * width, width)),
            f'sums = register_block("f32", {LANES}, {self.vectors}, {block})',
        ]

    def transformed(self) -> list[str]:
        """Tile n of this group: Bᵀ d B of the part's channels, A δ Aᵀ of the panel's columns."""
        a, b, found = self.kernel.a, self.kernel.b, self.window
        high, wide = found.tiles
        at = ("i0", "i1", "i2")
        left = [(name, axis.a) for name, axis in zip(at, self.pixels, strict=True)]
        right = [(name, axis.places[0]) for name, axis in zip(at, self.pixels, strict=True)]
        return [
            "m = u + n",
            f"i2 = m % {wide} * 2",
            f"i1 = m // {wide} % {high} * 2",
            f"i0 = m // {high * wide}",
            f"for c in range(0, {self.part}, {LANES}):",
            f"    input(p{a.slot}, {sum_of(a.offset, *left, ('c0', 1), ('c', 1))}, "
            f"own, n * {self.part} + c)",
            f"for s in range(0, {self.width}, {LANES}):",
            f"    gradient(p{b.slot}, {sum_of(b.offset, *right, ('j', 1), ('s', 1))}, "
            f"own, {self.gradients} + n * {self.width} + s)",
        ]
