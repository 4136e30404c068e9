"""How a product is cut into blocks on CUDA: the tile of a block, and the parts of a long depth.

In: a `Product`, the largest batch, the tuning. Out: a `Tile` and `Parts`. Both follow from shapes;
the parts (on which the order of sums depends) not even from the device, so that every GPU gives
the same numbers.
"""

from __future__ import annotations

from math import prod

from ..plan import Extent, Product
from .cuda_kernel import WHOLE, Launch, Parts, Tile, Tuning

# From the most products per word read from shared memory to the most blocks; between them, tiles
# for few columns (narrow layers, first channels) and for few rows (weights of small kernels).
TILES = (
    Tile(128, 128, 8, 8, 8),
    Tile(128, 64, 8, 8, 4),
    Tile(64, 64, 16, 4, 4),
    Tile(128, 32, 16, 4, 4),
    Tile(32, 128, 16, 4, 4),
    Tile(128, 16, 16, 4, 2),
    Tile(32, 32, 16, 2, 2),
    Tile(16, 16, 16, 1, 1),
)
_WORD = 1.5  # what a word from shared memory costs, in multiply-adds
_MEASURE = (128, 64)  # the tile that parts are counted with, whatever tile is taken then
_DEEP = 16  # a depth below so many times `tuning.turns` is not cut, and no part is below half that
_STEP = 16  # parts are multiples of this: whole tiles


def choose_tile(product: Product, capacity: int, tuning: Tuning, parts: Parts) -> Tile:
    """The tile that takes least time: turns of the device × multiply-adds and reads of a tile."""
    if tuning.tile is not None:
        return tuning.tile

    def time(tile: Tile) -> float:
        turns = -(-launch(product, tile, parts).blocks(capacity) // tuning.blocks)
        reads = (tile.tall + tile.wide) / (tile.tall * tile.wide)
        return turns * tile.rows * tile.columns * (1 + _WORD * reads)

    small = [t for t in TILES if product.dtype == "f32" or t.tall * t.wide <= 16]
    return min(small, key=time)


def choose_parts(product: Product, capacity: int, tuning: Tuning) -> Parts:
    """Parts of the depth that different blocks sum, where there are few tiles and many terms."""
    rows, depth = product.row_count(capacity), product.depth_count(capacity)
    columns, loop = product.columns.at(capacity), product.loop.at(capacity)
    tiles = -(-rows // _MEASURE[0]) * -(-columns // _MEASURE[1]) * loop
    if depth < _DEEP * tuning.turns:
        return WHOLE
    count = min(tuning.spread // max(1, tiles), 2 * depth // (_DEEP * tuning.turns))
    if count < 2:
        return WHOLE
    length = -(-depth // (count * _STEP)) * _STEP
    itemsize = 8 if product.dtype == "f64" else 4
    return Parts(-(-depth // length), length, loop * rows * columns, itemsize)


def launch(product: Product, tile: Tile, parts: Parts) -> Launch:
    """A block for every tile of every product of the loop, for every part of the depth."""
    factors = (
        (flat(product.rows), tile.rows), (product.columns, tile.columns), (product.loop, 1),
        (Extent(parts.count), 1),
    )  # fmt: skip
    return Launch(tile.threads, factors)


def flat(extents: tuple[Extent, ...]) -> Extent:
    """Nested axes as one."""
    return Extent(prod(e.size for e in extents), any(e.batched for e in extents))
