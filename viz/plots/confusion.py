"""A confusion matrix: which classes are taken for which.

In: counts `[true, predicted]`, the names of the classes. Out: `.svg` and `.png`. The colour is the
share of the examples of a class (of a row), so that rare classes are seen as well as common ones;
the counts, and where there is room the shares, are printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..curves import new_figure, plain
from ..style import Theme
from ..style import theme as theme_of
from .common import LABEL, SMALL, Array, colour_bar, ink_on, named, sequential, written

SIDE = 7.4  # inches of the picture's height: a slide
ROOMY, TIGHT = 10, 20  # classes up to which shares, and counts, are printed
MOST_NAMES = 40


def rates(matrix: Array) -> Array:
    """Each row divided by its sum; a class without examples has zeros."""
    whole = matrix.sum(axis=1, keepdims=True)
    return np.asarray(matrix / np.maximum(whole, 1), np.float64)


def confusion(
    matrix: Array, labels: Sequence[str], path: Path, *, theme: str = "light", title: str = ""
) -> list[Path]:
    """Draw it; returns the files. Raises Failure E566 without matplotlib."""
    look = theme_of(theme)
    figure = new_figure((SIDE * 1.18, SIDE), look)
    ax = figure.subplots()
    shares = rates(matrix)
    image = ax.imshow(shares, cmap=sequential(look), vmin=0, vmax=1)
    _names(ax, labels, look)
    if len(labels) <= TIGHT:
        _numbers(ax, matrix, shares, image.get_cmap())
    named(ax, look, title, "predicted", "true")
    colour_bar(figure, image, ax, look, "share of the class", fraction=0.045, pad=0.03)
    figure.tight_layout()
    return written(figure, path)


def _names(ax: Any, labels: Sequence[str], look: Theme) -> None:
    count = len(labels)
    every = -(-count // MOST_NAMES)
    at = list(range(0, count, every))
    words = [plain(labels[k]) for k in at]
    long = count > 4 and max(map(len, words)) > 3
    ax.set_xticks(at, words, rotation=90 if long else 0)
    ax.set_yticks(at, words)
    ax.tick_params(colors=look.ink, labelsize=LABEL if count <= ROOMY else SMALL, length=0)
    ax.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    if count <= MOST_NAMES:
        ax.grid(True, which="minor", color=look.faint, alpha=0.35, linewidth=0.6)
    ax.tick_params(which="minor", length=0)
    for side in ax.spines.values():
        side.set_color(look.faint)


def _numbers(ax: Any, matrix: Array, shares: Array, colours: Any) -> None:
    roomy = len(matrix) <= ROOMY
    for (row, column), count in np.ndenumerate(matrix):
        if not count:
            continue
        share = float(shares[row, column])
        ink = ink_on(colours, share)
        lift = 0.13 if roomy else 0.0
        ax.text(
            column,
            row - lift,
            f"{count:,}",
            ha="center",
            va="center",
            color=ink,
            fontsize=LABEL if roomy else SMALL,
            fontweight="bold" if row == column else None,
        )
        if roomy:
            words = f"{100 * share:.0f}%" if share >= 0.0095 else "<1%"
            ax.text(column, row + 0.24, words, ha="center", va="center", color=ink,
                    fontsize=SMALL)  # fmt: skip
