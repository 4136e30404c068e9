"""How large the gradient is on its way back: by value, and by step of a recurrence.

In: a graph, a loss, a batch of examples. Out: norms, from the plain interpreter. What they look
like is left to `viz.flow`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .compiler.autodiff import gradient
from .compiler.graph import Graph
from .compiler.op import apply
from .compiler.scans.disturbed import disturbed
from .compiler.value import Value
from .numbers import Given
from .runtime.plain import evaluate
from .viz.flow import Strip

BATCH = 16  # examples, of nets that are not too large
WORK = 4e9  # operations of the forward pass that a picture may wait for
EXACT = 2e8  # operations up to which all is computed in double precision


def work(graph: Graph) -> int:
    """Operations of the forward pass for one example."""
    return sum(v.op.flops(v) for v in graph.nodes)


def batch_for(graph: Graph) -> int:
    """How many examples the gradient is averaged over."""
    return int(min(BATCH, max(1, WORK // max(1, work(graph)))))


def norms(loss: Value, values: Iterable[Value], given: Given) -> dict[Value, float]:
    """‖∂L/∂v‖: of the mean loss for a parameter; for what each example has, of its own loss, as
    the root of the mean square over the examples."""
    wanted = [v for v in dict.fromkeys(values) if v.type.is_float]
    squares = [_square(g) for g in gradient(loss, wanted)]
    per_example = loss.type.batched
    found = {}
    for v, total in zip(wanted, evaluate(squares, given.leaves, batch=given.batch), strict=True):
        summed = float(np.sum(total, dtype=np.float64))
        share = given.batch if v.type.batched else given.batch**2
        found[v] = float(np.sqrt(summed / (share if per_example else 1)))
    return found


def _square(g: Value) -> Value:
    """Σ g², for each example where it has one."""
    return apply("sum", g * g, over=tuple(range(len(g.shape)))) if g.shape else g * g


def strips(graph: Graph, loss: str, given: Given) -> list[Strip]:
    """‖∂L/∂h_t‖ at each step, of what every scan carries."""
    whole, carried = disturbed(graph)
    if not carried:
        return []
    zeros = {str(c.zeros.attrs["name"]): _nothing(c.zeros, given.batch) for c in carried}
    slopes = gradient(whole.loss(loss).value, [c.zeros for c in carried])
    arrays = evaluate(slopes, {**given.leaves, **zeros}, batch=given.batch)
    found = []
    for c, array in zip(carried, arrays, strict=True):
        each = array if c.zeros.type.batched else array[None]
        square = np.square(each.astype(np.float64)).reshape(*each.shape[:2], -1).sum(axis=2)
        found.append(Strip(c.scan.origin.instance or c.scan.origin.block or "scan", c.word,
                           tuple(np.sqrt(square.mean(axis=0)).tolist()),
                           bool(c.scan.attrs["reverse"])))  # fmt: skip
    return found


def _nothing(zeros: Value, batch: int) -> np.ndarray:
    shape = (batch, *zeros.shape) if zeros.type.batched else zeros.shape
    return np.zeros(shape, zeros.type.numpy)
