"""The layer view: one box an application of a block, with shapes, parameters and work.

In: a graph. Out: DOT. Nested blocks are drawn as boxes around boxes down to `depth`; equal
stretches of a chain are folded into one, "× 3". Long chains are broken into rows, to be read
like text, so that the picture fits a slide.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from ..compiler.graph import Graph
from ..compiler.value import Value
from .blocks import Box, Fold, block_name, boxes, folds
from .dot import Cluster, Dot, Html, lines
from .equations import Equations, equations
from .fit import Draft, fitted
from .formula import right_hand_side
from .heat import INK, LINE, Heat, by_box, fill, legend, words
from .names import names
from .operations import end_name
from .style import SLIDE
from .style import theme as theme_of
from .unicode import unicode

WIDE, HIGH = 17.0, 9.5  # inches: what still reads when it is scaled to a slide
CROWDED = 40  # boxes; beyond, blocks are drawn closed unless a depth is asked for


def layers(
    graph: Graph,
    depth: int | None = None,
    theme: str = "light",
    *,
    fit: bool = True,
    heat: Heat | None = None,
) -> str:
    """DOT text of the layer view; with `heat`, boxes are coloured by their share of the time."""
    found = equations(graph)
    picture = _Picture(graph, found, boxes(found, depth), theme, heat)
    if depth is None and (len(picture.shown) > CROWDED or not picture.fits):
        closed = _Picture(graph, found, boxes(found, 1), theme, heat)
        if len(closed.shown) < len(picture.shown):
            picture = closed
    if not fit:
        return picture.text()
    ways: list[Draft] = [picture.text, *(partial(picture.cut, n) for n in (2, 3, 4))]
    return fitted(ways)


def counted(n: float, unit: str = "") -> str:
    """1234567 as 1.23 M: three figures."""
    for size, mark in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if n >= size:
            return f"{n / (1e3 if mark == 'k' else size):.3g} {mark}{unit}".rstrip()
    return f"{n:,.0f} {unit}".rstrip()


@dataclass
class _Picture:
    graph: Graph
    equations: Equations
    found: list[Box]
    theme: str
    heat: Heat | None = None
    ids: dict[Value, str] = field(default_factory=dict)  # anchor: node that gives it
    main: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folded = folds(self.found)
        self.dropped = {id(b) for f in self.folded for b in f.dropped}
        self.shown = [b for b in self.found if id(b) not in self.dropped]
        self.look = theme_of(self.theme)
        self.seconds = by_box(self.heat, self.found, self.folded) if self.heat else {}
        self.names = names(self.equations, batch=False)
        self.path = self._longest_path()
        self._plan()

    def cut(self, rows: int) -> str:
        """The picture from left to right, cut into rows."""
        self.direction, self.snake = "LR", False
        return self.text(rows)

    def text(self, rows: int = 1) -> str:
        """The whole picture as DOT."""
        self.ids = {}
        self.dot = Dot(self._title(), self.look, rankdir=self.direction)
        self._inputs()
        self._boxes()
        self._edges(self.snake)
        self._results()
        if self.snake:
            self._rows()
        if self.heat is None:
            self.dot.legend(self._legend())
        else:
            self.dot.caption(legend(self.heat, self._title(), self.seconds))
        return self.dot.text(rows)

    def _plan(self) -> None:
        """Left to right where that fits a slide, else downwards, else in rows."""
        width = 1.5 + sum(self._width(b) for b in self.path)
        height = 1.5 + sum(0.8 + 0.24 * len(self._words(b)) for b in self.path)
        self.direction, self.snake, self.fits = "LR", False, width <= WIDE
        if self.fits:
            return
        if self._is_plain() and height > HIGH:
            self.direction, self.snake, self.fits = "TB", True, True
            self.rows = min(range(2, 9), key=lambda n: self._scale(width / n, 1.2 + 2.1 * n))
            return
        self.fits = height <= HIGH
        self.direction = "TB" if self._scale(0, height) < self._scale(width, 0) else "LR"

    def _scale(self, width: float, height: float) -> float:
        """How much larger than a slide that is."""
        return max(width / SLIDE[0], height / SLIDE[1])

    def _width(self, b: Box) -> float:
        """Inches that a box and the edge behind it take, estimated."""
        return 0.95 + 0.085 * max(map(len, self._words(b)))

    def _is_plain(self) -> bool:
        """A chain without boxes around boxes, which alone can be broken into rows."""
        alone = all(len([v for v in b.inputs if v in self._makers()]) <= 1 for b in self.path[:-1])
        return alone and not self.folded and all("." not in b.path for b in self.path)

    def _title(self) -> str:
        params = {p for b in self.found for p in b.params}
        work = sum(b.flops for b in self.found)
        size = sum(p.type.size for p in params)
        return (
            f"{self.graph.name}: {counted(size)} parameters,"
            f" {counted(work, 'FLOP')} per example forward"
        )

    def _legend(self) -> list[tuple[str, str]]:
        used = [("data", "data"), ("layer", "layer with parameters")]
        kinds = {self._meaning(b) for b in self.shown}
        if "elementwise" in kinds:
            used.append(("elementwise", "activation or other function"))
        if "loss" in kinds:
            used.append(("loss", "loss"))
        return used

    def _longest_path(self) -> list[Box]:
        """The boxes of the longest way through the net: its backbone."""
        best: dict[int, list[Box]] = {}
        makers = self._makers()
        for b in self.shown:
            before = [
                best[id(makers[v])] for v in b.inputs if v in makers and id(makers[v]) in best
            ]
            best[id(b)] = [*max(before, key=len, default=[]), b]
        return max(best.values(), key=len, default=[])

    def _makers(self) -> dict[Value, Box]:
        """The shown box that gives each anchor; a folded one speaks through its stretch's last."""
        makers = {v: b for b in self.shown for v in b.values}
        for f in self.folded:
            for k, b in enumerate(f.dropped):
                last = f.boxes[k % len(f.boxes)]
                makers.update(dict.fromkeys(b.values, last))
        return makers

    def _inputs(self) -> None:
        used = {v for b in self.shown for v in b.inputs}
        for v in self.equations.stand_in:
            if v.op.name == "input" and v in used:
                label = lines(str(v.attrs["name"]), str(v.type))
                self.ids[v] = self.dot.node(label, "data", tooltip=f"input {v.attrs['name']}")

    def _boxes(self) -> None:
        groups: dict[str, Cluster] = {}
        for f in self.folded:
            self._fold_cluster(f, groups)
        inside = {id(b) for f in self.folded for b in f.boxes}
        for b in self.shown:
            if id(b) in inside:
                continue
            node = self._box(b)
            parent = self._cluster_of(b.path, groups)
            if parent is not None:
                parent.nodes.append(node)

    def _fold_cluster(self, f: Fold, groups: dict[str, Cluster]) -> None:
        parent = self._cluster_of(f.boxes[0].path, groups)
        nodes = [self._box(b) for b in f.boxes]
        self.dot.cluster(f"× {f.times}", nodes, parent, style="rounded,dashed", fontsize=16.0)
        for k, b in enumerate(f.dropped):
            for v in b.values:
                self.ids[v] = nodes[k % len(nodes)]

    def _cluster_of(self, path: str, groups: dict[str, Cluster]) -> Cluster | None:
        """The box around the boxes of one instance, made when first needed."""
        outer = path.rpartition(".")[0]
        if not outer:
            return None
        if outer not in groups:
            block, name = block_name(self.equations, outer), outer.rsplit(".", 1)[-1]
            label = block if block == name else f"{block} {name}"
            groups[outer] = self.dot.cluster(label, (), self._cluster_of(outer, groups))
        return groups[outer]

    def _meaning(self, b: Box) -> str:
        if any(s.kind == "loss" for s in b.steps):
            return "loss"
        metrics = {o.value for o in self.equations.graph.of_kind("metric")}
        if any(v in metrics for v in b.values) or not b.result.type.is_float:
            return "metric"
        return "layer" if b.params else "elementwise"

    def _box(self, b: Box) -> str:
        heading, *more = self._words(b)
        rows: list[str | tuple[str, str]] = [heading, *more]
        if b.params:
            rows.append((counted(b.flops, "FLOP"), "faint"))
        look: dict[str, str] = {}
        if self.heat is not None:
            spent = self.seconds.get(id(b))
            share = (spent or 0.0) / (self.heat.whole or 1.0)
            copies = next((f.times for f in self.folded if b in f.boxes), 1)
            rows.append((words(spent, share, copies), "bold" if share >= 0.1 else "small"))
            look = {"fillcolor": fill(share), "color": LINE, "fontcolor": INK}
        label = lines(*rows, faint=INK if look else self.look.faint)
        tooltip = b.path or b.block or "equation"
        node = self.dot.node(label, self._meaning(b), tooltip=tooltip, **look)
        for v in b.values:
            self.ids[v] = node
        return node

    def _words(self, b: Box) -> list[str]:
        """The heading of a box and the lines below it."""
        if not b.block:
            return self._equation(b)
        if not b.params:
            return [b.block]
        name = b.path.rsplit(".", 1)[-1]
        shape = b.result.shape
        heading = f"{b.block} {shape[0]}" if len(shape) == 1 else b.block
        size = "shared parameters" if b.shared else f"{counted(b.size)} parameters"
        return [heading, *([name] if name != b.block else []), size]

    def _equation(self, b: Box) -> list[str]:
        """`a = tanh(z)`, under the function's name where it is one function."""
        right = right_hand_side(b.result, self.names.terms)
        text = f"{self.names.text(b.result)} = {unicode(right)}"
        text = text if len(text) <= 36 else text[:35] + "…"
        return [right.text, text] if right.kind == "call" else [text]

    def _edges(self, snake: bool) -> None:
        drawn = set()
        backbone = {id(b): k for k, b in enumerate(self.path)}
        makers = self._makers()
        for b in self.shown:
            end = self.ids[b.result]
            for v in b.inputs:
                start = self.ids.get(v)
                if start is None or start == end or (start, end) in drawn:
                    continue
                drawn.add((start, end))
                maker = makers.get(v)
                here = backbone.get(id(b), -1)
                follows = maker is not None and backbone.get(id(maker), -2) == here - 1
                if snake and follows and here:
                    continue  # drawn with its row
                if snake and maker is None and b is self.path[-1]:
                    self._beside_last(start, end, v)
                    continue
                self.dot.edge(start, end, _shape_label(v))

    def _beside_last(self, start: str, end: str, v: Value) -> None:
        """Data that only the last box takes (labels) stands in the row with it, after it."""
        self.dot.rank(start, end)
        if self.rows % 2:
            self.dot.edge(end, start, _shape_label(v), dir="back")
        else:
            self.dot.edge(start, end, _shape_label(v))

    def _rows(self) -> None:
        """Break the backbone into rows, the second read from right to left, and so on."""
        width = -(-len(self.path) // self.rows)
        nodes = [self.ids[b.result] for b in self.path]
        for start in range(0, len(nodes), width):
            self.dot.rank(*nodes[start : start + width])
        for k in range(1, len(nodes)):
            shape = _shape_label(self.path[k - 1].result)
            row, place = divmod(k, width)
            if place == 0:
                self.dot.edge(nodes[k - 1], nodes[k], shape, weight=100)
            elif row % 2 == 0:
                self.dot.edge(nodes[k - 1], nodes[k], shape)
            else:
                self.dot.edge(nodes[k], nodes[k - 1], shape, dir="back")

    def _results(self) -> None:
        for o in self.graph.outputs:
            start = self.ids.get(self._anchor(o.kind, o.name))  # the graph's values were merged
            if start is None or o.kind not in ("output", "metric"):
                continue
            meaning = "output" if o.kind == "output" else "metric"
            end = self.dot.node(lines((end_name(o), "small")), meaning, shape="plaintext", style="")
            self.dot.edge(start, end, _shape_label(o.value))

    def _anchor(self, kind: str, name: str) -> Value:
        outputs = self.equations.graph.outputs
        return next(o.value for o in outputs if o.kind == kind and o.name == name)


def _shape_label(v: Value) -> Html | str:
    return str(v.type) if v.shape else ""
