"""Saliency: which pixels the score of a class depends on, at chosen examples.

In: pictures, |∂ score / ∂ pixel| for each, and words. Out: `.svg` and `.png`: a column an example,
the picture above and its saliency below, each on its own scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..curves import new_figure, plain
from ..style import SLIDE
from ..style import theme as theme_of
from .common import LABEL, SMALL, Array, bare, colour_bar, picture, warm, written

MOST = 8  # examples
SIDE = 2.4  # inches of a picture at most


@dataclass(frozen=True)
class Looked:
    """One example: `pixels` [C, h, w], `saliency` [h, w], what stands above and below."""

    pixels: Array
    saliency: Array
    title: str
    below: str = ""


def saliency(examples: Sequence[Looked], path: Path, *, theme: str = "light") -> list[Path]:
    """Draw them; returns the files. Raises Failure E566 without matplotlib."""
    look = theme_of(theme)
    count = len(examples)
    side = min(SIDE, (SLIDE[0] - 1.5) / count)
    high, wide = examples[0].saliency.shape
    figure = new_figure((max(side * count + 1.5, 4.0), 2 * side * high / wide + 1.1), look)
    axes = figure.subplots(2, count, squeeze=False)
    for k, one in enumerate(examples):
        pixels, options = picture(one.pixels)
        axes[0, k].imshow(pixels, interpolation="nearest", **options)
        bare(axes[0, k], look, plain(one.title))
        most = max(float(np.abs(one.saliency).max()), 1e-12)
        image = axes[1, k].imshow(one.saliency / most, cmap=warm(look), vmin=0, vmax=1,
                                  interpolation="nearest")  # fmt: skip
        bare(axes[1, k], look)
        axes[1, k].set_xlabel(plain(one.below), color=look.ink, fontsize=SMALL)
    axes[0, 0].set_ylabel("input", color=look.ink, fontsize=LABEL)
    axes[1, 0].set_ylabel("|∂ score / ∂ pixel|", color=look.ink, fontsize=LABEL)
    figure.tight_layout(rect=(0, 0, 1 - 0.9 / figure.get_size_inches()[0], 1))
    place = axes[1, -1].get_position()
    width = 0.16 / figure.get_size_inches()[0]
    bar = figure.add_axes((place.x1 + width, place.y0, width, place.height))
    colour_bar(figure, image, None, look, "of the greatest", cax=bar)
    return written(figure, path)
