"""What each layer makes of one example: the figure of a digit on its way through a net.

In: the picture, for each layer its name and numbers (maps [C, h, w] or a vector), the scores of the
classes. Out: `.svg` and `.png`, as wide as a slide at most: the input, the maps of each layer as
tiles, vectors as strips, the scores as bars. Each layer has a scale of its own; red is negative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..curves import hue, new_figure, plain
from ..style import BLUE, SLIDE, Theme
from ..style import theme as theme_of
from .common import (
    LABEL,
    SMALL,
    Array,
    bare,
    columns_of,
    outlined,
    picture,
    scale,
    tiled,
    written,
)

HIGH = 4.3  # inches of the row of layers
TITLE, FOOT, GAP, SIDE = 0.5, 0.45, 0.24, 0.2  # inches
MOST_MAPS = 32  # of a layer
LONG = 96  # numbers in one column of a strip
BARS, BAR_NAMES = 2.0, 0.6  # inches
LETTER = 0.085  # inches of a class's name
INPUT = 1.6
MAPS = (1.25, 2.1)  # inches: the narrowest and the widest column of maps
MOST_BARS = 12


@dataclass(frozen=True)
class Layer:
    """Its name, and its numbers for one example: [C, h, w], or any other shape."""

    name: str
    values: Array

    @property
    def is_maps(self) -> bool:
        return self.values.ndim == 3 and min(self.values.shape[1:]) > 1


@dataclass(frozen=True)
class Scores:
    """The score of each class, their names, and which is right (None where nobody knows)."""

    name: str
    values: Array
    names: Sequence[str]
    true: int | None = None


def features(
    pixels: Array | None,
    layers: Sequence[Layer],
    scores: Scores | None,
    path: Path,
    *,
    theme: str = "light",
    title: str = "",
) -> list[Path]:
    """Draw it; returns the files. Raises Failure E566 without matplotlib."""
    look = theme_of(theme)
    names = _room(scores) if scores is not None else 0.0
    ends = [INPUT] * (pixels is not None) + [BARS + names] * (scores is not None)
    layers = _fitting(layers, SLIDE[0] - 2 * SIDE - sum(end + GAP for end in ends))
    wide = _widths(layers, SLIDE[0] - 2 * SIDE - sum(end + GAP for end in ends))
    needed = sum(wide) + sum(ends) + GAP * (len(wide) + len(ends) - 1) + 2 * SIDE
    total = min(max(needed, 6.0), SLIDE[0])
    figure = new_figure((total, HIGH + TITLE + FOOT), look)
    row = _Row(figure, look, total)
    if pixels is not None:
        image, options = picture(pixels)
        ax = row.axes(INPUT, "input", f"{pixels.shape[1]} × {pixels.shape[2]}")
        ax.imshow(image, interpolation="nearest", **options)
    for layer, width in zip(layers, wide, strict=True):
        _layer(row, layer, width, look)
    if scores is not None:
        _bars(row, scores, names, look)
    if title:
        figure.suptitle(plain(title), color=look.ink, fontsize=LABEL + 1, y=0.985)
    return written(figure, path)


class _Row:
    """Axes side by side, from the left."""

    def __init__(self, figure: Any, look: Theme, total: float) -> None:
        self.figure, self.look, self.total = figure, look, total
        self.x = SIDE
        self.high = HIGH + TITLE + FOOT

    def axes(self, width: float, name: str, below: str, before: float = 0.0) -> Any:
        """`before`: inches for words on the left."""
        place = ((self.x + before) / self.total, FOOT / self.high, (width - before) / self.total,
                 (HIGH - 0.3) / self.high)  # fmt: skip
        ax = self.figure.add_axes(place)
        bare(ax, self.look, plain(name))
        ax.set_xlabel(below, color=self.look.ink, fontsize=SMALL)
        ax.set_anchor("C")
        self.x += width + GAP
        return ax


def _width(layer: Layer) -> float:
    if not layer.is_maps:
        return max(
            0.2 * _strips(layer.values.size) + 0.35, 1.2 * LETTER * len(layer.name) - GAP / 2
        )
    count, high, wide = layer.values.shape
    shown = min(count, MOST_MAPS)
    columns = _columns(shown)
    rows = math.ceil(shown / columns)
    suits = float(np.clip((HIGH - 0.6) * columns * wide / (rows * high), *MAPS))
    return max(suits, _least(layer))


def _fitting(layers: Sequence[Layer], room: float) -> list[Layer]:
    """Those that fit side by side: of maps fewer, evenly from the first to the last."""
    maps = [k for k, layer in enumerate(layers) if layer.is_maps]
    kept = list(range(len(layers)))
    for count in range(len(maps), 0, -1):
        last = len(maps) - 1
        chosen = {maps[round(i * last / max(1, count - 1))] for i in range(count)}
        kept = [k for k in range(len(layers)) if k in chosen or k not in maps]
        if sum(_least(layers[k]) + GAP for k in kept) <= room:
            break
    return [layers[k] for k in kept]


def _widths(layers: Sequence[Layer], room: float) -> list[float]:
    """Of each column: between what its words need and what suits it, as far as there is room."""
    least, best = ([f(layer) for layer in layers] for f in (_least, _width))
    spare = room - sum(least) - GAP * len(layers)
    wanted = sum(best) - sum(least)
    share = min(1.0, max(0.0, spare) / wanted) if wanted > 0 else 0.0
    return [low + share * (high - low) for low, high in zip(least, best, strict=True)]


def _least(layer: Layer) -> float:
    """Inches that a column needs for its words."""
    return max(MAPS[0], 1.2 * LETTER * len(layer.name)) if layer.is_maps else _width(layer)


def _columns(count: int) -> int:
    return columns_of(count, max(1.0, math.sqrt(count / 1.2)))


def _room(scores: Scores) -> float:
    """Inches left of the bars for the names of the classes."""
    return max(BAR_NAMES, LETTER * max(map(len, scores.names)) + 0.1)


def _strips(size: int) -> int:
    return min(4, math.ceil(size / LONG))


def _layer(row: _Row, layer: Layer, width: float, look: Theme) -> None:
    if layer.is_maps:
        count, high, wide = layer.values.shape
        shown = layer.values[:MOST_MAPS]
        told = f"{count} × {high} × {wide}"
        if count > MOST_MAPS:
            told += f"\n(first {MOST_MAPS})"
        columns = _columns(len(shown))
        ax = row.axes(width, layer.name, told)
        ax.imshow(tiled(shown, columns), interpolation="nearest", **scale(shown, look))
        outlined(ax, len(shown), (high, wide), columns, look)
        for side in ax.spines.values():
            side.set_visible(False)
        return
    flat = layer.values.reshape(-1)
    ax = row.axes(width, layer.name, f"{flat.size:,}")
    strips = _strips(flat.size)
    tall = math.ceil(flat.size / strips)
    whole = np.full((tall * strips,), np.nan)
    whole[: flat.size] = flat
    ax.imshow(whole.reshape(strips, tall).T, interpolation="nearest", aspect="auto",
              **scale(flat, look))  # fmt: skip


def _bars(row: _Row, scores: Scores, names: float, look: Theme) -> None:
    """The scores; the greatest in full colour, the right class named in bold. Of many classes the
    greatest."""
    values = np.asarray(scores.values, np.float64).reshape(-1)
    told = int(values.argmax())
    shown = list(range(len(values)))
    if len(values) > MOST_BARS:
        greatest = [int(k) for k in np.argsort(-values, kind="stable")[: MOST_BARS - 1]]
        extra = [] if scores.true is None or scores.true in greatest else [scores.true]
        shown = greatest + extra
    ax = row.axes(BARS + names, scores.name, "", before=names)
    ax.tick_params(colors=look.ink, labelsize=SMALL, length=0)
    y = np.arange(len(shown))
    colour = hue(BLUE, look)
    for place, k in zip(y, shown, strict=True):
        ax.barh(place, values[k], height=0.72, color=colour if k == told else look.faint,
                alpha=1.0 if k == told else 0.45)  # fmt: skip
    most = max(float(np.abs(values).max()), 1e-12)
    for place, k in zip(y, shown, strict=True):
        ax.text(max(values[k], 0) + 0.02 * most, place, f"{values[k]:.2f}", va="center",
                fontsize=SMALL, color=look.ink)  # fmt: skip
    ax.set_yticks(y, [plain(scores.names[k]) for k in shown])
    for label, k in zip(ax.get_yticklabels(), shown, strict=True):
        if k == scores.true:
            label.set_fontweight("bold")
    ax.invert_yaxis()
    low = min(0.0, float(values[shown].min()))
    ax.set_xlim(low * 1.05, most * 1.32)
    for side in ("top", "right", "bottom"):
        ax.spines[side].set_visible(False)
    if scores.true is not None:
        right = told == scores.true
        ax.set_xlabel("right" if right else f"wrong: it is {plain(scores.names[scores.true])}",
                      color=look.ink, fontsize=LABEL)  # fmt: skip
