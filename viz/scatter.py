"""Points that a net makes over those of its data, in the same frame at every epoch.

In: points [n, 2] of both. Out: a picture [h, w, 3] of bytes, the same for the same points. Needs
matplotlib, as curves do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .curves import DENSITY, hue, new_figure
from .style import BLUE
from .style import theme as theme_of

EDGE = 3.0  # inches
MARGIN = 0.15  # of the data's extent, on each side


def scatter(data: NDArray[Any], made: NDArray[Any], theme: str = "light") -> NDArray[np.uint8]:
    """Raises Failure E566 without matplotlib."""
    look = theme_of(theme)
    figure = new_figure((EDGE, EDGE), look)
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(DENSITY)
    canvas: Any = FigureCanvasAgg(figure)
    ax = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    ax.set_facecolor(look.background)
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_color(look.faint)
    ax.scatter(data[:, 0], data[:, 1], s=9, c=look.faint, alpha=0.35, linewidths=0)
    shown = made[np.isfinite(made).all(axis=1)]
    ax.scatter(shown[:, 0], shown[:, 1], s=14, c=hue(BLUE, look), linewidths=0)
    _frame(ax, data)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[:, :, :3].copy()


def _frame(ax: Any, data: NDArray[Any]) -> None:
    """A square around the data: what the net makes moves in it from epoch to epoch."""
    low, high = data.min(axis=0), data.max(axis=0)
    middle = (low + high) / 2
    half = max(float((high - low).max()) * (0.5 + MARGIN), 1e-6)
    ax.set_xlim(middle[0] - half, middle[0] + half)
    ax.set_ylim(middle[1] - half, middle[1] + half)
