"""What all plots share: the frame around numbers, colour maps with a meaning, files.

In: axes and a theme. Out: axes in the style of the house; colour maps from no colour (nothing, or
zero) to the palette's; files `.svg` and `.png`, the same bytes for the same figure. No figure is
larger than a slide, so type of 10 points is never below 9 on one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..curves import hue, save
from ..style import BLUE, ORANGE, RED, SKY, Theme

Array = NDArray[Any]
ENDINGS = (".svg", ".png")
SMALL, LABEL, TITLE = 10, 12, 13  # points
TILE_GAP = 1  # pixels between tiles
FINE = 18  # pixels that the longer side of a tile has at least
DARK = 0.45  # grey below which white type is read


def written(figure: Any, path: Path) -> list[Path]:
    """The figure as `path` with the endings .svg and .png."""
    stem = path.with_suffix("") if path.suffix.lower() in ENDINGS else path
    return save(figure, stem)


def framed(ax: Any, look: Theme, title: str = "", across: str = "", up: str = "") -> None:
    """Numbers on the left and below, and nothing else around."""
    ax.set_facecolor(look.background)
    ax.tick_params(colors=look.ink, labelsize=SMALL, which="both")
    ax.grid(True, color=look.faint, alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(look.faint)
    named(ax, look, title, across, up)


def bare(ax: Any, look: Theme, title: str = "") -> None:
    """A picture: no numbers around it, a thin line."""
    ax.set_facecolor(look.background)
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_color(look.faint)
        side.set_linewidth(0.6)
    named(ax, look, title)


def named(ax: Any, look: Theme, title: str = "", across: str = "", up: str = "") -> None:
    """Words around axes."""
    if title:
        ax.set_title(title, color=look.ink, fontsize=LABEL, pad=6)
    if across:
        ax.set_xlabel(across, color=look.ink, fontsize=LABEL)
    if up:
        ax.set_ylabel(up, color=look.ink, fontsize=LABEL)


def legend(ax: Any, look: Theme, **options: Any) -> None:
    """A legend in the theme's ink, by default without a box."""
    shown = ax.legend(**{"frameon": False, "fontsize": SMALL, **options})
    for text in shown.get_texts():
        text.set_color(look.ink)


def diverging(look: Theme) -> Any:
    """Negative red, zero the background, positive blue: light in the middle, so that a grey print
    keeps the size of a number, though not its sign."""
    return _ramp("signed", [RED, look.background, hue(BLUE, look)])


def sequential(look: Theme) -> Any:
    """Nothing the background, much the blue of the palette."""
    dark = look.name == "dark"
    return _ramp("amount", [look.background, BLUE if dark else SKY, SKY if dark else "#003F66"])


def warm(look: Theme) -> Any:
    """Nothing the background, much red: for what is not an activation (a saliency)."""
    return _ramp("heat", [look.background, ORANGE, RED])


def _ramp(name: str, colours: Sequence[str]) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(f"chainrule {name}", list(colours))


def scale(array: Array, look: Theme) -> dict[str, Any]:
    """What `imshow` takes for these numbers: symmetric around zero where some are negative."""
    finite = array[np.isfinite(array)]
    most = max(float(np.abs(finite).max(initial=0.0)), 1e-12)
    if finite.min(initial=0.0) < 0:
        return {"cmap": diverging(look), "vmin": -most, "vmax": most}
    return {"cmap": sequential(look), "vmin": 0.0, "vmax": most}


def colour_bar(figure: Any, image: Any, ax: Any, look: Theme, label: str, **options: Any) -> None:
    """The scale of a picture, beside it or in axes of its own (`cax`)."""
    bar = figure.colorbar(image, **({} if "cax" in options else {"ax": ax}), **options)
    bar.outline.set_edgecolor(look.faint)
    bar.ax.tick_params(colors=look.ink, labelsize=SMALL)
    bar.set_label(label, color=look.ink, fontsize=SMALL)


def tiled(tiles: Array, columns: int) -> Array:
    """Pictures [n, h, w] as one, in reading order; NaN between them."""
    fine = grain(tiles.shape[1:])
    tiles = np.repeat(np.repeat(tiles, fine, axis=1), fine, axis=2)
    n, h, w = tiles.shape
    rows = math.ceil(n / columns)
    whole = np.full((rows * (h + TILE_GAP) - TILE_GAP, columns * (w + TILE_GAP) - TILE_GAP), np.nan)
    for k, tile in enumerate(tiles):
        y, x = (k // columns) * (h + TILE_GAP), (k % columns) * (w + TILE_GAP)
        whole[y : y + h, x : x + w] = tile
    return whole


def grain(shape: Sequence[int]) -> int:
    """How many times each pixel stands, so that the gap between small pictures is small too."""
    return max(1, math.ceil(FINE / max(shape)))


def outlined(ax: Any, count: int, shape: tuple[int, int], columns: int, look: Theme) -> None:
    """A thin line around each of the pictures that `tiled` put side by side."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    h, w = (side * grain(shape) for side in shape)
    boxes = [
        Rectangle(((k % columns) * (w + TILE_GAP) - 0.5, (k // columns) * (h + TILE_GAP) - 0.5),
                  w, h)
        for k in range(count)
    ]  # fmt: skip
    lines = PatchCollection(boxes, facecolor="none", edgecolor=look.faint, linewidth=0.5)
    lines.set_clip_on(False)
    ax.add_collection(lines)


def columns_of(count: int, share: float) -> int:
    """In how many columns to put so many pictures: near `share` of them, and no row short, where
    such a number is near."""
    wanted = max(1, min(count, round(share)))
    near = range(max(1, int(wanted * 0.75)), min(count, int(wanted * 1.34)) + 1)
    even = [c for c in near if count % c == 0]
    return min(even, key=lambda c: abs(c - wanted), default=wanted)


def picture(pixels: Array) -> tuple[Array, dict[str, Any]]:
    """An example [C, h, w] as `imshow` takes it: colours, or greys from its least to its
    greatest."""
    values = np.asarray(pixels, np.float64)
    low, high = float(values.min()), float(values.max())
    levels = (values - low) / max(high - low, 1e-12)
    if len(levels) == 3:
        return levels.transpose(1, 2, 0), {}
    return levels[0], {"cmap": "gray", "vmin": 0.0, "vmax": 1.0}


def ink_on(colours: Any, value: float) -> str:
    """Black or white, whichever stands out on the colour of a value between 0 and 1."""
    red, green, blue, _ = colours(value)
    return "#1A1A1A" if 0.299 * red + 0.587 * green + 0.114 * blue > DARK else "#FFFFFF"
