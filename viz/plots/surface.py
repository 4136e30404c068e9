"""The loss around a net's weights, in a plane, with the ways that optimizers took.

In: the loss on a grid over two directions, paths in that plane. Out: `.svg` and `.png`: contours,
on a logarithmic scale where the loss spans decades; a colour and a mark for each path, which begins
at a ring and ends at its largest mark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..curves import MARKS, new_figure, plain
from ..style import RED, Theme
from ..style import theme as theme_of
from .common import Array, colour_bar, framed, legend, sequential, written

SIZE = (8.6, 6.8)  # inches
LEVELS = 16
DECADES = 20.0  # greatest over least from which on levels are evenly spread in the logarithm
# Of each path, on a ground of blues.
COLOURS = {
    "light": (RED, "#1A1A1A", "#B0307A", "#F0E442"),
    "dark": ("#FF9248", "#ECEFF4", "#E79AC6", "#F0E442"),
}
FEW = 24  # marks along a path


@dataclass(frozen=True)
class Way:
    """The places [n, 2] of a net's weights in the plane while it learned."""

    name: str
    places: Array


@dataclass(frozen=True)
class Ground:
    """`loss` [rows, columns] at `y`, `x`, along the directions called `axes`."""

    x: Array
    y: Array
    loss: Array
    axes: tuple[str, str]
    title: str = ""


def surface(
    ground: Ground, paths: Sequence[Way], path: Path, *, theme: str = "light"
) -> list[Path]:
    """Draw it; returns the files. Raises Failure E566 without matplotlib."""
    look = theme_of(theme)
    figure = new_figure(SIZE, look)
    ax = figure.subplots()
    loss = np.where(np.isfinite(ground.loss), ground.loss, np.nan)
    levels, is_log = levels_of(loss)
    shades, norm = _shades(levels, is_log, look)
    filled = ax.contourf(ground.x, ground.y, loss, levels=levels, cmap=shades, norm=norm,
                         extend="both")  # fmt: skip
    lines = ax.contour(ground.x, ground.y, loss, levels=levels, colors=[look.faint],
                       linewidths=0.6, alpha=0.7)  # fmt: skip
    lines.set_zorder(1.5)
    colour_bar(figure, filled, ax, look, "loss", format="{x:.3g}", ticks=levels[::3])
    framed(ax, look, plain(ground.title), plain(ground.axes[0]), plain(ground.axes[1]))
    ax.grid(False)
    for number, one in enumerate(paths):
        _path(ax, one, number, look)
    if paths:
        _ends(ax, paths, look)
    else:
        ax.plot([0], [0], marker="*", markersize=16, color=look.gradient, linestyle="none",
                markeredgecolor=look.background, label="the trained weights")  # fmt: skip
        legend(ax, look, loc="upper right", **_box(look))
    ax.set_xlim(ground.x[0], ground.x[-1])
    ax.set_ylim(ground.y[0], ground.y[-1])
    figure.tight_layout()
    return written(figure, path)


def levels_of(loss: Array) -> tuple[Array, bool]:
    """Contour levels between the least and (nearly) the greatest loss, and whether they are spread
    in the logarithm."""
    finite = loss[np.isfinite(loss)]
    low, high = (float(v) for v in np.quantile(finite, (0.0, 0.98)))
    high = max(high, low + 1e-9 * max(1.0, abs(low)))
    if low > 0 and high / low >= DECADES:
        return np.exp(np.linspace(math.log(low), math.log(high), LEVELS)), True
    return np.linspace(low, high, LEVELS), False


def _shades(levels: Array, is_log: bool, look: Theme) -> tuple[Any, Any]:
    from matplotlib.colors import LogNorm, Normalize

    kind = LogNorm if is_log else Normalize
    return sequential(look).reversed(), kind(float(levels[0]), float(levels[-1]))


def _path(ax: Any, one: Way, number: int, look: Theme) -> None:
    colour = COLOURS[look.name][number % len(COLOURS[look.name])]
    mark = MARKS[number % len(MARKS)]
    every = max(1, len(one.places) // FEW)
    edge = {"markeredgecolor": look.background, "markeredgewidth": 0.7}
    ax.plot(one.places[:, 0], one.places[:, 1], color=look.background, linewidth=4, alpha=0.7,
            zorder=2)  # fmt: skip
    ax.plot(one.places[:, 0], one.places[:, 1], color=colour, linewidth=1.8, marker=mark,
            markersize=5.5, markevery=every, label=plain(one.name), zorder=3, **edge)  # fmt: skip
    ax.plot(*one.places[-1], color=colour, marker=mark, markersize=13, zorder=4,
            linestyle="none", **edge)  # fmt: skip


def _ends(ax: Any, paths: Sequence[Way], look: Theme) -> None:
    first = paths[0].places[0]
    ax.plot(*first, marker="o", markersize=13, markerfacecolor="none", markeredgecolor=look.ink,
            markeredgewidth=2, linestyle="none", zorder=5, label="start")  # fmt: skip
    legend(ax, look, loc="best", **_box(look))


def _box(look: Theme) -> dict[str, Any]:
    return {"frameon": True, "edgecolor": "none", "facecolor": look.background, "framealpha": 0.85}
