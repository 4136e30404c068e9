"""The closed forms of a derivation as numbers: against the compiler and finite differences.

In: a net's derivatives and a caller that evaluates graphs at one random point, in f64. Out: the
greatest relative difference between the closed forms and the compiler's gradients, and for some
parameters the slope (L(w + h) − L(w − h)) / 2h of the mean loss beside the closed form, at the
element where the gradient is greatest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.graph import Graph, Output, topological
from ..compiler.passes import stabilise
from ..compiler.step import means, with_gradients
from ..compiler.value import Value
from . import terms as t
from .backprop import Backprop
from .derivation import Slope
from .draws import drawn
from .equations import is_bar

# A graph's outputs, by name, at one random point, in f64.
Evaluate = Callable[[Graph], Mapping[str, NDArray[Any]]]
# The same with one element of one parameter moved: (graph, parameter, flat place, by).
Nudge = Callable[[Graph, str, int, float], Mapping[str, NDArray[Any]]]

# Steps of a difference: about the cube root of f64's rounding error, and smaller ones for places
# where the kink of a ReLU or a maximum lies near.
STEPS = (1e-6, 1e-7, 1e-8)
BEND = 1e-3  # how much the slopes to both sides may differ before a smaller step is tried
MOST = 12  # parameters whose slope is taken
WORK = 1e10  # operations that the differences of one derivation may cost
BATCH = 3  # examples at the random point, for the estimate of the work


def numbers(
    b: Backprop, graph: Graph, loss: Output, evaluate: Evaluate
) -> Mapping[str, NDArray[Any]]:
    """`compiler NAME` and `closed NAME` for each parameter: both gradients at the point."""
    reference = with_gradients(stabilise(graph), loss.name)
    outputs = [
        Output("gradient", f"compiler {o.target.attrs['name']}", o.value)
        for o in reference.of_kind("gradient")
        if o.target is not None
    ]
    for p, derivative in b.params.items():
        outputs.append(Output("gradient", f"closed {p.attrs['name']}", b.expand(derivative)))
    return evaluate(graph.with_outputs(outputs))


def difference(b: Backprop, found: Mapping[str, NDArray[Any]]) -> float:
    """The greatest relative difference between the closed forms and the compiler's gradients."""
    called = [str(p.attrs["name"]) for p in b.params]
    greatest = max((_size(found[f"compiler {n}"]) for n in called), default=0.0)
    worst = 0.0
    for name in called:
        ours, theirs = found[f"closed {name}"], found[f"compiler {name}"]
        # A gradient that is 0 (a bias before batch normalisation) is compared with the others.
        scale = max(_size(theirs), 1e-6 * greatest) or 1.0
        apart = _size(ours - theirs) / scale
        worst = max(worst, apart) if np.isfinite(apart) else float("inf")
    return worst


def _size(array: NDArray[Any]) -> float:
    return float(np.max(np.abs(array), initial=0.0))


def slopes(
    b: Backprop, graph: Graph, loss: Output, found: Mapping[str, NDArray[Any]], nudge: Nudge
) -> tuple[Slope, ...]:
    """The slope of the mean loss for parameters spread over the net; none where a gradient is cut
    on purpose, so that the loss depends on a parameter in ways that no gradient tells."""
    if barred(b):
        return ()
    mean = means(graph).loss(loss.name)
    alone = graph.with_outputs([Output("loss", "mean", mean.value)])
    start = float(nudge(alone, str(next(iter(b.params)).attrs["name"]), 0, 0.0)["mean"])
    made = []
    for p in _spread(list(b.params), _affordable(alone)):
        name = str(p.attrs["name"])
        closed = np.asarray(found[f"closed {name}"])
        place = int(np.argmax(np.abs(closed)))
        slope = _slope(_moved(nudge, alone, name, place), start)
        index = np.unravel_index(place, closed.shape)
        element = t.part(b.names[p], ", ".join(map(str, index))) if closed.shape else b.names[p]
        made.append(
            Slope(
                t.partial(b.names[b.loss], element),
                float(closed.reshape(-1)[place]),
                slope,
            )
        )
    return tuple(made)


def _moved(nudge: Nudge, graph: Graph, name: str, place: int) -> Callable[[float], float]:
    """The mean loss by how far one element is moved."""
    return lambda by: float(nudge(graph, name, place, by)["mean"])


def _slope(loss: Callable[[float], float], start: float) -> float:
    """(L(w + h) − L(w − h)) / 2h for the first step to both of whose sides the slope is the same,
    or else most nearly so. The closed form has no say in it."""
    best, least = 0.0, float("inf")
    for h in STEPS:
        above, below = loss(h), loss(-h)
        slope = (above - below) / (2 * h)
        bend = abs(above + below - 2 * start) / (2 * h * max(abs(slope), BEND))
        if bend < least:
            best, least = slope, bend
        if bend <= BEND:
            break
    return best


def barred(b: Backprop) -> bool:
    """Whether the net stops a gradient: by `stop_gradient`, by truncation, or by a draw whose
    chances depend on what is learned."""
    for v in topological([b.loss]):
        if is_bar(v) or (v.op.family == "scan" and v.attrs.get("truncate")):
            return True
        if drawn(v) and v.op.name not in ("normal", "uniform") and v.args:
            return True
    return any(_cut_inside(v) for v in topological([b.loss]) if v.op.family == "scan")


def _cut_inside(scan: Value) -> bool:
    """A scan whose body stops gradients, or holds one that does."""
    for v in topological(scan.attrs["body"].results):
        if is_bar(v) or (v.op.family == "scan" and (v.attrs.get("truncate") or _cut_inside(v))):
            return True
    return False


def _affordable(graph: Graph) -> int:
    """How many slopes the work of two evaluations each allows."""
    flops = 2 * BATCH * sum(v.op.flops(v) for v in graph.nodes if v.op.family != "leaf")
    return int(min(MOST, max(2, WORK // max(flops, 1))))


def _spread(found: list[Value], most: int) -> list[Value]:
    """At most so many, the first and the last among them."""
    if len(found) <= most:
        return found
    return [found[k * (len(found) - 1) // (most - 1)] for k in range(most)]
