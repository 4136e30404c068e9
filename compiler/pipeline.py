"""The stages in order: the one place that knows the whole way from a `.net` file to a plan.

Everything here is a short composition of what the stages' own modules do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..dsl import syntax as s
from ..dsl.collector import without_collector
from . import training
from .elaborate import Module, forward, load_module, parse_module
from .graph import Graph
from .passes import lower, optimise, stabilise
from .plan import Plan
from .recompute import recompute
from .schedule import plan as schedule
from .step import means, with_gradients
from .use import Prepared, prepared


@without_collector()
def gradients(graph: Graph, loss: str | None = None) -> Graph:
    """The forward graph with a `gradient` output for every trainable parameter of the mean loss."""
    return with_gradients(stabilise(graph), loss)


@without_collector()
def step(
    module: Module,
    train: s.Train,
    *,
    dtype: str = "f32",
    sizes: Mapping[str, int] | None = None,
) -> Graph:
    """The training step of a `train` declaration as one graph: forward, backward, update; of
    several `minimize` lines in the order written. Raises Failure."""
    return training.step(module, train, dtype=dtype, sizes=sizes)


@without_collector()
def evaluation(
    module: Module,
    net: str | None = None,
    *,
    dtype: str = "f32",
    sizes: Mapping[str, int] | None = None,
    kinds: Sequence[str] = ("output", "loss", "metric"),
) -> Graph:
    """The net in use (no dropout, running statistics): outputs per example, losses and metrics as
    means over the batch."""
    graph = means(stabilise(forward(module, net, dtype=dtype, sizes=sizes)))
    return graph.with_outputs(o for o in graph.outputs if o.kind in kinds)


@without_collector()
def compile_plan(graph: Graph, capacity: int) -> Plan:
    """Simplify, lower and schedule a graph for batches of up to `capacity` examples."""
    return schedule(recompute(lower(optimise(graph))), capacity)


__all__ = [
    "Graph",
    "Module",
    "Plan",
    "Prepared",
    "compile_plan",
    "evaluation",
    "forward",
    "gradients",
    "load_module",
    "lower",
    "optimise",
    "parse_module",
    "prepared",
    "stabilise",
    "step",
]
