"""The step `resize`: pictures of another size, so that a net trained on one set can read another.

In: a data set and a size. Out: the same set with its pictures resized, once, as f32. A new pixel is
the mean of the old ones around its place, weighted by a triangle: between neighbours where pictures
grow (PyTorch's `align_corners=False`), as wide as a new pixel where they shrink, which is what
Pillow calls bilinear.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .arguments import Given, Parameter
from .dataset import Array, Column, Columns, Dataset
from .memory import check_fits
from .pictures import Picture, picture_shape, resized_field
from .registry import step
from .steps import known_fields

_AT_ONCE = 4096  # pictures: bounds the temporary


@step(
    "resize",
    Parameter("height", "integer", low=1, high=1 << 14),
    Parameter("width", "integer", None, 1, 1 << 14),
    Parameter("fields", "names", None),
)
def resize(dataset: Dataset, given: Given) -> Dataset:
    """Pictures of another height and width, `resize(28, 28)`, by bilinear interpolation; one number
    is both. A field of 64 pixels in a row becomes one of 784."""
    height = given.integer("height")
    width = height if given.values["width"] is None else given.integer("width")
    pictures = {
        name: shape
        for name, column in dataset.train.columns.items()
        if not (column.field.target or column.field.sequence)
        and (shape := picture_shape(column)) is not None
    }
    fields = known_fields(dataset, given, "fields", given.names("fields") or tuple(pictures))
    flat = next((name for name in fields if name not in pictures), None)
    if flat is not None or not fields:
        first = dataset.fields[flat if flat is not None else next(iter(dataset.fields))]
        message = f"`{first}` is no picture of [channels, height, width]"
        help = f"`-> reshape({first.name}, [1, 28, 28])` says which numbers are a picture"
        raise given.fail("E409", message, "fields" if flat is not None else "", help=help)

    def change(columns: Columns) -> Columns:
        done = {n: _resized(columns[n], pictures[n], (height, width), given) for n in fields}
        return {**columns, **done}

    return dataset.mapped(change)


def _resized(column: Column, shape: Picture, size: tuple[int, int], given: Given) -> Column:
    channels, height, width = shape
    field = resized_field(column.field, (channels, *size))
    count, what = len(column), f"`{column.field.name}` of {size[0]} × {size[1]}"
    check_fits(count * field.size * 4, what, given.span, "`-> take(n)` before, or a smaller size")
    down, across = _weights(height, size[0]), _weights(width, size[1])
    out = np.empty((count, channels, *size), np.float32)
    for start in range(0, count, _AT_ONCE):
        raw: Array = column.raw[start : start + _AT_ONCE]
        pictures = raw.reshape(len(raw), channels, height, width).astype(np.float32)
        out[start : start + _AT_ONCE] = down @ (pictures @ across.T)
    return replace(column, raw=out, field=field, image=(channels, *size))


def _weights(old: int, new: int) -> NDArray[np.float32]:
    """[new, old]: how much of each old pixel is in each new one. Those outside have no part, so at
    the border the rest counts for more."""
    scale = old / new
    middles = (np.arange(new) + 0.5) * scale
    away = np.abs(np.arange(old) + 0.5 - middles[:, None]) / max(scale, 1.0)
    triangle = np.maximum(0.0, 1.0 - away)
    return np.asarray(triangle / triangle.sum(axis=1, keepdims=True), np.float32)
