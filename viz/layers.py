"""The layer view: one box an application of a block, with shapes, parameters and work.

In: a graph. Out: DOT. Nested blocks are drawn as boxes around boxes down to `depth`; equal
stretches of a chain are folded into one, "× 3". Long chains are broken into rows, to be read
like text, so that the picture fits a slide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ..compiler.graph import Graph
from ..compiler.value import Value
from .blocks import Box, Fold, block_name, boxes, folds, packed
from .dot import Cluster, Dot, Html, lines
from .equations import Equations, equations
from .fit import Draft, fitted, type_size
from .formula import right_hand_side
from .geometry import described
from .heat import INK, LINE, Heat, by_box, fill, legend, words
from .insides import Inside, insides
from .names import function_name, names
from .operations import end_name
from .steps import carried_rows, cell
from .style import FONT_SIZE, SLIDE, SMALL, SMALLEST
from .style import theme as theme_of
from .unicode import unicode
from .wrap import EVEN, SLACK

WIDE, HIGH = 17.0, 9.5  # inches: what still reads when it is scaled to a slide
CROWDED = 40  # boxes; beyond, blocks are drawn closed unless a depth is asked for
SKIP = "#0072B2"  # a shortcut past layers


def layers(
    graph: Graph,
    depth: int | None = None,
    theme: str = "light",
    *,
    fit: bool = True,
    heat: Heat | None = None,
) -> str:
    """DOT text of the layer view; with `heat`, boxes are coloured by their share of the time.

    The most detailed of the pictures that can be read on a slide: all blocks open; functions in
    the boxes of their layers; blocks closed, the inmost first.
    """
    found = equations(graph)
    pictures = [
        _Picture(graph, found, b, theme, heat, terse) for b, terse in _choices(found, depth, heat)
    ]
    if not fit:
        return pictures[0].text()
    best, text = -1.0, ""
    for k, picture in enumerate(pictures):
        if len(picture.shown) > CROWDED and k + 1 < len(pictures):
            continue
        rows = [(n, s) for n in (2, 3, 4, 5, 6) for s in ((SLACK, EVEN) if n > 2 else (SLACK,))]
        ways: list[Draft] = [picture.text, *(partial(picture.cut, *way) for way in rows)]
        drawn = fitted(ways)
        size = type_size(drawn) or 0.0
        if size > best:
            best, text = size, drawn
        if size >= SMALLEST:
            break
    return text


def _choices(
    found: Equations, depth: int | None, heat: Heat | None
) -> list[tuple[list[Box], bool]]:
    """The boxes of one picture each, the most detailed first, and whether to be terse."""
    whole = boxes(found, depth)
    deepest = max((b.path.count(".") for b in whole), default=0)
    all_open = [whole]
    if depth is None:
        all_open += [boxes(found, d) for d in range(deepest, 0, -1)]
    if heat is not None:  # a profile tells functions from layers
        return [(b, False) for b in all_open]
    results = {o.value for o in found.graph.outputs}
    close = [(packed(b, _function_names(found, b), results), True) for b in all_open]
    return [(whole, False), *close]


def _function_names(found: Equations, given: Sequence[Box]) -> dict[int, str]:
    """The boxes that may stand in that of the layer before them, and what they are called there."""
    called: dict[int, str] = {}
    for b in given:
        if b.composite:
            continue
        simple = all(s.kind == "elementwise" for s in b.steps)
        normal = all(s.value in found.inner for s in b.steps)
        if normal or b.block in ("dropout", "spatial_dropout"):
            called[id(b)] = b.block
        elif simple and len(b.steps) == 1:
            called[id(b)] = b.block or function_name(found, b.result)
    return called


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
    terse: bool = False  # sizes only where they change, no metrics
    ids: dict[Value, str] = field(default_factory=dict)  # anchor: node that gives it
    main: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.terse:
            self.found = [b for b in self.found if self._meaning(b) != "metric"] or self.found
        self.folded = folds(self.found)
        self.dropped = {id(b) for f in self.folded for b in f.dropped}
        self.shown = [b for b in self.found if id(b) not in self.dropped]
        self.look = theme_of(self.theme)
        self.seconds = by_box(self.heat, self.found, self.folded) if self.heat else {}
        self.names = names(self.equations, batch=False)
        closed = [] if self.heat else [b for b in self.shown if b.composite]
        self.insides = insides(self.equations, closed, self.found)
        self.makers = self._makers()
        self.path = self._longest_path()
        self._plan()

    def cut(self, rows: int, slack: float = SLACK) -> str:
        """The picture from left to right, cut into rows."""
        self.direction, self.snake = "LR", False
        return self.text(rows, slack)

    def text(self, rows: int = 1, slack: float = SLACK) -> str:
        """The whole picture as DOT."""
        self.ids = {}
        size = SMALL if self.terse else FONT_SIZE
        self.dot = Dot(self._title(), self.look, rankdir=self.direction, size=size)
        self._inputs()
        self._boxes()
        self._edges(self.snake)
        self._results()
        for inside in self.insides:
            self._inside(inside)
        if self.snake:
            self._rows()
        if self.heat is None:
            self.dot.legend(self._legend(), self._more() if self.terse else "")
        else:
            self.dot.caption(legend(self.heat, self._title(), self.seconds))
        return self.dot.text(rows, slack)

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

    def _more(self) -> str:
        """What terse boxes and thick lines say."""
        found = "in the boxes: parameters · work of one"
        return found + ("; thick lines: shortcuts" if self.insides else "")

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
        # Labels as one-hot vectors are the labels' own: whoever needs them may have made them.
        makers = {v: b for b in self.shown for v in b.values if v.op.name != "one_hot"}
        for f in self.folded:
            for k, b in enumerate(f.dropped):
                last = f.boxes[k % len(f.boxes)]
                makers.update(dict.fromkeys(b.values, last))
        return makers

    def _inputs(self) -> None:
        used = {_labels(v) for b in self.shown for v in b.inputs}
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
        if self._is_told(f):
            if parent is not None:
                parent.nodes += nodes
        else:
            self.dot.cluster(f"× {f.times}", nodes, parent, style="rounded,dashed", fontsize=16.0)
        for k, b in enumerate(f.dropped):
            for v in b.values:
                self.ids[v] = nodes[k % len(nodes)]

    def _is_told(self, f: Fold) -> bool:
        """One box alone tells in its heading how often it stands there."""
        return self.terse and len(f.boxes) == 1

    def _cluster_of(self, path: str, groups: dict[str, Cluster]) -> Cluster | None:
        """The box around the boxes of one instance, made when first needed."""
        outer = path.rpartition(".")[0]
        if not outer or (self.terse and not self._is_inmost(outer)):
            return None
        if outer not in groups:
            block, name = block_name(self.equations, outer), outer.rsplit(".", 1)[-1]
            label = name if name.startswith(block) else f"{block} {name}"
            around = None if self.terse else self._cluster_of(outer, groups)
            groups[outer] = self.dot.cluster(label, (), around)
        return groups[outer]

    def _is_inmost(self, outer: str) -> bool:
        """No box stands in a block inside that one."""
        inside = [b.path[len(outer) + 1 :] for b in self.shown if b.path.startswith(f"{outer}.")]
        return not any("." in p.rstrip(".") for p in inside)

    def _meaning(self, b: Box) -> str:
        if any(s.kind == "loss" for s in b.steps):
            return "loss"
        metrics = {o.value for o in self.equations.graph.of_kind("metric")}
        if any(v in metrics for v in b.values) or not b.result.type.is_float:
            return "metric"
        return "layer" if b.params else "elementwise"

    def _box(self, b: Box, *, sizes: bool = True) -> str:
        heading, *more = self._words(b)
        fold = next((f for f in self.folded if b in f.boxes), None)
        if fold is not None and self._is_told(fold):
            heading = f"{heading} × {fold.times}"
        rows: list[str | tuple[str, str]] = [heading, *more]
        if b.params and self.terse and sizes:
            rows.append((f"{counted(b.size)} · {counted(b.flops, 'FLOP')}", "faint"))
        elif b.params and sizes:
            rows.append((counted(b.flops, "FLOP"), "faint"))
        look: dict[str, str] = {}
        if self.heat is not None:
            spent = self.seconds.get(id(b))
            share = (spent or 0.0) / (self.heat.whole or 1.0)
            copies = fold.times if fold is not None else 1
            rows.append((words(spent, share, copies), "bold" if share >= 0.1 else "small"))
            look = {"fillcolor": fill(share), "color": LINE, "fontcolor": INK}
        if _is_sum(b) and not b.tails and not look:
            rows, look = ["+"], {"shape": "circle", "margin": "0.01"}
        label = lines(*rows, faint=INK if look else self.look.faint)
        tooltip = b.path or b.block or "equation"
        node = self.dot.node(label, self._meaning(b), tooltip=tooltip, **look)
        for v in b.values:
            self.ids[v] = node
        self._loop(b, node)
        return node

    def _loop(self, b: Box, node: str) -> None:
        """An arrow from a recurrent layer to itself, with the steps."""
        recurrent = [cell(v) for v in b.scans if v.attrs["carries"]]
        if not recurrent:
            return
        told = dict.fromkeys(f"{', '.join(c.words)}: {c.letter} → {c.after}" for c in recurrent)
        steps = dict.fromkeys(f"{c.pieces.clock or 'T'} = {c.pieces.steps}" for c in recurrent)
        label = "\n".join([*told, *steps]) if not self.terse else ", ".join(steps)
        colour = self.look.paint("state").line
        self.dot.edge(node, node, label, color=colour, style="dashed", penwidth=1.5)

    def _inside(self, inside: Inside) -> None:
        """What stands in a closed block, drawn once for all like it, in a row of its own."""
        shape = str(inside.box.inputs[0].type)
        start = self.dot.node(lines(("x", "bold"), shape), "data", shape="plaintext", style="")
        saved, self.ids = self.ids, dict.fromkeys(inside.box.inputs, start)
        nodes = [self._box(b, sizes=False) for b in inside.boxes]
        skips = inside.shortcuts(_is_sum)
        for b in inside.boxes:
            for v in b.inputs:
                if v in self.ids:
                    look = {"color": SKIP, "penwidth": "2.2"} if (v, b.result) in skips else {}
                    self.dot.edge(self.ids[v], self.ids[b.result], **look)
        end = self.dot.node(lines(("y", "bold"), str(inside.box.result.type)), "data",
                            shape="plaintext", style="")  # fmt: skip
        self.dot.edge(nodes[-1], end)
        self.dot.cluster(inside.title, [start, *nodes, end], style="rounded,dashed")
        self.dot.below(start, *nodes, end)
        self.ids = saved

    def _words(self, b: Box) -> list[str]:
        """The heading of a box and the lines below it."""
        if not b.block:
            return [*self._equation(b), *b.tails]
        geometry = [] if b.composite else described(b.steps[0].inside)
        heading = f"{b.block} {geometry[0]}" if geometry else b.block
        more = [", ".join(geometry[1:])] if geometry[1:] else []
        if not b.params:
            return [heading, *more]
        name = b.path.rsplit(".", 1)[-1]
        shape = b.steps[0].value.shape if not b.composite else b.result.shape
        if len(shape) == 1:
            heading = f"{heading} {shape[0]}"
        elif geometry:
            heading = f"{heading}, {shape[0]}"
        if self.terse and b.composite and name.startswith(b.block):
            heading = name
        if self.terse:
            told = [", ".join(w for w in (*geometry[1:], *b.tails) if not w.startswith("padding"))]
            return [heading, *(told if told[0] else []), *(["shared"] if b.shared else [])]
        size = "shared parameters" if b.shared else f"{counted(b.size)} parameters"
        return [heading, *([name] if name != b.block else []), *more, size]

    def _equation(self, b: Box) -> list[str]:
        """`a = tanh(z)`, under the function's name where it is one function; of a scan, what it
        carries."""
        if b.scans:
            c = cell(b.scans[0])
            size = [f"{counted(b.size)} parameters"] if b.params else []
            return [c.title, *(_short(row) for row in carried_rows(c)), *size]
        right = right_hand_side(b.result, self.names.terms)
        text = f"{self.names.text(b.result)} = {unicode(right)}"
        text = _short(text)
        return [right.text, text] if right.kind == "call" else [text]

    def _edges(self, snake: bool) -> None:
        drawn = set()
        backbone = {id(b): k for k, b in enumerate(self.path)}
        makers = self._makers()
        for b in self.shown:
            end = self.ids[b.result]
            for v in map(_labels, b.inputs):
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
                self.dot.edge(start, end, self._label(v))

    def _label(self, v: Value) -> Html | str:
        """The shape on an edge; terse, only where it is not that of the edge before."""
        maker = self.makers.get(v) if self.terse else None
        if maker is not None and any(a.shape == v.shape for a in maker.inputs):
            return ""
        return _shape_label(v)

    def _beside_last(self, start: str, end: str, v: Value) -> None:
        """Data that only the last box takes (labels) stands in the row with it, after it."""
        self.dot.rank(start, end)
        if self.rows % 2:
            self.dot.edge(end, start, self._label(v), dir="back")
        else:
            self.dot.edge(start, end, self._label(v))

    def _rows(self) -> None:
        """Break the backbone into rows, the second read from right to left, and so on."""
        width = -(-len(self.path) // self.rows)
        nodes = [self.ids[b.result] for b in self.path]
        for start in range(0, len(nodes), width):
            self.dot.rank(*nodes[start : start + width])
        for k in range(1, len(nodes)):
            shape = self._label(self.path[k - 1].result)
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
            if self.terse and o.kind == "metric":
                continue
            meaning = "output" if o.kind == "output" else "metric"
            end = self.dot.node(lines((end_name(o), "small")), meaning, shape="plaintext", style="")
            self.dot.edge(start, end, self._label(o.value))

    def _anchor(self, kind: str, name: str) -> Value:
        outputs = self.equations.graph.outputs
        return next(o.value for o in outputs if o.kind == kind and o.name == name)


def _short(text: str) -> str:
    return text if len(text) <= 36 else text[:35] + "…"


def _labels(v: Value) -> Value:
    """The labels that a one-hot vector was made from; any other value itself."""
    return v.args[0] if v.op.name == "one_hot" else v


def _is_sum(b: Box) -> bool:
    """x + y, which nobody named: a residual sum."""
    v = b.result
    return not b.block and v.op.name == "add" and not v.origin.name and len(b.inputs) == 2


def _shape_label(v: Value) -> Html | str:
    return str(v.type) if v.shape else ""
