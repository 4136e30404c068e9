"""Pictures side by side, as a net sees them: what `augment` does, for people to look at.

In: a data set. Out: an array of bytes, one row of pictures an example: first as measuring sees it,
then as the first epochs of training do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...dsl.diagnostics import fail
from .batches import permutation
from .dataset import Column, Dataset
from .memory import check_fits
from .pictures import picture_shape
from .transforms import Draws

EDGE = 112  # pixels: smaller pictures are enlarged by a whole factor
GAP = 4
PAPER = 255


def contact_sheet(dataset: Dataset, rows: int, columns: int, seed: int) -> NDArray[np.uint8]:
    """`rows` drawn examples of the train part, each `columns` times: [height, width, 3].

    Raises Failure E421 where the data hold no pictures.
    """
    name = _field(dataset)
    column, part = dataset.train.columns[name], dataset.train
    at = np.sort(permutation(len(part), seed, 0)[: min(rows, len(part))])
    looks = [_plain(column, part.rows(name, at))]
    for epoch in range(1, columns):
        looks.append(_plain(column, part.rows(name, at, draws=Draws(seed, epoch))))
    return tiled(np.stack(looks, axis=1))


def tiled(
    rows: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    scale: int | None = None,
    gap: int = GAP,
) -> NDArray[np.uint8]:
    """Rows of pictures [columns, C, h, w] as one picture [height, width, 3], `gap` pixels apart;
    rows may be of different lengths. `scale`: how many pixels a pixel becomes, by default what
    shows it well."""
    height, width = rows[0].shape[2:]
    factor = scale or max(1, EDGE // max(height, width))
    high, wide = height * factor + gap, width * factor + gap
    columns = max(len(row) for row in rows)
    shape = gap + len(rows) * high, gap + columns * wide, 3
    check_fits(math.prod(shape), f"a picture of {shape[1]:,} × {shape[0]:,} pixels", None,
               "ask for fewer at once, or a smaller `--scale`")  # fmt: skip
    sheet = np.full(shape, PAPER, np.uint8)
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            large = cell.repeat(factor, axis=1).repeat(factor, axis=2)
            y, x = gap + r * high, gap + c * wide
            sheet[y : y + high - gap, x : x + wide - gap] = _colour(large)
    return sheet


def _field(dataset: Dataset) -> str:
    for name, column in dataset.train.columns.items():
        if not column.field.target and picture_shape(column) is not None:
            return name
    shown = ", ".join(str(field) for field in list(dataset.fields.values())[:12])
    raise fail(
        "E421",
        f"`{dataset.name}` holds no pictures",
        note=f"its fields are {shown}",
        help="`-> reshape(image, [1, 28, 28])` says which numbers are a picture",
    )


def _plain(column: Column, values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Back from what the net sees to bytes [n, C, h, w]; a hole is then the mean colour."""
    shape = picture_shape(column)
    assert shape is not None
    height, width = shape[1:] if column.augment is None else column.augment.extent(*shape[1:])
    found = values.reshape(len(values), shape[0], height, width).astype(np.float64)
    if column.mean is not None and column.deviation is not None:
        found = found * column.deviation + column.mean
    if column.unit == 1.0:  # numbers of any range: from the least to the greatest
        low, high = found.min(), found.max()
        found = (found - low) / max(high - low, 1e-12)
    return np.asarray(np.clip(np.rint(found * 255), 0, 255), np.uint8)


def _colour(cell: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[C, h, w] as red, green and blue; of other counts of channels the first."""
    return (cell if len(cell) == 3 else cell[:1].repeat(3, axis=0)).transpose(1, 2, 0)
