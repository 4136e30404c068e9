"""The neurons view: the circles and lines of a net of dense layers, with its weights.

In: a forward graph, and an `Amount` for each value that `shown` names. Out: DOT with fixed places.
A column a layer, a circle a unit, its activation as fill and number; a line a weight, as wide as
the weight is large, positive ones blue and full, negative ones vermilion and dashed. A layer of
many units shows its first and its last. Biases are the lines from a square that is always 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.graph import Graph
from ..compiler.value import Value
from ..dsl.diagnostics import fail
from .amounts import Amount, number
from .dot import Dot, Html, escape
from .equations import Equations, equations, merged
from .formula import right_hand_side
from .names import Names, names
from .style import BLUE, ORANGE, RED, SKY, SMALL, Theme
from .style import theme as theme_of
from .unicode import unicode

Array = NDArray[Any]
MOST, FIRST, LAST = 10, 6, 2  # units: that are all shown; else how many at either end
UNIT, STEP = 0.58, 0.72  # inches: a circle, and from one to the next
WIDE, APART = 10.5, 3.4  # inches: of all columns, and at most from one to the next
INSIDE = 12.0  # points of the numbers in the circles
THICK, THIN = 4.2, 0.35  # points of the largest weight's line, and of one near 0
COLUMNS = 12  # more cannot be read
POSITIVE = {"light": BLUE, "dark": SKY}
NEGATIVE = {"light": RED, "dark": "#FF9248"}
FILLS = {"light": ("#FFFFFF", SKY, ORANGE), "dark": ("#20242B", "#1F5F8B", "#8A5A00")}


@dataclass(frozen=True)
class Layer:
    """A column: its value, and the weights and bias on the way to it (none of the input)."""

    value: Value
    weights: Value | None = None
    bias: Value | None = None
    turned: bool = False  # the weights are [in, out]


@dataclass(frozen=True)
class Neurons:
    """The columns of a net."""

    name: str
    equations: Equations
    names: Names
    layers: tuple[Layer, ...]

    @property
    def values(self) -> list[Value]:
        """What numbers are needed of."""
        found = [v for c in self.layers for v in (c.value, c.weights, c.bias) if v is not None]
        return list(dict.fromkeys(found))


def neurons_of(graph: Graph) -> Neurons:
    """The columns. Raises Failure E582 where the net is no chain of dense layers."""
    kept = [o for o in graph.outputs if o.kind in ("output", "loss")]
    # The shift inside a softmax stays: scores may be large.
    eq = equations(merged(graph.with_outputs(kept), exact=True), exact=True)
    chain = _chain(eq)
    if not 0 < len(chain) < COLUMNS:
        what = f"it has {len(chain)} layers" if chain else "it is no chain of dense layers"
        raise fail(
            "E582", f"`{graph.name}` cannot be drawn as neurons: {what}",
            help="`--view shapes` draws nets of images, `--view layers` any net",
        )  # fmt: skip
    first = eq.steps[chain[0]].inputs[0]
    layers = [Layer(first)]
    for k, v in enumerate(chain):
        w = _weights(eq, v)
        assert w is not None
        bias = next((p for p in eq.steps[v].params if p is not w), None)
        end = eq.steps[chain[k + 1]].inputs[0] if k + 1 < len(chain) else _activated(eq, v)
        turned = any(x.op.name == "transpose" and x.args[0] is w for x in eq.steps[v].inside)
        layers.append(Layer(end if end.type.size == v.type.size else v, w, bias, turned))
    return Neurons(graph.name, eq, names(eq, batch=False), tuple(layers))


def _chain(eq: Equations) -> list[Value]:
    """The affine steps in order, where each feeds only the next; none for any other net."""
    found: list[Value] = []
    for v in (v for v, s in eq.steps.items() if s.kind == "affine"):
        inputs, w = eq.steps[v].inputs, _weights(eq, v)
        if len(v.shape) != 1 or len(inputs) != 1 or w is None or len(eq.steps[v].params) > 2:
            return []
        source = inputs[0]
        while source in eq.steps and source not in found and len(eq.steps[source].operands) == 1:
            source = eq.steps[source].operands[0]
        if source is not found[-1] if found else source.op.name != "input":
            return []
        found.append(v)
    return found


def _weights(eq: Equations, v: Value) -> Value | None:
    return next((p for p in eq.steps[v].params if len(p.shape) == 2), None)


def _activated(eq: Equations, v: Value) -> Value:
    """What the functions behind the last layer make of it: probabilities, not scores."""
    for x, step in eq.steps.items():
        alone = step.operands == (v,) and x.shape == v.shape and step.kind != "loss"
        if alone and x.type.is_float and x.op.name != "neg":
            return x
    return v


def neurons(
    of: Neurons,
    amounts: Mapping[Value, Amount],
    words: str = "",
    theme: str = "light",
    *,
    activations: bool = True,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> str:
    """DOT text. `words` tell where the numbers are from; without `activations` the circles are
    empty. `inputs`, `outputs`: names of the first and last units."""
    return _Picture(of, amounts, words, theme_of(theme), activations, inputs, outputs).text()


@dataclass
class _Picture:
    of: Neurons
    amounts: Mapping[Value, Amount]
    words: str
    look: Theme
    activations: bool
    inputs: Sequence[str]
    outputs: Sequence[str]
    ids: dict[tuple[int, int], str] = field(default_factory=dict)  # column, unit (−1: the 1)

    def text(self) -> str:
        self.dot = Dot(
            "", self.look, layout="neato", inputscale=72, splines="line", outputorder="edgesfirst",
        )  # fmt: skip
        for k in range(len(self.of.layers)):
            self._column(k)
        for k in range(1, len(self.of.layers)):
            self._lines(k)
        self._caption()
        return self.dot.text()

    # -------------------------------------------------------- circles

    def _column(self, k: int) -> None:
        layer = self.of.layers[k]
        count = layer.value.type.size
        units = visible(count)
        array = np.asarray(self.amounts[layer.value].value).reshape(-1)
        places = self._places(count)
        x = k * min(APART, WIDE / (len(self.of.layers) - 1)) * 72
        largest = float(np.max(np.abs(array), initial=1e-12))
        for unit in units:
            y = places[unit]
            self.ids[k, unit] = self._unit(k, unit, float(array[unit]), largest, x, y)
            self._side(k, unit, x, y)
        if len(units) < count:
            y = (places[FIRST - 1] + places[units[-LAST]]) / 2
            self._words(f"⋮\n{count - len(units):,} more", x, y, faint=True)
        heading = self._heading(k)
        above = UNIT / 2 + 0.17 + 0.12 * heading.count("\n")
        self._words(heading, x, max(places.values()) + above * 72)
        if k + 1 < len(self.of.layers) and self.of.layers[k + 1].bias is not None:
            y = min(places.values()) - STEP * 72
            self.ids[k, -1] = self.dot.node(
                "1", "constant", shape="box", style="filled", pos=f"{x:g},{y:g}!", width=0.34,
                height=0.34, fixedsize=True, fontsize=SMALL, tooltip="the unit of the biases: 1",
            )  # fmt: skip

    def _unit(self, k: int, unit: int, a: float, largest: float, x: float, y: float) -> str:
        layer = self.of.layers[k]
        name = unicode(self.of.names[layer.value])
        shown = short(a) if self.activations else ""
        return self.dot.node(
            shown, "data" if k == 0 else "other", shape="circle", style="filled", width=UNIT,
            height=UNIT, fixedsize=True, pos=f"{x:g},{y:g}!", fontsize=INSIDE,
            color=self.look.ink, margin=0,
            fillcolor=self._fill(a / largest) if self.activations else FILLS[self.look.name][0],
            tooltip=f"{name}[{unit}]" + (f" = {number(a, 6)}" if self.activations else ""),
        )  # fmt: skip

    def _fill(self, share: float) -> str:
        """From the ground to blue for positive numbers, to orange for negative ones."""
        ground, plus, minus = FILLS[self.look.name]
        if not math.isfinite(share):
            return ground
        return mixed(ground, plus if share > 0 else minus, 0.85 * abs(share))

    def _places(self, count: int) -> dict[int, float]:
        """Points above the middle for each unit that is shown."""
        units = visible(count)
        gap = 1 if len(units) < count else 0
        rows = len(units) + gap
        found = {}
        for row, unit in enumerate(units):
            at = row + (gap if gap and row >= FIRST else 0)
            found[unit] = ((rows - 1) / 2 - at) * STEP * 72
        return found

    def _heading(self, k: int) -> str:
        value = self.of.layers[k].value
        name = unicode(self.of.names[value])
        title = f"{name} [{value.type.size:,}]"
        if k:
            right = unicode(right_hand_side(value, self.of.names.terms))
            right = right if len(right) <= 14 else ""
            return f"{title}\n{right}" if right else title
        return title

    def _side(self, k: int, unit: int, x: float, y: float) -> None:
        """The names of inputs stand to the left of them, those of classes to the right."""
        first, last = k == 0, k + 1 == len(self.of.layers)
        given = self.inputs if first else self.outputs if last else ()
        if unit < len(given) and given[unit]:
            text = given[unit]
            reach = (UNIT / 2 + 0.08) * 72 + 4 * len(text)
            self._words(text, x - reach if first else x + reach, y, small=True)

    def _words(
        self, text: str, x: float, y: float, *, faint: bool = False, small: bool = False
    ) -> None:
        self.dot.node(
            text, "other", shape="plaintext", style="filled" if faint else "", margin=0,
            fillcolor=self.look.background, pos=f"{x:g},{y:g}!",
            fontcolor=self.look.faint if faint else self.look.ink,
            fontsize=SMALL if faint or small else 15, width=0.1, height=0.1,
        )  # fmt: skip

    # -------------------------------------------------------- lines

    def _lines(self, k: int) -> None:
        layer = self.of.layers[k]
        assert layer.weights is not None
        w = np.asarray(self.amounts[layer.weights].value)
        w = w.T if layer.turned else w
        b = None if layer.bias is None else np.asarray(self.amounts[layer.bias].value).reshape(-1)
        rows = [j for c, j in self.ids if c == k and j >= 0]
        columns = [i for c, i in self.ids if c == k - 1 and i >= 0]
        shown = np.abs(w[np.ix_(rows, columns)])
        largest = max(float(shown.max(initial=0)), float(np.abs(b).max(initial=0)) if b is not None
                      else 0.0, 1e-12)  # fmt: skip
        name = unicode(self.of.names[layer.weights])
        for j in rows:
            for i in columns:
                self._line(self.ids[k - 1, i], self.ids[k, j], float(w[j, i]), largest,
                           f"{name}[{j}, {i}]")  # fmt: skip
            if b is not None and layer.bias is not None:
                self._line(self.ids[k - 1, -1], self.ids[k, j], float(b[j]), largest,
                           f"{unicode(self.of.names[layer.bias])}[{j}]")  # fmt: skip

    def _line(self, start: str, end: str, weight: float, largest: float, name: str) -> None:
        share = abs(weight) / largest
        kind = NEGATIVE if weight < 0 else POSITIVE
        ground = self.look.background
        self.dot.edge(
            start, end, arrowhead="none", penwidth=round(THIN + (THICK - THIN) * share, 2),
            color=mixed(ground, kind[self.look.name], 0.35 + 0.65 * share),
            style="dashed" if weight < 0 else "solid", tooltip=f"{name} = {number(weight, 6)}",
        )  # fmt: skip

    def _caption(self) -> None:
        def colour(kind: Mapping[str, str], mark: str, text: str) -> str:
            return f'<FONT COLOR="{kind[self.look.name]}"><B>{mark}</B></FONT> {escape(text)}'

        row = [
            colour(POSITIVE, "━━", "positive weight"),
            colour(NEGATIVE, "╍╍", "negative, dashed"),
            "the wider, the larger",
        ]
        if self.activations:
            row.append("in the circles: activations")
        if self.words:
            row.append(escape(self.words))
        gap = "&#160;&#160;&#160; "
        small = f'<FONT POINT-SIZE="{SMALL:g}">{gap.join(row)}</FONT>&#160;'
        self.dot.caption(Html(f"<B>{escape(self.of.name)}: neurons</B><BR/>{small}<BR/>&#160;"))


def visible(count: int) -> list[int]:
    """The units of a layer that are shown."""
    if count <= MOST:
        return list(range(count))
    return [*range(FIRST), *range(count - LAST, count)]


def short(x: float) -> str:
    """An activation in a circle: two figures."""
    if not math.isfinite(x):
        return number(x)
    if x != 0 and abs(x) < 0.005:
        return "0.00" if x > 0 else "−0.00"
    text = f"{x:.2f}" if abs(x) < 1 else f"{x:.1f}" if abs(x) < 100 else f"{x:.0f}"
    return number(round(x)) if x == round(x) and abs(x) < 1000 else text.replace("-", "−")


def mixed(ground: str, colour: str, share: float) -> str:
    """A colour between two."""
    pairs = zip(_parts(ground), _parts(colour), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * min(max(share, 0.0), 1.0)):02X}" for a, b in pairs)


def _parts(colour: str) -> list[int]:
    return [int(colour[k : k + 2], 16) for k in (1, 3, 5)]


__all__ = ["Layer", "Neurons", "neurons", "neurons_of", "visible"]
