"""The cells of recurrent nets in rows: what is carried along them, and what enters them.

In: the rows of a net and a sheet. Out: `Tracks`, with the cells and wires on the sheet. x_t comes
from below; scans that walk along each other's results stand one above another. The ends of the rows
are drawn by `unrolled`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..compiler.value import Value
from .dot import lines
from .rows import Row, Unrolled
from .sheet import Look, Point, Sheet
from .style import theme as theme_of
from .terms import Term
from .unicode import unicode

LEVEL, BOTTOM = 2.1, 1.6  # inches between rows, and from the inputs to the first
WIDE, HIGH = 1.1, 0.8  # of a cell
BESIDE = 2.05  # further apart where another block of scans begins
LANES = 0.65, 0.1  # where wires pass a cell, and between two of them
LEGEND = (("data", "data"), ("layer", "the same cell at every step"),
          ("block", "what the net does with it"))  # fmt: skip


@dataclass
class Tracks:
    """The drawing of one net: cells, what goes along them and into them.

    `pitch` is from step to step."""

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
    widths: dict[str, float] = field(default_factory=dict)  # of inputs
    boxes: set[tuple[str, float]] = field(default_factory=set)
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

    def text(self) -> str:
        return self.sheet.text()

    # -------------------------------------------------------- places

    def shown(self, row: Row) -> tuple[int | None, ...]:
        return (1,) if self.folded else row.shown

    def x(self, row: Row, k: int) -> float:
        if self.folded:
            return 2.0 + 4.4 * row.block
        return 2.0 + self.pitch * (row.column + k) + BESIDE * row.block

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
        return max(inside, 0.3 + 0.115 * len(row.cell.title))

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

    def _from_data(self, row: Row, k: int, step: int, entry: Point, count: int, low: float) -> None:
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
            self.widths[self.inputs[key]] = wide
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
            look: Look = {"color": theme_of(self.theme).paint("data").line, "penwidth": 1.6}
            columns = [k for k, s in enumerate(self.shown(source)) if s is not None]
            drops = [k for k, s in enumerate(self.shown(row)) if s is not None]
            first, last = self.x(source, columns[0]), self.x(row, drops[-1]) - 0.3
            self.sheet.wire((first, high), (last, high), arrow=False, look=look)
            for k in columns:
                self.sheet.wire(self.node(source, k), (self.x(source, k), high), look=look)
            for k in drops:
                at = self.x(row, k) - 0.3
                self.sheet.wire((at, high), (at, self.y(row) + HIGH / 2), look=look)
            name = next((row.names.terms[leaf] for leaf in row.cell.shared
                         if leaf in row.names.terms and self._is_from(row, leaf, source)),
                        None)  # fmt: skip
            text = "all its states, for every step" + (
                f": {unicode(name)}" if name and len(unicode(name)) < 6 else ""
            )
            middle = (self.x(source, columns[-1]) + self.x(row, drops[0])) / 2
            self.sheet.words((middle, high + 0.16), text)

    def _is_from(self, row: Row, leaf: Value, source: Row) -> bool:
        return any(r is source for r, _ in self.whole.sources(row.cell.operand(leaf)))
