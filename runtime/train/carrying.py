"""Sequences that go on from batch to batch (`scan … (stateful = true)`), as training feeds them.

In: the graph of a step, a job. Out: whether values are carried from one batch to the next, row by
row, and whether the data allow it: every example must go on where the one before it ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ...compiler.graph import Graph
from ...dsl.diagnostics import fail
from .job import Array, Job


def is_stateful(graph: Graph) -> bool:
    """Is there a state for every row of the batch?"""
    return bool(row_states(graph))


def row_states(graph: Graph) -> tuple[str, ...]:
    """The states that every row of the batch has for itself."""
    return tuple(leaf.name for leaf in graph.states if leaf.value.type.batched)


def for_each_row(values: Mapping[str, Array], names: Iterable[str], batch: int) -> dict[str, Array]:
    """Starting values of such states: the same in each row."""
    return {name: np.repeat(values[name][None], batch, axis=0) for name in names}


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
