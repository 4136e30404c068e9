"""Random changes of pictures: what `augment` asks for, and what it draws for each example.

In: a list of transforms, the numbers of examples in their data set, a seed and an epoch. Out: for
each example one affine map from the places of the new picture to those of the old, brightness,
contrast and the hole to cut. A draw depends on (seed, epoch, example, place in the list) alone, so
that neither threads nor interruptions change it. The pixels are the business of `pixels`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compiler.random import threefry2x32
from ...dsl.source import Span

Floats = NDArray[np.float64]
Words = NDArray[np.uint32]
Extent = tuple[int, int]  # height, width
STREAM = 0x41554700  # keys of these draws; those of a net's own draws count from 0
_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class Draws:
    """What the draws of an epoch depend on besides the example."""

    seed: int
    epoch: int

    def words(self, number: int, examples: NDArray[np.int64]) -> tuple[Words, Words]:
        """Two random words for each example, for transform `number` of the list."""
        key = ((self.seed ^ (self.seed >> 32)) & _MASK, STREAM + number)
        epochs = np.full(len(examples), self.epoch & _MASK, np.uint32)
        return threefry2x32(key, examples.astype(np.uint32), epochs)


@dataclass(frozen=True)
class Transform:
    """`crop(32, pad = 4)`: a name with its arguments, as written."""

    name: str
    values: Mapping[str, Any]
    span: Span | None = field(default=None, compare=False)

    def __str__(self) -> str:
        given = [(n, v) for n, v in self.values.items() if v is not None and (n, v) != ("pad", 0)]
        shown = [f"{n} = {v}" if n in ("width", "pad") else f"{v}" for n, v in given]
        return f"{self.name}({', '.join(shown)})"

    @property
    def exact(self) -> bool:
        """Does it move whole pixels only?"""
        if self.name == "shift":
            return isinstance(self.values["pixels"], int)
        return self.name not in ("rotate", "scale")


@dataclass(frozen=True)
class Augment:
    """The transforms of an `augment` line, in order."""

    transforms: tuple[Transform, ...]
    span: Span | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return ", ".join(map(str, self.transforms))

    @property
    def crop(self) -> Transform | None:
        return next((t for t in self.transforms if t.name == "crop"), None)

    @property
    def exact(self) -> bool:
        """Are all pixels copies, so that nothing is interpolated?"""
        return all(t.exact for t in self.transforms)

    def extent(self, height: int, width: int) -> Extent:
        """The size of what comes out."""
        return (height, width) if self.crop is None else crop_extent(self.crop)


def crop_extent(crop: Transform) -> Extent:
    """The height and width of a crop; one number is both."""
    height = int(crop.values["height"])
    return height, int(crop.values["width"] or height)


@dataclass
class Drawn:
    """What happens to each of n examples.

    `maps` [n, 6] holds (a, b, c, d, e, f): place (y, x) of the new picture is place
    (a·y + b·x + c, d·y + e·x + f) of the old one. `light` [n, 2] holds the factors of brightness
    and contrast; `holes` [n, 4] top, left, bottom, right of what is cut out, ends excluded.
    """

    maps: Floats
    exact: bool
    light: NDArray[np.float32] | None
    holes: NDArray[np.int32] | None
    extent: Extent


def draw(
    augment: Augment, draws: Draws, examples: NDArray[np.int64], height: int, width: int
) -> Drawn:
    """The draws for some examples, given by their numbers in the data set."""
    n = len(examples)
    linear = np.zeros((n, 2, 2))
    linear[:, 0, 0] = linear[:, 1, 1] = 1
    offset = np.zeros((n, 2))
    light: NDArray[np.float32] | None = None
    holes: NDArray[np.int32] | None = None
    extent = (height, width)
    for number, transform in enumerate(augment.transforms):
        first, second = draws.words(number, examples)
        if transform.name in _LIGHT:
            light = np.ones((n, 2), np.float32) if light is None else light
            light[:, _LIGHT[transform.name]] = _factor(transform, first)
        elif transform.name == "cutout":
            holes = _hole(transform, first, second, augment.extent(height, width))
        else:
            # The new map goes first: the old place of the place that it looks at.
            own, moved, extent = _GEOMETRY[transform.name](transform, first, second, extent)
            offset = offset + np.einsum("nij,nj->ni", linear, moved)
            linear = linear @ own
    maps = np.concatenate([linear, offset[:, :, None]], axis=2).reshape(n, 6)
    return Drawn(maps, augment.exact, light, holes, extent)


def centred(count: int, extent: Extent, height: int, width: int) -> Drawn:
    """No draws: the middle of the picture, as measuring and predicting see it."""
    maps = np.zeros((count, 6))
    maps[:] = (1, 0, (height - extent[0]) // 2, 0, 1, (width - extent[1]) // 2)
    return Drawn(maps, True, None, None, extent)


# ---------------------------------------------------------------- one transform at a time

Move = tuple[Floats, Floats, Extent]  # new place -> old place: linear part, offset; the new size


def unit(word: Words) -> Floats:
    """Uniform in [0, 1), of 24 bits."""
    return (word >> np.uint32(8)).astype(np.float64) * 2.0**-24


def _whole(word: Words, count: int) -> Floats:
    """One of 0, 1, …, count − 1."""
    return np.floor(unit(word) * count)


def _still(n: int) -> Floats:
    return np.broadcast_to(np.eye(2), (n, 2, 2))


def _about_centre(linear: Floats, extent: Extent) -> Floats:
    """The offset that leaves the middle of the picture where it is."""
    centre = (np.array(extent) - 1) / 2
    return centre - linear @ centre


def _rotate(transform: Transform, first: Words, second: Words, extent: Extent) -> Move:
    angle = np.deg2rad((2 * unit(first) - 1) * float(transform.values["degrees"]))
    linear = np.empty((len(first), 2, 2))
    linear[:, 0, 0] = linear[:, 1, 1] = np.cos(angle)
    linear[:, 0, 1] = np.sin(angle)
    linear[:, 1, 0] = -np.sin(angle)
    return linear, _about_centre(linear, extent), extent


def _scale(transform: Transform, first: Words, second: Words, extent: Extent) -> Move:
    low, high = float(transform.values["low"]), float(transform.values["high"])
    factor = low + (high - low) * unit(first)
    linear = np.eye(2) / factor[:, None, None]
    return linear, _about_centre(linear, extent), extent


def _shift(transform: Transform, first: Words, second: Words, extent: Extent) -> Move:
    most = transform.values["pixels"]
    if transform.exact:
        moved = [_whole(word, 2 * most + 1) - most for word in (first, second)]
    else:
        moved = [(2 * unit(word) - 1) * most for word in (first, second)]
    return _still(len(first)), -np.stack(moved, axis=1), extent


def _flip(transform: Transform, first: Words, second: Words, extent: Extent) -> Move:
    axis = 0 if transform.values["axis"] == "vertical" else 1
    turned = unit(first) < 0.5
    linear = np.array(_still(len(first)))
    linear[turned, axis, axis] = -1
    offset = np.zeros((len(first), 2))
    offset[turned, axis] = extent[axis] - 1
    return linear, offset, extent


def _crop(transform: Transform, first: Words, second: Words, extent: Extent) -> Move:
    wanted, pad = crop_extent(transform), int(transform.values["pad"])
    offset = [
        _whole(word, size + 2 * pad - new + 1) - pad
        for word, size, new in zip((first, second), extent, wanted, strict=True)
    ]
    return _still(len(first)), np.stack(offset, axis=1), wanted


_GEOMETRY: Mapping[str, Callable[[Transform, Words, Words, Extent], Move]] = {
    "rotate": _rotate, "scale": _scale, "shift": _shift, "flip": _flip, "crop": _crop,
}  # fmt: skip
_LIGHT = {"brightness": 0, "contrast": 1}


def _factor(transform: Transform, word: Words) -> Floats:
    """Uniform in [max(0, 1 − s), 1 + s]."""
    strength = float(transform.values["strength"])
    low = max(0.0, 1 - strength)
    return low + (1 + strength - low) * unit(word)


def _hole(transform: Transform, first: Words, second: Words, extent: Extent) -> NDArray[np.int32]:
    """A square about any pixel, cut off at the border (DeVries & Taylor, 2017)."""
    size = int(transform.values["size"])
    sides = []
    for word, length in zip((first, second), extent, strict=True):
        start = _whole(word, length) - size // 2
        sides.append((np.clip(start, 0, length), np.clip(start + size, 0, length)))
    (top, bottom), (left, right) = sides
    return np.stack([top, left, bottom, right], axis=1).astype(np.int32)
