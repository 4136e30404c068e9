"""Learning curves: losses and metrics over the epochs, for training and validation.

In: rows of a history as plain dictionaries (epoch, step, split, values by name). Out:
`loss.svg` and `loss.png` in a folder, with the same bytes for the same rows. All losses of a net
share one panel, so that both sides of an adversarial net are seen against each other; metrics have
theirs. Needs matplotlib, the `plot` extra; without it the caller is told what to install.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..dsl.diagnostics import fail
from .files import write
from .style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, Theme
from .style import theme as theme_of

Points = list[tuple[float, float]]
Splits = dict[str, Points]

SPLITS = {
    "train": (BLUE, "-", "training"),
    "valid": (ORANGE, "--", "validation"),
    "test": (GREEN, ":", "test"),
}
OTHER = (PURPLE, "-.")
# Of several curves in a panel each has a colour and a mark; the line says which examples.
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)
MARKS = ("o", "s", "^", "D", "v", "P")
NOT_VALUES = ("epoch", "step", "split", "lr", "seconds", "examples_per_second")
SIZE = (6.4, 4.0)  # inches of one panel
DENSITY = 150  # dots per inch of the PNG
DECADES = 100.0  # greatest over least from which on an axis is logarithmic
LABEL, TICK = 12, 11  # points


@dataclass(frozen=True)
class Panel:
    """Curves over one axis. `values`: name -> split -> points (epoch, number)."""

    label: str
    values: Mapping[str, Splits]

    @property
    def is_logarithmic(self) -> bool:
        """Do positive numbers span decades?"""
        found = [y for splits in self.values.values() for points in splits.values()
                 for _, y in points]  # fmt: skip
        return bool(found) and min(found) > 0 and max(found) / min(found) >= DECADES

    @property
    def splits(self) -> tuple[str, ...]:
        """Every split that a curve has, each once."""
        return tuple(dict.fromkeys(s for splits in self.values.values() for s in splits))


def curves(
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
    *,
    stem: str = "loss",
    theme: str = "light",
    losses: Iterable[str] | None = None,
) -> list[Path]:
    """Draw every loss and metric; returns the files. `losses` says which values are losses, by
    default those with that word in their names. Raises Failure E566 without matplotlib."""
    look = theme_of(theme)
    found = panels(rows, losses)
    count = max(len(found), 1)
    figure = new_figure((SIZE[0] * count, SIZE[1]), look)
    draw_panels(figure.subplots(1, count, squeeze=False)[0], found, look)
    figure.tight_layout()
    return save(figure, Path(folder) / stem)


def series(rows: Sequence[Mapping[str, Any]]) -> dict[str, Splits]:
    """For each value its points (epoch, number) by split, in the order of the rows."""
    found: dict[str, Splits] = {}
    for row in rows:
        for name, value in row.items():
            if name in NOT_VALUES or value is None:
                continue
            number = float(value)
            if math.isfinite(number):
                splits = found.setdefault(name, {})
                splits.setdefault(str(row["split"]), []).append((float(row["epoch"]), number))
    return found


def panels(rows: Sequence[Mapping[str, Any]], losses: Iterable[str] | None = None) -> list[Panel]:
    """All losses, then metrics that are shares of one, then other metrics: three at most."""
    found = series(rows)
    known = set(losses) if losses is not None else {n for n in found if "loss" in n}
    groups: dict[str, dict[str, Splits]] = {"loss": {}, "share": {}, "metric": {}}
    for name, splits in found.items():
        kind = "loss" if name in known else "share" if _is_share(splits) else "metric"
        groups[kind][name] = splits
    return [
        Panel(next(iter(group)) if len(group) == 1 else "loss" if kind == "loss" else "metrics",
              group)
        for kind, group in groups.items() if group
    ]  # fmt: skip


def _is_share(splits: Splits) -> bool:
    return all(0 <= y <= 1 for points in splits.values() for _, y in points)


def new_figure(size: tuple[float, float], look: Theme) -> Any:
    """An empty figure of `size` inches. Raises Failure E566 without matplotlib."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise fail("E566", "curves need matplotlib, which is not installed",
                   help='install the extra: pip install "chainrule[plot]"') from None  # fmt: skip
    # The identifiers inside an SVG are hashes; a fixed salt makes them the same in every run.
    matplotlib.rcParams["svg.hashsalt"] = "chainrule"
    matplotlib.rcParams["svg.fonttype"] = "none"
    return Figure(figsize=size, facecolor=look.background)


def draw_panels(axes: Sequence[Any], found: Sequence[Panel], look: Theme) -> None:
    """Each panel on its axes; without any, words on the first."""
    for ax, panel in zip(axes, found, strict=False):
        _panel(ax, panel, look)
    if not found:
        axes[0].set_axis_off()
        axes[0].text(0.5, 0.5, "no rows yet", ha="center", color=look.ink)


def save(figure: Any, path: Path) -> list[Path]:
    """`path` with the endings .svg and .png; the same figure gives the same bytes."""
    return [write(path.with_name(f"{path.name}.{kind}"), _bytes(figure, kind))
            for kind in ("svg", "png")]  # fmt: skip


def plain(name: str) -> str:
    """A name with dollar signs is a name, not mathematics."""
    return name.replace("$", r"\$")


def _panel(ax: Any, panel: Panel, look: Theme) -> None:
    if len(panel.values) == 1:
        _alone(ax, next(iter(panel.values.values())), look)
    else:
        _together(ax, panel, look)
    if panel.is_logarithmic:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")  # exponents would be too small on a slide
    ax.set_xlabel("epoch", color=look.ink, fontsize=LABEL)
    ax.set_ylabel(plain(panel.label), color=look.ink, fontsize=LABEL)
    ax.set_facecolor(look.background)
    ax.tick_params(colors=look.ink, labelsize=TICK, which="both")
    ax.grid(True, color=look.faint, alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(look.faint)
    ax.xaxis.get_major_locator().set_params(integer=True)
    epochs = {x for splits in panel.values.values() for points in splits.values()
              for x, _ in points}  # fmt: skip
    if len(epochs) == 1:
        ax.set_xlim(min(epochs) - 1, min(epochs) + 1)  # room for whole numbers
    for text in ax.get_legend().get_texts():
        text.set_color(look.ink)


def hue(colour: str, look: Theme) -> str:
    """Dark blue is hard to see on a dark ground."""
    return SKY if colour == BLUE and look.name == "dark" else colour


def _alone(ax: Any, splits: Splits, look: Theme) -> None:
    """One value: a colour for each split."""
    for split, points in splits.items():
        colour, style, words = SPLITS.get(split, (*OTHER, split))
        marker = "o" if len(points) <= 40 else None
        x, y = zip(*points, strict=True)
        ax.plot(x, y, color=hue(colour, look), linestyle=style, marker=marker, markersize=3.5,
                label=plain(words))  # fmt: skip
    ax.legend(frameon=False, fontsize=TICK)


def _together(ax: Any, panel: Panel, look: Theme) -> None:
    """Several values: a colour and a mark for each, a kind of line for each split."""
    from matplotlib.lines import Line2D

    keys: list[Any] = []
    style: Any
    for number, (name, splits) in enumerate(panel.values.items()):
        colour, mark = hue(COLOURS[number % len(COLOURS)], look), MARKS[number % len(MARKS)]
        keys.append(Line2D([], [], color=colour, marker=mark, markersize=5, label=plain(name)))
        for split, points in splits.items():
            _, style, _ = SPLITS.get(split, (*OTHER, split))
            x, y = zip(*points, strict=True)
            ax.plot(x, y, color=colour, linestyle=style, marker=mark, markersize=4.5,
                    markevery=max(1, len(points) // 12))  # fmt: skip
    if len(panel.splits) > 1:
        for split in panel.splits:
            _, style, words = SPLITS.get(split, (*OTHER, split))
            keys.append(Line2D([], [], color=look.faint, linestyle=style, label=plain(words)))
    ax.legend(handles=keys, frameon=False, fontsize=TICK, ncols=1 + (len(keys) > 4))


def _bytes(figure: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    without = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, dpi=DENSITY, metadata=without,
                   facecolor=figure.get_facecolor())  # fmt: skip
    return buffer.getvalue()
