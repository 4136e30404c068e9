"""Recurrent nets over their steps: unrolled, one cell a step, or folded into a cell with a loop.

In: a graph. Out: DOT. x_t comes from below, what a step yields leaves upwards, what is carried runs
along the steps (from right to left where the scan does). Scans that walk along each other's results
stand one above another, a decoder to the right of its encoder. `through_time` adds the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ..compiler.graph import Graph
from ..compiler.value import Value
from . import terms as t
from .fit import fitted
from .rows import Row, is_zero, unrolled
from .sheet import Point
from .style import SMALL
from .terms import Term
from .tracks import HIGH, Tracks
from .unicode import unicode

FOLLOWED = 4  # layers told behind a recurrence


def unrolled_picture(
    graph: Graph, theme: str = "light", steps: int | None = None, *, fit: bool = True
) -> str:
    """DOT text of the steps side by side. Raises Failure E567."""
    counts = (None, 2) if steps is None else (steps,)
    ways = [partial(_unrolled, graph, theme, n) for n in counts]
    return fitted(ways) if fit else ways[0]()


def _unrolled(graph: Graph, theme: str, steps: int | None) -> str:
    return Steps(unrolled(graph, steps), theme).drawn().text()


def folded_picture(graph: Graph, theme: str = "light") -> str:
    """DOT text with each recurrence as one cell and its loop. Raises Failure E567."""
    return Steps(unrolled(graph, 1), theme, folded=True).drawn().text()


@dataclass
class Steps(Tracks):
    """Tracks with their ends: first values, last values, what the net does with the results."""

    def drawn(self) -> Steps:
        for number, row in enumerate(self.whole.rows):
            for k in range(len(self.shown(row))):
                self.cells[number, k] = self._cell(row, k)
        for row in self.whole.rows:
            self._carried(row)
            self._sequences(row)
            self._whole_sequences(row)
        for row in self.whole.rows:
            self._first(row)
            self._last(row)
            self._yields(row)
        return self

    # -------------------------------------------------------- the ends

    def _first(self, row: Row) -> None:
        """h₀ = 0, or the scan (or value) it comes from."""
        c = row.cell
        k = len(self.shown(row)) - 1 if c.pieces.reverse and not self.folded else 0
        side = -c.forward if not self.folded else -1
        texts: list[str] = []
        for which, high in self.heights(row):
            direct: list[tuple[tuple[Row, int], str]] = []
            for i in which:
                operand = c.pieces.carries[i][1]
                source = self.whole.maker(_plain(operand))
                term = row.names.terms.get(c.carried[i])
                name = self._start_name(row, term, i)
                end = self._edge(row, k, side, high if not self.folded else 0.0)
                if source is not None and source[1] < len(source[0].cell.carried):
                    direct.append((source, name))
                elif not is_zero(operand) or self.bundled or not self.folded:
                    value = "0" if is_zero(operand) else self._outside(operand)
                    texts.append(f"{name} = {value}")
            if direct:
                names = ", ".join(name for _, name in direct)
                self._from_scan(direct[0][0], end, which[0], names)
            if texts and not self.folded and row.block:  # little room: above the arrow
                self.sheet.wire((end[0] - 0.8, end[1]), end)
                self.sheet.words((end[0] - 0.55, end[1] + 0.17), ", ".join(texts))
                texts = []
            if texts and not self.folded:
                start = (end[0] + side * 0.45, end[1])
                self.sheet.wire(start, end)
                wide = 0.11 * max(map(len, texts))
                at = (start[0] + side * (wide / 2 + 0.1), start[1])
                self.sheet.words(at, "\n".join(texts))
                texts = []

    def _start_name(self, row: Row, term: Term | None, i: int) -> str:
        plain = row.names.plain.get(row.cell.carried[i]) or t.symbol(row.cell.words[i])
        if row.cell.pieces.reverse:
            end = f"{row.cell.letter.upper()}+1" if self.folded else str(row.cell.pieces.steps + 1)
            return unicode(t.step(plain, end))
        return unicode(t.step(plain, "0"))

    def _outside(self, v: Value) -> str:
        v = _plain(v)
        if v in self.whole.names:
            return unicode(self.whole.names[v])
        return v.origin.name or "…"

    def _from_scan(self, source: tuple[Row, int], end: Point, i: int, name: str) -> None:
        """From the last carried value of another scan to the first one of carried value i."""
        r, index = source
        last = 0 if r.cell.pieces.reverse or self.folded else len(self.shown(r)) - 1
        high = next((h for which, h in self.heights(r) if index in which), 0.0)
        side = 1 if self.folded else r.cell.forward
        start = self._edge(r, last, side, -0.3 if self.folded else high)
        turn = end[0] - 0.45 - 0.14 * i
        if side < 0:  # it ends on the left: back under its cells
            under, out = self.y(r) - HIGH / 2 - 0.1 - 0.09 * i, start[0] - 0.2 - 0.1 * i
            self.sheet.wire(
                start, (out, start[1]), (out, under), (turn, under), (turn, end[1]), end
            )
        elif abs(start[1] - end[1]) < 0.01:
            self.sheet.wire(start, end)
        else:
            self.sheet.wire(start, (turn, start[1]), (turn, end[1]), end)
        self.sheet.words(
            (
                end[0] - 0.22 - 0.05 * len(name) * (len(name) > 3),
                end[1] + (0.15 if end[1] >= start[1] - 0.2 else -0.15),
            ),
            name,
        )

    def _last(self, row: Row) -> None:
        """What the net does with the last carried values."""
        for i in range(len(row.cell.carried)):
            words = _first(self.whole.after(row, i))
            if not words:
                continue
            last = 0 if row.cell.pieces.reverse and not self.folded else len(self.shown(row)) - 1
            side = row.cell.forward if not self.folded else 1
            high = next((h for which, h in self.heights(row) if i in which), 0.0)
            start = self._edge(row, last, side, high if not self.folded else 0.0)
            name = self._now(row, [i], last) if not self.folded else self._end_name(row, i)
            wide = 0.3 + 0.11 * max(map(len, words))
            gap = (1.0 if self.bundled else 0.75) if not self.folded else 2.3
            if self.folded:
                start = (start[0] + 0.65, start[1] - 0.2)
                x, at = start[0], (start[0] + gap + wide / 2 - 0.65, start[1] - 0.45)
                box = self.sheet.node(at, "\n".join(words), "block", wide, 0.15 + 0.25 * len(words),
                                      fontsize=SMALL)  # fmt: skip
                self.sheet.wire(start, (x, at[1]), box)
            else:
                at = (start[0] + side * (gap + wide / 2), start[1])
                box = self.sheet.node(at, "\n".join(words), "block", wide, 0.15 + 0.25 * len(words),
                                      fontsize=SMALL)  # fmt: skip
                self.sheet.wire(start, box)
            if name:
                here = at[0] - side * (wide / 2 + 0.4)
                self.sheet.words((here, at[1] + 0.16), name)

    def _end_name(self, row: Row, i: int) -> str:
        term = row.names.terms.get(row.cell.next[i])
        letter = row.cell.letter
        end = "1" if row.cell.pieces.reverse else letter.upper()
        return unicode(t.at_end(term, letter, end)) if term is not None else ""

    def _yields(self, row: Row) -> None:
        """What leaves upwards to what the net does at every step."""
        n = len(row.cell.carried)
        used = [(k, words) for k in range(len(row.cell.yields))
                if (words := _first(self.whole.after(row, n + k)))]  # fmt: skip
        if not used:
            return
        real = [s for s, number in enumerate(self.shown(row)) if number is not None]
        first, last = self.x(row, real[0]), self.x(row, real[-1])
        text = " → ".join(used[0][1])
        above = self.covered(row)
        wide = max(last - first + (1.9 if above else 0.9), 0.3 + 0.1 * len(text))
        at = ((first + last) / 2, self.top)
        if (text, at[0]) not in self.boxes:  # rows below each other may go the same way
            self.boxes.add((text, at[0]))
            self.sheet.node(at, text, "block", wide, 0.4, fontsize=SMALL)
        low = self.top - 0.2
        quiet = self.bundled and (self.uses_whole(row) or self.is_used_whole(row))
        for s in real:
            x = self.x(row, s)
            names = [self.name(row, row.names.terms.get(row.cell.yields[k]), s) for k, _ in used]
            if above:
                lane, out = self._lane(row, s, left=False), self.y(row) + HIGH / 2 + 0.22
                self.sheet.wire(self.node(row, s), (x, out), (lane, out), (lane, low))
                continue
            self.sheet.wire(self.node(row, s), (x, low))
            shown = ", ".join(filter(None, names))
            if not quiet:
                place = (x + 0.16 + 0.055 * len(shown), self.y(row) + HIGH / 2 + 0.25)
                self.sheet.words(place, shown)

    def covered(self, row: Row) -> bool:
        """Whether cells stand above a row."""
        return any(r.block == row.block and r.level > row.level for r in self.whole.rows)

    def is_used_whole(self, row: Row) -> bool:
        return any(row in self.uses_whole(r) for r in self.whole.rows)


def _plain(v: Value) -> Value:
    """Without what only repeats or converts it."""
    while v.op.name in ("broadcast", "cast", "reshape", "stop_gradient"):
        v = v.args[0]
    return v


def _first(words: Sequence[str]) -> list[str]:
    """The first words of what the net does, and that it goes on."""
    return [*words] if len(words) <= FOLLOWED else [*words[:FOLLOWED], "…"]
