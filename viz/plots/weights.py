"""The weights of a first layer as pictures: what each unit looks for.

In: weights [units, C, h, w]. Out: `.svg` and `.png`. Of one channel, positive numbers are blue and
negative ones red, on one scale that is symmetric around zero; of three, they are the colours of the
picture, with zero as middle grey.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ..curves import new_figure, plain
from ..style import SLIDE
from ..style import theme as theme_of
from .common import (
    LABEL,
    Array,
    bare,
    colour_bar,
    columns_of,
    diverging,
    outlined,
    tiled,
    written,
)

MOST = 160  # units shown
TALL = 7.3  # inches
WIDE = 12.0
ROOM = (1.3, 0.7)  # inches for the scale, and for the title
GREY = 0.5


def weights(
    array: Array, path: Path, *, theme: str = "light", name: str = "", units: str = "units"
) -> list[Path]:
    """Draw them; returns the files. Raises Failure E566 without matplotlib."""
    look = theme_of(theme)
    shown = np.asarray(array, np.float64)[:MOST]
    count, channels, high, wide = shown.shape
    most = max(float(np.abs(shown).max(initial=0.0)), 1e-12)
    columns = _columns(count, high, wide)
    in_colour = channels == 3
    planes = [tiled(shown[:, c], columns) for c in range(3 if in_colour else 1)]
    across, down = planes[0].shape[1], planes[0].shape[0]
    scale = min((WIDE - ROOM[0]) / across, (TALL - ROOM[1]) / down)
    size = (max(across * scale + ROOM[0], 5.0), down * scale + ROOM[1])
    figure = new_figure((min(size[0], SLIDE[0]), size[1]), look)
    ax = figure.subplots()
    image: Any
    if in_colour:
        levels = np.stack(planes, axis=2) / most * GREY + GREY
        rest = np.isnan(levels)
        from matplotlib.colors import to_rgb

        levels = np.where(rest, np.array(to_rgb(look.background)), levels)
        ax.imshow(levels, interpolation="nearest")
        ax.set_xlabel(f"middle grey is 0; full colour is ±{most:.2g}", color=look.ink,
                      fontsize=LABEL)  # fmt: skip
    else:
        image = ax.imshow(planes[0], cmap=diverging(look), vmin=-most, vmax=most,
                          interpolation="nearest")  # fmt: skip
        colour_bar(figure, image, ax, look, "weight", fraction=0.05, pad=0.02)
    outlined(ax, count, (high, wide), columns, look)
    total = len(array)
    told = f"{total} {units}" if total <= MOST else f"the first {MOST} of {total:,} {units}"
    bare(ax, look, plain(f"{name}: {told} of {high} × {wide}"))
    for side in ax.spines.values():
        side.set_visible(False)
    figure.tight_layout()
    return written(figure, path)


def _columns(count: int, high: int, wide: int) -> int:
    """So that the whole is about as wide for its height as a slide."""
    aspect = (WIDE - ROOM[0]) / (TALL - ROOM[1])
    return columns_of(count, math.sqrt(count * aspect * high / wide))
