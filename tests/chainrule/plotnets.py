"""Nets, data and files for the tests of `chainrule plot`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

import chainrule
from chainrule.cli import cli
from chainrule.plots import (
    Asked,
    plot,
)
from chainrule.viz.style import SLIDE, SMALLEST

PICTURES = """\
net small {
  input  image: [36]
  input  kind: class[3]
  h      = image -> dense(5) -> tanh
  scores = h -> dense(3)
  output softmax(scores)
  loss   cross_entropy(scores, kind)
  metric accuracy(scores, kind)
}
data none = csv("none.csv", target = kind)
train small on none {
  optimizer sgd(lr = 0.1)
  schedule  cosine
  epochs    2
}
"""
CONVOLUTION = PICTURES.replace("image: [36]", "image: [3, 6, 6]").replace(
    "image -> dense(5) -> tanh", "image -> conv(4, 3) -> relu -> flat"
)
NUMBERS = """\
net line {
  input x: [1]
  input y: [1]
  z = x -> dense(1)
  output z
  loss mse(z, y)
}
data none = csv("none.csv", target = y)
train line on none {
  optimizer sgd()
  epochs 1
}
"""


def arrays(shape: tuple[int, ...], count: int = 12) -> dict[str, Any]:
    draws = np.random.default_rng(3)
    return {
        "image": draws.normal(size=(count, *shape)),
        "kind": (np.arange(count) % 3).astype(np.int32),
    }


def model_of(text: str, given: dict[str, Any]) -> chainrule.Model:
    """A net with those arrays as its data, on the plain device."""
    model = chainrule.loads(text, device="plain", dtype="f64", seed=1)
    model.fit(given, epochs=0.01)
    return model


def run(*args: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def files(folder: Path, model: Any, kind: str, **asked: Any) -> list[bytes]:
    return [p.read_bytes() for p in plot(model, kind, folder / kind, Asked(**asked))]


def check_type(svg: str) -> None:
    """No type is below 9 points once the picture fits a slide (an SVG's units are points)."""
    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    assert size is not None
    room = [inches * 72 for inches in SLIDE]
    scale = min(1.0, *(a / float(b) for a, b in zip(room, size.groups(), strict=True)))
    found = [float(s) for s in re.findall(r"font:[^;\"]*?([\d.]+)px", svg)]
    found += [float(s) for s in re.findall(r"font-size: ([\d.]+)px", svg)]
    assert found and min(found) * scale >= SMALLEST - 0.01
