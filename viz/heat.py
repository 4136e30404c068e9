"""Where the time goes, in the layer view: a colour for each box, its share, and the scale.

In: seconds by block instance and line, as plain numbers (a profile's; this knows nothing of how
they were measured). Out: seconds by box, fills, words, a legend. The scale is the light part of
ColorBrewer's YlOrBr (Brewer 2003), which is safe for colour-blind readers and grows darker in
grey; text on it is dark in both themes. The share is printed too: hue is never the only sign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .blocks import Box, Fold
from .dot import Html, escape
from .style import SMALL

INK = "#1A1A1A"
LINE = "#8A6914"
SMALL_SHARE = 0.0995  # printed with one decimal
# (from this share on, fill)
SCALE = (
    (0.0, "#FFFFE5"), (0.01, "#FFF7BC"), (0.03, "#FEE391"), (0.1, "#FEC44F"), (0.25, "#FE9929"),
    (0.5, "#EC7014"),
)  # fmt: skip


@dataclass(frozen=True)
class Heat:
    """`seconds`: by (path of the instance, line); `whole`: of a step, with what is in no box;
    `of`: words for the legend, as `a step of 128 examples, 2.9 ms`."""

    seconds: Mapping[tuple[str, int], float]
    whole: float
    of: str


def by_box(heat: Heat, found: Sequence[Box], folded: Sequence[Fold]) -> dict[int, float]:
    """Seconds of each box that is drawn, by its id. A folded box has those of its copies too."""
    stands_for = {id(b): f.boxes[k % len(f.boxes)] for f in folded for k, b in enumerate(f.dropped)}
    seconds: dict[int, float] = {}
    for (path, line), spent in heat.seconds.items():
        owners = _owners(path, line, found)
        for b in owners:  # a layer applied twice: its kernels do not say which time
            shown = stands_for.get(id(b), b)
            seconds[id(shown)] = seconds.get(id(shown), 0.0) + spent / len(owners)
    return seconds


def _owners(path: str, line: int, found: Sequence[Box]) -> list[Box]:
    """The boxes of the instance, or of one around it; else the equations on that line."""
    around = [b for b in found if b.block and f"{path}.".startswith(f"{b.path}.")]
    if around:
        return around
    return [b for b in found if not b.block and b.path.rstrip(".") == path and line in _lines(b)]


def _lines(b: Box) -> set[int]:
    values = [v for s in b.steps for v in (s.value, *s.inside)]
    return {v.origin.span.line for v in values if v.origin.span is not None}


def fill(share: float) -> str:
    """The colour of a share, as it is printed."""
    printed = round(share, 2 if share >= SMALL_SHARE else 3)
    return next(colour for least, colour in reversed(SCALE) if printed >= least)


def words(seconds: float | None, share: float, copies: int = 1) -> str:
    """`43% · 1.2 ms`; a box without a kernel of its own is computed in another's."""
    if seconds is None:
        return "fused"
    together = f", all {copies}" if copies > 1 else ""
    return f"{percent(share)} · {duration(seconds)}{together}"


def percent(share: float) -> str:
    return f"{100 * share:.{0 if share >= SMALL_SHARE else 1}f}%"


def duration(seconds: float) -> str:
    """With two or three figures."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def legend(heat: Heat, title: str, seconds: Mapping[int, float]) -> Html:
    """Title and scale, as the label of the picture."""
    ends = [*(least for least, _ in SCALE[1:]), None]
    cells = []
    for (least, colour), end in zip(SCALE, ends, strict=True):
        if end is None:
            text = f"over {100 * least:g}%"
        else:
            text = f"{100 * least:g}–{100 * end:g}%" if least else f"under {100 * end:g}%"
        cells.append(
            f'<TD BGCOLOR="{colour}" BORDER="1" COLOR="{LINE}">'
            f'<FONT POINT-SIZE="{SMALL:g}" COLOR="{INK}"> {escape(text)} </FONT></TD>'
        )
    elsewhere = max(0.0, heat.whole - sum(seconds.values()))
    before = f"<TD>{_small(f'share of {heat.of}: ')}</TD>"
    after = f"<TD>{_small(f' in no box: {percent(elsewhere / heat.whole)}')}</TD>"
    cells = [before, *cells, after if heat.whole and elsewhere > 0.0005 * heat.whole else ""]
    top = f'<TR><TD COLSPAN="{len(cells)}"><B>{escape(title)}</B></TD></TR>'
    look = 'BORDER="0" CELLBORDER="0" CELLSPACING="3" CELLPADDING="3"'
    return Html(f"<TABLE {look}>{top}<TR>{''.join(cells)}</TR></TABLE>")


def _small(text: str) -> str:
    return f'<FONT POINT-SIZE="{SMALL:g}">{escape(text)}</FONT>'
