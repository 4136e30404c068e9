"""Made data: small problems whose answer is known, for teaching and tests.

Every set is drawn from a counter-based generator keyed by its seed: the same call gives the same
numbers everywhere.
"""

from __future__ import annotations

import numpy as np

from .arguments import Given, Parameter
from .dataset import Array, Column, Dataset, Field, whole
from .registry import source

_COUNT = 10_000_000
_SEED = Parameter("seed", "integer", 0, 0, 2**63 - 1)


def _count(default: int) -> Parameter:
    return Parameter("n", "integer", default, 2, _COUNT)


def _noise(default: float) -> Parameter:
    return Parameter("noise", "number", default, 0.0)


def _generator(given: Given) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=given.integer("seed")))


def _plane(name: str, points: Array, kinds: Array, classes: int) -> Dataset:
    """Points of the plane with the class of each."""
    point = Field("point", (2,), columns=("x1", "x2"))
    label = Field("label", (), "i32", classes=classes, target=True)
    return whole(name, [Column(point, points), Column(label, kinds.astype(np.int32))])


@source("xor")
def xor(given: Given) -> Dataset:
    """The four rows of exclusive or: `point` [2], `label` class[2]. No line separates them."""
    points = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64)
    return _plane("xor", points, np.array([0, 1, 1, 0]), 2)


@source("moons", _count(400), _noise(0.1), _SEED)
def moons(given: Given) -> Dataset:
    """Two interleaved half circles: `point` [2], `label` class[2]."""
    n, draw = given.integer("n"), _generator(given)
    kinds = np.arange(n) % 2
    angle = np.pi * draw.random(n)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.where(kinds[:, None] == 0, upper, [1.0, 0.5] - upper)
    return _plane("moons", points + given.number("noise") * draw.standard_normal((n, 2)), kinds, 2)


@source("circles", _count(400), _noise(0.05), _SEED, Parameter("inner", "number", 0.5, 0.01, 0.99))
def circles(given: Given) -> Dataset:
    """A circle inside another: `point` [2], `label` class[2] (1 is the inner one)."""
    n, draw = given.integer("n"), _generator(given)
    kinds = np.arange(n) % 2
    angle = 2 * np.pi * draw.random(n)
    radius = np.where(kinds == 0, 1.0, given.number("inner"))
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    noise = given.number("noise") * draw.standard_normal((n, 2))
    return _plane("circles", points + noise, kinds, 2)


@source("spirals", _count(600), Parameter("classes", "integer", 3, 2, 1000), _noise(0.2), _SEED)
def spirals(given: Given) -> Dataset:
    """Spiral arms around the origin: `point` [2], `label` class[classes]."""
    n, k, draw = given.integer("n"), given.integer("classes"), _generator(given)
    kinds = np.arange(n) % k
    radius = draw.random(n)
    turn = 2 * np.pi * kinds / k + 4 * radius + given.number("noise") * draw.standard_normal(n)
    points = radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return _plane("spirals", points, kinds, k)


@source(
    "blobs",
    _count(300),
    Parameter("classes", "integer", 3, 1, 1000),
    Parameter("features", "integer", 2, 1, 10_000),
    Parameter("spread", "number", 1.0, 0.0),
    _SEED,
)
def blobs(given: Given) -> Dataset:
    """Gaussian clouds around random centres in −10…10: `features` [k], `label` class[classes]."""
    n, k, draw = given.integer("n"), given.integer("classes"), _generator(given)
    width = given.integer("features")
    kinds = (np.arange(n) % k).astype(np.int32)
    centres = draw.uniform(-10, 10, (k, width))
    points = centres[kinds] + given.number("spread") * draw.standard_normal((n, width))
    label = Field("label", (), "i32", classes=k, target=True)
    return whole("blobs", [Column(Field("features", (width,)), points), Column(label, kinds)])


@source("linear", _count(200), _noise(0.1), _SEED, Parameter("features", "integer", 1, 1, 10_000))
def linear(given: Given) -> Dataset:
    """y = w·x + b + noise with drawn w and b: `features` [k], `target` []. The note gives w, b."""
    n, width, draw = given.integer("n"), given.integer("features"), _generator(given)
    slope, offset = draw.uniform(-2, 2, width), draw.uniform(-1, 1)
    x = draw.uniform(-1, 1, (n, width))
    y = x @ slope + offset + given.number("noise") * draw.standard_normal(n)
    shown = ", ".join(f"{w:.4f}" for w in slope[:8]) + (", …" if width > 8 else "")
    columns = [
        Column(Field("features", (width,)), x),
        Column(Field("target", (), target=True), y),
    ]
    return whole("linear", columns, note=f"true w = [{shown}], b = {offset:.4f}")
