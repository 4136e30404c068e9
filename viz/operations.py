"""The operation view: one node an operation, with its formula; shapes on the edges.

In: any graph (forward, with gradients, or a whole step). Out: DOT. Values used several times
are one node with several edges, so sharing is visible; parameters are leaves of their own;
block instances are boxes around their operations. Values made by differentiation are drawn as
gradients, in red.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..compiler.elaborate.unfinished import KNOWN, Unfinished
from ..compiler.graph import Graph, Output
from ..compiler.value import Value
from . import terms as t
from .dot import Attribute, Cluster, Dot, lines, place
from .draws import distribution, drawn
from .equations import NUMBERS, equations, merged
from .fit import fitted, paged
from .formula import DOT, formula
from .geometry import described
from .names import names
from .render import refuse_large
from .steps import LETTERS, Cell, cell, step_names
from .style import SLIDE
from .style import theme as theme_of
from .terms import Term
from .unfinished import draw_unfinished
from .unfinished import legend as legend_of
from .unicode import unicode
from .wrap import EVEN, SLACK

FAMILY = {
    "contraction": "contraction", "convolution": "contraction", "elementwise": "elementwise",
    "reduction": "reduction",
    "view": "view", "assemble": "view", "draw": "state",
}  # fmt: skip
LEAVES = {"input": "data", "param": "param", "state": "state"}
LEGEND = {
    "data": "data", "param": "parameter", "state": "state", "contraction": "product",
    "elementwise": "element by element", "reduction": "sum or maximum", "view": "rearranged",
    "gradient": "gradient", "loss": "loss", "draw": "random draw",
}  # fmt: skip
SILENT = {"stop_gradient", "cast", "broadcast"}  # no node of their own: an edge passes them by


def operations(
    graph: Graph,
    depth: int | None = None,
    theme: str = "light",
    *,
    fit: bool = True,
    unfinished: Sequence[Unfinished] = (),
) -> str:
    """DOT text of the operation view; with `unfinished`, the mistakes of the net are drawn. Raises
    Failure for graphs too large to read."""
    whole = _without_metrics(merged(graph, exact=True))
    picture = _Picture(whole, depth, theme, unfinished=unfinished)
    refuse_large(len(picture.drawn))
    if not fit:
        return picture.text(picture.direction())
    return fitted(partial(picture.text, *way) for way in picture.ways())


def operation_pages(graph: Graph, depth: int | None = None, theme: str = "light") -> list[str]:
    """The operation view on pages that can be read, as DOT texts; empty where there is no way."""
    picture = _Picture(_without_metrics(merged(graph, exact=True)), depth, theme)
    refuse_large(len(picture.drawn))
    picture.text("LR")
    return paged(len(picture.drawn), picture.dot.pages)


def _without_metrics(graph: Graph) -> Graph:
    """The graph without what is only reported, unless it reports and no more."""
    kept = [o for o in graph.outputs if o.kind != "metric"]
    return graph.with_outputs(kept) if kept else graph


@dataclass
class _Picture:
    graph: Graph
    depth: int | None
    theme: str
    ids: dict[Value, str] = field(default_factory=dict)
    clusters: dict[str, Cluster] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    cells: dict[Value, Cell] = field(default_factory=dict)  # scans, which are boxes
    home: dict[Value, Value] = field(default_factory=dict)  # value of a step: its scan
    alias: dict[Value, Value] = field(default_factory=dict)  # drawn as another value
    unfinished: Sequence[Unfinished] = ()  # lines of a net with mistakes

    def __post_init__(self) -> None:
        ends = {o.value for o in self.graph.outputs}
        self.losses = {o.value for o in self.graph.of_kind("loss")}
        self.known = self._known()
        nodes = self._opened(self.graph.nodes, None)
        self.silent = {v for v in nodes if v not in ends and self._is_silent(v)}
        self.drawn = [v for v in nodes if not self._inlined(v) and v not in self.silent]

    def _opened(self, nodes: Iterable[Value], scan: Value | None) -> list[Value]:
        """The nodes, with those of a step in place of a scan."""
        found: list[Value] = []
        for v in nodes:
            if v.op.family == "scan":
                outer = self.cells[scan].letter if scan is not None else ""
                letters = LETTERS + LETTERS[0]
                c = cell(v, letters[letters.index(outer) + 1] if outer else LETTERS[0])
                self.cells[v] = c
                terms = step_names(c, self.known).terms
                self.known.update({x: name for x, name in terms.items() if x not in self.known})
                shared = {x for x in c.shared if x.op.name != "param"}
                self.alias.update({x: c.operand(x) for x in shared})
                inner = [x for x in c.step.nodes if x not in shared and x.op.name != "param"]
                if scan is not None:
                    self.home[v] = scan
                found += self._opened(inner, v)
            elif v.op.family == "part":
                self.alias[v] = self.cells[v.args[0]].step.outputs[v.attrs["index"]].value
            else:
                found.append(v)
                if scan is not None:
                    self.home[v] = scan
        return found

    def _inlined(self, v: Value) -> bool:
        """Numbers, m, and repetitions of either are written into the formulas that use them."""
        while v.op.name in ("broadcast", "cast", "reshape") and v.args:
            v = v.args[0]
        return v.op.name in ("constant", "batch_size", "scalar")

    def _is_silent(self, v: Value) -> bool:
        """Passed by, without a node: a cast, or part of a named value, which is written y[0:5]."""
        if v.op.name == "reshape" and v.args[0].op.family == "leaf":  # a bias, for each channel
            return [n for n in v.shape if n > 1] == [n for n in v.args[0].shape if n > 1]
        part = v.op.name == "slice" and v not in self.known and v.args[0] in self.known
        return v.op.name in SILENT or part

    def _known(self) -> dict[Value, Term]:
        """Names of named values; every other operand of a formula is a dot."""
        forward = self.graph.with_outputs(
            o for o in self.graph.outputs if o.kind not in ("gradient", "update")
        )
        if not forward.outputs:
            return {}
        return names(equations(forward, exact=True), batch=False).terms

    def ways(self) -> Iterator[tuple[str, int, float]]:
        """Directions, numbers of rows, and how uneven these may be: the likeliest first."""
        first = self.direction()
        yield (first, 1, SLACK)
        for rows in (2, 3):
            yield ("LR", rows, SLACK)
            yield ("LR", rows, EVEN)
        yield ("TB" if first == "LR" else "LR", 1, SLACK)
        yield ("LR", 4, EVEN)

    def text(self, direction: str, rows: int = 1, slack: float = SLACK) -> str:
        """The picture as DOT."""
        self.ids, self.clusters, self.used = {}, {}, set()
        self.dot = Dot(f"{self.graph.name}: operations", theme_of(self.theme),
                       rankdir=direction, ranksep=0.3, nodesep=0.2)  # fmt: skip
        for v in self.drawn:
            self._node(v)
        for v in self.drawn:
            for a in dict.fromkeys(map(self._source, v.args)):
                self._edge(a, v)
        for c in self.cells.values():
            self._scan_edges(c)
        self._ends()
        known = {o.name: self._source(o.value) for o in self.graph.of_kind(KNOWN)}
        nodes = {name: self.ids[v] for name, v in known.items() if v in self.ids}
        draw_unfinished(self.dot, self.unfinished, nodes)
        entries = [(m, words) for m, words in LEGEND.items() if m in self.used]
        self.dot.legend([*entries, *legend_of(self.unfinished)])
        return self.dot.text(rows, slack)

    def direction(self) -> str:
        """Left to right, unless the other way round is larger on a slide."""
        rank: dict[Value, int] = {}
        for v in self.drawn:
            rank[v] = 1 + max((rank[a] for a in map(self._source, v.args) if a in rank), default=0)
        long = max(rank.values(), default=1)
        broad = max(Counter(rank.values()).values(), default=1)
        across = max(1.2 * long / SLIDE[0], 0.6 * broad / SLIDE[1])
        down = max(1.4 * broad / SLIDE[0], 0.85 * long / SLIDE[1])
        return "LR" if across <= down else "TB"

    def _scan_edges(self, c: Cell) -> None:
        """What enters a step from outside, and what goes on to the next one."""
        for leaf in (*c.slices, *c.carried):
            start = self.ids.get(self._source(c.operand(leaf)))
            if start is not None and leaf in self.ids:
                shape = c.operand(leaf).shape
                self.dot.edge(start, self.ids[leaf], str(list(shape)) if shape else "")
        colour = self.dot.theme.paint("state").line
        for word, leaf, new in zip(c.words, c.carried, c.next, strict=True):
            start = self.ids.get(self._source(new))
            if start is not None and leaf in self.ids and new is not leaf:
                self.dot.edge(start, self.ids[leaf], f"{word}, {c.letter} → {c.after}",
                              style="dashed", color=colour, constraint=False)  # fmt: skip

    def _scan_cluster(self, scan: Value) -> Cluster:
        """The box of a scan, in that of its block or of the scan around it."""
        key = f"scan {id(scan)}"
        if key not in self.clusters:
            c = self.cells[scan]
            outer = self.home.get(scan)
            parent = self._scan_cluster(outer) if outer else self._cluster(scan.origin.instance)
            title = f"{c.title}: one step, {c.steps}"
            self.clusters[key] = self.dot.cluster(title, (), parent, style="rounded,bold")
        return self.clusters[key]

    def _meaning(self, v: Value) -> str:
        if v in self.home and any(v in c.carried for c in self.cells.values()):
            return "state"
        if v.op.name in LEAVES:
            return LEAVES[v.op.name]
        if v.origin.role == "backward":
            return "gradient"
        if v in self.losses:
            return "loss"
        if drawn(v) or v.op.name in NUMBERS:
            return "draw"
        return FAMILY.get(v.op.family, "other")

    def _node(self, v: Value) -> None:
        meaning = self._meaning(v)
        self.used.add(meaning)
        name = self.known.get(v)
        if v.op.family == "leaf":
            label = lines(unicode(name or t.symbol(v.op.name)), str(v.type))
        else:
            right = formula(v, {a: self._operand(a) for a in v.args if not self._inlined(a)})
            text = unicode(right)
            if v.op.name in NUMBERS:
                source = unicode(distribution(v, self.known))
                text = f"{unicode(name)} ∼ {source}" if name else source
            if text == "·" or v.op.name in (*SILENT, "windows"):
                text = f"{v.op.name}({unicode(self._operand(v.args[0]))})"
            shape = described([v])
            below = [f"= {unicode(name)}"] if name and v.op.name not in NUMBERS else []
            label = lines(text, *below, *([", ".join(shape)] if shape else []))
        where = f" {place(v.origin.span)}" if v.origin.span else ""
        node = self.dot.node(label, meaning, tooltip=f"{v.op.name}{where}")
        self.ids[v] = node
        outside = v.op.name == "input" or meaning == "gradient"
        if v in self.home:
            parent: Cluster | None = self._scan_cluster(self.home[v])
        else:
            parent = None if outside else self._cluster(v.origin.instance)
        if parent is not None:
            parent.nodes.append(node)

    def _source(self, a: Value) -> Value:
        """The drawn value that an operand comes from."""
        while a in self.silent or a in self.alias:
            a = self.alias[a] if a in self.alias else a.args[0]
        return a

    def _operand(self, a: Value) -> Term:
        result = a.op.family == "part" and a in self.known
        name = self.known[a] if result else self.known.get(self._source(a), DOT)
        while a in self.silent and a.op.name in SILENT:
            a = a.args[0]
        return formula(a, {a.args[0]: name}) if a in self.silent else name

    def _cluster(self, instance: str) -> Cluster | None:
        if not instance:
            return None
        parts = instance.split(".")
        if self.depth is not None:
            parts = parts[: max(self.depth, 0)]
        path = ""
        parent: Cluster | None = None
        for part in parts:
            path = f"{path}.{part}".lstrip(".")
            if path not in self.clusters:
                self.clusters[path] = self.dot.cluster(part, (), parent)
            parent = self.clusters[path]
        return parent

    def _edge(self, a: Value, v: Value) -> None:
        if a not in self.ids:
            return
        times = sum(self._source(x) is a for x in v.args)
        # A leaf tells its shape itself.
        shape = str(list(a.shape)) if a.shape and a.op.family != "leaf" else ""
        if v in self.home and v.op.family == "elementwise" and a.shape == v.shape:
            shape = ""  # inside a step, where there are many of the same
        look: dict[str, Attribute] = {}
        if a.origin.role == "backward":
            look["color"] = self.dot.theme.gradient
        if a not in v.args:
            look["style"] = "dashed"
        if any(x.op.name == "slice" and x in self.silent for x in v.args if self._source(x) is a):
            shape, times = "", 1  # the formula tells which part
        label = f"{shape} × {times}".strip() if times > 1 else shape
        self.dot.edge(self.ids[a], self.ids[v], label, **look)

    def _ends(self) -> None:
        for o in self.graph.outputs:
            start = self.ids.get(self._source(o.value))
            if start is None or o.kind in ("loss", KNOWN):
                continue
            end = self.dot.node(
                lines((end_name(o), "small")), "metric", shape="plaintext", style=""
            )
            self.dot.edge(start, end, str(o.value.type) if o.value.shape else "")


def end_name(o: Output) -> str:
    """What stands at the end of the arrow to an output."""
    if o.kind == "gradient" and o.target is not None:
        return f"∂L/∂{o.target.attrs['name']}"
    return o.kind if o.name in (o.kind, "output") else f"{o.kind} {o.name}"
