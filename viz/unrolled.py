"""Recurrent nets over their steps: unrolled, one cell a step, or folded into a cell with a loop.

In: a graph. Out: DOT. x_t comes from below, what a step yields leaves upwards, what is carried runs
along the steps (from right to left where the scan does). Scans that walk along each other's results
stand one above another, a decoder to the right of its encoder. `through_time` adds the gradient.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from ..compiler.graph import Graph
from ..compiler.value import Value
from . import terms as t
from .dot import lines
from .fit import fitted
from .rows import Row, Unrolled, is_zero, unrolled
from .sheet import Point, Sheet
from .style import SMALL
from .style import theme as theme_of
from .terms import Term
from .unicode import unicode

LEVEL, BOTTOM = 2.1, 1.6  # inches between rows, and from the inputs to the first
WIDE, HIGH = 1.1, 0.8  # of a cell
LANES = 0.65, 0.1  # where wires pass a cell, and between two of them
FOLLOWED = 4  # layers told behind a recurrence
LEGEND = (("data", "data"), ("layer", "the same cell at every step"),
          ("block", "what the net does with it"))  # fmt: skip
Place = tuple[Row, int]  # a row and the place of a step in it


def unrolled_picture(
    graph: Graph, theme: str = "light", steps: int | None = None, *, fit: bool = True
) -> str:
    """DOT text of the steps side by side. Raises Failure E567."""
    ways = [partial(_unrolled, graph, theme, n) for n in ((None, 2) if steps is None else (steps,))]
    return fitted(ways) if fit else ways[0]()


def _unrolled(graph: Graph, theme: str, steps: int | None) -> str:
    return Steps(unrolled(graph, steps), theme).drawn().text()


def folded_picture(graph: Graph, theme: str = "light") -> str:
    """DOT text with each recurrence as one cell and its loop. Raises Failure E567."""
    return Steps(unrolled(graph, 1), theme, folded=True).drawn().text()


@dataclass
class Steps:
    """The drawing of one net. `pitch` is from step to step."""

    whole: Unrolled
    theme: str
    folded: bool = False
    title: str = ""
    legend: Sequence[tuple[str, str]] = LEGEND
    pitch: float = 2.0
    bundled: bool = False  # what is carried as one wire
    bottom: float = BOTTOM
    level: float = LEVEL
    cells: dict[tuple[int, int], str] = field(default_factory=dict)
    inputs: dict[tuple[Value, float], str] = field(default_factory=dict)
    lanes: Counter[tuple[float, bool]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.sheet = Sheet(self.title or self._title(), theme_of(self.theme), self.legend)
        self.pitch = max(self.pitch, *(self._wide(r) + 0.9 for r in self.whole.rows))
        self.top = max(self.y(r) for r in self.whole.rows) + (1.15 if self.level < LEVEL else 1.35)

    def _title(self) -> str:
        kind = "recurrence folded into a loop" if self.folded else "unrolled over its steps"
        counts = dict.fromkeys(
            f"{r.cell.pieces.clock or 'T'} = {r.cell.pieces.steps}" for r in self.whole.rows
        )
        return f"{self.whole.graph.name}: {kind}, {', '.join(counts)}"

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

    def text(self) -> str:
        return self.sheet.text()

    # -------------------------------------------------------- places

    def shown(self, row: Row) -> tuple[int | None, ...]:
        return (1,) if self.folded else row.shown

    def x(self, row: Row, k: int) -> float:
        if self.folded:
            return 2.0 + 4.4 * row.block
        return 2.0 + self.pitch * (row.column + k)

    def y(self, row: Row) -> float:
        return self.bottom + self.level * row.level

    def node(self, row: Row, k: int) -> str:
        return self.cells[self.whole.rows.index(row), k]

    def name(self, row: Row, term: Term | None, k: int) -> str:
        step = self.shown(row)[k]
        if term is None or step is None:
            return ""
        return unicode(term if self.folded else row.name(term, step))

    # -------------------------------------------------------- nodes

    def _cell(self, row: Row, k: int) -> str:
        at = (self.x(row, k), self.y(row))
        if self.shown(row)[k] is None:
            return self.sheet.words(at, "⋯", size=26.0, bold=True)
        c = row.cell
        below = [*dict.fromkeys(str(list(b.shape)) for b in c.carried if b.shape)]
        below += [f"a loop over {i.letter} inside" for i in c.inner]
        label = lines(c.title, *below)
        return self.sheet.node(at, label, "layer", self._wide(row), HIGH)

    def _wide(self, row: Row) -> float:
        inside = 2.0 if row.cell.inner else WIDE
        return max(inside, 0.2 + 0.115 * len(row.cell.title))

    def _edge(self, row: Row, k: int, side: float, high: float = 0.0) -> Point:
        """A place on the left (−1) or right (1) side of a cell."""
        half = 0.25 if self.shown(row)[k] is None else self._wide(row) / 2
        return (self.x(row, k) + side * half, self.y(row) + high)

    # -------------------------------------------------------- along the steps

    def heights(self, row: Row) -> list[tuple[list[int], float]]:
        """The wires between two steps: which carried values, and how high."""
        n = len(row.cell.carried)
        if n == 2 and not self.bundled:
            c_first = "c" in row.cell.words[:1]
            return [([0], 0.18 if c_first else -0.18), ([1], -0.18 if c_first else 0.18)]
        return [([*range(n)], 0.15 if self.bundled else 0.0)] if n else []

    def _carried(self, row: Row) -> None:
        shown = self.shown(row)
        if self.folded:
            self._loop(row)
            return
        order = range(len(shown)) if not row.cell.pieces.reverse else range(len(shown) - 1, -1, -1)
        turns = [*order]
        side = row.cell.forward
        for a, b in pairwise(turns):
            for which, high in self.heights(row):
                start, end = self._edge(row, a, side, high), self._edge(row, b, -side, high)
                self.sheet.wire(start, end)
                known = a if shown[a] is not None else None
                text = self._now(row, which, known) if known is not None else ""
                middle = ((start[0] + end[0]) / 2, start[1] + (0.16 if high >= 0 else -0.18))
                if text:
                    self.sheet.words(middle, text)

    def _now(self, row: Row, which: Sequence[int], k: int) -> str:
        terms = [row.names.terms.get(row.cell.next[i]) for i in which]
        return ", ".join(self.name(row, term, k) for term in terms if term is not None)

    def _loop(self, row: Row) -> None:
        if not row.cell.carried:
            return
        x, y = self._edge(row, 0, 1)
        right = x + 0.65
        self.sheet.wire((x, y + 0.2), (right, y + 0.2), (right, y - 0.2), (x, y - 0.2))
        names = [row.names.plain.get(v) for v in row.cell.carried]
        words = ", ".join(unicode(n) for n in names if n is not None)
        c = row.cell
        self.sheet.words((right + 0.4, y + 0.08), f"{words}\n{c.letter} → {c.after}")

    # -------------------------------------------------------- into a cell

    def _sequences(self, row: Row) -> None:
        c = row.cell
        n = len(c.pieces.carries)
        shapes = [k for k, (b, _) in enumerate(c.pieces.sequences)
                  if b.type.dtype != "bool" and c.given[n + k] in row.names.terms]  # fmt: skip
        shapes.sort(key=lambda k: self._side(row, k), reverse=self.folded)
        place = {k: 0.3 * (j - (len(shapes) - 1) / 2) for j, k in enumerate(shapes)}
        fresh = [k for k in shapes if not self._rows_behind(row, k)]
        for k in shapes:
            below = self._rows_behind(row, k)
            for step in range(len(self.shown(row))):
                if self.shown(row)[step] is None:
                    continue
                entry = (self.x(row, step) + place[k], self.y(row) - HIGH / 2)
                j = shapes.index(k)
                low = entry[1] - 0.33 + 0.09 * (len(shapes) - 1 - j if self.folded else j)
                for r in below:
                    self._up(r, step, entry, row, low)
                if not below:
                    self._from_data(row, k, step, entry, len(fresh), low)

    def _side(self, row: Row, k: int) -> int:
        """Whether a wire comes from the left, from straight below, or past cells on the right."""
        below = self._rows_behind(row, k)
        if any(r.level == row.level - 1 for r in below) or row.level == 0:
            return 1
        return 2 if below else 3

    def _rows_behind(self, row: Row, k: int) -> list[Row]:
        sources = self.whole.sources(row.cell.pieces.sequences[k][1])
        return [r for r in dict.fromkeys(r for r, _ in sources) if r.block == row.block]

    def _from_data(
        self, row: Row, k: int, step: int, entry: Point, count: int, low: float
    ) -> None:
        c = row.cell
        operand = c.pieces.sequences[k][1]
        x = self.x(row, step)
        key = (operand, x)
        if key not in self.inputs:
            used = sum(1 for _, at in self.inputs if at == x)
            at = (x + 0.95 * used if count == 1 or used else x, self.bottom - 1.6)
            text = self.name(row, row.names.terms[c.slices[k]], step)
            rows = [text, unicode(self.whole.names[operand])] if operand in self.whole.names else [
                text]  # fmt: skip
            rows = list(dict.fromkeys(rows))
            wide = max(0.7, 0.15 + 0.11 * max(map(len, rows)))
            self.inputs[key] = self.sheet.node(at, lines(*rows), "data", wide, 0.55)
        node = self.inputs[key]
        at = self.sheet.at(node)
        if row.level == 0:
            straight = at[0] == entry[0]
            self.sheet.wire(node, *([] if straight else [(at[0], low), (entry[0], low)]), entry)
            return
        lane = self._lane(row, step, left=at[0] <= x)
        start = at[1] + 0.45
        self.sheet.wire(node, (at[0], start), (lane, start), (lane, low), (entry[0], low), entry)

    def _lane(self, row: Row, step: int, *, left: bool) -> float:
        """A free place beside a cell for a wire that passes it."""
        x, left = self.x(row, step), left or self.folded  # loops stand on the right
        n = self.lanes[x, left]
        self.lanes[x, left] += 1
        away = max(LANES[0], self._wide(row) / 2 + 0.12) + LANES[1] * n
        return x - away if left else x + away

    def _up(self, below: Row, step: int, entry: Point, row: Row, low: float) -> None:
        """From a cell to the one above it, or past those between."""
        node = self.node(below, step)
        x = self.x(below, step)
        if row.level == below.level + 1:
            self.sheet.wire(node, *([] if entry[0] == x else [(x, low), (entry[0], low)]), entry)
            return
        lane = self._lane(below, step, left=False)
        out = self.y(below) + HIGH / 2 + 0.22
        self.sheet.wire(node, (x, out), (lane, out), (lane, low), (entry[0], low), entry)

    def uses_whole(self, row: Row) -> list[Row]:
        """The scans whose results every step uses as a whole: attention."""
        used = (r for _, a in row.cell.pieces.shared for r, k in self.whole.sources(a)
                if k >= len(r.cell.carried))  # fmt: skip
        return list(dict.fromkeys(used))

    def _whole_sequences(self, row: Row) -> None:
        for source in self.uses_whole(row):
            high = max(self.y(source), self.y(row)) + 0.95
            look = {"color": theme_of(self.theme).paint("data").line, "penwidth": 1.6}
            columns = [k for k, s in enumerate(self.shown(source)) if s is not None]
            drops = [k for k, s in enumerate(self.shown(row)) if s is not None]
            first, last = self.x(source, columns[0]), self.x(row, drops[-1]) - 0.3
            self.sheet.wire((first, high), (last, high), arrow=False, **look)
            for k in columns:
                self.sheet.wire(self.node(source, k), (self.x(source, k), high), **look)
            for k in drops:
                at = self.x(row, k) - 0.3
                self.sheet.wire((at, high), (at, self.y(row) + HIGH / 2), **look)
            name = next((row.names.terms[leaf] for leaf in row.cell.shared
                         if leaf in row.names.terms and self._is_from(row, leaf, source)),
                        None)  # fmt: skip
            text = "all its states, for every step" + (f": {unicode(name)}" if name else "")
            middle = (self.x(source, columns[-1]) + self.x(row, drops[0])) / 2
            self.sheet.words((middle, high + 0.16), text)

    def _is_from(self, row: Row, leaf: Value, source: Row) -> bool:
        return any(r is source for r, _ in self.whole.sources(row.cell.operand(leaf)))

    # -------------------------------------------------------- the ends

    def _first(self, row: Row) -> None:
        """h₀ = 0, or the scan (or value) it comes from."""
        c = row.cell
        k = len(self.shown(row)) - 1 if c.pieces.reverse and not self.folded else 0
        side = -c.forward if not self.folded else -1
        texts: list[str] = []
        for which, high in self.heights(row):
            for i in which:
                operand = c.pieces.carries[i][1]
                source = self.whole.maker(_plain(operand))
                term = row.names.terms.get(c.carried[i])
                name = self._start_name(row, term, i)
                end = self._edge(row, k, side, high if not self.folded else 0.0)
                if source is not None and source[1] < len(source[0].cell.carried):
                    self._from_scan(source, end, i, name)
                elif not is_zero(operand) or self.bundled or not self.folded:
                    value = "0" if is_zero(operand) else self._outside(operand)
                    texts.append(f"{name} = {value}")
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
            self.sheet.wire(start, (out, start[1]), (out, under), (turn, under), (turn, end[1]), end)
        elif abs(start[1] - end[1]) < 0.01:
            self.sheet.wire(start, end)
        else:
            self.sheet.wire(start, (turn, start[1]), (turn, end[1]), end)
        self.sheet.words((end[0] - 0.22, end[1] + (0.15 if end[1] >= start[1] - 0.2 else -0.15)), name)

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
        for k, y in enumerate(row.cell.yields):
            words = self.whole.after(row, n + k)
            if not words:
                continue
            real = [s for s, number in enumerate(self.shown(row)) if number is not None]
            first, last = self.x(row, real[0]), self.x(row, real[-1])
            text = " → ".join(_first(words))
            wide = max(last - first + 0.9, 0.3 + 0.1 * len(text))
            low = self.top - 0.2
            self.sheet.node(((first + last) / 2, self.top), text, "block", wide, 0.4,
                            fontsize=SMALL)  # fmt: skip
            above = [r for r in self.whole.rows if r.block == row.block and r.level > row.level]
            for s in real:
                x = self.x(row, s)
                name = self.name(row, row.names.terms.get(y), s)
                if above:
                    lane, out = self._lane(row, s, left=False), self.y(row) + HIGH / 2 + 0.22
                    self.sheet.wire(self.node(row, s), (x, out), (lane, out), (lane, low))
                else:
                    self.sheet.wire(self.node(row, s), (x, low))
                    if not (self.bundled and self.uses_whole(row)):
                        self.sheet.words((x + 0.27, self.y(row) + HIGH / 2 + 0.25), name)


def _plain(v: Value) -> Value:
    """Without what only repeats or converts it."""
    while v.op.name in ("broadcast", "cast", "reshape", "stop_gradient"):
        v = v.args[0]
    return v


def _first(words: Sequence[str]) -> list[str]:
    """The first words of what the net does, and that it goes on."""
    return [*words] if len(words) <= FOLLOWED else [*words[:FOLLOWED], "…"]
