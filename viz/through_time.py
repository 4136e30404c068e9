"""Backpropagation through time, drawn over the unrolled net.

In: a graph and its loss. Out: DOT. The forward pass runs along the steps, the gradient back in its
own colour, dashed, with ∂L/∂h_t at each of them; what every step contributes to the shared weights
meets in a Σ, whose formulas are those of the derivation. Where the gradient is cut (`truncate`) a
line says so.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from functools import partial

from ..compiler.graph import Graph, Output
from . import terms as t
from .backprop import Backprop, backprop
from .equations import equations
from .fit import fitted
from .names import names
from .rows import Row, unrolled
from .sheet import Look, Point
from .style import SMALL
from .terms import Term
from .through import Through
from .tracks import HIGH, LEGEND, LEVEL
from .unicode import unicode
from .unrolled import Steps

LONGEST = 56  # letters of a formula
ALONG = 0.15  # how far the two directions stand from the middle of a cell


def through_time(
    graph: Graph,
    loss: Output,
    theme: str = "light",
    steps: int | None = None,
    *,
    fit: bool = True,
) -> str:
    """DOT text of the backward pass over the steps. Raises Failure E567."""
    counts = (None, 2) if steps is None else (steps,)
    ways = [partial(_drawn, graph, loss, theme, n) for n in counts]
    return fitted(ways) if fit else ways[0]()


def _drawn(graph: Graph, loss: Output, theme: str, steps: int | None) -> str:
    whole = unrolled(graph, steps)
    eq = equations(whole.graph, [loss])
    end = eq.graph.loss(loss.name)
    b = backprop(eq, names(eq, batch=False), end, batch=False)
    counts = dict.fromkeys(
        f"{r.cell.pieces.clock or 'T'} = {r.cell.pieces.steps}" for r in whole.rows
    )
    title = f"{graph.name}: backpropagation through time, {', '.join(counts)}"
    labels = [_deltas(r, b.scans.get(r.cell.scan), min(r.cell.pieces.steps, 28))
              for r in whole.rows]  # fmt: skip
    between = (1.2 if steps == 2 else 1.5) + 0.115 * max(map(len, labels))
    drawn = _Picture(
        whole, theme, title=title, pitch=max(2.0, between), bundled=True,
        legend=(*LEGEND, ("gradient", "gradient of the loss, back through the steps")), b=b,
        bottom=1.75, level=LEVEL if max(r.level for r in whole.rows) < 2 else 1.65,
    )  # fmt: skip
    return drawn.drawn().text()


def _deltas(row: Row, s: Through | None, step: int) -> str:
    """∂L/∂h₁, ∂L/∂c₁ for what a step carries on."""
    if s is None:
        return ""
    found = [row.names.terms.get(row.cell.next[k]) for k in s.arriving if s.back(k) is not None]
    shown = [unicode(_partial(row.name(term, step))) for term in found if term is not None]
    return ", ".join(shown)


def _columns(rows: list[str]) -> int:
    return 2 if len(rows) > 5 else 1


def _partial(term: Term) -> Term:
    return t.partial(t.symbol("L"), term)


@dataclass
class _Picture(Steps):
    b: Backprop = field(kw_only=True)

    def drawn(self) -> Steps:
        super().drawn()
        self.red: Look = {"color": self.sheet.theme.gradient, "style": "dashed", "penwidth": 1.4}
        found = [(r, self.b.scans[r.cell.scan]) for r in self.whole.rows
                 if r.cell.scan in self.b.scans]  # fmt: skip
        self.rows = found
        for row, s in found:
            if row.cell.carried:
                self._along(row, s)
            self._from_end(row, s)
            self._from_above(row, s)
            self._from_whole(row, s)
        self._weights(found)
        return self

    def _red_words(self, at: Point, text: str) -> None:
        self.sheet.words(at, text, colour=self.sheet.theme.gradient)

    # -------------------------------------------------------- along the steps

    def _along(self, row: Row, s: Through) -> None:
        shown, side = self.shown(row), row.cell.forward
        turns = list(range(len(shown)))[::side]
        low = -ALONG
        for a, b in itertools.pairwise(turns):
            start, end = self._edge(row, b, -side, low), self._edge(row, a, side, low)
            if self._is_cut(row, a, b):
                self._cut(row, (start[0] + end[0]) / 2)
                if shown[a] is not None and shown[b] is not None:
                    continue  # nothing passes
            self.sheet.wire(start, end, look=self.red)
            step = shown[a]
            if step is not None:
                text = _deltas(row, s, step)
                self._red_words(((start[0] + end[0]) / 2, start[1] - 0.18), text)

    def _is_cut(self, row: Row, a: int, b: int) -> bool:
        """Whether `truncate` divides a number of steps between two that are shown."""
        every = row.cell.pieces.truncate
        if not every:
            return False
        shown, last = self.shown(row), row.cell.pieces.steps
        numbers = [n for n in shown if n is not None]
        before, behind = shown[a], shown[b]
        if behind is None:
            return False  # told behind the ellipsis
        if before is None:
            place = numbers.index(behind)
            near = numbers[place - row.cell.forward]
            between = range(near, behind) if near < behind else range(behind, near)
        else:
            between = range(min(before, behind), max(before, behind))
        count = (last - n for n in between) if row.cell.pieces.reverse else iter(between)
        return any(n and n % every == 0 for n in count)

    def _cut(self, row: Row, x: float) -> None:
        y, ink = self.y(row), self.sheet.theme.ink
        cut: Look = {"style": "dotted", "penwidth": 2.2, "color": ink}
        self.sheet.wire((x, y + 0.55), (x, y - 0.72), arrow=False, look=cut)  # fmt: skip
        self.sheet.words((x, y + 0.68), f"truncate = {row.cell.pieces.truncate}", colour=ink)

    # -------------------------------------------------------- from outside

    def _from_end(self, row: Row, s: Through) -> None:
        """From what the net does with the last carried values, or a scan that begins so."""
        c = row.cell
        for k in s.last:
            last = 0 if c.pieces.reverse else len(self.shown(row)) - 1
            start = self._edge(row, last, c.forward, -ALONG)
            ahead = (start[0] + c.forward * 0.97, start[1])
            words = self.whole.after(row, k)
            begun = [r for r in self.whole.rows if any(
                source is row and index == k for _, a in r.cell.pieces.carries
                for source, index in self.whole.sources(a))]  # fmt: skip
            if not words and not begun:
                continue
            corners: list[Point] = []
            if not words:
                ahead = self._edge(begun[0], 0, -1, -ALONG)
            if not words and c.pieces.reverse:  # under the cells, beside the way there
                under, out = self.y(row) - HIGH / 2 - 0.24, start[0] - 0.42
                turn = ahead[0] - 0.3
                corners = [(turn, ahead[1]), (turn, under), (out, under), (out, start[1])]
            self.sheet.wire(ahead, *corners, start, look=self.red)
            name = _partial(row.name(row.names.terms[c.next[k]],
                                     1 if c.pieces.reverse else c.pieces.steps))  # fmt: skip
            shift = 0.0 if words else 0.4
            at = ((start[0] + ahead[0]) / 2 + shift, start[1] - 0.18)
            self._red_words((ahead[0] - 0.75, ahead[1] - 0.14) if corners else at, unicode(name))
            break

    def _from_above(self, row: Row, s: Through) -> None:
        """From what is made of every step's result: the net, or the scan above."""
        for j in [*s.seeds][:1]:
            above = self.whole.after(row, len(row.cell.carried) + j)
            next_ = [r for r in self.whole.rows if r.block == row.block and r.level == row.level + 1
                     and any(source is row for _, a in r.cell.pieces.sequences
                             for source, _ in self.whole.sources(a))]  # fmt: skip
            if self.covered(row) and not next_:
                self._past(row)
                continue
            for k, step in enumerate(self.shown(row)):
                if step is None or not (above or next_):
                    continue
                x, y = self.x(row, k) - 0.22, self.y(row) + HIGH / 2
                high = self.y(next_[0]) - HIGH / 2 if next_ else self.top - 0.2
                self.sheet.wire((x, high), (x, y), look=self.red)
                name = ", ".join(
                    unicode(t.at_step(s.step.names[g], row.cell.letter, step))
                    for g in s.seeds.values()
                )
                side = 0.3 if self.uses_whole(row) else -0.1
                away = math.copysign(0.05 * len(name), side)
                self._red_words((x + side + away, y + 0.28), name)

    def _past(self, row: Row) -> None:
        """From a scan that stands above others in between."""
        high = [r for r in self.whole.rows if r.block == row.block and r.level > row.level + 1
                and any(source is row for _, a in r.cell.pieces.sequences
                        for source, _ in self.whole.sources(a))]  # fmt: skip
        for user in high[:1]:
            for k, step in enumerate(self.shown(row)):
                if step is None:
                    continue
                x, top, low = self.x(row, k), self.y(user) - HIGH / 2, self.y(row) + HIGH / 2
                lane = self._lane(row, k, left=False)
                self.sheet.wire((x + 0.45, top), (x + 0.45, top - 0.1), (lane, top - 0.1),
                                (lane, low + 0.34), (x + 0.2, low + 0.34), (x + 0.2, low),
                                look=self.red)  # fmt: skip

    def _from_whole(self, row: Row, s: Through) -> None:
        """From the scans that use the results of all steps as a whole."""
        for j in s.seeds:
            users = [r for r in self.whole.rows if row in self.uses_whole(r)]
            for user in users:
                high = max(self.y(user), self.y(row)) + 0.78
                real = [k for k, n in enumerate(self.shown(row)) if n is not None]
                end = self._edge(user, 0, -1)[0] + 0.12
                self.sheet.wire((end, self.y(user) + HIGH / 2), (end, high),
                                (self.x(row, real[0]) + 0.22, high), arrow=False,
                                look=self.red)  # fmt: skip
                for k in real:
                    x = self.x(row, k) + 0.22
                    self.sheet.wire((x, high), (x, self.y(row) + HIGH / 2), look=self.red)
                name = unicode(_partial(t.symbol(s.step.names[s.seeds[j]].parts[1].parts[0].text)))
                self._red_words(((self.x(row, real[-1]) + end) / 2 + 0.2, high - 0.17), name)

    # -------------------------------------------------------- shared weights

    def _weights(self, found: list[tuple[Row, Through]]) -> None:
        """The contributions of all steps meet in a Σ for each scan."""
        bus = self.bottom - 2.2
        boxes = [(row, _told(self._formulas(s), len(found) > 1)) for row, s in found]
        boxes = [(row, rows) for row, rows in boxes if rows]
        wide = [1.2 + 0.098 * max(map(len, rows)) * _columns(rows) for _, rows in boxes]
        left = min((self.x(row, 0) for row, _ in boxes), default=0.0) - 1.2
        low = bus - 0.24 * len(boxes)
        for n, ((row, rows), w) in enumerate(zip(boxes, wide, strict=True)):
            y = bus - 0.24 * n
            centre = left + w / 2
            self._collect(row, y, centre)
            sign = self.sheet.circle((centre, low - 0.22), "Σ", "gradient")
            self.sheet.wire((centre, y), sign, look=self.red)
            half = -(-len(rows) // _columns(rows))
            tall = 0.5 + 0.285 * half
            top = low - 0.6
            box = self.sheet.frame((left + 0.1, top - tall), (left + w - 0.1, top), "gradient")
            self.sheet.wire(sign, box, look=self.red)
            self.sheet.words((centre, top - 0.2), f"{row.cell.title}: shared by all steps",
                             bold=True, size=SMALL)  # fmt: skip
            for k, part in enumerate((rows[:half], rows[half:])):
                if part:
                    self.sheet.column((left + 0.3 + k * (w - 0.3) / 2, top - 0.35), part,
                                      w / _columns(rows) - 0.55)  # fmt: skip
            left += w + 0.2

    def _collect(self, row: Row, y: float, centre: float) -> None:
        """A wire from each cell to the line on which they meet."""
        if row.level:
            self._collect_beside(row, y, centre)
            return
        ends = [centre]
        for k, step in enumerate(self.shown(row)):
            if step is None:
                continue
            x, low = self.x(row, k) - 0.42, self.y(row) - HIGH / 2
            beside = min(x, self.x(row, k) - self._input_width(row, k) / 2 - 0.1)
            self.sheet.wire((x, low), (x, low - 0.25), (beside, low - 0.25), (beside, y),
                            arrow=False, look=self.red)  # fmt: skip
            x = beside
            text = f"t = {step}"
            self._red_words((x - 0.08 - 0.05 * len(text), y + 0.14), text)
            ends.append(x)
        self.sheet.wire((min(ends), y), (max(ends), y), arrow=False, look=self.red)

    def _input_width(self, row: Row, k: int) -> float:
        """Of the widest data below a cell."""
        here = self.x(row, k)
        found = (self.widths[node] for (_, x), node in self.inputs.items()
                 if x == here == self.sheet.at(node)[0])  # fmt: skip
        return max(found, default=0.0)

    def _collect_beside(self, row: Row, y: float, centre: float) -> None:
        """For a row above others: a line under its cells, and down before all of them."""
        low = self.y(row) - HIGH / 2
        real = [k for k, step in enumerate(self.shown(row)) if step is not None]
        first = self.x(row, 0) - 1.75 - 0.12 * row.level
        for k in real:
            x = self.x(row, k) - 0.42
            self.sheet.wire((x, low), (x, low - 0.12), arrow=False, look=self.red)
        line = (self.x(row, real[-1]) - 0.42, low - 0.12)
        self.sheet.wire(line, (first, low - 0.12), (first, y), (centre, y), arrow=False,
                        look=self.red)  # fmt: skip

    def _formulas(self, s: Through) -> list[tuple[str, bool]]:
        """∂L/∂W = (1/m) Σᵢ Σₜ … of each parameter of a scan, and whether it is a matrix: those
        first."""
        params = [p for p in s.cell.shared if p in s.leaves and p.op.name == "param"]
        params.sort(key=lambda p: -len(p.shape))
        rows = []
        for p in params:
            derivative = self.b.params.get(p)
            if derivative is not None:
                left = unicode(_partial(s.names[p]))
                text = f"{left} = {unicode(derivative.closed)}"
                short = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
                rows.append((short, len(p.shape) > 1))
        return rows


def _told(rows: list[tuple[str, bool]], several: bool) -> list[str]:
    """All formulas, or of several large cells those of the matrices."""
    matrices = [text for text, is_matrix in rows if is_matrix]
    if not several or len(rows) <= 4 or not matrices:
        return [text for text, _ in rows]
    left = len(rows) - len(matrices)
    return [*matrices, *([f"and those of {left} vectors"] if left else [])]
