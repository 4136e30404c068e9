"""Learning curves with what moves them: losses, metrics, the learning rate, gradient norms.

In: rows of a history; the norm of the gradient of each layer, in the order of the net. Out: `.svg`
and `.png`, one panel each. The first panels are those of `loss.svg`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..curves import draw_panels, new_figure, panels, plain
from ..style import SLIDE, Theme
from ..style import theme as theme_of
from .common import SMALL, framed, written

PANEL = (4.4, 3.6)  # inches
COLUMNS = 3  # panels side by side
WIDER = 1.4  # where there are fewer
NAMED = 16  # layers whose names fit below each other
DECADES = 30.0  # greatest over least from which on an axis is logarithmic


@dataclass(frozen=True)
class Norm:
    """‖∂L/∂θ‖ of a layer's parameters."""

    layer: str
    value: float


def curves(
    rows: Sequence[Mapping[str, Any]],
    norms: Sequence[Norm],
    path: Path,
    *,
    losses: Iterable[str] | None = None,
    rate: str = "",
    theme: str = "light",
) -> list[Path]:
    """Draw them; returns the files. `rate`: what the learning rate is called. Raises Failure E566
    without matplotlib."""
    look = theme_of(theme)
    found = panels(rows, losses)
    rates = [(float(r["epoch"]), float(r["lr"])) for r in rows if r.get("lr") is not None]
    count = len(found) + bool(rates) + bool(norms)
    columns = min(count, COLUMNS) if count != 4 else 2
    down = -(-count // columns)
    wide = PANEL[0] * (WIDER if columns <= 2 else 1)
    figure = new_figure((min(wide * columns, SLIDE[0]), PANEL[1] * down), look)
    axes = list(figure.subplots(down, columns, squeeze=False).ravel())
    draw_panels(axes[: max(1, len(found))], found, look)
    rest = axes[len(found) :]
    if rates:
        _rates(rest.pop(0), rates, rate, look)
    if norms:
        _norms(rest.pop(0), norms, look)
    for ax in rest:
        ax.set_axis_off()
    figure.tight_layout()
    return written(figure, path)


def _rates(ax: Any, points: Sequence[tuple[float, float]], name: str, look: Theme) -> None:
    framed(ax, look, across="epoch", up=plain(name))
    x, y = zip(*points, strict=True)
    ax.plot(x, y, color=look.ink, linewidth=2, marker="o" if len(x) <= 40 else None, markersize=3.5)
    ax.set_ylim(0, max(y) * 1.08)
    ax.xaxis.get_major_locator().set_params(integer=True)


def _norms(ax: Any, norms: Sequence[Norm], look: Theme) -> None:
    """Bars below each other with names, or a line over the depth where there are many."""
    values = np.array([n.value for n in norms])
    positive = values[values > 0]
    wide = len(positive) > 0 and positive.max() / positive.min() >= DECADES
    if len(norms) > NAMED:
        framed(
            ax, look, across="layer, from the input", up="norm of the gradient, at the weights now"
        )
        ax.plot(np.arange(1, len(values) + 1), values, color=look.gradient, linewidth=2)
        if wide:
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter("{x:g}")
        return
    framed(ax, look, across="norm of the gradient, at the weights now")
    ax.set_axisbelow(True)
    y = np.arange(len(values))
    ax.barh(y, values, color=look.gradient, height=0.66)
    ax.set_yticks(y, [plain(n.layer) for n in norms])
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    if wide:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_xlim(float(positive.min()) / 3, float(positive.max()) * 4)
    else:
        ax.set_xlim(0, max(float(values.max()) * 1.25, 1e-12))
    for place, value in zip(y, values, strict=True):
        if value > 0:
            ax.text(value, place, f" {value:.2g}", va="center", fontsize=SMALL, color=look.ink)
