"""Boxes in oblique projection, stacks of sheets, bars and lines, at fixed places of a picture.

In: places and sizes in points, y upwards. Out: nodes and edges of a `Dot` that is laid out as
placed. Graphviz has no parallelogram of given corners; it has squares that are skewed and stretched
to a box, of which a few make any parallelogram with a level or an upright side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from .dot import Attribute, Dot
from .style import SMALL, Theme

REACH = 5.6  # pieces for a shift as large as the base: larger skews are not stretched as told


@dataclass(frozen=True)
class Look:
    """Colours of a solid."""

    front: str
    top: str
    side: str
    line: str


class Scene:
    """A picture whose parts stand where they are put."""

    def __init__(self, look: Theme) -> None:
        self.look = look
        self.below = 0.0  # points that everything is put lower: for rows
        self.dot = Dot(
            "", look, layout="neato", inputscale=72, splines="line", outputorder="nodesfirst"
        )

    def rectangle(
        self, x: float, y: float, w: float, h: float, fill: str, line: str, **more: Attribute
    ) -> None:
        """A rectangle from its lower left corner."""
        self._placed(x + w / 2, y + h / 2, w, h, shape="box", style="filled", fillcolor=fill,
                     color=line, **more)  # fmt: skip

    def top(self, x: float, y: float, w: float, dx: float, dy: float, look: Look) -> None:
        """The upper face: from (x, y) to the right by w, shifted by (dx, dy)."""
        pieces = _pieces(w, dx)
        skew = skewed(w, dx / pieces)
        for k in range(pieces):
            left, low = x + k * dx / pieces, y + k * dy / pieces
            self._placed(
                left + (w + dx / pieces) / 2, low + dy / pieces / 2, w + dx / pieces, dy / pieces,
                shape="polygon", sides=4, skew=skew, style="filled", fillcolor=look.top,
                color=look.line if pieces == 1 else look.top,
            )  # fmt: skip
        if pieces > 1:
            self._outline([(x, y), (x + dx, y + dy), (x + w + dx, y + dy), (x + w, y)], look)

    def side(self, x: float, y: float, h: float, dx: float, dy: float, look: Look) -> None:
        """The face on the right: from (x, y) upwards by h, shifted by (dx, dy)."""
        pieces = _pieces(h, dy)
        skew = skewed(h, dy / pieces)
        for k in range(pieces):
            left, low = x + k * dx / pieces, y + k * dy / pieces
            self._placed(
                left + dx / pieces / 2, low + (h + dy / pieces) / 2, dx / pieces, h + dy / pieces,
                shape="polygon", sides=4, skew=-skew, orientation=90, style="filled",
                fillcolor=look.side, color=look.line if pieces == 1 else look.side,
            )  # fmt: skip
        if pieces > 1:
            self._outline([(x, y), (x + dx, y + dy), (x + dx, y + dy + h), (x, y + h)], look)

    def _outline(self, corners: list[tuple[float, float]], look: Look) -> None:
        for a, b in pairwise(corners):
            self.line(a, b, look.line)

    def words(self, text: str, x: float, y: float, *, bold: bool = False, faint: bool = False,
              tooltip: str = "") -> None:  # fmt: skip
        """Text around a place."""
        colour = self.look.faint if faint else self.look.ink
        self.dot.node(
            text, "other", shape="plaintext", style="", margin=0, width=0.1, height=0.1,
            pos=self._at(x, y), fontsize=SMALL + (1.0 if bold else 0.0), fontcolor=colour,
            tooltip=tooltip or " ",
        )  # fmt: skip

    def line(self, a: tuple[float, float], b: tuple[float, float], colour: str,
             style: str = "solid", width: float = 0.8) -> None:  # fmt: skip
        """A straight line."""
        self.dot.edge(self._point(*a), self._point(*b), arrowhead="none", color=colour,
                      style=style, penwidth=width)  # fmt: skip

    def _point(self, x: float, y: float) -> str:
        return self.dot.node("", "other", shape="point", style="invis", width=0.001, height=0.001,
                             pos=self._at(x, y))  # fmt: skip

    def _at(self, x: float, y: float) -> str:
        return f"{x:.2f},{y - self.below:.2f}!"

    def mark(self, text: str, x: float, y: float) -> None:
        """A number in a circle: what ends here goes on where it stands again."""
        self.dot.node(
            text, "other", shape="circle", style="", margin=0, width=0.3, height=0.3,
            fixedsize=True, pos=self._at(x, y), fontsize=SMALL, color=self.look.ink,
        )  # fmt: skip

    def _placed(self, x: float, y: float, w: float, h: float, **more: Attribute) -> None:
        place: dict[str, Attribute] = {
            "pos": self._at(x, y), "width": round(w / 72, 4), "height": round(h / 72, 4),
            "fixedsize": True, "margin": 0,
        }  # fmt: skip
        self.dot.node("", "other", "", **{**place, "penwidth": 0.8, "tooltip": " ", **more})


def _pieces(base: float, shift: float) -> int:
    """Into how many a face is cut, so that skewing alone reaches."""
    return max(1, math.ceil(REACH * shift / base))


def skewed(base: float, shift: float) -> float:
    """The skew of Graphviz's polygon of four sides that makes it a parallelogram with a level base
    whose upper side is shifted to the right by less than a fifth of the base.

    A square with corners (±½, ±½) becomes x·√(1 + s²) + y·s/2 by a skew s, which is then stretched
    to the width asked for (`poly_init` in Graphviz's lib/common/shapes.c).
    """
    wanted = shift / (base + shift)
    low, high = 0.0, 1e3
    for _ in range(60):
        s = (low + high) / 2
        if (s / 2) / (math.hypot(s, 1) + s / 2) < wanted:
            low = s
        else:
            high = s
    return round(low, 5)
