"""A run on one picture: its curves above, what the net made at chosen epochs below.

In: rows of a history, and rows of what was made (pictures as bytes [h, w, 3], or texts), by epoch.
Out: `progress.svg` and `progress.png` in a folder, as wide as a slide, with the same bytes for the
same run. Who makes the pictures is the caller's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .curves import LABEL, SIZE, draw_panels, new_figure, panels, plain, save
from .style import SLIDE, Theme
from .style import theme as theme_of

MOST = 6  # epochs shown
TEXTS = 3  # of them, where they are texts: a line of 50 letters needs the room
LETTER = 9.5  # points, of texts
TALLEST = 1.2 * SLIDE[1]  # inches: type of 11 points is then 9 points on a slide
TALL_TEXT = 2.4  # inches of a row of texts
SIDE, TITLE, GAP, BOTTOM = 0.5, 0.35, 0.14, 0.2  # inches
AXIS = (0.75, 0.65)  # inches left of and below a panel, for its numbers and its label


@dataclass(frozen=True)
class Shown:
    """What one output made, by epoch: a picture [h, w, 3] of bytes, or a text."""

    name: str
    made: Mapping[int, Any]

    @property
    def is_text(self) -> bool:
        return any(isinstance(m, str) for m in self.made.values())


@dataclass(frozen=True)
class _Row:
    """A row of cells, in inches. `titled`: does it tell the epochs, or the row above for it?"""

    shown: Shown
    epochs: tuple[int, ...]
    width: float
    height: float
    titled: bool = True

    @property
    def whole(self) -> float:
        """The height with all that belongs to it."""
        return self.height + TITLE * self.titled + GAP


def progress(
    rows: Sequence[Mapping[str, Any]],
    shown: Sequence[Shown],
    folder: Path,
    *,
    stem: str = "progress",
    theme: str = "light",
    losses: Iterable[str] | None = None,
) -> list[Path]:
    """Draw it; returns the files. Raises Failure E566 without matplotlib."""
    look = theme_of(theme)
    cells = _rows([s for s in shown if s.made])
    below = sum(row.whole for row in cells) + BOTTOM
    high = SIZE[1] + below
    figure = new_figure((SLIDE[0], high), look)
    found = panels(rows, losses)
    _above(figure, found, below, high, look)
    top = below
    for row in cells:
        _row(figure, row, top - TITLE * row.titled, high, look, named=len(cells) > 1)
        top -= row.whole
    return save(figure, Path(folder) / stem)


def chosen(epochs: Iterable[int], most: int = MOST) -> tuple[int, ...]:
    """At most so many of them, evenly from the first to the last."""
    known = sorted(set(epochs))
    if len(known) <= most:
        return tuple(known)
    last = len(known) - 1
    return tuple(dict.fromkeys(known[round(i * last / (most - 1))] for i in range(most)))


def _rows(shown: Sequence[Shown]) -> list[_Row]:
    """Cells as large as the width of a slide allows, all smaller alike where it is too low."""
    rows: list[_Row] = []
    for one in shown:
        epochs = chosen(one.made, TEXTS if one.is_text else MOST)
        width, height = _pitch(epochs, len(shown) > 1) - GAP, TALL_TEXT
        if not one.is_text:
            shape = one.made[epochs[0]].shape
            height = width * shape[0] / shape[1]
        rows.append(_Row(one, epochs, width, height, not rows or rows[-1].epochs != epochs))
    high = sum(row.height for row in rows)
    room = TALLEST - SIZE[1] - BOTTOM - sum(row.whole - row.height for row in rows)
    scale = min(1.0, room / max(high, 1e-9))
    return [
        replace(
            row, height=row.height * scale, width=row.width * (1 if row.shown.is_text else scale)
        )
        for row in rows
    ]


def _pitch(epochs: Sequence[int], named: bool) -> float:
    """From one cell to the next."""
    return (SLIDE[0] - GAP - SIDE * named) / len(epochs)


def _above(figure: Any, found: Sequence[Any], below: float, high: float, look: Theme) -> None:
    """The panels of the curves, side by side over the whole width."""
    count = max(1, len(found))
    each = (SLIDE[0] - 2 * GAP) / count
    axes = [
        figure.add_axes((
            (GAP + i * each + AXIS[0]) / SLIDE[0], (below + AXIS[1]) / high,
            (each - AXIS[0] - GAP) / SLIDE[0], (SIZE[1] - AXIS[1] - GAP) / high,
        ))
        for i in range(count)
    ]  # fmt: skip
    draw_panels(axes, found, look)


def _row(figure: Any, row: _Row, top: float, high: float, look: Theme, named: bool) -> None:
    """Cells in even columns, each under its epoch; `named` with what they are."""
    pitch = _pitch(row.epochs, named)
    for number, epoch in enumerate(row.epochs):
        x = SIDE * named + GAP / 2 + (number + 0.5) * pitch - row.width / 2
        ax = figure.add_axes((
            x / SLIDE[0], (top - row.height) / high, row.width / SLIDE[0], row.height / high,
        ))  # fmt: skip
        ax.set_axis_off()
        if row.titled:
            where = "left" if row.shown.is_text else "center"
            ax.set_title(f"epoch {epoch}", color=look.ink, fontsize=LABEL, pad=4, loc=where)
        made = row.shown.made[epoch]
        if isinstance(made, str):
            _text(ax, made, row, look)
        else:
            ax.imshow(made, interpolation="auto", aspect="auto")
    if named:
        figure.text(SIDE / 2 / SLIDE[0], (top - row.height / 2) / high, plain(row.shown.name),
                    rotation=90, ha="center", va="center", color=look.ink,
                    fontsize=LABEL)  # fmt: skip


def _text(ax: Any, text: str, row: _Row, look: Theme) -> None:
    """As many letters and lines as there is room for; a monospaced letter is 0.6 of its size
    wide."""
    across = int(row.width * 72 / (0.602 * LETTER))
    pitch = 1.3 * LETTER / 72 / row.height
    lines = [line[i : i + across] for line in text.splitlines()
             for i in range(0, max(1, len(line)), across)]  # fmt: skip
    for number, line in enumerate(lines[: int(1 / pitch)]):
        ax.text(0, 1 - number * pitch, plain(line), family="monospace", fontsize=LETTER,
                va="top", color=look.ink, transform=ax.transAxes)  # fmt: skip
