"""The memory view: which buffer lies where in the arena, and when.

In: a `Plan` and the graph of its step. Out: DOT whose nodes have places: x are the launches in
order, y are addresses, a rectangle for each value that a buffer holds, from the launch that writes
it to the last that reads it. Nothing is left to a layout engine. Rectangles that nobody could see
in a large net are left out, which the caption says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil

from ..compiler.graph import Graph
from ..compiler.plan import Plan
from .dot import Dot, Html, escape
from .launches import Held, Launch, byte_words, launches, part_of, value_words
from .style import SMALL
from .style import theme as theme_of

LASTING = ("scalar", "param", "state", "input", "output")  # their places are nobody else's
# kind: (meaning of its colour, words in the legend, further style)
KINDS = {
    "param": ("param", "parameter", ""),
    "state": ("state", "state of the optimizer or the net", ""),
    "input": ("data", "input", ""),
    "kept": ("block", "kept for the backward pass (thick border)", ",bold"),
    "gradient": ("gradient", "gradient δ (dashed border)", ",dashed"),
    "scratch": ("view", "needed for a moment", ""),
    "output": ("output", "result", ""),
}
WIDTH, HEIGHT = 1060.0, 500.0  # points of the picture, without axes and title
TYPE = 13.0  # points, of names in rectangles
MOST = 260  # rectangles that are drawn
LETTER = 0.62  # of the type's size: the width of a letter


@dataclass(frozen=True)
class Life:
    """A value in the arena: `nbytes` at `offset`, from launch time `start` to `stop`; launch k
    runs from k − 1 to k. `values`: how many buffers side by side it stands for."""

    name: str
    kind: str
    start: float
    stop: float
    offset: int
    nbytes: int
    values: int = 1

    @property
    def area(self) -> float:
        return (self.stop - self.start) * self.nbytes


def memory(plan: Plan, graph: Graph, theme: str = "light") -> str:
    """DOT text of the memory view."""
    return _Picture(plan, launches(plan, graph), theme).text()


def lives(plan: Plan, steps: Sequence[Launch]) -> list[Life]:
    """Every value that lies in the arena, and when. What is written over an operand in the middle
    of a launch begins there."""
    found: list[Life] = []
    uses: dict[int, list[Launch]] = defaultdict(list)
    for step in steps:
        for h in step.touched:
            uses[h.index].append(step)
    for index, buffer in enumerate(plan.buffers):
        if buffer.kind == "temp" and buffer.within < 0:
            found += _turns(index, uses[index])
        elif buffer.kind in LASTING:
            size = buffer.nbytes(plan.capacity)
            if size and buffer.kind != "scalar":
                start = uses[index][0].number - 1 if buffer.kind == "output" and uses[index] else 0
                found.append(Life(buffer.name, buffer.kind, start, len(steps), buffer.offset, size))
    return found


def _turns(index: int, uses: Sequence[Launch]) -> list[Life]:
    """The values that lie in a temporary one after another."""
    turns: list[tuple[Held, Launch]] = []
    starts: list[float] = []
    for step in uses:
        written = next((h for h in step.writes if h.index == index), None)
        if turns and (written is None or written.value is turns[-1][0].value):
            continue
        starts.append(step.number - (0.5 if turns else 1.0))
        turns.append((written or next(h for h in step.reads if h.index == index), step))
    stops = [*starts[1:], float(uses[-1].number)] if uses else []
    found = []
    for (held, made), start, stop in zip(turns, starts, stops, strict=True):
        later = [s for s in uses if made.number < s.number and s.number - 1 < stop]
        found.append(
            Life(value_words(held), _kind(held, later), start, stop, held.buffer.offset,
                 held.nbytes)
        )  # fmt: skip
    return found


def _kind(held: Held, later: Iterable[Launch]) -> str:
    part = part_of(held.value)
    if part == "backward":
        return "gradient"
    if part == "forward" and any(s.part != "forward" for s in later):
        return "kept"
    return "scratch"


def peak(found: Sequence[Life], count: int) -> tuple[int, int]:
    """The launch (from 1) at which most bytes are live, and how many. What is written over an
    operand lies in the same bytes, and counts once."""
    change = [0] * (count + 2)
    for life in found:
        change[ceil(life.start) + 1] += life.nbytes
        change[ceil(life.stop) + 1] -= life.nbytes
    best, now, at = -1, 0, 1
    for k in range(1, count + 1):
        now += change[k]
        if now > best:
            best, at = now, k
    return at, best


class _Picture:
    def __init__(self, plan: Plan, steps: Sequence[Launch], theme: str) -> None:
        self.plan, self.steps = plan, steps
        self.count = max(len(steps), 1)
        self.found = lives(plan, steps)
        self.look = theme_of(theme)
        title = f"{plan.name}: memory, batch {plan.capacity}"
        self.dot = Dot(title, self.look, layout="nop2", size=TYPE)
        self.dx = WIDTH / self.count
        self.dy = HEIGHT / max(plan.arena, 1)

    def text(self) -> str:
        shown, left_out = self._shown()
        at, most = peak(self.found, self.count)
        self._box("frame", 0, 0, WIDTH, HEIGHT, fill="none", line=self.look.faint)
        self._barriers()
        for life in shown:
            self._life(life)
        self._launches()
        self._parts()
        self._addresses()
        self._peak(at, most)
        used = {life.kind for life in shown}
        self.dot.legend([(m, words) for kind, (m, words, _) in KINDS.items() if kind in used])
        say = (
            f"arena {byte_words(self.plan.arena)} · most in use: {byte_words(most)} at launch {at}"
            f" of {self.count} · a rectangle: a value, from the launch that writes it to the last"
            " that reads it"
        )
        if left_out:
            say += f" · {left_out:,} smaller ones left out"
        self.dot.below_legend(Html(f'<BR/><FONT POINT-SIZE="{SMALL:g}">{escape(say)}</FONT>'))
        return self.dot.text()

    def _shown(self) -> tuple[list[Life], int]:
        """Rectangles to draw: lasting ones too thin for a name together, then the largest."""
        lasting = [f for f in self.found if f.kind in LASTING]
        rest = [f for f in self.found if f.kind not in LASTING]
        merged: list[Life] = []
        for (_, _, thin), group in groupby(
            lasting, key=lambda f: (f.kind, f.start, f.nbytes * self.dy < TYPE + 2)
        ):
            neighbours = list(group)
            merged += [_together(neighbours)] if thin else neighbours
        largest = sorted(rest, key=lambda f: -f.area)[:MOST]
        kept = set(map(id, largest))
        return [*merged, *(f for f in rest if id(f) in kept)], len(rest) - len(largest)

    def _life(self, life: Life) -> None:
        meaning, words, style = KINDS[life.kind]
        paint = self.look.paint(meaning)
        x, y = life.start * self.dx, life.offset * self.dy
        width = (life.stop - life.start) * self.dx
        height = max(life.nbytes * self.dy, 0.7)
        first, last = int(life.start) + 1, int(life.stop + 0.5)
        when = f"launches {first} to {last}" if life.kind not in LASTING else "the whole step"
        tip = f"{life.name}: {byte_words(life.nbytes)} at {life.offset:,}, {when}, {words}"
        thick = 2.0 if "bold" in style and min(width, height) > 5 else 0.8
        self._box(
            _fitting(life, width, height), x, y, width, height, fill=paint.fill,
            line=paint.line, style=style.replace(",bold", ""), tooltip=tip, penwidth=thick,
        )  # fmt: skip

    def _box(
        self, label: str, x: float, y: float, width: float, height: float, *, fill: str,
        line: str, style: str = "", tooltip: str = "", penwidth: float = 0.8,
    ) -> None:  # fmt: skip
        """A rectangle by its lower left corner, in points."""
        shown = "" if label == "frame" else label
        filled = "" if fill == "none" else "filled"
        self.dot.node(
            shown, "other", shape="box", style=f"{filled}{style}".strip(","),
            fillcolor=self.look.background if fill == "none" else fill, color=line,
            pos=f"{x + width / 2:.2f},{y + height / 2:.2f}", width=round(width / 72, 4),
            height=round(height / 72, 4), fixedsize=True, tooltip=tooltip or " ", penwidth=penwidth,
        )  # fmt: skip

    def _word(self, text: str, x: float, y: float, colour: str = "", tip: str = "") -> None:
        """Words around a point."""
        self.dot.node(
            text, "other", shape="plaintext", style="", fontcolor=colour or self.look.ink,
            pos=f"{x:.2f},{y:.2f}", width=round(len(text) * TYPE * LETTER / 72, 3),
            height=0.2, fixedsize=True, tooltip=tip or text,
        )  # fmt: skip

    def _barriers(self) -> None:
        """A thin line where all threads wait, as long as such lines can be told apart."""
        places = [s.number - 1 for s, before in zip(self.steps[1:], self.steps, strict=False)
                  if s.epoch != before.epoch]  # fmt: skip
        if len(places) > 40:
            return
        for k in places:
            self._box("", k * self.dx - 0.2, 0, 0.4, HEIGHT, fill=self.look.faint,
                      line=self.look.faint, penwidth=0.2,
                      tooltip=f"barrier before launch {k + 1}")  # fmt: skip

    def _launches(self) -> None:
        """Numbers below."""
        room = max(1, round(34 / self.dx))
        every = next(k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**6) if k >= room)
        for s in self.steps:
            if s.number % every == 0 or every == 1:
                self._word(str(s.number), (s.number - 0.5) * self.dx, -11, tip=s.kernel.label)
        self._word("launch", -48, -12, self.look.faint)

    def _parts(self) -> None:
        """Forward, backward and update, as stretches below the numbers."""
        meanings = {"forward": "data", "backward": "gradient", "update": "param"}
        for parts, first, count in _stretches(self.steps, self.dx):
            x, width = (first - 1) * self.dx, count * self.dx
            paint = self.look.paint(meanings[parts[-1]])
            words = " and ".join(parts)
            fits = [w for w in (words, words[0].upper()) if len(w) * TYPE * LETTER + 6 <= width]
            tip = f"{words}: launches {first} to {first + count - 1}"
            self._box(fits[0] if fits else "", x, -42, width, 19, fill=paint.fill,
                      line=paint.line, tooltip=tip,
                      style=",dashed" if "backward" in parts else "")  # fmt: skip
        self._word("part", -48, -32, self.look.faint)

    def _addresses(self) -> None:
        """Bytes at the left."""
        size = self.plan.arena
        unit = 10 ** len(str(size // 5)) / 10
        step = next(k * unit for k in (1, 2, 2.5, 5, 10) if size / (k * unit) <= 6)
        k = 0
        while k * step <= size:
            self._word(byte_words(k * step), -42, k * step * self.dy + (4 if k == 0 else 0))
            k += 1

    def _peak(self, at: int, most: int) -> None:
        x = (at - 0.5) * self.dx
        colour = self.look.gradient
        faint = f"{colour}77"  # names stay readable through the line
        self._box("", x - 1, 0, 2, HEIGHT + 6, fill=faint, line=faint, penwidth=0.2,
                  tooltip=f"most in use: {byte_words(most)} at launch {at}")  # fmt: skip
        words = f"▼ peak: {byte_words(most)}"
        half = len(words) * TYPE * LETTER / 2
        self._word(words, min(max(x, half), WIDTH - half), HEIGHT + 14, colour)


def _stretches(steps: Sequence[Launch], dx: float) -> list[tuple[tuple[str, ...], int, int]]:
    """Launches of the same part that follow each other: parts, first, how many. Runs too short for
    a letter are one stretch with their neighbours of at most one other part."""
    found: list[tuple[tuple[str, ...], int, int]] = []
    brief = False
    for part, group in groupby(steps, key=lambda s: s.part):
        run = list(group)
        before, brief = brief, len(run) * dx < 2 * TYPE * LETTER
        if found and before and brief:
            parts, first, count = found[-1]
            both = tuple(dict.fromkeys((*parts, part)))
            if len(both) <= 2:
                found[-1] = (both, first, count + len(run))
                continue
        found.append(((part,), run[0].number, len(run)))
    return found


def _together(group: Sequence[Life]) -> Life:
    """Neighbours as one."""
    if len(group) == 1:
        return group[0]
    first, last = group[0], group[-1]
    words = KINDS[first.kind][1].partition(" ")[0]
    return replace(first, name=f"{len(group)} {words}s", values=len(group),
                   nbytes=last.offset + last.nbytes - first.offset)  # fmt: skip


def _fitting(life: Life, width: float, height: float) -> str:
    """The name and the bytes, the name, or nothing."""
    if height < TYPE + 1:
        return ""
    size = byte_words(life.nbytes)
    two_lines = f"{life.name}\n{size}" if height >= 2.4 * TYPE else ""
    for text in (f"{life.name}, {size}", two_lines, life.name):
        longest = max(map(len, text.split("\n")))
        if text and longest * TYPE * LETTER + 4 <= width:
            return text
    return ""
