"""Activation functions and their derivatives, side by side on one slide.

In: for each function its name, x, f(x) and f'(x) as arrays, and a remark. Out: `.svg` and `.png`.
Where a line jumps it is broken, as on a blackboard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..curves import hue, new_figure, plain
from ..style import BLUE, SLIDE, Theme
from ..style import theme as theme_of
from .common import LABEL, SMALL, Array, framed, legend, written

COLUMNS = 5
STEEP = 8.0  # slope from which on two neighbours are on different sides of a jump
LIMITS = (-2.7, 3.2)


@dataclass(frozen=True)
class Curve:
    """One function on the points `x`. `remark` stands below its name."""

    name: str
    x: Array
    value: Array
    derivative: Array
    remark: str = ""


def activations(curves: Sequence[Curve], path: Path, *, theme: str = "light") -> list[Path]:
    """Draw them; returns the files. Raises Failure E566 without matplotlib."""
    look = theme_of(theme)
    rows = -(-(len(curves) + 1) // COLUMNS)
    figure = new_figure((SLIDE[0], min(SLIDE[1], 2.5 * rows)), look)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for ax, curve in zip(axes, curves, strict=False):
        _panel(ax, curve, look)
    for ax in axes[len(curves) :]:
        ax.set_axis_off()
    if len(axes) > len(curves):
        handles, labels = axes[0].get_legend_handles_labels()
        legend(axes[len(curves)], look, handles=handles, labels=labels, loc="center",
               prop={"size": LABEL})  # fmt: skip
    figure.tight_layout(h_pad=1.2)
    return written(figure, path)


def _panel(ax: Any, curve: Curve, look: Theme) -> None:
    framed(ax, look)
    ax.set_title(plain(curve.name), color=look.ink, fontsize=LABEL, loc="left", fontweight="bold")
    ax.axhline(0, color=look.faint, linewidth=0.8)
    ax.axvline(0, color=look.faint, linewidth=0.8)
    ax.plot(curve.x, broken(curve.x, curve.value), color=hue(BLUE, look), linewidth=2.4,
            label="f(x)")  # fmt: skip
    ax.plot(curve.x, broken(curve.x, curve.derivative), color=look.gradient, linewidth=2.0,
            linestyle=(0, (4, 2)), label="derivative f′(x)")  # fmt: skip
    ax.set_xlim(float(curve.x[0]), float(curve.x[-1]))
    ax.set_ylim(*LIMITS)
    ax.set_yticks([-2, -1, 0, 1, 2, 3])
    ax.xaxis.get_major_locator().set_params(integer=True)
    if curve.remark:
        ax.text(0.03, 0.03, curve.remark, transform=ax.transAxes, ha="left", va="bottom",
                fontsize=SMALL, color=look.ink, in_layout=False,
                bbox={"facecolor": look.background, "edgecolor": "none", "pad": 1.0})  # fmt: skip


def broken(x: Array, y: Array) -> Array:
    """The numbers with NaN after each jump: no line joins its two sides."""
    out = np.asarray(y, np.float64).copy()
    steep = np.abs(np.diff(out)) > STEEP * np.diff(np.asarray(x, np.float64))
    out[1:][steep] = np.nan
    return out
