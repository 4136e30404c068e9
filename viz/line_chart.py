"""Lines over a number as one small SVG, made without matplotlib: for a page that is drawn again
and again while a net trains.

In: named lines of points. Out: an SVG element whose colours are those of the page's style sheet
(classes `c0` to `c5`), so that it is light or dark with the page. What stands in it is told in its
label too.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 66, 12, 12, 44
MOST = 300  # points of a line
DECADES = 100.0  # greatest over least from which on the axis is logarithmic

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """One line: its name, points, number of its colour, and whether it is dashed."""

    name: str
    points: Points
    colour: int = 0
    dashed: bool = False


def chart(title: str, lines: Sequence[Line], *, plain: bool = False) -> str:
    """The SVG over epochs, titled and with a legend below; `plain`: never logarithmic."""
    shown = [Line(x.name, _finite(x.points), x.colour, x.dashed) for x in lines]
    shown = [x for x in shown if x.points]
    told = ", ".join(f"{x.name} {x.points[-1][1]:.4g}" for x in shown)
    label = html.escape(f"{title}: {told}" if told else f"{title}: no numbers yet")
    head = (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"<title>{label}</title>"
    )
    body = _body(shown, plain) if shown else ""
    words = "".join(_key(x) for x in shown)
    caption = f"<figcaption>{html.escape(title)}</figcaption>"
    return f'<figure>{caption}{head}{body}</svg><ul class="keys">{words}</ul></figure>'


def _finite(points: Points) -> Points:
    kept = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    step = max(1, -(-len(kept) // MOST))
    return kept[::-step][::-1]


def _body(lines: Sequence[Line], plain: bool) -> str:
    xs = [x for one in lines for x, _ in one.points]
    ys = [y for one in lines for _, y in one.points]
    logarithmic = not plain and min(ys) > 0 and max(ys) / min(ys) >= DECADES
    of = math.log10 if logarithmic else float
    left, right = _room(min(xs), max(xs), 1.0)
    low, high = _room(of(min(ys)), of(max(ys)), abs(of(max(ys))) * 0.1 or 1.0)

    def at(x: float, y: float) -> str:
        across = LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        down = TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return f"{across:.1f},{down:.1f}"

    out = []
    for y in ticks(low, high):
        start, end = at(left, y), at(right, y)
        out.append(f'<path class="grid" d="M{start} L{end}"/>')
        text = f"{10**y if logarithmic else y:.4g}"
        x0, y0 = start.split(",")
        place = f'x="{float(x0) - 6:.1f}" y="{float(y0) + 5:.1f}"'
        out.append(f'<text {place} class="end">{text}</text>')
    for x in ticks(left, right, least=1.0 if right - left >= 1 else 0.0):
        x0 = at(x, low).split(",")[0]
        out.append(f'<text x="{x0}" y="{HEIGHT - BOTTOM + 18}" class="mid">{x:.4g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    out.append(f'<text x="{middle:.0f}" y="{HEIGHT - 6}" class="mid">epoch</text>')
    for one in lines:
        look = f"line c{one.colour % 6}{' dashed' if one.dashed else ''}"
        path = " L".join(at(x, of(y)) for x, y in one.points)
        out.append(f'<path class="{look}" d="M{path}"/>')
        x0, y0 = at(one.points[-1][0], of(one.points[-1][1])).split(",")
        out.append(f'<circle class="dot c{one.colour % 6}" cx="{x0}" cy="{y0}" r="4"/>')
    return "".join(out)


def _room(low: float, high: float, spare: float) -> tuple[float, float]:
    """Never an empty range."""
    if high - low > 1e-12 * max(abs(low), abs(high), 1e-300):
        return low, high
    return low - spare, high + spare


def ticks(low: float, high: float, most: int = 6, least: float = 0.0) -> list[float]:
    """Round numbers between two: 1, 2 or 5 times a power of ten apart, and at least `least`."""
    rough = max((high - low) / most, least)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(k * power for k in (1, 2, 5, 10) if k * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _key(line: Line) -> str:
    last = f"{line.points[-1][1]:.4g}"
    kind = "dashed" if line.dashed else "full"
    mark = (
        f'<svg viewBox="0 0 30 8" aria-hidden="true"><path class="line c{line.colour % 6} {kind}"'
        ' d="M0,4 L30,4"/></svg>'
    )
    return f"<li>{mark} {html.escape(line.name)} <b>{last}</b></li>"
