"""Sequences that go on from batch to batch (`scan … (stateful = true)`), as training feeds them.

In: the graph of a step, a job. Out: whether values are carried from one batch to the next, row by
row, and whether the data allow it: every example must go on where the one before it ended.
"""

from __future__ import annotations

from ...compiler.graph import Graph
from ...dsl.diagnostics import fail
from .job import Job


def is_stateful(graph: Graph) -> bool:
    """Is there a state for every row of the batch?"""
    return any(leaf.value.type.batched for leaf in graph.states)


def check_continuous(job: Job) -> None:
    """Raise E431 where the examples do not follow one another."""
    if job.dataset.train.is_continuous:
        return
    raise fail(
        "E431",
        f"`{job.dataset.name}` cannot feed a `stateful` scan: its examples do not follow one "
        "another",
        job.span,
        help="a `text(…)` whose `stride` is its `window`, without `shuffle`, goes on from "
        "example to example; else leave out `stateful = true`",
    )
