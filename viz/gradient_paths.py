"""Where the gradient of each `minimize` line flows: from its loss back to what it changes.

In: the equations of a net as it is trained, and what a `train` declaration minimises. Out: a `Path`
for each line: the parameters, and the pairs of values between which a gradient goes. An operation
lets it pass where its own derivative rule sends something back, so `stop_gradient` and conditions
end it as they do in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..compiler.graph import Graph, topological
from ..compiler.graph import leaf as make_leaf
from ..compiler.minimize import Minimize, matches
from ..compiler.step import trainable
from ..compiler.value import Value
from .equations import Equations, is_bar

Edge = tuple[Value, Value]  # a value, and the step that uses it


@dataclass(frozen=True)
class Line:
    """A line of `train`, as a reader is told of it."""

    number: int
    loss: str
    over: tuple[str, ...]
    rules: tuple[tuple[str, str], ...]  # pattern and optimizer, the last that matches counts
    turns: int

    @property
    def groups(self) -> bool:
        """Whether parameters differ in their optimizer."""
        return len(self.rules) > 1

    @property
    def words(self) -> str:
        """minimize d_loss over D with adam(lr = 2e-4), 5 times."""
        named = [f"over {', '.join(self.over)}"] if self.over != ("*",) else []
        given = [r if p == "*" else f"{r} for {p}" for p, r in self.rules]
        how = [f"with {', '.join(given)}"] if given else []
        often = [f"× {self.turns}"] if self.turns > 1 else []
        return " ".join(["minimize", self.loss, *named, *how, *often])

    def rule(self, param: str) -> str:
        """The optimizer of a parameter."""
        return next((r for p, r in reversed(self.rules) if matches(param, p)), "")


@dataclass(frozen=True)
class Path:
    """What the gradient of a line passes, what it changes, and where it is stopped."""

    line: Line
    loss: Value
    changed: frozenset[Value]  # parameters
    edges: frozenset[Edge]
    stops: frozenset[Edge]  # at a `stop_gradient` that it would have passed


def told(asked: Sequence[tuple[Minimize, int]], graph: Graph) -> list[Line]:
    """The lines of a `train` declaration."""
    found = []
    for number, (m, turns) in enumerate(asked, start=1):
        own = m.rules[-1:] if len(asked) > 1 and m.rules and m.rules[-1].pattern == "*" else m.rules
        rules = tuple((r.pattern, " ".join(r.optimizer.span.text.split())) for r in own)
        found.append(Line(number, graph.loss(m.loss).name, m.over, rules, turns))
    return found


def paths(equations: Equations, lines: Sequence[Line]) -> list[Path]:
    """The path of each line."""
    return [_path(equations, line) for line in lines]


def _path(equations: Equations, line: Line) -> Path:
    graph = equations.graph
    loss = graph.loss(line.loss).value
    params = {p.value for p in trainable(graph, line.over)}
    edges = sent(equations, loss, params)
    back = {loss, *(a for a, _ in edges)}
    stops = {
        (a, w) for w, s in equations.steps.items() if w in back for a in s.operands if is_bar(a)
    }
    changed = frozenset(p for p in params if p in back)
    return Path(line, loss, changed, frozenset(edges), frozenset(stops))


def sent(equations: Equations, loss: Value, params: set[Value]) -> set[Edge]:
    """(value, step that uses it) pairs between which a gradient goes, the loss's own included."""
    passes = _passes(loss, params)
    back = {loss, *(a for _, a in passes)}
    return {
        (a, w)
        for w, step in equations.steps.items()
        if w in back
        for a in _behind(w, passes, equations)
        if a in step.operands
    }


def _passes(loss: Value, params: set[Value]) -> set[Edge]:
    """(user, operand) pairs through which something goes back to one of the parameters."""
    order = topological([loss])
    relevant: set[Value] = set()
    for v in order:
        if v.type.is_float and (v in params or any(a in relevant for a in v.args)):
            relevant.add(v)
    back, found = {loss}, set()
    for v in reversed(order):
        if v not in back or v not in relevant:
            continue
        for a in _sent_to(v):
            if a in relevant:
                found.add((v, a))
                back.add(a)
    return found


def _sent_to(v: Value) -> list[Value]:
    """The operands that the derivative rule of an operation sends something to."""
    if v.op.family in ("scan", "part"):
        return list(v.args)
    if not v.args:
        return []
    sent = v.op.grad(make_leaf("input", "g", v.type), v, *v.args)
    return [a for a, part in zip(v.args, sent, strict=True) if part is not None]


def _behind(w: Value, passes: set[Edge], equations: Equations) -> set[Value]:
    """The named values that a step sends a gradient to."""
    found: set[Value] = set()
    seen, stack = {w}, [w]
    while stack:
        x = stack.pop()
        for a in x.args:
            if (x, a) not in passes or a in seen:
                continue
            seen.add(a)
            if a in equations.stand_in:
                found.add(a)
            else:
                stack.append(a)
    return found
