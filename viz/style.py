"""Colours and type for every picture: the Okabe-Ito palette, in a light and a dark theme.

In: nothing. Out: `Theme`, one for each of `THEMES`. Hue is never the only sign of a meaning:
gradients are also drawn from right to left and dashed, parameters in a box of their own form,
so that pictures survive a monochrome printer. Palette: Okabe & Ito, "Color Universal Design"
(2008).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..dsl.diagnostics import did_you_mean, fail

FONT = "DejaVu Sans,Verdana,Helvetica,sans-serif"
FONT_SIZE = 15.0
SMALL = 13.5
SLIDE = (13.33, 7.5)  # inches: a 16:9 slide
SMALLEST = 9.0  # points: no text may be smaller once the picture fits a slide

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, GREY, BLACK = "#56B4E9", "#CC79A7", "#7F7F7F", "#3C4043"


# The gradient of each line of `train`, by theme.
PATHS = {
    "light": (RED, BLUE, "#7B3F99", "#00795A"),
    "dark": ("#FF9248", SKY, "#D9A3E8", "#3DD6A8"),
}


@dataclass(frozen=True)
class Paint:
    """How one kind of node looks."""

    fill: str
    line: str
    shape: str = "box"
    dashed: bool = False


@dataclass(frozen=True)
class Theme:
    """Colours by meaning."""

    name: str
    background: str
    ink: str
    faint: str
    gradient: str
    paints: dict[str, Paint]

    def paint(self, meaning: str) -> Paint:
        return self.paints.get(meaning, self.paints["other"])


# meaning: (line colour, light fill, dark fill, shape)
_MEANINGS = {
    "data": (BLUE, "#DCEBF7", "#0B2C44", "box"),
    "param": (ORANGE, "#FBEBC8", "#493300", "box"),
    "state": (PURPLE, "#F6E3EE", "#41213A", "box"),
    "layer": (ORANGE, "#FFF7E5", "#3A2A06", "box"),
    "contraction": (BLACK, "#FFFFFF", "#20242B", "box"),
    "elementwise": (GREEN, "#DDF2EA", "#0B3B2E", "box"),
    "reduction": (PURPLE, "#F6E3EE", "#41213A", "box"),
    "view": (GREY, "#F2F2F2", "#2E3238", "box"),
    "constant": (GREY, "#F7F7F7", "#2A2E34", "box"),
    "loss": (RED, "#FBE3D6", "#4A2108", "box"),
    "output": (SKY, "#E4F3FC", "#123447", "box"),
    "metric": (GREY, "#F2F2F2", "#2E3238", "box"),
    "block": (GREEN, "#DDF2EA", "#0B3B2E", "box"),
    "gradient": (RED, "#FDEEE5", "#43200C", "box"),
    "draw": (PURPLE, "#FBF0F6", "#35213A", "ellipse"),
    "sample": (PURPLE, "#F6E3EE", "#41213A", "box"),
    "frozen": (GREY, "#E4E4E4", "#33373D", "box"),
    "other": (GREY, "#F7F7F7", "#2A2E34", "box"),
}
_DASHED = {"metric", "constant", "draw"}


def _paints(dark: bool) -> dict[str, Paint]:
    return {
        meaning: Paint(
            night if dark else day,
            "#D5DAE1" if dark and line == BLACK else line,
            shape,
            meaning in _DASHED,
        )
        for meaning, (line, day, night, shape) in _MEANINGS.items()
    }


THEMES = {
    "light": Theme("light", "#FFFFFF", "#1A1A1A", "#5F6368", RED, _paints(dark=False)),
    "dark": Theme("dark", "#15181D", "#ECEFF4", "#A9B1BD", "#FF9248", _paints(dark=True)),
}


def theme(name: str) -> Theme:
    """The theme of that name. Raises Failure."""
    if name not in THEMES:
        hint = did_you_mean(name, THEMES) or f"themes: {', '.join(THEMES)}"
        raise fail("E563", f"there is no theme `{name}`", help=hint)
    return THEMES[name]
