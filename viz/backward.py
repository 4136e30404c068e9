"""The backward view: the forward pass from left to right, and the gradient back from right to
left.

In: a forward graph and a loss. Out: DOT. Above, one node an equation of the forward pass; below
each, its mirror: ∂L/∂(value) in closed form; parameters stand above their equation and their
gradients below. Gradient edges are red and carry the shape; where a value is used several
times, a Σ adds what comes back. A double border marks the values that the backward pass needs
again. Equal stretches of a deep chain are drawn once, with ℓ for the layer's number. Long nets
run downwards instead.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..compiler.graph import Graph, Output
from ..compiler.step import trainable
from ..compiler.value import Value
from . import terms as t
from .backprop import Backprop, backprop
from .blocks import Box, folds
from .dot import Attribute, Dot, lines, place
from .draws import distribution, drawn
from .equations import Step, equations
from .fit import fitted, paged
from .formula import formulas, right_hand_side
from .names import function_name, names
from .render import refuse_large, refuse_long
from .steps import carried_rows, cell
from .style import theme as theme_of
from .terms import Term
from .unicode import unicode

LINE = 30  # characters of a formula before it is broken
SHORT = 3  # parts of a δ that is written out where it is used: a₂ − y


# Layouts, the likeliest first: direction, rows, and how much stands in one node.
WAYS = (("LR", 1, 0), ("LR", 1, 1), ("LR", 2, 1), ("LR", 1, 2), ("LR", 2, 2), ("LR", 3, 2),
        ("LR", 2, 3), ("LR", 3, 3), ("TB", 1, 0))  # fmt: skip


def backward(
    graph: Graph,
    loss: Output,
    theme: str = "light",
    *,
    over: Sequence[str] = ("*",),
    fit: bool = True,
) -> str:
    """DOT text of the backward view, with the gradients of the parameters that match `over`.
    Raises Failure for nets too large to read."""
    b = _backprop(graph, loss, over)
    refuse_large(2 * len(_Picture(b, theme, graph.name).steps))

    def drawn(direction: str, rows: int, packed: int) -> str:
        return _Picture(b, theme, graph.name, packed).text(direction, rows)

    return fitted(partial(drawn, *way) for way in (WAYS if fit else WAYS[:1]))


def backward_pages(
    graph: Graph, loss: Output, theme: str = "light", *, over: Sequence[str] = ("*",)
) -> list[str]:
    """The backward view on pages that can be read, as DOT texts; empty where there is no way."""
    picture = _Picture(_backprop(graph, loss, over), theme, graph.name, packed=3)
    refuse_large(2 * len(picture.steps))
    picture.text("LR", 1)
    return paged(2 * len(picture.steps), picture.dot.pages)


def _backprop(graph: Graph, loss: Output, over: Sequence[str]) -> Backprop:
    found = equations(graph, [loss])
    refuse_long(len(found.steps))
    output = next(o for o in found.graph.outputs if o.kind == "loss" and o.name == loss.name)
    params = [p.value for p in trainable(found.graph, over)]
    return backprop(found, names(found, batch=False), output, params, batch=False, short=SHORT)


@dataclass(frozen=True)
class Drawn:
    """A picture as DOT, and the nodes in it of values and of their gradients."""

    text: str
    forward: Mapping[Value, str]
    mirror: Mapping[Value, str]


def drawn_with_nodes(b: Backprop, title: str, theme: str = "light") -> Drawn:
    """The view from top to bottom, of one `Backprop`, for who has to find its nodes again."""
    picture = _Picture(b, theme, title, 1)
    text = picture.text("TB", 1)
    forward, mirror = dict(picture.forward), dict(picture.mirror)
    for v, shown in picture.stands_for.items():
        forward[v] = picture.forward[shown]
        if shown in picture.mirror:
            mirror[v] = picture.mirror[shown]
    return Drawn(text, forward, mirror)


@dataclass
class _Picture:
    b: Backprop
    theme: str
    name: str
    # 1: the parameters of a layer in one node; 2: its activation in its own node; 3: pooling too
    packed: int = 0
    forward: dict[Value, str] = field(default_factory=dict)  # nodes of the forward pass
    mirror: dict[Value, str] = field(default_factory=dict)  # nodes of ∂L/∂v
    stands_for: dict[Value, Value] = field(default_factory=dict)  # folded step: the one drawn
    last_copy: dict[Value, Value] = field(default_factory=dict)  # drawn: the last it stands for
    generic: dict[Value, dict[str, str]] = field(default_factory=dict)  # drawn step: names with ℓ
    notes: dict[Value, str] = field(default_factory=dict)
    through: set[Value] = field(default_factory=set)  # scans whose recursion is told
    joined: dict[Value, Value] = field(default_factory=dict)  # activation: the layer it stands in

    def __post_init__(self) -> None:
        self.eq = self.b.equations
        self._fold()
        if self.packed > 1:
            self._join()
        hidden = {*self.stands_for, *self.joined}
        self.steps = [v for v in self.eq.steps if v not in hidden]
        self.owners = {p: v for v in reversed(self.steps) for p in self.eq.steps[v].params}
        self.needed = self._needed()
        self.columns = [v for v in self.steps if v in self.b.deltas or v is self.b.loss]

    def text(self, direction: str, rows: int) -> str:
        """The picture as DOT."""
        title = f"{self.name}: backpropagation"
        self.through = set()
        self.dot = Dot(title, theme_of(self.theme), rankdir=direction,
                       nodesep=0.3, ranksep=0.35)  # fmt: skip
        self._data()
        for v in self.steps:
            self._forward_node(v)
        for v in reversed(self.columns):
            self._mirror_node(v)
        for v in self.columns:
            self._column(v)
        self._forward_edges()
        for v in self.columns:
            self._gradient_edges(v)
        legend = [("data", "data"), ("param", "parameter"), ("block", "forward"),
                  ("gradient", "gradient of the loss")]  # fmt: skip
        if any(drawn(v) for v in self.forward):
            legend.append(("draw", "random draw"))
        self.dot.legend(legend, "double border: kept for the backward pass")
        return self.dot.text(rows)

    # -------------------------------------------------------- folding

    def _join(self) -> None:
        """Activations (and pooling) stand in the node of the layer that nothing else uses."""
        for v, step in self.eq.steps.items():
            alone = len(step.operands) == 1 and step.kind != "loss" and step.block != "softmax"
            fits = step.kind == "elementwise" or (self.packed > 2 and alone)
            if not fits or v in self.b.kept or v in self.stands_for:
                continue
            (z,) = step.operands
            layer = z in self.eq.steps and (z in self.b.kept or z in self.joined)
            if layer and self.b.users.get(z) == [v]:
                self.joined[v] = self.joined.get(z, z)

    def _fold(self) -> None:
        """Equal layers are drawn once. Only textbook names have a number to replace with ℓ."""
        if not self.b.names.textbook:
            return
        chain = [Box("", "", [s]) for v, s in self.eq.steps.items() if v in self.b.deltas]
        for f in folds(chain):
            first = self._number(f.boxes[0].result)
            new = {}
            for shift in (-1, 0, 1):
                sign = {-1: "ℓ−1", 0: "ℓ", 1: "ℓ+1"}[shift]
                new.update({f"{c}_{first + shift}": f"{c}_{sign}" for c in "zahgqWb"})
            for k, box in enumerate(f.dropped):
                drawn = f.boxes[k % len(f.boxes)].result
                self.stands_for[box.result] = drawn
                self.last_copy[drawn] = box.result
            for box in f.boxes:
                self.generic[box.result] = new
                self.generic.update(dict.fromkeys(box.params, new))
                self.notes[box.result] = f"ℓ = {first} … {first + f.times - 1}"

    def _number(self, v: Value) -> int:
        found = re.search(r"_(\d+)$", self.b.names[v].text)
        return int(found[1]) if found else 0

    def _shown(self, term: Term, at: Value) -> str:
        return unicode(t.renamed(term, self.generic.get(at, {})))

    def _drawn(self, v: Value) -> Value:
        v = self.stands_for.get(v, v)
        return self.joined.get(v, v)

    def _needed(self) -> set[Value]:
        """Values that stand in the formula of a gradient."""
        of_name = {name: v for v, name in self.b.names.terms.items()}
        inside = {x: v for v, whole in self.eq.inner.items() for x in whole.terms()}
        of_name = {name: inside.get(v, v) for name, v in of_name.items()}
        known = self.b.known
        stack = [d.closed for d in (*self.b.deltas.values(), *self.b.params.values())]
        for v in self.b.primes:
            stack.append(formulas([f := self.b.prime(v)], known, False, self.b.aliases)[f])
        used = set()
        while stack:
            term = stack.pop()
            if term in of_name:
                used.add(self._drawn(of_name[term]))
            if term.kind not in ("partial", "prime"):
                stack += term.parts
        return used

    # -------------------------------------------------------- nodes

    def _data(self) -> None:
        used = {a for v in self.steps for a in self.eq.steps[v].inputs}
        for v in self.eq.stand_in:
            if v.op.name == "input" and v in used:
                self._node(v, "data", lines(self._shown(self.b.names[v], v), str(v.type)))
            elif drawn(v) and v not in self.eq.steps and v in used:
                source = unicode(distribution(v, self.b.names.terms))
                shown = f"{self._shown(self.b.names[v], v)} ∼ {source}"
                self._node(v, "draw", lines(shown, str(v.type)))

    def _node(self, v: Value, meaning: str, label: object) -> None:
        more: dict[str, Attribute] = {"peripheries": 2} if v in self.needed else {}
        if v.origin.span is not None:
            more["tooltip"] = place(v.origin.span)
        self.forward[v] = self.dot.node(label, meaning, **more)  # type: ignore[arg-type]

    def _forward_node(self, v: Value) -> None:
        step = self.eq.steps[v]
        rows: list[str | tuple[str, str]] = [*_broken(self._formula(v))]
        if v.op.family == "part":
            c = cell(v.args[0])
            rows = [row for text in carried_rows(c) for row in _broken(text)]
            rows += [(f"{c.title}, {c.steps}", "faint")]
        for a in (a for a, z in self.joined.items() if z is v):
            rows += _broken(f"{self._shown(self.b.names[a], a)} = {self._formula(a)}")
        for s in self.b.samples:
            if s.value is v and s.defined is not None:
                rows += _broken(f"{unicode(s.sigma)} = {unicode(s.defined)}")
        rows += [(self.notes[v], "faint")] if v in self.notes else []
        if v in self.eq.inner:
            normal = self.eq.inner[v].normal
            definition = right_hand_side(normal, self.b.names.terms)
            rows += _broken(f"{self.b.names.text(normal)} = {unicode(definition)}")
        label = lines(self._shown(self.b.names[v], v), *rows, faint=self.dot.theme.faint)
        self._node(v, "loss" if v is self.b.loss else "block", label)
        self._params(step)

    def _formula(self, v: Value) -> str:
        step = self.eq.steps[v]
        right = right_hand_side(v, self.b.names.terms, aliases=self.b.spreads)
        if step.kind == "elementwise" and function_name(self.eq, v) != "g":
            right = t.call(function_name(self.eq, v), self.b.names[step.operands[0]])
        return self._shown(right, v)

    def _params(self, step: Step) -> None:
        """The parameters that are met here first; packed, all in one node."""
        own = [p for p in step.params if p not in self.forward]
        if not self.packed:
            for p in own:
                self._node(p, "param", lines(self._shown(self.b.names[p], p), str(list(p.shape))))
        elif own:
            rows = [(f"{self._shown(self.b.names[p], p)} {list(p.shape)}", "small") for p in own]
            first = next((p for p in own if p in self.needed), own[0])
            self._node(first, "param", lines(*rows))
            self.forward.update(dict.fromkeys(own, self.forward[first]))

    def _mirror_node(self, v: Value) -> None:
        if v is self.b.loss:
            top = self._shown(t.partial(self.b.names[v], self.b.names[v]), v)
            self.mirror[v] = self.dot.node(lines(top, "= 1"), "gradient")
        else:
            self._gradient_node(v, self.b.deltas[v].closed)
        own = [p for p in self.eq.steps[v].params if p in self.b.params and p not in self.mirror]
        if self.packed and own:
            rows = [row for p in own for row in _broken(self._equals(p, self.b.params[p].closed))]
            node = self.dot.node(lines(*((row, "small") for row in rows)), "gradient")
            self.mirror.update(dict.fromkeys(own, node))
        for p in own:
            if not self.packed:
                self._gradient_node(p, self.b.params[p].closed)

    def _equals(self, v: Value, closed: Term) -> str:
        left = t.partial(self.b.names[self.b.loss], self.b.names[v])
        return f"{self._shown(left, v)} = {self._shown(closed, v)}"

    def _gradient_node(self, v: Value, closed: Term) -> None:
        left = self._shown(t.partial(self.b.names[self.b.loss], self.b.names[v]), v)
        rows = _broken("= " + self._shown(closed, v))
        if v.op.family == "part" and v.args[0] not in self.through:
            self.through.add(v.args[0])
            rows += [row for text in self._recursion(v.args[0]) for row in _broken(text)]
        self.mirror[v] = self.dot.node(lines(left, *rows), "gradient")

    def _recursion(self, scan: Value) -> list[str]:
        """∂L/∂h_t of what a scan carries, from the step behind."""
        s = self.b.scans.get(scan)
        if s is None:
            return []
        b = s.step
        found = [(v, b.deltas[v].closed) for v in dict.fromkeys(s.cell.next) if v in b.deltas]
        return [f"{unicode(t.partial(b.names[b.loss], b.names[v]))} = {unicode(closed)}"
                for v, closed in found]  # fmt: skip

    # -------------------------------------------------------- edges

    def _column(self, v: Value) -> None:
        """Parameters, the equation, its gradient, the parameters' gradients, in one column."""
        column = [self.forward[v], self.mirror[v]]
        self.dot.edge(*column, style="invis", weight=20)
        own = [p for p in self.eq.steps[v].params if self._owner(p) is v]
        for p in {self.forward[p]: p for p in own}.values():
            self.dot.edge(self.forward[p], self.forward[v])
            column.insert(0, self.forward[p])
            if p in self.mirror:
                self.dot.edge(self.mirror[v], self.mirror[p], color=self.dot.theme.gradient)
                column.append(self.mirror[p])
        self.dot.rank(*column)

    def _owner(self, p: Value) -> Value | None:
        """The first equation that uses a parameter: it stands with that one."""
        return self.owners.get(p)

    def _forward_edges(self) -> None:
        drawn = set()
        for v in self.eq.steps:
            step = self.eq.steps[v]
            for a in step.operands:
                start, end = self._drawn(a), self._drawn(v)
                if a.op.name == "param" and (v in self.stands_for or self._owner(a) is v):
                    continue
                if start not in self.forward or start is end:
                    continue
                ends = (self.forward[start], self.forward[end])
                if ends in drawn:
                    continue
                if v in self.stands_for and a in self.stands_for:
                    continue  # inside a stretch that is drawn once
                if self.eq.steps.get(v) and v in self.stands_for and a not in self.stands_for:
                    continue  # from the drawn layer to its first copy
                drawn.add(ends)
                shape = str(list(a.shape)) if a.shape and a.op.name != "param" else ""
                self.dot.edge(*ends, shape, weight=10 if end in self.mirror else 1)

    def _gradient_edges(self, u: Value) -> None:
        """What comes back to `u`; from several uses it meets in a Σ."""
        if u in self.b.params:
            return
        users = list(dict.fromkeys(w for w in self._uses(u) if w in self.mirror))
        if len(users) == 1:
            self._back(self.mirror[u], self.mirror[users[0]], users[0])
        elif users:
            node = self.dot.node(lines("Σ"), "gradient", shape="circle", margin=0.02)
            self._back(self.mirror[u], node, None)
            for w in users:
                self._back(node, self.mirror[w], w)
        shared = [p for p in self.eq.steps[u].params if self._owner(p) is not u]
        for node in dict.fromkeys(self.mirror[p] for p in shared if p in self.mirror):
            self.dot.edge(self.mirror[u], node, color=self.dot.theme.gradient, constraint=False)

    def _uses(self, u: Value) -> list[Value]:
        """The drawn steps that use `u`; past an activation that stands in the node of `u`."""
        users = [w for w in self.b.users[u] if w in self.b.deltas or w is self.b.loss]
        last = self.last_copy.get(u, u)
        if last is not u and users and users[0] in self.stands_for:
            users = [*self.b.users[last]]
        found = []
        for w in (self.stands_for.get(w, w) for w in users):
            found += self._uses(w) if w in self.joined else [w]
        return found

    def _back(self, left: str, right: str, w: Value | None) -> None:
        """A red edge from right to left, laid out as one from left to right."""
        label = ""
        if w is not None and w is not self.b.loss:
            partial = t.partial(self.b.names[self.b.loss], self.b.names[w])
            gap = "\n" if self.dot.horizontal else " "
            shape = f"{gap}{list(w.shape)}" if w.shape else ""
            label = f"{self._shown(partial, w)}{shape}"
        self.dot.edge(left, right, label, dir="back", color=self.dot.theme.gradient,
                      fontcolor=self.dot.theme.gradient)  # fmt: skip


def _broken(text: str) -> list[str]:
    """A formula in lines of a readable length, broken at its spaces but not inside a product."""
    tied = re.sub(r" (∗ᵀ?) |(?<=ᵀ) (?=∂)", lambda m: f"\0{m[1]}\0" if m[1] else "\0", text)
    wide = LINE + 8 if "Σₜ" in text else LINE
    rows = textwrap.wrap(tied, wide, break_long_words=False) or [text]
    return [row.replace("\0", " ") for row in rows]
