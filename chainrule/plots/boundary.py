"""The decision boundary of a classifier of two numbers, at the weights now or over training.

In: a model with its weights, or one to train afresh. Out: the scores of each class on a grid over
the data, and the plot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..answers import answer
from ..compiler.graph import Leaf
from ..dsl.diagnostics import fail
from ..runtime.data import undo_statistics
from ..runtime.metrics import classes_of
from ..sampling import class_names
from ..viz.plots import boundary as viz
from .asked import Asked
from .following import Array, chosen, followed

if TYPE_CHECKING:
    from ..model import Model

FINE = 160  # points of the grid along each axis
MARGIN = 0.12  # of the extent of the data, on each side
MOST_POINTS = 600
FRAMES, PICTURES = 32, 6


@dataclass(frozen=True)
class Flat:
    """What is drawn over: the input of two numbers, the target, the output that tells it."""

    leaf: Leaf
    target: Leaf
    output: str
    names: tuple[str, ...]


def flat(model: Model) -> Flat:
    """Raises Failure E622 for a net of other inputs, E623 for one that tells no classes."""
    aside = model.session.targets
    inputs = [f for f in model.evaluation.inputs if f.name not in aside]
    if len(inputs) != 1 or not inputs[0].value.type.is_float or inputs[0].value.type.size != 2:
        shown = ", ".join(f"`{f.name}: {list(f.value.shape)}`" for f in inputs) or "nothing"
        raise fail(
            "E622",
            f"a boundary is drawn in the plane, and `{model.name}` takes {shown}",
            model.net.name.span,
            help="it needs one input of two numbers: `input x: [2]`",
        )
    for target in aside:
        leaf = model.evaluation.leaves[target]
        output = answer(model.evaluation, target)
        classes = leaf.value.type.classes
        if output is not None and (classes is not None or _is_binary(model, target)):
            names = class_names(model, leaf)
            count = classes or 2
            shown_names = names if len(names) == count else [str(k) for k in range(count)]
            return Flat(inputs[0], leaf, output, tuple(shown_names))
    raise fail(
        "E623",
        f"`{model.name}` is no classifier: no output tells the class of a target",
        model.net.name.span,
        help="a classifier has a target `class[k]`, or of 0 and 1",
    )


def _is_binary(model: Model, target: str) -> bool:
    leaf = model.evaluation.leaves[target]
    if leaf.value.type.size != 1:
        return False
    return bool(np.isin(model.feeder("train").arrays[target], (0, 1)).all())


def plane(model: Model, what: Flat, fine: int = FINE) -> tuple[viz.Plane, Array]:
    """The grid in the units of the data, with points of the data; and its points [fine², 2] as the
    net takes them."""
    arrays = model.feeder("train").arrays
    name = what.leaf.name
    points = arrays[name].reshape(-1, 2)[:MOST_POINTS].astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    wide = np.maximum(high - low, 1e-6)
    ends = low - MARGIN * wide, high + MARGIN * wide
    x, y = (np.linspace(ends[0][k], ends[1][k], fine) for k in (0, 1))
    grid = np.stack(np.meshgrid(x, y), axis=2).reshape(-1, 2)
    classes = arrays[what.target.name][:MOST_POINTS].reshape(-1).astype(np.int64)
    corners = _in_units(model, what, np.stack([x, y], axis=1))
    shown = viz.Plane(corners[:, 0], corners[:, 1], _in_units(model, what, points), classes,
                      what.names)  # fmt: skip
    return shown, grid


def _in_units(model: Model, what: Flat, points: Array) -> Array:
    name, shape = what.leaf.name, what.leaf.value.shape
    if name not in model.statistics:
        return points
    known = {name: model.statistics[name]}
    return undo_statistics({name: points.reshape(-1, *shape)}, known)[name].reshape(-1, 2)


def scores(model: Model, what: Flat, points: Array) -> Array:
    """[n, classes] at points as the net takes them; a single number and what is left of 1."""
    shape, kind = what.leaf.value.shape, what.leaf.value.type.numpy
    given = {what.leaf.name: np.ascontiguousarray(points.reshape(-1, *shape), dtype=kind)}
    found = model.session.predict(given)[what.output].reshape(len(points), -1).astype(np.float64)
    return found if found.shape[1] > 1 else np.concatenate([1 - found, found], axis=1)


def draw(model: Model | None, path: Path, asked: Asked) -> list[Path]:
    assert model is not None
    what = flat(model)
    if not asked.moving:
        shown, grid = plane(model, what)
        moment = _moment(model, what, shown, grid, model.name)
        return viz.boundary(shown, moment, path, theme=asked.theme)
    moments = chosen(followed(model, epochs=asked.epochs, seed=asked.seed), FRAMES)
    shown, grid = plane(model, what)
    frames = []
    before: Mapping[str, Array] = model.session.values
    try:
        for m in moments:
            model.session.values = dict(m.values)
            frames.append(_moment(model, what, shown, grid, f"epoch {m.epoch}"))
    finally:
        model.session.values = dict(before)
    last = len(frames) - 1
    at = sorted({round(k * last / (PICTURES - 1)) for k in range(PICTURES)})
    return viz.growing(shown, frames, at, path, theme=asked.theme)


def _moment(model: Model, what: Flat, shown: viz.Plane, grid: Array, words: str) -> viz.Moment:
    found = scores(model, what, grid).reshape(len(shown.y), len(shown.x), -1)
    points = model.feeder("train").arrays[what.leaf.name].reshape(-1, 2)[: len(shown.classes)]
    right = np.mean(classes_of(scores(model, what, points)) == shown.classes)
    return viz.Moment(found, f"{words}: {100 * right:.0f}% right")
