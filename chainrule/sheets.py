"""Numbers as pictures: which outputs of a net are images, and many of them on one sheet.

In: a model, the value of an output, arrays `[n, *shape]` in the units of the data. Out: a `Look`
(channels, height, width, and which numbers are black and white), and sheets of bytes
`[height, width, 3]` for a PNG. What is sampled is `sampling`'s business.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .compiler.graph import Leaf
from .compiler.value import Value
from .dsl.diagnostics import Failure
from .project import bind_inputs
from .runtime.data import Column, undo_statistics
from .runtime.data.contact_sheet import GAP, tiled
from .runtime.data.pictures import Picture, picture_shape
from .runtime.files import write_bytes

if TYPE_CHECKING:
    from .model import Model

Array = NDArray[Any]
LEAST = 4  # pixels: fewer numbers are no picture
BOUNDS = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Look:
    """A picture's channels, height and width; the numbers that are black and white, where they are
    known (a sheet takes the least and the greatest that it shows)."""

    shape: Picture
    bounds: tuple[float, float] | None = None

    def bytes(self, array: Array) -> NDArray[np.uint8]:
        """Numbers [n, *shape] as bytes [n, C, h, w]."""
        values = array.reshape(len(array), *self.shape).astype(np.float64)
        low, high = self.bounds or (0.0, 1.0)
        levels = np.nan_to_num((values - low) / max(high - low, 1e-12))
        return np.asarray(np.clip(np.rint(levels * 255), 0, 255), np.uint8)


def look_of(model: Model, value: Value) -> Look | None:
    """How the numbers of a value are shown; None where they are no picture. An image as a vector is
    one where the data say so, or else where it is a square."""
    shape = _picture(model, value)
    return None if shape is None else Look(shape, _bounds(model, value))


def in_units(model: Model, value: Value, array: Array) -> Array:
    """Numbers of a value as the data have them: where an input of as many numbers is normalised, it
    is normalised too. A sigmoid is not: it never leaves 0…1."""
    twin = twin_of(model, value)
    if twin is None or twin.name not in model.statistics or _last(value).op.name == "sigmoid":
        return array
    return undo_statistics({twin.name: array}, model.statistics)[twin.name]


def sheet(
    rows: Sequence[Array], look: Look, scale: int | None = None, gap: int = GAP
) -> NDArray[np.uint8]:
    """Rows of examples [columns, *shape] as one picture [height, width, 3]."""
    if look.bounds is None:
        finite = [row[np.isfinite(row)] for row in rows]
        least = min(float(row.min(initial=0.0)) for row in finite)
        look = replace(look, bounds=(least, max(float(row.max(initial=least)) for row in finite)))
    return tiled([look.bytes(row) for row in rows], scale, gap)


def in_rows(array: Array, columns: int) -> list[Array]:
    """Examples in reading order; the last row may be short."""
    return [array[k : k + columns] for k in range(0, len(array), columns)]


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """The picture as a file, whole or not at all."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


# ---------------------------------------------------------------- what is known of a value


def _picture(model: Model, value: Value) -> Picture | None:
    shape = value.shape
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    if len(shape) == 2:
        return (1, shape[0], shape[1]) if min(shape) >= LEAST else None
    twin = twin_of(model, value)
    if twin is not None:
        seen = twin.value.shape
        column = column_of(model, twin)
        known = picture_shape(column) if column is not None else None
        if known is not None and math.prod(known) == value.type.size:
            return known
        if len(seen) in (2, 3):
            return (seen[0], seen[1], seen[2]) if len(seen) == 3 else (1, seen[0], seen[1])
    for channels in (1, 3):
        side = math.isqrt(value.type.size // channels)
        if side >= LEAST and channels * side * side == value.type.size:
            return channels, side, side
    return None


def _bounds(model: Model, value: Value) -> tuple[float, float] | None:
    """What the last operation gives, or the data hold."""
    twin = twin_of(model, value)
    column = column_of(model, twin) if twin is not None else None
    normalised = twin is not None and twin.name in model.statistics
    ends = BOUNDS.get(_last(value).op.name)
    if ends is not None and not (normalised and _last(value).op.name != "sigmoid"):
        return ends
    return (0.0, 1.0) if column is not None and column.unit != 1.0 else None


def _last(value: Value) -> Value:
    """The operation that computed it, before it was given another shape."""
    while value.op.family == "view" and len(value.args) == 1:
        value = value.args[0]
    return value


def twin_of(model: Model, value: Value) -> Leaf | None:
    """The input of as many numbers, of that shape if there is one: what the value imitates."""
    same = [
        f for f in model.evaluation.inputs if f.value.type.is_float and value.type.size > 1
        and f.value.type.size == value.type.size
    ]  # fmt: skip
    return min(same, key=lambda f: f.value.shape != value.shape, default=None)


def column_of(model: Model, leaf: Leaf) -> Column | None:
    """The field of the data that feeds an input. Samples need no data: None where there are none,
    or where they are not to be had."""
    try:
        if model.dataset is None:
            return None
        bound = bind_inputs(model.evaluation, model.dataset, model.declaration)
    except Failure:
        return None
    return model.dataset.train.columns.get(bound.get(leaf.name, ""))
