"""What each pass of the compiler changed, as records.

In: the forward graph in training and the graph of a whole step. Out: a `Stage` for each pass, with
the rewritings by rules that it did; of passes that follow no rules, the places in the net at which
nodes went and came. Drawing them is the business of `passes_view` and `change_view`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ..compiler.graph import Graph, topological
from ..compiler.passes import Pass, lower, optimise, stabilise
from ..compiler.recompute import recompute
from ..compiler.rewrite import Step, Trace
from ..compiler.value import Value

DIFFERENTIATE = "differentiate"
RECOMPUTE = "recompute"


@dataclass(frozen=True)
class Change:
    """Nodes that went, nodes that came, and why. `before` and `after` are what was exchanged."""

    stage: str
    rule: str
    reason: str
    before: tuple[Value, ...]
    after: tuple[Value, ...]

    @cached_property
    def gone(self) -> tuple[Value, ...]:
        return _only(self.before, self.after)

    @cached_property
    def new(self) -> tuple[Value, ...]:
        return _only(self.after, self.before)


@dataclass(frozen=True)
class Stage:
    """One pass: the graph before and after it, and the rules that it applied, in order."""

    name: str
    purpose: str
    before: Graph
    after: Graph
    steps: tuple[Step, ...] = ()

    @property
    def rules(self) -> list[tuple[str, str, int]]:
        """Name, reason, how often; the most used first."""
        count = Counter(s.rule.name for s in self.steps)
        reasons = {s.rule.name: s.rule.reason for s in self.steps}
        return [(name, reasons[name], n) for name, n in count.most_common()]

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """Every application of a rule; of a pass without rules, every place that it changed."""
        if self.steps:
            return tuple(
                Change(self.name, s.rule.name, s.rule.reason, (s.before,), (s.after,))
                for s in self.steps
            )
        if self.after is self.before or self.name == DIFFERENTIATE:
            return ()
        return _by_place(self)


def history(forward: Graph, step: Graph) -> tuple[Stage, ...]:
    """Every pass from the equations of the net to the graph that kernels are made of."""
    trace, stages = Trace(), []
    done = 0

    def observe(one: Pass, before: Graph, after: Graph) -> None:
        nonlocal done
        stages.append(Stage(one.name, one.purpose, before, after, tuple(trace.steps[done:])))
        done = len(trace.steps)

    stable = stabilise(forward, trace, observe)
    learning = any(o.kind == "update" for o in step.outputs)
    if learning:
        purpose = "the gradient of every operation by the chain rule, and the updates"
        stages.append(Stage(DIFFERENTIATE, purpose, stable, step))
    low = lower(optimise(step, trace=trace, observer=observe), observe)
    again = recompute(low)
    if again is not low:
        purpose = "values of the forward pass are computed again instead of kept"
        stages.append(Stage(RECOMPUTE, purpose, low, again))
    return tuple(stages)


def _only(roots: Iterable[Value], others: Iterable[Value]) -> tuple[Value, ...]:
    """What the roots need and the others do not. What the net is given stays, used or not."""
    known = set(topological(others))
    return tuple(v for v in topological(roots) if v not in known and not _is_given(v))


def _is_given(v: Value) -> bool:
    return v.op.family == "leaf" and "name" in v.attrs


def _by_place(stage: Stage) -> tuple[Change, ...]:
    """Nodes whose like there is only on one side, by the place in the net that they belong to."""
    before, after = stage.before.nodes, stage.after.nodes
    gone = _unlike(before, after)
    new = _unlike(after, before)
    places: dict[object, tuple[list[Value], list[Value]]] = defaultdict(lambda: ([], []))
    for side, values in ((0, gone), (1, new)):
        for v in values:
            o = v.origin
            places[o.instance, o.role, str(o.span)][side].append(v)
    return tuple(
        Placed(stage.name, stage.name, stage.purpose, tuple(b), tuple(a))
        for b, a in places.values()
        if a
    )


class Placed(Change):
    """A change of a pass without rules: `before` and `after` are the very nodes."""

    @cached_property
    def gone(self) -> tuple[Value, ...]:
        return self.before

    @cached_property
    def new(self) -> tuple[Value, ...]:
        return self.after


def _unlike(values: Iterable[Value], others: Iterable[Value]) -> list[Value]:
    """Values for which the others have none that does the same on operands of the same types."""
    known = Counter(map(_likeness, others))
    found = []
    for v in values:
        key = _likeness(v)
        if known[key] > 0:
            known[key] -= 1
        elif v.op.family != "leaf":
            found.append(v)
    return found


def _likeness(v: Value) -> tuple[object, ...]:
    attrs = tuple(sorted((k, str(a)) for k, a in v.attrs.items()))
    return (v.op.name, attrs, v.type, v.origin.instance, *(a.type for a in v.args))
