"""Points in a plane, in the colours of their classes: what a node of a net computes, for people.

In: points [n, 2], the class of each, a path. Out: the files, the same bytes for the same points.
Colour is never the only sign of a class: each has a mark too. Needs matplotlib, as curves do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .curves import COLOURS, LABEL, MARKS, TICK, hue, new_figure, plain, save
from .style import Theme
from .style import theme as theme_of

SIZE = (7.2, 5.6)  # inches
ENDINGS = (".svg", ".png")
TALLEST = 14  # classes in a column of the legend
DOT = 14.0  # square points


def scatter_classes(
    points: NDArray[Any],
    classes: NDArray[Any] | None,
    path: Path,
    *,
    axes: Sequence[str] = ("1", "2"),
    theme: str = "light",
) -> list[Path]:
    """Draw them as `path` with the endings .svg and .png. `classes`: the word or number of each.

    Raises Failure E566 without matplotlib."""
    look = theme_of(theme)
    figure = new_figure(SIZE, look)
    ax = figure.subplots()
    if classes is None:
        ax.scatter(points[:, 0], points[:, 1], s=DOT, c=hue(COLOURS[0], look), linewidths=0)
    else:
        _groups(ax, points, classes, look)
    ax.set_xlabel(plain(axes[0]), color=look.ink, fontsize=LABEL)
    ax.set_ylabel(plain(axes[1]), color=look.ink, fontsize=LABEL)
    ax.set_facecolor(look.background)
    ax.tick_params(colors=look.ink, labelsize=TICK)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(look.faint)
    figure.tight_layout()
    stem = path.with_suffix("") if path.suffix.lower() in ENDINGS else path
    return save(figure, stem)


def _groups(ax: Any, points: NDArray[Any], classes: NDArray[Any], look: Theme) -> None:
    kinds = np.unique(classes)
    for number, kind in enumerate(kinds):
        turn = number // len(COLOURS)  # the next round pairs each colour with another mark
        mark = MARKS[(number + turn) % len(MARKS)]
        at = points[classes == kind]
        ax.scatter(at[:, 0], at[:, 1], s=DOT, c=hue(COLOURS[number % len(COLOURS)], look),
                   marker=mark, linewidths=0, alpha=0.8, label=plain(str(kind)))  # fmt: skip
    legend = ax.legend(
        frameon=False, fontsize=TICK, loc="upper left", bbox_to_anchor=(1.0, 1.0),
        markerscale=1.6, handletextpad=0.2, ncols=1 + (len(kinds) - 1) // TALLEST,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_color(look.ink)
