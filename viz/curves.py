"""Learning curves: losses and metrics over the epochs, for training and validation.

In: rows of a history as plain dictionaries (epoch, step, split, values by name). Out:
`loss.svg` and `loss.png` in a folder, with the same bytes for the same rows. Needs matplotlib,
the `plot` extra; without it the caller is told what to install.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..dsl.diagnostics import fail
from .files import write
from .style import BLUE, GREEN, ORANGE, PURPLE, Theme
from .style import theme as theme_of

SPLITS = {
    "train": (BLUE, "-", "training"),
    "valid": (ORANGE, "--", "validation"),
    "test": (GREEN, ":", "test"),
}
OTHER = (PURPLE, "-.")
NOT_VALUES = ("epoch", "step", "split", "lr", "seconds", "examples_per_second")
SIZE = (6.4, 4.0)  # inches of one panel
DENSITY = 150  # dots per inch of the PNG


def curves(
    rows: Sequence[Mapping[str, Any]], folder: Path, *, stem: str = "loss", theme: str = "light"
) -> list[Path]:
    """Draw every loss and metric; returns the files. Raises Failure E566 without matplotlib."""
    figure = _figure(rows, theme_of(theme))
    paths = []
    for kind in ("svg", "png"):
        paths.append(write(Path(folder) / f"{stem}.{kind}", _bytes(figure, kind)))
    return paths


def series(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """For each value its points (epoch, number) by split: losses first, then metrics."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        for name, value in row.items():
            if name in NOT_VALUES or value is None:
                continue
            number = float(value)
            if math.isfinite(number):
                splits = found.setdefault(name, {})
                splits.setdefault(str(row["split"]), []).append((float(row["epoch"]), number))
    return dict(sorted(found.items(), key=lambda item: "loss" not in item[0]))


def _figure(rows: Sequence[Mapping[str, Any]], look: Theme) -> Any:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise fail("E566", "curves need matplotlib, which is not installed",
                   help='install the extra: pip install "chainrule[plot]"') from None  # fmt: skip
    # The identifiers inside an SVG are hashes; a fixed salt makes them the same in every run.
    matplotlib.rcParams["svg.hashsalt"] = "chainrule"
    matplotlib.rcParams["svg.fonttype"] = "none"
    panels = series(rows)
    count = max(len(panels), 1)
    figure = Figure(figsize=(SIZE[0] * count, SIZE[1]), facecolor=look.background)
    axes = figure.subplots(1, count, squeeze=False)[0]
    for ax, (name, splits) in zip(axes, panels.items(), strict=False):
        _panel(ax, name, splits, look)
    if not panels:
        axes[0].set_axis_off()
        axes[0].text(0.5, 0.5, "no rows yet", ha="center", color=look.ink)
    figure.tight_layout()
    return figure


def _panel(
    ax: Any, name: str, splits: Mapping[str, list[tuple[float, float]]], look: Theme
) -> None:
    for split, points in splits.items():
        colour, style, words = SPLITS.get(split, (*OTHER, split))
        marker = "o" if len(points) <= 40 else None
        x, y = zip(*points, strict=True)
        # A name with dollar signs is a name, not mathematics.
        ax.plot(x, y, color=colour, linestyle=style, marker=marker, markersize=3.5,
                label=words.replace("$", r"\$"))  # fmt: skip
    ax.set_xlabel("epoch", color=look.ink, fontsize=12)
    ax.set_ylabel(name.replace("$", r"\$"), color=look.ink, fontsize=12)
    ax.set_facecolor(look.background)
    ax.tick_params(colors=look.ink, labelsize=11)
    ax.grid(True, color=look.faint, alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(look.faint)
    ax.xaxis.get_major_locator().set_params(integer=True)
    legend = ax.legend(frameon=False, fontsize=11)
    for text in legend.get_texts():
        text.set_color(look.ink)


def _bytes(figure: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    without = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, dpi=DENSITY, metadata=without,
                   facecolor=figure.get_facecolor())  # fmt: skip
    return buffer.getvalue()
