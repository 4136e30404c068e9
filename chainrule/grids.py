"""Every way of sampling as a grid: rows of what the net makes, to be seen or kept as numbers.

In: a model and the options of `chainrule sample`. Out: a `Grid`, which writes itself as a picture
or as arrays, by the ending of the file. What is sampled is told by `sampling` and `latent`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .dsl.diagnostics import Failure, fail
from .latent import ROWS, SIDE, STEPS, codes, decoder, interpolate, manifold
from .runtime.data import write_predictions
from .runtime.data.contact_sheet import GAP
from .sampling import COLUMNS, COUNT, Sampler, each_class, examples, positive, reconstructions
from .sheets import Look, in_rows, in_units, sheet, twin_of, write_png

if TYPE_CHECKING:
    from .model import Model

Array = NDArray[Any]
POINTS = 500  # where an output is a point in the plane
ARRAYS = (".npz", ".csv", ".json")
PICTURES = (".png",)


@dataclass(frozen=True)
class Grid:
    """`arrays` by name; the `rows` of the picture, and how their numbers are shown. `file` is what
    it is called where no name is given, `told` what it is. `data`: points to compare with. `gap`:
    pixels between pictures; none where they go over into each other both ways."""

    arrays: Mapping[str, Array]
    rows: Sequence[Array]
    look: Look | None
    file: str
    told: str
    data: Array | None = None
    gap: int = GAP

    def write(self, path: Path, scale: int | None = None) -> list[Path]:
        """The files written. Raises Failure E615 where the numbers are no picture."""
        kind = path.suffix.lower()
        if kind in ARRAYS:
            write_predictions(path, self.arrays)
        elif kind in PICTURES:
            write_png(path, self._picture(path, scale))
        else:
            shown = ", ".join((*PICTURES, *ARRAYS))
            raise fail("E615", f"samples are not written as `{path.name}`",
                       help=f"the ending is one of {shown}")  # fmt: skip
        return [path]

    def _picture(self, path: Path, scale: int | None) -> NDArray[np.uint8]:
        if self.look is not None:
            return sheet(self.rows, self.look, scale, self.gap)
        made = np.concatenate(list(self.rows))
        if made[0].size == 2:
            from .viz.scatter import scatter

            made = made.reshape(-1, 2)
            return scatter(made if self.data is None else self.data.reshape(-1, 2), made)
        name = next(iter(self.arrays))
        raise fail(
            "E615", f"`{name}` is {list(made.shape[1:])}, which is neither a picture nor a point",
            help=f"keep its numbers: `-o {path.stem}.npz`, or give it the shape "
            "[channels, height, width]",
        )  # fmt: skip


class Gallery:
    """The ways of sampling of one model. `given`: the classes of label inputs."""

    def __init__(self, model: Model, node: str | None, given: Mapping[str, Any]) -> None:
        self.model, self.node, self.given = model, node, given

    @cached_property
    def sampler(self) -> Sampler:
        return Sampler(self.model, self.node, self.given)

    def make(self, way: str, asked: Mapping[str, Any]) -> Grid:
        """`way`: samples, each, interpolate, between, manifold or reconstruct."""
        ways = {
            "samples": self.samples, "each": self.each, "interpolate": self.interpolate,
            "between": self.between, "manifold": self.manifold, "reconstruct": self.reconstruct,
        }  # fmt: skip
        return ways[way](asked)

    def samples(self, asked: Mapping[str, Any]) -> Grid:
        """In reading order."""
        plane = self.sampler.look is None and self.sampler.value.type.size == 2
        count = _or(asked["count"], POINTS if plane else COUNT)
        positive("--count", count)
        found = self.sampler.samples(count, asked["seed"])
        rows = in_rows(found, _columns(asked))
        told = f"{count:,} samples" if count > 1 else "a sample"
        return self._grid(found, rows, "samples", told, self._data(count) if plane else None)

    def each(self, asked: Mapping[str, Any]) -> Grid:
        """A row for each class."""
        found = each_class(self.sampler, asked["each"], _columns(asked), asked["seed"])
        told = f"{found.shape[1]} samples of each of {len(found)} classes"
        return self._grid(found, list(found), "classes", told)

    def interpolate(self, asked: Mapping[str, Any]) -> Grid:
        """Rows between samples."""
        rows, steps = _or(asked["rows"], ROWS), _or(asked["steps"], STEPS)
        found = interpolate(
            self.sampler, rows, steps, seed=asked["seed"], spherical=asked["spherical"]
        )
        return self._grid(found, list(found), "interpolation", _ways(found, "samples"))

    def between(self, asked: Mapping[str, Any]) -> Grid:
        """Rows between examples of the data."""
        pairs, steps = asked["between"], _or(asked["steps"], STEPS)
        at = [k for pair in pairs for k in pair]
        sampler, latent = decoder(self.model, self.node, self.given, asked["latent"])
        points = codes(sampler, at, latent, asked["part"])
        found = interpolate(sampler, len(pairs), steps, spherical=asked["spherical"],
                            ends=(points[0::2], points[1::2]))  # fmt: skip
        told = _ways(found, "examples")
        return Grid({sampler.name: found}, list(found), sampler.look, "interpolation.png", told)

    def manifold(self, asked: Mapping[str, Any]) -> Grid:
        """The plane of two latent numbers."""
        found = manifold(self.sampler, _or(asked["rows"], SIDE))
        told = f"a plane of {len(found)} by {len(found)}"
        return replace(self._grid(found, list(found), "manifold", told), gap=0)

    def reconstruct(self, asked: Mapping[str, Any]) -> Grid:
        """Examples, and below each what the net gives back."""
        count, columns = _or(asked["count"], COUNT), _columns(asked)
        pairs = reconstructions(self.model, count, asked["part"], self.node)
        bands = [in_rows(pairs[0].examples, columns)]
        bands += [in_rows(pair.found, columns) for pair in pairs if pair.input == pairs[0].input]
        rows = [row for band in zip(*bands, strict=True) for row in band]
        arrays = {p.input: p.examples for p in pairs} | {p.output: p.found for p in pairs}
        told = f"{len(pairs[0].examples):,} examples, below each its reconstruction,"
        return Grid(arrays, rows, pairs[0].look, "reconstruction.png", told)

    def _grid(
        self, found: Array, rows: list[Array], file: str, told: str, data: Array | None = None
    ) -> Grid:
        return Grid({self.sampler.name: found}, rows, self.sampler.look, f"{file}.png", told, data)

    def _data(self, count: int) -> Array | None:
        """Examples of the input that the samples imitate, if the data are there."""
        model = self.model
        twin = twin_of(model, self.sampler.value)
        try:
            if twin is None or model.dataset is None:
                return None
            size = len(model.dataset.parts[model.part(None)])
            found = examples(model, range(min(count, size)))[twin.name]
        except Failure:
            return None
        return in_units(model, twin.value, found)


def _or(given: int | None, default: int) -> int:
    return default if given is None else given


def _columns(asked: Mapping[str, Any]) -> int:
    columns = _or(asked["columns"], COLUMNS)
    positive("--columns", columns)
    return columns


def _ways(found: Array, ends: str) -> str:
    rows, steps = found.shape[:2]
    return f"{rows} interpolation{'s' * (rows > 1)} of {steps} steps between {ends}"
