"""The decision boundary of a net of two inputs, at one moment or over training.

In: a grid over the plane and the score of each class at each of its points, points of the data with
their classes. Out: `.svg` and `.png`, and an animated `.gif` over training. A class has a colour
and a mark; the ground is the stronger coloured the surer the net is, and a line runs where two
classes are equally likely.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..curves import COLOURS, MARKS, hue, new_figure, plain
from ..files import write
from ..style import SLIDE, Theme
from ..style import theme as theme_of
from .common import ENDINGS, LABEL, SMALL, Array, framed, legend, named, written

SIDE = 5.6  # inches of one picture
FRAME_DPI = 100
FRAME_TIME = 240  # milliseconds
LAST_TIME = 2000
FAINT, STRONG = 0.10, 0.55  # how much colour the ground has: unsure, sure
COLUMNS = 3
DOTS, DOT = 5000.0, (26.0, 130.0)  # square points of all points together, and of one
SURE = 1e-6  # rows that sum to 1 within this are probabilities


@dataclass(frozen=True)
class Plane:
    """`x`, `y`: where the grid is. `points` [n, 2] with `classes` [n]; `names` of the classes;
    `axes`: what the two numbers are."""

    x: Array
    y: Array
    points: Array
    classes: Array
    names: Sequence[str]
    axes: tuple[str, str] = ("x₁", "x₂")


@dataclass(frozen=True)
class Moment:
    """What the net says on the grid: `scores` [rows, columns, classes]; words above."""

    scores: Array
    title: str = ""


def boundary(plane: Plane, moment: Moment, path: Path, *, theme: str = "light") -> list[Path]:
    """One moment; returns the files. Raises Failure E566 without matplotlib."""
    look = theme_of(theme)
    figure = new_figure((SIDE * 1.3, SIDE), look)
    ax = figure.subplots()
    _draw(ax, plane, moment, look)
    legend(ax, look, loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=1.4,
           handletextpad=0.3)  # fmt: skip
    figure.tight_layout()
    return written(figure, path)


def growing(
    plane: Plane, moments: Sequence[Moment], shown: Sequence[int], path: Path, *,
    theme: str = "light",
) -> list[Path]:  # fmt: skip
    """All moments as an animation, those of the numbers `shown` side by side for paper; returns
    the files. Raises Failure E566 without matplotlib."""
    look = theme_of(theme)
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    side = min(SLIDE[0] / columns, SLIDE[1] / rows)
    figure = new_figure((side * columns, side * rows), look)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, k in zip(axes, shown, strict=False):
        _draw(ax, plane, moments[k], look, small=True)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    figure.tight_layout()
    stem = path.with_suffix("") if path.suffix.lower() in (*ENDINGS, ".gif") else path
    film = write(stem.with_name(f"{stem.name}.gif"), _film(plane, moments, look))
    return [*written(figure, stem), film]


def _film(plane: Plane, moments: Sequence[Moment], look: Theme) -> bytes:
    from PIL import Image

    frames = [Image.fromarray(_frame(plane, m, look)).quantize(128) for m in moments]
    buffer = io.BytesIO()
    times = [FRAME_TIME] * (len(frames) - 1) + [LAST_TIME]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return buffer.getvalue()


def _frame(plane: Plane, moment: Moment, look: Theme) -> Array:
    figure = new_figure((SIDE, SIDE), look)
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(FRAME_DPI)
    canvas: Any = FigureCanvasAgg(figure)
    ax = figure.add_axes((0.13, 0.12, 0.84, 0.8))
    _draw(ax, plane, moment, look)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[:, :, :3].copy()


def _draw(ax: Any, plane: Plane, moment: Moment, look: Theme, small: bool = False) -> None:
    extent = (plane.x[0], plane.x[-1], plane.y[0], plane.y[-1])
    ax.imshow(ground(moment.scores, look), extent=extent, origin="lower", aspect="auto",
              interpolation="bilinear")  # fmt: skip
    _line(ax, plane, moment.scores, look)
    size = float(np.clip(DOTS / max(1, len(plane.points)), *DOT)) * (0.6 if small else 1.0)
    for k, name in enumerate(plane.names):
        at = plane.points[plane.classes == k]
        ax.scatter(at[:, 0], at[:, 1], s=size, color=_colour(k, look), zorder=3,
                   marker=MARKS[k % len(MARKS)], linewidths=0.6, edgecolors=look.background,
                   label=plain(name))  # fmt: skip
    framed(ax, look)
    ax.grid(False)
    ax.set_xlim(extent[0], extent[1])
    ax.set_ylim(extent[2], extent[3])
    ax.tick_params(labelsize=SMALL)
    if small:
        named(ax, look, plain(moment.title))
    else:
        named(ax, look, plain(moment.title), plain(plane.axes[0]), plain(plane.axes[1]))
        ax.yaxis.label.set_rotation(0 if len(plane.axes[1]) <= 2 else 90)
    ax.title.set_fontsize(LABEL)


def _colour(k: int, look: Theme) -> str:
    return hue(COLOURS[k % len(COLOURS)], look)


def ground(scores: Array, look: Theme) -> Array:
    """[rows, columns, 3]: the colour of the likeliest class, fainter where it is less likely."""
    from matplotlib.colors import to_rgb

    count = scores.shape[2]
    most = scores.max(axis=2)
    sums = np.abs(scores.sum(axis=2) - 1).max() < SURE * max(1, count) * 100
    sure = (most - 1 / count) / (1 - 1 / count) if sums else np.ones_like(most)
    share = (FAINT + (STRONG - FAINT) * np.clip(sure, 0, 1))[:, :, None]
    colours = np.array([to_rgb(_colour(k, look)) for k in range(count)])[scores.argmax(axis=2)]
    return np.asarray((1 - share) * np.array(to_rgb(look.background)) + share * colours)


def _line(ax: Any, plane: Plane, scores: Array, look: Theme) -> None:
    """Where a class is as likely as the likeliest of the others."""
    count = scores.shape[2]
    for k in range(count if count > 2 else 1):
        others = np.delete(scores, k, axis=2).max(axis=2)
        ahead = scores[:, :, k] - others
        if ahead.min() < 0 < ahead.max():
            ax.contour(plane.x, plane.y, ahead, levels=[0.0], colors=[look.ink], linewidths=1.4)
