"""The circuit view: a net with the numbers of one example on its wires.

In: a forward graph, and an `Amount` for each value that `shown` names. Out: DOT. From left to
right, one node an operation (or, of larger nets, one an equation) and behind each a wire: the value
above it, ∂L/∂(value) below it, told apart by place and colour. What a maximum or a choice lets
nothing through of is grey. The numbers come from the caller: nothing is computed here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from ..compiler.autodiff import like
from ..compiler.graph import Graph, Output
from ..compiler.op import constant
from ..compiler.value import Value
from ..dsl.diagnostics import fail
from . import terms as t
from .amounts import Amount, brief, number, whole
from .dot import Attribute, Dot, Html, escape, place
from .equations import Equations, equations, merged
from .fit import fitted
from .formula import DOT, formula, right_hand_side
from .names import names
from .seen import bare
from .style import FONT_SIZE, SMALL
from .style import theme as theme_of
from .terms import Term
from .unicode import unicode

MANY = 90  # equations; more cannot be read
LARGE = 12_000_000  # numbers that a picture may ask for
OPERATIONS = 60  # of a net that is drawn operation by operation
WIDE = 26  # letters of a formula
SILENT = ("cast", "broadcast", "stop_gradient")
CHOICES = ("maximum", "minimum", "where")
FORWARD = {"light": "#00694E", "dark": "#3DD6A8"}  # values
BACK = {"light": "#B84A00", "dark": "#FF9248"}  # gradients
# Rows; whether one node is one equation; whether its parameters stand in it.
WAYS = ((1, False, False), (2, False, False), (3, False, False), (1, True, False),
        (2, True, False), (3, True, False), (3, True, True), (4, True, True),
        (5, True, True))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Circuit:
    """What the picture shows of a graph: the way to a loss, or without one to the outputs."""

    graph: Graph
    loss: Value | None

    @cached_property
    def equations(self) -> Equations:
        return equations(self.graph)

    @cached_property
    def names(self) -> dict[Value, Term]:
        return names(self.equations, batch=False).terms

    @cached_property
    def values(self) -> list[Value]:
        """What numbers are needed of."""
        return [v for v in self.graph.nodes if v.op.family != "scan"]

    @cached_property
    def slopes(self) -> dict[Value, list[Value]]:
        """For operations of one number: their derivatives by each operand."""
        found = {}
        for v in self.graph.nodes:
            if v.op.family == "elementwise" and v.type.is_float and v.type.size == 1:
                one = like(constant(1.0, v.type.dtype), v)
                parts = v.op.grad(one, v, *v.args)
                kept = zip(v.args, parts, strict=True)
                found[v] = [p for a, p in kept if p is not None and a.type.is_float]
        return found


def circuit_of(graph: Graph, loss: Output | None) -> Circuit:
    """What will be drawn. Raises Failure E581 for nets too large to show numbers of."""
    kept = [loss] if loss is not None else [o for o in graph.outputs if o.kind == "output"]
    small = merged(graph.with_outputs(kept))
    end = small.outputs[0].value if loss is not None else None
    found = Circuit(small, end)
    if any(step.of is not None for step in found.equations.steps.values()):
        raise fail("E581", f"`{graph.name}` computes a gradient itself, which no circuit shows",
                   help="`--view training` shows the way of its gradients")  # fmt: skip
    count, size = len(found.equations.steps), sum(v.type.size for v in found.values)
    if count > MANY or size > LARGE:
        told = f"{count} equations" if count > MANY else f"{size / 1e6:,.0f} million numbers"
        raise fail(
            "E581", f"`{graph.name}` is too large for a circuit: {told}",
            help="`--view flow` shows the gradient's size by layer; `--view layers` the net;"
            " or make it smaller with `--set`",
        )  # fmt: skip
    return found


def circuit(
    of: Circuit,
    amounts: Mapping[Value, Amount],
    words: str = "",
    theme: str = "light",
    *,
    slopes: Mapping[Value, list[Amount]] | None = None,
    fit: bool = True,
) -> str:
    """DOT text. `words` tell where the numbers are from; with `slopes` (those of `of.slopes`) each
    gate has its local derivative."""
    picture = _Picture(of, amounts, words, theme, slopes)
    ways = WAYS if len(picture.gates(False)) <= OPERATIONS else WAYS[3:]
    if not fit:
        return picture.text(*ways[0])
    return fitted(partial(picture.text, *way) for way in ways)


@dataclass
class _Picture:
    of: Circuit
    amounts: Mapping[Value, Amount]
    words: str
    theme: str
    slopes: Mapping[Value, list[Amount]] | None
    wires: dict[Value, str] = field(default_factory=dict)

    def gates(self, whole_equations: bool) -> list[Value]:
        """What has a node of its own, in order."""
        if whole_equations:
            return list(self.of.equations.steps)
        ends = {o.value for o in self.of.graph.outputs}
        return [v for v in self.of.graph.nodes
                if v.op.family not in ("leaf", "scan") and (v in ends or not self._is_silent(v))
                and not bare(v).is_constant and not self._is_count(v)]  # fmt: skip

    def _is_silent(self, v: Value) -> bool:
        same = v.op.name in ("reshape", "slice") and v.type.size == v.args[0].type.size
        alone = v.op.family == "reduction" and v.type == v.args[0].type  # a sum of one number
        return v.op.name in SILENT or alone or (same and not (v.shape and v.args[0].shape[1:]))

    def _is_count(self, v: Value) -> bool:
        return not v.type.batched and bool(v.args) and all(
            bare(a).is_constant or a.op.name == "batch_size" for a in v.args)  # fmt: skip

    def text(self, rows: int = 1, whole_equations: bool = False, packed: bool = False) -> str:
        look = theme_of(self.theme)
        self.dot = Dot(f"{self.of.graph.name}: values and gradients", look, gap=0.3, size=FONT_SIZE)
        self.look, self.wires, self.whole, self.packed = look, {}, whole_equations, packed
        self.first = 1 if packed else 2  # elements of a vector that are written
        self.drawn = self.gates(whole_equations)
        self.known = {v: name for v, name in self.of.names.items() if v in self.amounts}
        for v in self.drawn:
            for a in self._operands(v):
                if a.op.family == "leaf" or a not in self.wires:
                    self._leaf(a)
            self._gate(v)
        self._legend()
        return self.dot.text(rows)

    # -------------------------------------------------------- nodes

    def _operands(self, v: Value) -> list[Value]:
        if self.whole:
            return [a for a in self.of.equations.steps[v].operands if a in self.amounts]
        args = v.args[0].args if v.op.family == "part" else v.args
        found = dict.fromkeys(map(self._source, args))
        return [a for a in found if not self._inlined(a)]

    def _inlined(self, a: Value) -> bool:
        return bare(a).is_constant or a.op.name == "batch_size" or (
            a.op.family != "leaf" and self._is_count(a))  # fmt: skip

    def _source(self, a: Value) -> Value:
        """The value that an operand is drawn as."""
        while a not in self.wires and self._is_silent(a) and a.args:
            a = a.args[0]
        return a

    def _leaf(self, a: Value) -> None:
        if a in self.wires or a not in self.amounts or (self.packed and a.op.name == "param"):
            return
        meaning = {"input": "data", "param": "param", "state": "state"}.get(a.op.name, "other")
        title = f"{self._name(a)} {list(a.shape)}" if a.shape else self._name(a)
        self.wires[a] = self.dot.node(
            self._table(a, title), meaning, tooltip=self._tooltip(a), margin=0.04)  # fmt: skip

    def _gate(self, v: Value) -> None:
        is_shut, said = self._shut(v)
        lines = textwrap.wrap(self._formula(v), WIDE, break_long_words=False)[:3]
        rows = [f"<B>{escape(line)}</B>" for line in lines]
        rows += [self._small(text, self.look.faint) for text in (said, *self._local(v)) if text]
        if self.packed:
            rows += [row for a in self._operands(v) if a.op.name == "param" for row in self._own(a)]
        body = "".join(f"<TR><TD>{row}</TD></TR>" for row in rows)
        meaning = "view" if is_shut else "loss" if v is self.of.loss else self._meaning(v)
        more: dict[str, Attribute] = {"tooltip": self._tooltip(v)}
        if is_shut:
            more |= {"style": "rounded,filled,dashed", "fontcolor": self.look.faint}
        gate = self.dot.node(
            Html(f'<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="0">{body}</TABLE>'), meaning,
            "",
            **more,
        )  # fmt: skip
        for a in self._operands(v):
            if a in self.wires:
                self._wire_in(a, v, gate)
        self.wires[v] = self.dot.node(
            self._table(v), "other", shape="plaintext", style="", margin=0, width=0.4,
            tooltip=self._tooltip(v),
        )  # fmt: skip
        self.dot.edge(gate, self.wires[v], arrowhead="none", headport="w", weight=8)

    def _wire_in(self, a: Value, v: Value, gate: str) -> None:
        look: dict[str, Attribute] = {"tailport": "e"}
        if self._loses(a, v):
            look |= {"color": self.look.faint, "style": "dashed"}
        times = sum(self._source(x) is a for x in v.args) if not self.whole else 1
        self.dot.edge(self.wires[a], gate, f"× {times}" if times > 1 else "", **look)

    def _meaning(self, v: Value) -> str:
        return {"contraction": "contraction", "convolution": "contraction",
                "elementwise": "elementwise", "reduction": "reduction",
                "view": "view"}.get(v.op.family, "block")  # fmt: skip

    def _formula(self, v: Value) -> str:
        if self.whole:
            right = right_hand_side(v, self.of.names)
            text = unicode(right)
        else:
            operands = {a: self._operand(a) for a in v.args if not self._inlined(a)}
            text = unicode(formula(v, operands))
            if text == "·":
                text = f"{v.op.name}({unicode(self._operand(v.args[0]))})"
        if v.op.family == "part":
            text = f"{v.args[0].origin.block or 'scan'}: {v.args[0].attrs['steps']} steps"
        return text if len(text) <= 3 * WIDE else text[: 3 * WIDE - 2] + " …"

    def _operand(self, a: Value) -> Term:
        return self.known.get(self._source(a), DOT)

    def _name(self, v: Value) -> str:
        name = self.known.get(v)
        return unicode(name) if name is not None else ""

    # -------------------------------------------------------- numbers

    def _table(self, v: Value, title: str = "") -> Html:
        """The value, a rule, and the gradient: a wire with what runs along it."""
        amount, name = self.amounts[v], self._name(v)
        closed = self._closed(v)
        faint = self.look.faint

        def written(array: object, colour: str) -> str:
            marked = brief(np.asarray(array), lambda s, k: f"⟦{s}⟧" if k in closed else s,
                           self.first)  # fmt: skip
            text = escape(marked)
            text = text.replace("⟦", f'<FONT COLOR="{faint}">').replace("⟧", "</FONT>")
            return f'<FONT POINT-SIZE="{SMALL:g}" COLOR="{colour}"><B>{text}</B></FONT>'

        above = [written(amount.value, FORWARD[self.theme])]
        below = [self._nothing() if amount.gradient is None
                 else written(amount.gradient, BACK[self.theme])]  # fmt: skip
        if title:
            above.insert(0, f"<B>{escape(title)}</B>")
        elif name:
            shape = f" {list(v.shape)}" if v.shape else ""
            above.insert(0, self._small(name + shape, self.look.ink))
        if (title or name) and amount.gradient is not None:
            end = self.of.loss
            loss = self.known.get(end, t.symbol("L")) if end is not None else t.symbol("L")
            below.append(self._small(unicode(t.partial(loss, self.known.get(v, DOT))), faint))
        elif title or name:
            below.append(self._small(" ", faint))
        cells = "".join(f"<TR><TD>{row}</TD></TR>" for row in above) + "<HR/>"
        cells += "".join(f"<TR><TD>{row}</TD></TR>" for row in below)
        look = 'BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1"'
        return Html(f'<TABLE {look} COLOR="{self.look.ink}">{cells}</TABLE>')

    def _own(self, p: Value) -> list[str]:
        """A parameter that stands in its gate: name, value, gradient."""
        amount = self.amounts[p]
        title, value = f"{self._name(p)} {list(p.shape)}", brief(amount.value, None, self.first)
        rows = [self._small(title, self.look.ink), self._small(value, FORWARD[self.theme])]
        if amount.gradient is not None:
            rows.append(self._small(brief(amount.gradient, None, self.first), BACK[self.theme]))
        return rows

    def _nothing(self) -> str:
        return self._small("no gradient" if self.of.loss is not None else " ", self.look.faint)

    def _small(self, text: str, colour: str) -> str:
        return f'<FONT POINT-SIZE="{SMALL:g}" COLOR="{colour}">{escape(text)}</FONT>'

    def _tooltip(self, v: Value) -> str:
        amount, name = self.amounts[v], self._name(v) or v.op.name
        rows = [f"{name} = {whole(amount.value)}"]
        if amount.gradient is not None:
            rows.append(f"∂L/∂{name} = {whole(amount.gradient)}")
        if v.origin.span is not None:
            rows.append(place(v.origin.span))
        return "\n".join(rows)

    # -------------------------------------------------------- what is shut

    def _choice(self, v: Value) -> Value | None:
        """The maximum, minimum or choice in a gate."""
        if v.op.name in CHOICES:
            return v
        if not self.whole:
            return None
        inside = [x for x in self.of.equations.steps[v].inside if x.op.name in CHOICES]
        return inside[0] if len(inside) == 1 and inside[0].shape == v.shape else None

    def _taken(self, c: Value) -> list[np.ndarray]:
        """For each operand of a choice but the condition: where it is the one that goes on."""
        arrays = [np.asarray(self.amounts[a].value) for a in c.args]
        if c.op.name == "where":
            first = np.broadcast_to(arrays[0] != 0, c.shape)
        elif c.op.name == "maximum":
            first = np.broadcast_to(arrays[0] > arrays[1], c.shape)
        else:
            first = np.broadcast_to(arrays[0] < arrays[1], c.shape)
        return [first, ~first]

    def _gated(self, c: Value) -> bool:
        """One of two is a number: the gate of a ReLU, open or shut."""
        return sum(bare(a).is_constant for a in c.args[-2:]) == 1

    def _shut(self, v: Value) -> tuple[bool, str]:
        """Whether a gate lets nothing through, and how much of a wider one is open."""
        c = self._choice(v)
        if c is None or not self._gated(c):
            return False, ""
        is_open = self._taken(c)[0 if bare(c.args[-1]).is_constant else 1]
        if not is_open.any():
            return True, "shut"
        return False, f"{is_open.sum():,} of {is_open.size:,} open" if is_open.size > 1 else "open"

    def _closed(self, v: Value) -> set[int]:
        """The elements of a vector that a gate has shut."""
        c = self._choice(v) if v in self.drawn else None
        if c is None or len(v.shape) > 1 or not self._gated(c):
            return set()
        shut = self._taken(c)[1 if bare(c.args[-1]).is_constant else 0]
        return {int(k) for k in np.flatnonzero(shut)}

    def _loses(self, a: Value, v: Value) -> bool:
        """Nothing of this operand goes on, and no gradient comes back to it here."""
        c = self._choice(v)
        if c is None or self.whole:
            return False
        operands = [self._source(x) for x in c.args[-2:]]
        return any(x is a and not taken.any()
                   for x, taken in zip(operands, self._taken(c), strict=True))  # fmt: skip

    # -------------------------------------------------------- derivatives, legend

    def _local(self, v: Value) -> list[str]:
        """The local derivatives of a gate: numbers, or what it does to δ that comes in."""
        if self.slopes is None or self.whole or not v.type.is_float:
            return []
        moved = [a for a in v.args if a.type.is_float]
        if v in self.slopes:
            shown = [
                (a, number(float(np.asarray(s.value).reshape(()))))
                for a, s in zip(moved, self.slopes[v], strict=False)
                if not bare(a).is_constant
            ]
            return [f"∂/∂{self._name(self._source(a)) or '·'} = {n}" for a, n in shown]
        if v.op.family != "contraction" or v.op.name not in ("matmul", "mul"):
            return []
        names_of = [self._name(self._source(a)) or "·" for a in v.args]
        if len(names_of) == 2 and len(v.args[0].shape) == 2 and len(v.args[1].shape) == 1:
            return [f"∂/∂{names_of[1]}: {names_of[0]}ᵀ δ", f"∂/∂{names_of[0]}: δ {names_of[1]}ᵀ"]
        return []

    def _legend(self) -> None:
        marks = [(FORWARD[self.theme], "above the wire: the value")]
        if self.of.loss is not None:
            marks.append((BACK[self.theme], "below: ∂L/∂(value)"))
        row = [f'<FONT COLOR="{c}">■</FONT><FONT POINT-SIZE="{SMALL:g}"> {escape(words)}</FONT>'
               for c, words in marks]  # fmt: skip
        shut = any(self._choice(v) is not None for v in self.drawn)
        if shut:
            row.append(self._small("grey: shut, nothing goes through", self.look.faint))
        if self.words:
            row.append(self._small(self.words, self.look.ink))
        gap = "&#160;&#160;&#160; "
        title = f"<B>{escape(self.of.graph.name)}: values and gradients</B>"
        self.dot.caption(Html(f"{title}<BR/>{gap.join(row)}<BR/>&#160;<BR/>"))
