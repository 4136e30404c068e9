"""The shapes view: the feature maps of a net of images, drawn to scale.

In: a forward graph. Out: DOT with fixed places. From left to right along the longest way through
the net: a volume for each feature map, its front as large as height and width, its depth as great
as the number of channels (few channels are a stack of sheets); a bar for each vector. A square on a
volume is the window of the next layer, with lines to the place that it computes. Layers that keep
the shape and have no window (activations, normalisations) are left out; equal ones that follow
each other are drawn once, with × and their number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..compiler.graph import Graph
from ..compiler.value import Value
from ..dsl.diagnostics import fail
from .blocks import Box, boxes, packed
from .box_words import Words
from .dot import Html, escape
from .equations import Equations, equations, merged
from .geometry import described
from .layers import function_names
from .names import names
from .solids import Look, Scene
from .style import BLUE, GREEN, ORANGE, SMALL
from .style import theme as theme_of
from .wrap import estimated_width

MOST = 15  # volumes and bars
TALL, LEAST = 190.0, 9.0  # points of the largest side and the least
DEEP, SHALLOW = 64.0, 3.0  # points of the most channels and the fewest
OBLIQUE = (0.8, 0.5)  # where depth goes
FEW = 16  # channels that are drawn as sheets
RATIO = 16.0  # of two sides that are drawn to scale; of larger ones, roots are
GAP = 34.0  # points between columns
BAR, MARK = 9.0, 30.0
WIDE = 1290.0  # points of a row that can be read on a slide
LOOKS = {
    "light": {
        "input": Look("#DCEBF7", "#C3DCF0", "#A9CCE8", BLUE),
        "conv": Look("#FFF3D6", "#FCE3AB", "#F6D07E", "#A87000"),
        "pool": Look("#DDF2EA", "#BFE6D7", "#9FD8C2", GREEN),
        "dense": Look("#FBEBC8", "#FBEBC8", "#FBEBC8", ORANGE),
    },
    "dark": {
        "input": Look("#0B2C44", "#0F3A5A", "#14496F", "#56B4E9"),
        "conv": Look("#493300", "#5A4103", "#6B4F08", "#E69F00"),
        "pool": Look("#0B3B2E", "#0F4A3A", "#145A47", "#3DD6A8"),
        "dense": Look("#493300", "#493300", "#493300", "#E69F00"),
    },
}


@dataclass(frozen=True)
class Station:
    """A feature map or a vector, and the layer that makes it. `window` is [height, width] of that
    layer's kernel; with `spreads` it lies on the result instead (transposed convolutions)."""

    shape: tuple[int, ...]
    words: tuple[str, ...]
    kind: str  # input, conv, pool, dense
    window: tuple[int, ...] = ()
    spreads: bool = False
    times: int = 1

    @property
    def is_volume(self) -> bool:
        return len(self.shape) == 3


def shapes(graph: Graph, theme: str = "light") -> str:
    """DOT text. Raises Failure E583 for a net without images."""
    found = stations(graph)
    if sum(s.is_volume for s in found) < 2:
        raise fail("E583", f"`{graph.name}` has no feature maps to draw",
                   help="`--view neurons` draws dense nets, `--view layers` any net")  # fmt: skip
    return _Picture(graph.name, found, theme).text()


# ---------------------------------------------------------------- what is drawn


def stations(graph: Graph) -> list[Station]:
    """The feature maps in order: of the most detailed picture that is small enough."""
    ends = [o for o in graph.outputs if o.kind == "output"] or list(graph.of_kind("loss"))
    eq = equations(merged(graph.with_outputs(ends)))
    whole = boxes(eq)
    deepest = max((b.path.count(".") for b in whole), default=0)
    found: list[Station] = []
    for chosen in [whole, *(boxes(eq, d) for d in range(deepest, 0, -1))]:
        found = _folded(_along(eq, chosen))
        if len(found) <= MOST:
            break
    return found


def _along(eq: Equations, found: list[Box]) -> list[Station]:
    """One station for each box on the longest way that makes another shape."""
    whole = packed(found, function_names(eq, found), {o.value for o in eq.graph.outputs})
    path = _longest(whole)
    if not path:
        return []
    write = Words(eq, names(eq, batch=False), terse=True)
    first = max(path[0].inputs, key=lambda v: v.type.size, default=path[0].result)
    result = [Station(first.shape, (_input_name(first),), "input")]
    for b in path:
        shape, heading = b.result.shape, write(b)
        window, spreads = _window(b)
        same = shape == result[-1].shape
        if len(shape) not in (1, 3) or (same and not b.params and not window):
            continue
        if len(shape) == 1 and not b.params:  # an image written as a vector
            if result[-1].is_volume and len(shape) == 1:
                result.append(Station(shape, (heading[0],), "pool"))
            continue
        kind = "dense" if len(shape) == 1 else "conv" if b.params else "pool"
        stride = [w for w in described(_inside(b))[1:] if w.startswith("stride")]
        words = (*heading[:1], *stride)
        result.append(Station(shape, words, kind, window, spreads))
    return result


def _input_name(v: Value) -> str:
    return str(v.attrs.get("name", "")) or v.origin.name or "input"


def _inside(b: Box) -> list[Value]:
    return [] if b.composite else [v for s in b.steps for v in s.inside]


def _window(b: Box) -> tuple[tuple[int, ...], bool]:
    for v in _inside(b):
        if v.op.name in ("convolve", "convolve_transposed"):
            return tuple(v.args[1].shape[2:]), v.op.name == "convolve_transposed"
        if v.op.name == "windows" and len(v.attrs["kernel"]) == 2:
            return tuple(v.attrs["kernel"]), False
    return (), False


def _longest(found: Sequence[Box]) -> list[Box]:
    """The boxes of the longest way."""
    maker = {v: b for b in found for v in b.values}
    best: dict[int, list[Box]] = {}
    for b in found:
        before = [best[id(maker[v])] for v in b.inputs if v in maker and id(maker[v]) in best]
        best[id(b)] = [*max(before, key=len, default=[]), b]
    return max(best.values(), key=len, default=[])


def _folded(found: list[Station]) -> list[Station]:
    """Equal layers that follow each other become one."""
    result: list[Station] = []
    for s in found:
        last = result[-1] if result else None
        if last is not None and replace(last, times=1) == s and s.kind in ("conv", "dense"):
            result[-1] = replace(last, times=last.times + 1)
        else:
            result.append(s)
    return result


# ---------------------------------------------------------------- the picture


class _Sizes:
    """Points for sides, channels and lengths of vectors; powers where numbers lie far apart."""

    def __init__(self, found: Sequence[Station]) -> None:
        sides = [n for s in found if s.is_volume for n in s.shape[1:]]
        self.channels = [s.shape[0] for s in found if s.is_volume]
        self.vectors = [s.shape[0] for s in found if not s.is_volume] or [1]
        self.largest = max(sides)
        self.to_scale = self.largest / max(1, min(sides)) <= RATIO
        self.most = max(self.channels)
        self.sheets = self.most <= FEW

    def side(self, n: int) -> float:
        share = n / self.largest
        return max(TALL * (share if self.to_scale else math.pow(share, 0.6)), LEAST)

    def depth(self, channels: int) -> float:
        if self.sheets:
            return 4.0 * (channels - 1)
        return SHALLOW + (DEEP - SHALLOW) * math.sqrt(channels / self.most)

    def bar(self, n: int) -> float:
        return max(TALL * 0.9 * math.sqrt(n / max(self.vectors)), 18.0)


@dataclass
class _Picture:
    name: str
    found: list[Station]
    theme: str

    def __post_init__(self) -> None:
        self.sizes = _Sizes(self.found)
        self.scene = Scene(theme_of(self.theme))
        self.looks = LOOKS[self.theme]

    def text(self) -> str:
        rows = self._rows()
        for number, row in enumerate(rows):
            self._row(row, number > 0, number + 1 < len(rows), number)
            self.scene.below += self._high(row) + 44
        self._caption()
        return self.scene.dot.text()

    def _rows(self) -> list[list[Station]]:
        """All in one row, or in two that are about equally wide."""
        places = self._columns(self.found)
        if places[-1] <= WIDE:
            return [self.found]
        cut = next(k for k, x in enumerate(places) if x > places[-1] / 2)
        return [self.found[:cut], self.found[cut:]]

    def _high(self, row: Sequence[Station]) -> float:
        """Points that a row takes."""
        low = max(self._front(s, 0)[3] for s in row) / 2
        return low + 40 + max(map(self._above, self.found))

    def _row(self, row: list[Station], goes_on: bool, ends: bool, number: int) -> None:
        places = [x + (MARK if goes_on else 0) for x in self._columns(row)]
        low = -max(self._front(s, 0)[3] for s in row) / 2 - 26
        for s, x in zip(row, places, strict=True):
            self._solid(s, x)
            times = f" × {s.times}" if s.times > 1 else ""
            name = [s.words[0] + times, *s.words[1:]] if s.words else [times]
            self.scene.words("\n".join(name), self._middle(s, x), low)
            self.scene.words(str(list(s.shape)), self._middle(s, x), self._above(s) + 13, bold=True)
        for k in range(1, len(row)):
            self._connect(row[k - 1], row[k], places[k - 1], places[k])
        if goes_on:
            self.scene.mark(str(number), places[0] - MARK, 0)
        if ends:
            self.scene.mark(str(number + 1), places[-1] + self._reach(row[-1])[0] + MARK, 0)

    def _reach(self, s: Station) -> tuple[float, float]:
        """How wide and high a station is."""
        if not s.is_volume:
            return BAR, self.sizes.bar(s.shape[0])
        d = self.sizes.depth(s.shape[0])
        return (self.sizes.side(s.shape[2]) + OBLIQUE[0] * d,
                self.sizes.side(s.shape[1]) + OBLIQUE[1] * d)  # fmt: skip

    def _columns(self, found: Sequence[Station]) -> list[float]:
        """Where each station begins, so that neither solids nor words meet."""
        places, right, told = [], 0.0, -1e9
        for s in found:
            wide, _ = self._reach(s)
            words = (str(list(s.shape)), *s.words, (s.words[0] if s.words else "") + " × 9")
            label = max(estimated_width(w) for w in words[:-1] + words[-1:] * (s.times > 1)) * 66
            x = max(right + GAP, told + 6 + label / 2 - wide / 2)
            places.append(x)
            right, told = x + wide, x + wide / 2 + label / 2
        return places

    def _middle(self, s: Station, x: float) -> float:
        return x + self._reach(s)[0] / 2

    def _above(self, s: Station) -> float:
        _, high = self._reach(s)
        front = self.sizes.side(s.shape[1]) if s.is_volume else high
        return front / 2 + (high - front)

    def _front(self, s: Station, x: float) -> tuple[float, float, float, float]:
        """The front face: left, bottom, width, height."""
        if not s.is_volume:
            high = self.sizes.bar(s.shape[0])
            return x, -high / 2, BAR, high
        w, h = self.sizes.side(s.shape[2]), self.sizes.side(s.shape[1])
        return x, -h / 2, w, h

    def _solid(self, s: Station, x: float) -> None:
        left, low, w, h = self._front(s, x)
        look = self.looks[s.kind]
        d = self.sizes.depth(s.shape[0]) if s.is_volume else 0.0
        dx, dy = OBLIQUE[0] * d, OBLIQUE[1] * d
        if s.is_volume and self.sizes.sheets:
            count = s.shape[0]
            for k in range(count - 1, -1, -1):
                share = k / max(count - 1, 1)
                self.scene.rectangle(left + share * dx, low + share * dy, w, h, look.front,
                                     look.line)  # fmt: skip
            return
        tip = f"{' '.join(s.words)} {list(s.shape)}"
        if d:
            self.scene.top(left, low + h, w, dx, dy, look)
            self.scene.side(left + w, low, h, dx, dy, look)
        self.scene.rectangle(left, low, w, h, look.front, look.line, tooltip=tip)

    # -------------------------------------------------------- windows and lines

    def _connect(self, s: Station, t: Station, x: float, after: float) -> None:
        ink = self.scene.look.ink
        if t.window and s.is_volume and t.is_volume:
            big, small = ((t, after), (s, x)) if t.spreads else ((s, x), (t, after))
            place = self._window(*big, t.window)
            self._lines(place, self._spot(*small), ink)
            return
        if not s.is_volume or not t.is_volume:
            left, low, w, h = self._front(s, x)
            right, bottom, _, high = self._front(t, after)
            faint = self.scene.look.faint
            edge = left + self._reach(s)[0] if s.is_volume else left + w
            lift = self._reach(s)[1] - h
            self.scene.line((edge, low + h + lift), (right, bottom + high), faint, "dotted")
            self.scene.line((edge, low + lift), (right, bottom), faint, "dotted")
            return
        left, low, w, h = self._front(s, x)
        self.scene.line((left + self._reach(s)[0] + 3, 0), (after - 3, 0),
                        self.scene.look.faint, "dashed")  # fmt: skip

    def _window(
        self, s: Station, x: float, window: tuple[int, ...]
    ) -> tuple[float, float, float, float]:
        """A square of the kernel's size on the front of a volume, near its upper right."""
        left, low, w, h = self._front(s, x)
        high = min(max(h * window[0] / s.shape[1], 4.0), h)
        wide = min(max(w * window[1] / s.shape[2], 4.0), w)
        place = (left + 0.7 * (w - wide), low + 0.62 * (h - high), wide, high)
        self.scene.rectangle(*place, self.scene.look.background, self.scene.look.ink)
        return place

    def _spot(self, s: Station, x: float) -> tuple[float, float]:
        """The place on the front of a volume that a window computes."""
        left, low, w, h = self._front(s, x)
        side = min(3.5, w, h)
        spot = (left + 0.35 * (w - side), low + 0.5 * (h - side))
        self.scene.rectangle(*spot, side, side, self.scene.look.ink, self.scene.look.ink)
        return spot[0] + side / 2, spot[1] + side / 2

    def _lines(
        self, place: tuple[float, float, float, float], spot: tuple[float, float], ink: str
    ) -> None:
        left, low, wide, high = place
        side = left + wide if spot[0] > left else left
        self.scene.line((side, low + high), spot, ink)
        self.scene.line((side, low), spot, ink)

    def _caption(self) -> None:
        kinds = {"input": "input", "conv": "layer with parameters", "pool": "pooling, reshaping",
                 "dense": "dense layer"}  # fmt: skip
        used = {s.kind for s in self.found}
        row = [f'<FONT COLOR="{self.looks[k].line}">■</FONT> {escape(words)}'
               for k, words in kinds.items() if k in used and k != "dense"]  # fmt: skip
        if self.sizes.to_scale:
            row.append("height and width to scale")
        else:
            row.append("sides as size to the power 0.6")
        row.append("each sheet a channel" if self.sizes.sheets else "depth: channels (square root)")
        small = f'<FONT POINT-SIZE="{SMALL:g}">{"&#160;&#160;&#160; ".join(row)}</FONT>'
        title = f"<B>{escape(self.name)}: shapes</B>"
        self.scene.dot.caption(Html(f"{title}<BR/>{small}&#160;<BR/>&#160;"))
