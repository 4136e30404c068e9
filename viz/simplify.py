"""Simplification as derivations show it: the compiler's own rules, with the trace they leave.

In: values. Out: the simplified values in the same order, and each change with its rule and
reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..compiler.graph import Graph, Leaf, Output, topological
from ..compiler.passes import simplify, stabilise
from ..compiler.rewrite import Trace
from ..compiler.value import Value


@dataclass(frozen=True)
class Change:
    """One rewrite: the rule's name, why it holds, the value before and after."""

    rule: str
    reason: str
    before: Value
    after: Value


def simplified(values: Sequence[Value]) -> tuple[tuple[Value, ...], tuple[Change, ...]]:
    """The values after every rule that applies."""
    return _passed(values, simplify)


def stabilised(values: Sequence[Value]) -> tuple[tuple[Value, ...], tuple[Change, ...]]:
    """The values in the form that is differentiated: log-softmax, log-sigmoid in one piece."""
    return _passed(values, stabilise)


def _passed(
    values: Sequence[Value], run: Callable[[Graph, Trace], Graph]
) -> tuple[tuple[Value, ...], tuple[Change, ...]]:
    outputs = tuple(Output("output", f"v{k}", v) for k, v in enumerate(values))
    trace = Trace()
    leaves = {
        str(v.attrs["name"]): Leaf(v, v.op.name)
        for v in topological(values)
        if v.op.family == "leaf" and "name" in v.attrs
    }
    graph = run(Graph("derivation", outputs, leaves), trace)
    changes = tuple(Change(s.rule.name, s.rule.reason, s.before, s.after) for s in trace.steps)
    return tuple(o.value for o in graph.outputs), changes
