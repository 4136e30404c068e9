"""Beam search: the `width` best beginnings of each example go on side by side.

In: a stepper begun with `width` rows for each example. Out: for each example its best ends, by
log p(y) / ((5 + |y|) / 6)^α, where |y| counts the end too (Wu et al., 2016, eq. 14).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .choose import Array, feed, log_total, possible
from .stepper import Stepper

PENALTY = 0.6  # α, unless it is given


@dataclass
class Found:
    """What one example may be; each as (score, tokens without the end, log probability)."""

    ends: list[tuple[float, list[int], float]] = field(default_factory=list)

    @property
    def best_score(self) -> float:
        return max((e[0] for e in self.ends), default=-np.inf)

    def best(self) -> tuple[list[int], float]:
        _, tokens, log = max(self.ends, key=lambda e: e[0])
        return tokens, log


def beam_search(
    stepper: Stepper, width: int, start: Sequence[int], length: int, alpha: float = PENALTY,
    end: int | None = None, never: Sequence[int] = (),
) -> list[tuple[list[int], float]]:  # fmt: skip
    """The best end of each example: its tokens, and the logarithm of their probability."""
    count = stepper.rows // width
    found = [Found() for _ in range(count)]
    active = np.arange(count)  # which example each group of rows is
    logs = np.full((count, width), -np.inf)
    logs[:, 0] = 0.0  # all rows of an example are the same at first
    said = np.zeros((count, width, length), np.int32)
    scores = feed(stepper, start)
    for place in range(length):
        tokens, parents, totals = _candidates(scores, logs, width, never)
        ends = tokens == end if end is not None else np.zeros(tokens.shape, bool)
        for i, j in np.argwhere(ends[:, :width]):
            if np.isfinite(totals[i, j]):
                text = said[i, parents[i, j], :place].tolist()
                found[active[i]].ends.append((totals[i, j] / _weight(place + 1, alpha), text,
                                              float(totals[i, j])))  # fmt: skip
        order = np.argsort(ends, axis=1, kind="stable")[:, :width]
        tokens, parents, logs = (np.take_along_axis(a, order, 1) for a in (tokens, parents, totals))
        logs = np.where(np.take_along_axis(ends, order, 1), -np.inf, logs)
        said = np.take_along_axis(said, parents[:, :, None], 1)
        said[:, :, place] = tokens
        # log p only falls: as good as that, at best, a text can become that goes on.
        hoped = logs[:, 0] / _weight(length, alpha)
        going = hoped > np.array([found[k].best_score for k in active])
        if place + 1 == length or not going.any():
            break
        rows = (np.arange(len(active))[:, None] * width + parents)[going]
        if going.all():
            stepper.reorder(rows.ravel())
        else:
            stepper.keep(rows.ravel())
            active, logs, said, tokens = active[going], logs[going], said[going], tokens[going]
        scores = stepper.step(tokens.ravel())
    for i, k in enumerate(active):
        if not found[k].ends:  # nothing has ended: what there is so far
            weight = _weight(length, alpha)
            found[k].ends = [(logs[i, j] / weight, said[i, j].tolist(), float(logs[i, j]))
                             for j in range(width)]  # fmt: skip
    return [f.best() for f in found]


def _candidates(
    scores: Array, logs: Array, width: int, never: Sequence[int]
) -> tuple[NDArray[np.int32], NDArray[np.int64], Array]:
    """The 2·width best continuations of each example, best first: as many may be ends as go on."""
    count, scores = len(logs), possible(scores, never)
    most = min(2 * width, scores.shape[1])
    tokens = _greatest(scores, most)  # of each row: no others can be among the best of all rows
    gains = np.take_along_axis(scores, tokens, 1) - log_total(scores)
    totals = (gains.reshape(count, width, most) + logs[:, :, None]).reshape(count, -1)
    chosen = _greatest(totals, min(2 * width, totals.shape[1]))
    values = np.take_along_axis(totals, chosen, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    chosen, values = np.take_along_axis(chosen, order, 1), np.take_along_axis(values, order, 1)
    said = np.take_along_axis(tokens.reshape(count, -1), chosen, 1)
    return said.astype(np.int32), chosen // most, values


def _greatest(rows: Array, most: int) -> NDArray[np.int64]:
    """The places of the `most` greatest numbers of each row, in their order there."""
    if most == rows.shape[1]:
        return np.broadcast_to(np.arange(most), rows.shape)
    return np.sort(np.argpartition(-rows, most - 1, axis=1)[:, :most], axis=1)


def _weight(size: int, alpha: float) -> float:
    """((5 + |y|) / 6)^α"""
    return float(((5 + size) / 6) ** alpha)
