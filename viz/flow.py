"""The flow view: how large the gradient is, layer by layer and step by step.

In: a forward graph, ‖∂L/∂v‖ for the values that a `Flow` names, and a `Strip` for each value that
a recurrence carries. Out: DOT. The layers from left to right, the gradient back between them as
arrows whose width is the logarithm of its norm, with the number beside it; in each layer the norm
of its parameters' gradient. A gradient that vanishes thins out, one that explodes swells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from ..compiler.graph import Graph, Output
from ..compiler.value import Value
from ..dsl.diagnostics import fail
from . import terms as t
from .amounts import number
from .blocks import Box, boxes, packed
from .box_words import Words
from .dot import Attribute, Dot, Html, escape, lines
from .equations import Equations, equations
from .fit import fitted, type_size
from .layers import function_names
from .names import Names, names
from .neurons import mixed
from .style import SMALL, SMALLEST
from .style import theme as theme_of
from .unicode import unicode

THIN, THICK = 0.7, 11.0  # points
DECADES = 3.0  # that the scale spans at least
STEPS = 8  # of a recurrence that are drawn
CROWDED, ROWS = 70, 6  # boxes, and rows of them, at most
STRONG = 1e3  # how many times less or more is worth words


@dataclass(frozen=True)
class Strip:
    """‖∂L/∂h_t‖ for t = 1 … T."""

    title: str
    word: str
    norms: tuple[float, ...]
    reverse: bool = False  # from the last step to the first


@dataclass(frozen=True, eq=False)
class Flow:
    """What is drawn of a graph."""

    graph: Graph
    loss: Value

    @cached_property
    def equations(self) -> Equations:
        return equations(self.graph, self.graph.of_kind("loss"))

    @cached_property
    def names(self) -> Names:
        return names(self.equations, batch=False)

    @cached_property
    def choices(self) -> list[list[Box]]:
        """The boxes of one picture each, the most detailed first; functions stand in the boxes of
        their layers."""
        whole = boxes(self.equations)
        deepest = max((b.path.count(".") for b in whole), default=0)
        every = [whole, *(boxes(self.equations, d) for d in range(deepest, 0, -1))]
        return [packed(b, function_names(self.equations, b), {self.loss}) for b in every]

    @cached_property
    def values(self) -> list[Value]:
        """What norms are needed of."""
        found: dict[Value, None] = {}
        for chosen in self.choices:
            for b in chosen:
                found.update(dict.fromkeys((*b.inputs, *b.params)))
        return [v for v in found if v.type.is_float]


def flow_of(graph: Graph, loss: Output) -> Flow:
    """What will be drawn. Raises Failure E583 for a net of which nothing is learned."""
    alone = graph.with_outputs([loss])
    found = Flow(alone, loss.value)
    if not any(b.params for b in found.choices[-1]):
        raise fail("E583", f"no gradient flows in `{graph.name}`: its loss has no parameters",
                   help="`--view circuit` shows the numbers of a net without any")  # fmt: skip
    merged = found.equations.graph
    return Flow(merged, merged.outputs[0].value)


def flow(
    of: Flow,
    norms: Mapping[Value, float],
    strips: Sequence[Strip] = (),
    words: str = "",
    theme: str = "light",
    *,
    fit: bool = True,
) -> str:
    """DOT text. `words` tell where the numbers are from."""
    pictures = [_Picture(of, b, norms, strips, words, theme) for b in of.choices]
    if not fit:
        return pictures[0].text()
    best, chosen = -1.0, ""
    for p in [p for p in pictures if len(p.boxes) <= CROWDED] or pictures[-1:]:
        text = fitted(partial(p.text, rows) for rows in range(1, ROWS + 1))
        size = type_size(text) or 0.0
        if size > best:
            best, chosen = size, text
        if size >= SMALLEST:
            break
    return chosen


@dataclass(frozen=True)
class Scale:
    """Widths for norms: the logarithm between the least and the greatest."""

    low: float
    high: float

    def share(self, norm: float) -> float:
        if norm <= 0 or not math.isfinite(norm):
            return 0.0 if norm == 0 or math.isnan(norm) else 1.0
        return min(max((math.log10(norm) - self.low) / (self.high - self.low), 0.0), 1.0)

    def width(self, norm: float) -> float:
        return round(THIN + (THICK - THIN) * self.share(norm), 2)

    @property
    def marks(self) -> list[float]:
        """Norms for the legend: four at most, powers of ten."""
        first, last = math.ceil(self.low), math.floor(self.high)
        stride = max(1, -(-(last - first) // 3))
        return [10.0**k for k in range(first, last + 1, stride)]


def scale_of(norms: Sequence[float]) -> Scale:
    """From the least to the greatest of the norms, three decades at least."""
    logs = [math.log10(x) for x in norms if x > 0 and math.isfinite(x)]
    high = math.ceil(max(logs, default=0.0))
    low = math.floor(min(logs, default=0.0))
    return Scale(min(low, high - DECADES), high)


@dataclass
class _Picture:
    of: Flow
    boxes: list[Box]
    norms: Mapping[Value, float]
    strips: Sequence[Strip]
    words: str
    theme: str
    ids: dict[Value, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.look = theme_of(self.theme)
        on_edges = [self.norms[v] for b in self.boxes for v in b.inputs if v in self.norms]
        self.scale = scale_of([*on_edges, *(x for s in self.strips for x in s.norms)])
        self.learned = scale_of([self._learned(b) for b in self.boxes if b.params])

    def text(self, rows: int = 1) -> str:
        self.ids = {}
        self.dot = Dot("", self.look, gap=0.75)
        write = Words(self.of.equations, self.of.names, terse=True)
        nodes = []
        for b in self.boxes:
            for v in b.inputs:
                self._input(v)
            nodes.append(self._box(b, write(b)))
        for b, node in zip(self.boxes, nodes, strict=True):
            self._arrows(b, node)
        for k, strip in enumerate(self.strips):
            self._strip(strip, k)
        self.dot.caption(Html(self._caption()))
        return self.dot.text(rows)

    # -------------------------------------------------------- layers

    def _learned(self, b: Box) -> float:
        """‖∂L/∂θ‖ of all parameters of a box."""
        return math.sqrt(sum(self.norms.get(p, 0.0) ** 2 for p in b.params))

    def _input(self, v: Value) -> None:
        name = str(v.attrs.get("name", ""))
        if v.op.name != "input" or v in self.ids or name.endswith(".length"):
            return
        self.ids[v] = self.dot.node(lines(name, *([str(list(v.shape))] if v.shape else [])), "data")

    def _box(self, b: Box, words: list[str]) -> str:
        meaning = "loss" if b.result is self.of.loss else "layer" if b.params else "elementwise"
        rows: list[str | tuple[str, str]] = [words[0], *words[1:2]]
        more: dict[str, Attribute] = {"tooltip": b.path or b.block or "equation"}
        if b.params:
            norm = self._learned(b)
            rows.append((f"‖∂L/∂θ‖ {number(norm, 2)}", "plain"))
            share = self.learned.share(norm)
            ground = self.look.paint("layer").fill
            more["fillcolor"] = mixed(ground, self.look.gradient, 0.45 * share)
        node = self.dot.node(lines(*rows, faint=self.look.faint), meaning, "", **more)
        self.ids.update(dict.fromkeys(b.values, node))
        return node

    def _arrows(self, b: Box, node: str) -> None:
        told = set()
        for v in b.inputs:
            start = self.ids.get(v)
            if start is not None and start not in told:
                told.add(start)
                self._arrow(start, node, self.norms.get(v), weight=5)

    def _arrow(self, left: str, right: str, norm: float | None, **more: Attribute) -> None:
        """The gradient from right to left."""
        if norm is None:  # labels: no gradient comes back to them
            more |= {"color": self.look.faint, "style": "dashed"}
            self.dot.edge(left, right, "", **more)
            return
        if norm == 0:
            more["style"] = "dotted"
        self.dot.edge(
            left, right, self._beside(norm), dir="back", penwidth=self.scale.width(norm),
            color=self.look.gradient, fontcolor=self.look.ink, arrowsize=0.5, **more,
        )  # fmt: skip

    def _beside(self, norm: float) -> Html:
        """The number, and below it room for half of a wide line."""
        room = round(self.scale.width(norm) / 2) + 6
        return Html(
            '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"><TR>'
            f'<TD>{number(norm, 2)}</TD></TR><TR><TD HEIGHT="{room}"></TD></TR></TABLE>'
        )

    # -------------------------------------------------------- steps

    def _strip(self, strip: Strip, k: int) -> None:
        """The steps side by side, the gradient from each to the one before it."""
        last = len(strip.norms)
        shown = chosen_steps(last)
        nodes = []
        for place in shown:
            name = unicode(t.step(t.symbol(strip.word), str(place)))
            nodes.append(self.dot.node(
                lines(name, number(strip.norms[place - 1], 2)), "state",
                tooltip=f"step {place} of {last}"))  # fmt: skip
        for j in range(1, len(nodes)):
            norm = strip.norms[shown[j if strip.reverse else j - 1] - 1]
            way = "forward" if strip.reverse else "back"
            self.dot.edge(
                nodes[j - 1], nodes[j], dir=way, penwidth=self.scale.width(norm),
                color=self.look.gradient, arrowsize=0.5,
            )  # fmt: skip
        title = f"{strip.title}: ‖∂L/∂{strip.word}ₜ‖ at t = 1 … {last}"
        self.dot.cluster(title, nodes)
        self.dot.below(*nodes)

    # -------------------------------------------------------- words

    def _caption(self) -> str:
        title = f"<B>{escape(self.of.graph.name)}: flow of the gradient</B>"
        bars = "".join(
            f'<TD WIDTH="44" FIXEDSIZE="FALSE"><TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0">'
            f'<TR><TD BGCOLOR="{self.look.gradient}" WIDTH="40" FIXEDSIZE="TRUE"'
            f' HEIGHT="{max(1, round(self.scale.width(x)))}"></TD></TR></TABLE></TD>'
            f"<TD>{self._small(number(x))}</TD>"
            for x in self.scale.marks
        )
        row = f"<TD>{self._small('width: ‖∂L/∂(value)‖, logarithmic')}</TD>{bars}"
        inner = f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="4"><TR>{row}</TR></TABLE>'
        said = "; ".join(filter(None, [self._verdict(), self.words]))
        rows = [title, inner, self._small(said)]
        cells = "".join(f"<TR><TD>{r}</TD></TR>" for r in rows)
        return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0">{cells}</TABLE>'

    def _small(self, text: str) -> str:
        return f'<FONT POINT-SIZE="{SMALL:g}">{escape(text)}</FONT>'

    def _verdict(self) -> str:
        """What becomes of the gradient from the last layer, or step, to the first."""
        for s in self.strips:
            if not s.reverse:
                return verdict(s.norms[0], s.norms[-1], f"{s.word}₁", f"{s.word}_T")
        layers = [self._learned(b) for b in self.boxes if b.params]
        return verdict(layers[0], layers[-1], "the first layer", "the last") if layers else ""


def chosen_steps(last: int) -> list[int]:
    """The steps that are drawn: all of a few, else evenly chosen ones, the first and the last."""
    if last <= STEPS:
        return list(range(1, last + 1))
    return sorted({round(1 + k * (last - 1) / (STEPS - 1)) for k in range(STEPS)})


def verdict(first: float, last: float, where: str, end: str) -> str:
    """In words, where the gradient grows or shrinks a thousandfold on its way back."""
    if first == 0 or last == 0 or not (math.isfinite(first) and math.isfinite(last)):
        return "" if first == last or last == 0 else f"nothing reaches {where}"
    if first * STRONG < last:
        return f"vanishing: {where} gets 1/{last / first:,.0f} of {end}"
    if first > last * STRONG:
        return f"exploding: {where} gets {first / last:,.0f} times {end}"
    return f"{where} gets {number(first / last, 2)} times the gradient of {end}"
