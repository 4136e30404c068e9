"""One layer diagram: boxes, the edges between them, the boxes around them, and its legend.

In: the boxes of a net, and how much room there is. Out: DOT. A block that is applied several times
is one box with several arrows in and out, told apart by their lines. Which boxes are drawn is left
to `layers`; what stands in them to `box_words`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from ..compiler.elaborate.unfinished import KNOWN, Unfinished
from ..compiler.graph import Graph, topological
from ..compiler.value import Value
from .applications import application
from .blocks import Box, Fold, block_name, folds
from .box_words import Words, counted
from .dot import Attribute, Cluster, Dot, lines
from .draws import drawn, scale_of
from .equations import Equations, is_bar
from .heat import INK, LINE, Heat, by_box, fill, legend, words
from .insides import Inside, insides
from .names import names
from .operations import end_name
from .steps import cell
from .style import FONT_SIZE, SLIDE, SMALL
from .style import theme as theme_of
from .unfinished import draw_unfinished
from .unfinished import legend as legend_of
from .wrap import SLACK

WIDE, HIGH = 17.0, 9.5  # inches: what still reads when it is scaled to a slide
SKIP = "#0072B2"  # a shortcut past layers


@dataclass
class LayerPicture:
    """One layer diagram under construction."""

    graph: Graph
    equations: Equations
    found: list[Box]
    theme: str
    heat: Heat | None = None
    terse: bool = False  # sizes only where they change, no metrics
    unfinished: Sequence[Unfinished] = ()  # lines of a net with mistakes
    ids: dict[Value, str] = field(default_factory=dict)  # anchor: node that gives it
    styles: ClassVar[tuple[str, ...]] = ("solid", "dashed", "dotted", "bold")  # by application

    def __post_init__(self) -> None:
        outputs = self.equations.graph.outputs
        self.needed = set(topological(o.value for o in outputs if o.kind != "metric"))
        self.frozen = {p.value for p in self.equations.graph.params if p.frozen}
        if self.terse:
            self.found = [b for b in self.found if self._meaning(b) != "metric"] or self.found
        self.folded = folds(self.found)
        self.dropped = {id(b) for f in self.folded for b in f.dropped}
        self.shown = [b for b in self.found if id(b) not in self.dropped]
        self.look = theme_of(self.theme)
        self.seconds = by_box(self.heat, self.found, self.folded) if self.heat else {}
        self.names = names(self.equations, batch=False)
        self.words = Words(self.equations, self.names, self.terse)
        self.makers = self._makers()
        self.path = self._longest_path()
        self._plan()

    @cached_property
    def insides(self) -> list[Inside]:
        """What stands in the closed blocks; asked for only where the picture is drawn."""
        closed = [] if self.heat else [b for b in self.shown if b.composite]
        return insides(self.equations, closed, self.found)

    def cut(self, rows: int, slack: float = SLACK) -> str:
        """The picture from left to right, cut into rows."""
        self.direction, self.snake = "LR", False
        return self.text(rows, slack)

    def text(self, rows: int = 1, slack: float = SLACK) -> str:
        """The whole picture as DOT."""
        self.ids = {}
        size = SMALL if self.terse else FONT_SIZE
        self.dot = self._canvas(size)
        self._inputs()
        self._boxes()
        self._edges(self.snake)
        self._results()
        known = {o.name: o.value for o in self.equations.graph.of_kind(KNOWN)}
        nodes = {name: self.ids[v] for name, v in known.items() if v in self.ids}
        draw_unfinished(self.dot, self.unfinished, nodes)
        for inside in self.insides:
            self._inside(inside)
        if self.snake:
            self._rows()
        self._caption()
        return self.dot.text(rows, slack)

    def _canvas(self, size: float) -> Dot:
        return Dot(self._title(), self.look, rankdir=self.direction, size=size)

    def _caption(self) -> None:
        if self.heat is None:
            self.dot.legend([*self._legend(), *legend_of(self.unfinished)], self._more())
        else:
            self.dot.caption(legend(self.heat, self._title(), self.seconds))

    def _plan(self) -> None:
        """Left to right where that fits a slide, else downwards, else in rows."""
        width = 1.5 + sum(self._width(b) for b in self.path)
        height = 1.5 + sum(0.8 + 0.24 * len(self.words(b)) for b in self.path)
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
        return 0.95 + 0.085 * max(map(len, self.words(b)))

    def _is_plain(self) -> bool:
        """A chain without boxes around boxes, which alone can be broken into rows."""
        alone = all(len([v for v in b.inputs if v in self._makers()]) <= 1 for b in self.path[:-1])
        return alone and not self.folded and all("." not in b.path for b in self.path)

    def _title(self) -> str:
        params = {p for b in self.found for p in b.params}
        work = sum(a.flops for b in self.found for a in b.applications)
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
        if "sample" in kinds or any(drawn(v) for v in self.ids):
            used.append(("draw", "random draw"))
        if "frozen" in kinds:
            used.append(("frozen", "frozen: not learned"))
        return used

    def _more(self) -> str:
        """What terse boxes and thick lines say."""
        found = ["in the boxes: parameters · work of one"] if self.terse else []
        found += ["thick lines: shortcuts"] if self.insides else []
        found += ["bar: stop_gradient"] if any(is_bar(b.result) for b in self.shown) else []
        return "; ".join(found)

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
            elif drawn(v) and v not in self.equations.steps and v in used:
                label = lines(*self.words.draw(v))
                self.ids[v] = self.dot.node(label, "draw", margin=0.01, tooltip=f"{v.op.name} draw")

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
            block, name = self._block_of(outer), outer.rsplit(".", 1)[-1]
            same = name.startswith(block) or block.startswith(name)
            label = max(name, block, key=len) if same else f"{block} {name}"
            around = None if self.terse else self._cluster_of(outer, groups)
            label, look = self._cluster_look(outer, label)
            groups[outer] = self.dot.cluster(label, (), around, **look)
        return groups[outer]

    def _block_of(self, outer: str) -> str:
        """The block of an instance: as the user wrote it, where its values do not tell."""
        block = block_name(self.equations, outer)
        written = self.equations.graph.places.get(outer)
        called = re.match(r"([A-Za-z_]\w*)\s*\(", written.text) if written is not None else None
        name = outer.rsplit(".", 1)[-1]
        if called is None or block != name.rstrip("0123456789_"):
            return block
        return called[1] if len(name) < 3 or called[1].startswith(name) else block

    def _cluster_look(self, outer: str, label: str) -> tuple[str, dict[str, Attribute]]:
        """The title of an instance, and its colour: how often it is applied, whether it learns."""
        own = [p for p in self.equations.graph.params if p.name.startswith(f"{outer}.")]
        times = max((len(b.applications) for b in self.shown if b.inside == outer), default=1)
        if times > 1:
            label += f": applied {times} times, the same weights"
        if not own or any(p.value not in self.frozen for p in own):
            return label, {}
        paint = self.look.paint("frozen")
        return f"{label}, frozen", {"style": "rounded,filled", "fillcolor": paint.fill}

    def _is_inmost(self, outer: str) -> bool:
        """No box stands in a block inside that one."""
        inside = [b.path[len(outer) + 1 :] for b in self.shown if b.path.startswith(f"{outer}.")]
        return not any("." in p.rstrip(".") for p in inside)

    def _meaning(self, b: Box) -> str:
        if any(s.kind == "loss" for s in b.steps):
            return "loss"
        if not b.result.type.is_float or not any(v in self.needed for v in b.values):
            return "metric"
        if any(s.kind == "draw" for s in b.steps):
            return "draw"
        if not b.block and scale_of(b.result) is not None:
            return "sample"
        if b.params and all(p in self.frozen for p in b.params):
            return "frozen"
        return "layer" if b.params else "elementwise"

    def _box(self, b: Box, *, sizes: bool = True) -> str:
        if is_bar(b.result) and not b.block and self.heat is None:
            return self._bar(b)
        heading, *more = self.words(b)
        fold = next((f for f in self.folded if b in f.boxes), None)
        if fold is not None and self._is_told(fold):
            heading = f"{heading} × {fold.times}"
        rows: list[str | tuple[str, str]] = [heading, *more]
        if b.params and self.terse and sizes:
            rows.append((f"{counted(b.size)} · {counted(b.flops, 'FLOP')}", "faint"))
        elif b.params and sizes:
            rows.append((counted(b.flops, "FLOP"), "faint"))
        rows += self._notes(b)
        look: dict[str, str] = {}
        if self.heat is not None:
            spent = self.seconds.get(id(b))
            share = (spent or 0.0) / (self.heat.whole or 1.0)
            copies = fold.times if fold is not None else 1
            rows.append((words(spent, share, copies), "bold" if share >= 0.1 else "small"))
            look = {"fillcolor": fill(share), "color": LINE, "fontcolor": INK}
        if _is_sum(b) and not b.tails and not look and self._meaning(b) == "elementwise":
            rows, look = ["+"], {"shape": "circle", "margin": "0.01"}
        label = lines(*rows, faint=INK if look else self.look.faint)
        tooltip = b.path or b.block or "equation"
        node = self.dot.node(label, self._meaning(b), tooltip=tooltip, **look)
        for v in b.values:
            self.ids[v] = node
        self._loop(b, node)
        return node

    def _notes(self, b: Box) -> list[str | tuple[str, str]]:
        """What else is told of a box: which of its parameters are not learned."""
        fixed = [p for p in b.params if p in self.frozen]
        if not fixed:
            return []
        if len(fixed) == len(b.params):
            return ["frozen"]
        return [", ".join(str(p.attrs["name"]).rpartition(".")[2] for p in fixed) + " frozen"]

    def _bar(self, b: Box) -> str:
        """`stop_gradient`: a bar across the edge, which gradients do not pass."""
        ink = self.look.ink
        node = self.dot.node(
            "", "other", style="filled", fillcolor=ink, color=ink, width=0.08, height=0.55,
            fixedsize=True, tooltip="stop_gradient",
        )  # fmt: skip
        self.ids.update(dict.fromkeys(b.values, node))
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

    def _edges(self, snake: bool) -> None:
        told: set[tuple[str, str, int]] = set()
        backbone = {id(b): k for k, b in enumerate(self.path)}
        makers = self._makers()
        for b in self.shown:
            end = self.ids[b.result]
            for v, k in self._arriving(b):
                start = self.ids.get(v)
                if start is None or start == end or (start, end, k) in told:
                    continue
                told.add((start, end, k))
                maker = makers.get(v)
                here = backbone.get(id(b), -1)
                follows = maker is not None and backbone.get(id(maker), -2) == here - 1
                if snake and follows and here:
                    continue  # drawn with its row
                if snake and maker is None and b is self.path[-1]:
                    self._beside_last(start, end, v)
                    continue
                self._edge(start, end, v, b, k)

    def _arriving(self, b: Box) -> list[tuple[Value, int]]:
        """What a box takes, and the application that the edge belongs to; inside a block that is
        applied several times, only the first."""
        found: dict[tuple[Value, int], None] = {}
        for k, part in enumerate(b.applications):
            own = b.values
            for v in map(_labels, (v for v in part.taken if v not in own)):
                maker = self.makers.get(v)
                if maker is None or not maker.repeats:
                    found[v, k] = None
                elif maker.inside != b.inside:
                    found[v, application(maker, v) if not b.repeats else k] = None
                elif k == 0:
                    found[v, 0] = None
        return list(found)

    def _edge(self, start: str, end: str, v: Value, b: Box, k: int) -> None:
        """One edge forward; those of further applications have lines of another kind."""
        maker = self.makers.get(v)
        apart = (b.repeats or (maker is not None and maker.repeats)) and (
            maker is None or maker.inside != b.inside
        )
        look: dict[str, Attribute] = {}
        if k:
            look["style"] = self.styles[k % len(self.styles)]
        label = self._label(v)
        if apart and v.origin.name and v.op.family != "leaf" and not drawn(v) and not is_bar(v):
            label = f"{self.names.text(v)} {label}".rstrip()
        self.dot.edge(start, end, label, **look)

    def _label(self, v: Value) -> str:
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
            anchor = self._anchor(o.kind, o.name)
            maker = self.makers.get(anchor)
            k = application(maker, anchor) if maker is not None else 0
            look: dict[str, Attribute] = {"style": self.styles[k % len(self.styles)]} if k else {}
            self.dot.edge(start, end, self._label(o.value), **look)

    def _anchor(self, kind: str, name: str) -> Value:
        outputs = self.equations.graph.outputs
        return next(o.value for o in outputs if o.kind == kind and o.name == name)


def _labels(v: Value) -> Value:
    """The labels that a one-hot vector was made from; any other value itself."""
    return v.args[0] if v.op.name == "one_hot" else v


def _is_sum(b: Box) -> bool:
    """x + y, which nobody named: a residual sum."""
    v = b.result
    return not b.block and v.op.name == "add" and not v.origin.name and len(b.inputs) == 2


def _shape_label(v: Value) -> str:
    return str(v.type) if v.shape else ""
