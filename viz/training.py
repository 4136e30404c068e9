"""The training view: the layers, and the path of every line's gradient in a colour of its own.

In: the net as it is trained, and the lines of its `train` declaration. Out: DOT. Backwards from
each loss to the parameters that its line changes goes a coloured line, thick where it changes them,
thin through what it passes and leaves as it is; its number stands in the boxes that it changes.
Colour is never the only sign: lines differ in their dashes and their arrowheads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from ..compiler.graph import Graph
from ..compiler.value import Value
from .blocks import Box
from .dot import Attribute, Dot, Html, escape
from .equations import equations, is_bar
from .gradient_paths import Line, Path, paths
from .layer_picture import LayerPicture
from .layers import choices, readable
from .style import PATHS, SMALL

THICK, THIN = 3.0, 1.1
LINES = (("solid", "━━━"), ("dashed", "╍╍╍"), ("dotted", "┅┅┅"))
HEADS = ("normal", "vee", "diamond", "odot")
CIRCLED = "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳"


def training(
    graph: Graph,
    lines: Sequence[Line],
    depth: int | None = None,
    theme: str = "light",
    *,
    fit: bool = True,
) -> str:
    """DOT text of the training view."""
    wanted = {line.loss for line in lines}
    found = equations(graph, [o for o in graph.of_kind("loss") if o.name in wanted])
    flows = paths(found, lines)

    def made(boxes: list[Box], terse: bool) -> TrainingPicture:
        return TrainingPicture(graph, found, boxes, theme, None, terse, flows=flows)

    return readable(choices(found, depth, None), made, fit=fit)


def circled(number: int) -> str:
    """① for 1."""
    return CIRCLED[number - 1] if number <= len(CIRCLED) else f"({number})"


@dataclass
class TrainingPicture(LayerPicture):
    """A layer diagram with the gradients' paths."""

    flows: Sequence[Path] = field(default_factory=list)
    styles: ClassVar[tuple[str, ...]] = ("solid",)  # dashes tell the lines of `train` apart here

    def _canvas(self, size: float) -> Dot:
        """Wider between the columns, so that lines can be told apart."""
        return Dot(
            self._title(), self.look, rankdir=self.direction, size=size, letters=True, gap=0.65
        )

    def _label(self, v: Value) -> str:
        """Shapes stand in the layer view; here the edges are full."""
        return ""

    def _title(self) -> str:
        count = len(self.flows)
        return f"{self.graph.name}: one step of training" + (
            f", {count} updates in the order written" if count > 1 else ""
        )

    def _notes(self, b: Box) -> list[str | tuple[str, str]]:
        """The numbers of the lines that change the box, or minimise it."""
        rows = super()._notes(b)
        for path in self.flows:
            line, colour = path.line, self._colour(path)
            mark = circled(line.number)
            own = [str(p.attrs["name"]) for p in b.params if p in path.changed]
            if path.loss in b.values:
                often = f" × {line.turns}" if line.turns > 1 else ""
                rows.append((f"{mark} minimised{often}", colour))
            if own and line.groups:
                rules = dict.fromkeys(line.rule(name) for name in own)
                rows.append((f"{mark} {', '.join(rules)}", colour))
            elif own:
                rows.append((f"{mark} changed", colour))
        return rows

    def _edges(self, snake: bool) -> None:
        super()._edges(snake)
        for path in self.flows:
            drawn: set[tuple[str, str]] = set()
            for a, w in self._in_order(path.edges):
                self._back(path, a, w, drawn, self._width_of(path, a))
            for a, w in self._in_order(path.stops):
                self._back(path, a, w, drawn, THIN, arrowtail="tee")

    def _in_order(self, edges: frozenset[tuple[Value, Value]]) -> list[tuple[Value, Value]]:
        """Those between values, in the order of the net."""
        slopes = {w: step.of for w, step in self.equations.steps.items() if step.of is not None}
        edges |= {(slopes[w], w) for _, w in edges if w in slopes}
        place = {v: k for k, v in enumerate(self.equations.stand_in)}
        chosen = [(a, w) for a, w in edges if a.op.name != "param" and a is slopes.get(w, a)]
        return sorted(chosen, key=lambda e: (place.get(e[1], len(place)), place[e[0]]))

    def _back(
        self,
        path: Path,
        a: Value,
        w: Value,
        drawn: set[tuple[str, str]],
        width: float,
        **more: Attribute,
    ) -> None:
        """One piece of a path, laid out as an edge forward."""
        start, end = self.ids.get(a), self.ids.get(w)
        if start is None or end is None or start == end or (start, end) in drawn:
            return
        drawn.add((start, end))
        k = path.line.number - 1
        look: dict[str, Attribute] = {
            "dir": "back", "color": self._colour(path), "penwidth": width,
            "style": LINES[k % len(LINES)][0], "arrowtail": HEADS[k % len(HEADS)],
            "arrowsize": 0.9 if width == THICK else 0.7, "tooltip": path.line.words,
        }  # fmt: skip
        self.dot.edge(start, end, "", **{**look, **more})

    def _width_of(self, path: Path, a: Value) -> float:
        """Thin where the gradient arrives in a block that has parameters and changes none."""
        maker = self.makers.get(a)
        if maker is None or is_bar(a):
            return THIN
        own = self._learned.get(maker.path.partition(".")[0], set())
        return THIN if own and not own & path.changed else THICK

    @cached_property
    def _learned(self) -> dict[str, set[Value]]:
        """The parameters of each block of the net."""
        found: dict[str, set[Value]] = {}
        for p in self.equations.graph.params:
            found.setdefault(p.name.partition(".")[0], set()).add(p.value)
        return found

    def _colour(self, path: Path) -> str:
        colours = PATHS[self.look.name]
        return colours[(path.line.number - 1) % len(colours)]

    def _results(self) -> None:
        """Only losses count here, and they are boxes."""

    def _caption(self) -> None:
        super()._caption()
        rows = []
        for path in self.flows:
            line = path.line
            drawn = LINES[(line.number - 1) % len(LINES)][1]
            rows.append(
                f'<FONT COLOR="{self._colour(path)}"><B>{drawn} {circled(line.number)}</B></FONT>'
                f'<FONT POINT-SIZE="{SMALL:g}"> {escape(line.words)}</FONT>'
            )
        self.dot.below_legend(Html("<BR/>".join(rows)))

    def _more(self) -> str:
        known = super()._more()
        told = "thin: passes, and changes nothing"
        return f"{known}; {told}" if known else told
