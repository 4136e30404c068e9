"""The loss around a net's weights, along two directions, and the ways that optimizers took there.

In: a model with its weights, or optimizers to train it afresh with. Out: the loss on a grid, and
the plot.

Without optimizers the directions are random and filter-normalised: each row of a matrix and each
kernel of a convolution is as long as that of the trained weights; biases and normalisations stay
(Li, Xu, Taylor, Studer & Goldstein, "Visualizing the Loss Landscape of Neural Nets", 2018). Random
directions are nearly orthogonal to any path, so paths are shown in the plane of the two directions
along which they vary most (the same paper, section 7), around where the first of them ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..compiler.nodes import only
from ..compiler.step import trainable
from ..dsl.diagnostics import fail
from ..viz.plots.surface import Ground, Way
from ..viz.plots.surface import surface as drawn
from .asked import Asked
from .following import Array, Moment, followed, several

if TYPE_CHECKING:
    from ..model import Model

Values = Mapping[str, Array]
FINE = 41  # points of the grid along each direction
EXAMPLES = 512  # at most, of training
REACH = 1.0  # along directions as long as the weights
MARGIN = 0.3  # of the extent of the paths, on each side
MOST_PATHS = 4


@dataclass(frozen=True)
class Plane:
    """The weights at `centre` + a · `first` + b · `second`; what is in no direction stays."""

    centre: Values
    first: Values
    second: Values

    def at(self, a: float, b: float) -> dict[str, Array]:
        moved = dict(self.centre)
        for name, direction in self.first.items():
            step = a * direction + b * self.second[name]
            moved[name] = (self.centre[name] + step).astype(self.centre[name].dtype)
        return moved


def learned(model: Model) -> tuple[str, ...]:
    """The parameters that training moves. Raises Failure E626 where there are none, or no loss."""
    names = tuple(p.name for p in trainable(model.evaluation))
    if not names or not model.evaluation.of_kind("loss"):
        lacking = "a loss" if names else "weights that learn"
        raise fail(
            "E626",
            f"a loss surface needs {lacking}, and `{model.name}` has none",
            model.net.name.span,
            help="add a layer and a loss: `loss mse(z, y)`",
        )
    return names


def random_plane(centre: Values, names: Sequence[str], seed: int) -> Plane:
    """Two filter-normalised random directions."""
    draws = np.random.default_rng(seed)
    first, second = (
        {n: normalised(draws.standard_normal(centre[n].shape), centre[n]) for n in names}
        for _ in range(2)
    )
    return Plane(centre, first, second)


def normalised(direction: Array, weights: Array) -> Array:
    """d · ‖w‖/‖d‖ for each row of a matrix, each kernel; 0 for a vector or a number."""
    if weights.ndim < 2:
        return np.zeros(weights.shape)
    axes = tuple(range(1, weights.ndim))
    lengths = np.sqrt(np.sum(np.asarray(weights, np.float64) ** 2, axis=axes, keepdims=True))
    own = np.sqrt(np.sum(direction**2, axis=axes, keepdims=True))
    return np.asarray(direction * lengths / np.maximum(own, 1e-12))


def path_plane(
    paths: Sequence[Sequence[Moment]], names: Sequence[str]
) -> tuple[Plane, list[Array], tuple[float, float]]:
    """The principal directions of the paths around the end of the first; their places [n, 2] in
    that plane; and the share of their variation along each direction."""
    centre = paths[0][-1].values
    end = _flat(centre, names)
    rows = [_flat(m.values, names) - end for path in paths for m in path]
    _, lengths, axes = np.linalg.svd(np.stack(rows), full_matrices=False)
    axes = np.concatenate([axes, np.zeros((2, axes.shape[1]))])[:2]
    start = rows[0] @ axes.T
    axes = axes * np.where(start > 0, -1, 1)[:, None]  # paths begin on the left, below
    whole = max(float(np.sum(lengths**2)), 1e-30)
    shares = [float(length**2) / whole for length in [*lengths, 0.0][:2]]
    places = np.stack(rows) @ axes.T
    ends = np.cumsum([len(path) for path in paths])[:-1]
    first, second = (_shaped(axis, centre, names) for axis in axes)
    return Plane(centre, first, second), np.split(places, ends), (shares[0], shares[1])


def _flat(values: Values, names: Sequence[str]) -> Array:
    return np.concatenate([np.asarray(values[n], np.float64).ravel() for n in names])


def _shaped(vector: Array, like: Values, names: Sequence[str]) -> dict[str, Array]:
    found, start = {}, 0
    for name in names:
        array = like[name]
        found[name] = vector[start : start + array.size].reshape(array.shape)
        start += array.size
    return found


def losses(model: Model, plane: Plane, x: Array, y: Array, examples: int = EXAMPLES) -> Array:
    """[y, x]: the first loss of the net, the mean over training examples, on a grid."""
    (loss, *_) = model.evaluation.of_kind("loss")
    graph = only(model.evaluation, {"loss": loss.value})
    feeder = model.feeder("train")
    at = np.arange(min(examples, len(feeder)))
    fields = {
        n: feeder.part.rows(r.field, at, r.dtype, r.shape) for n, r in feeder.requests.items()
    }
    before = model.session.values
    found = np.zeros((len(y), len(x)))
    try:
        for row, column in np.ndindex(found.shape):
            model.session.values = {**before, **plane.at(float(x[column]), float(y[row]))}
            made = model.session.compute("loss surface", lambda: graph, fields, batch=len(at))
            found[row, column] = float(made["loss"])
    finally:
        model.session.values = before
    return found


def draw(model: Model | None, path: Path, asked: Asked) -> list[Path]:
    assert model is not None
    names = learned(model)
    if asked.optimizers is None:
        return _around(model, names, path, asked)
    wanted = several(asked.optimizers)
    if not 0 < len(wanted) <= MOST_PATHS:
        raise fail("E624", f"`--optimizers` names {len(wanted)} optimizers",
                   help=f'one to {MOST_PATHS}: `--optimizers "sgd(lr = 0.1), adam"`')  # fmt: skip
    paths = [
        followed(model, optimizer=text, epochs=asked.epochs, seed=asked.seed) for text in wanted
    ]
    plane, places, shares = path_plane(paths, names)
    every = np.concatenate(places)
    low, high = every.min(axis=0), every.max(axis=0)
    wide = np.maximum(high - low, 1e-6 * max(1.0, float(np.abs(every).max())))
    x, y = (np.linspace(low[k] - MARGIN * wide[k], high[k] + MARGIN * wide[k], FINE)
            for k in (0, 1))  # fmt: skip
    axes = tuple(f"{word} direction: {100 * share:.0f}% of the variation"
                 for word, share in zip(("first", "second"), shares, strict=True))  # fmt: skip
    ground = Ground(x, y, losses(model, plane, x, y), (axes[0], axes[1]),
                    f"{model.name}: the loss in the plane of the paths")  # fmt: skip
    ways = [Way(name, place) for name, place in zip(wanted, places, strict=True)]
    return drawn(ground, ways, path, theme=asked.theme)


def _around(model: Model, names: Sequence[str], path: Path, asked: Asked) -> list[Path]:
    """In random directions, around the weights now."""
    plane = random_plane(model.session.values, names, asked.seed or 0)
    side = np.linspace(-REACH, REACH, FINE)
    ground = Ground(side, side, losses(model, plane, side, side),
                    ("a random direction, as long as the weights", "another"),
                    f"{model.name}: the loss around the trained weights")  # fmt: skip
    return drawn(ground, (), path, theme=asked.theme)
