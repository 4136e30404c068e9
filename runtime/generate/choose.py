"""Choosing tokens by their scores: the likeliest, or one by chance.

In: scores [rows, k]. Out: a token for each row, and the logarithm of its probability. Chance is
counted, not drawn from a stream: the number for place t of sample i depends on (seed, i, t) alone,
so that a text does not depend on what else is generated, nor on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compiler.random import uniform
from .stepper import Stepper, Tokens

Array = NDArray[Any]
STREAM = 0x67656E  # of these draws: no draw of a net has so high a number
SHRINK = 0.5  # rows that are done are dropped when no more than this share goes on


def log_softmax(scores: Array, never: Sequence[int] = ()) -> NDArray[np.float64]:
    """Logarithms of probabilities, of which the tokens `never` have none."""
    scores = possible(scores, never)
    return scores.astype(np.float64) - log_total(scores)


def possible(scores: Array, never: Sequence[int]) -> Array:
    """The scores, and -∞ for the tokens `never`."""
    if never:
        scores = scores.copy()
        scores[:, list(never)] = -np.inf
    return scores


def log_total(scores: Array) -> NDArray[np.float64]:
    """log Σ exp of each row, [rows, 1]."""
    top = scores.max(axis=1, keepdims=True)
    total = np.exp(scores - top).sum(axis=1, keepdims=True, dtype=np.float64)
    return np.asarray(np.log(total) + top)


class Likeliest:
    """Greedy: the token of the highest score; the first of equal ones."""

    def __init__(self, never: Sequence[int] = ()) -> None:
        self.never = never

    def __call__(self, scores: Array, place: int, rows: Array) -> tuple[Tokens, Array]:
        scores = possible(scores, self.never)
        tokens = scores.argmax(axis=1)
        logs = scores[np.arange(len(scores)), tokens] - log_total(scores)[:, 0]
        return tokens.astype(np.int32), logs


class ByChance:
    """A token with the probability softmax(scores / temperature), among the `top_k` likeliest."""

    def __init__(
        self, numbers: Sequence[int], length: int, seed: int, temperature: float = 1.0,
        top_k: int | None = None, never: Sequence[int] = (),
    ) -> None:  # fmt: skip
        self.temperature, self.top_k, self.never = temperature, top_k, never
        drawn = np.stack([uniform((length,), STREAM, "f64", seed, n) for n in numbers])
        self._drawn = drawn * (1 - 2.0**-52)  # so that u·total stays below the total when rounded

    def __call__(self, scores: Array, place: int, rows: Array) -> tuple[Tokens, Array]:
        z = log_softmax(scores, self.never)
        p = z / self.temperature
        if self.top_k is not None and self.top_k < p.shape[1]:
            least = np.partition(p, -self.top_k, axis=1)[:, -self.top_k, None]
            p[p < least] = -np.inf
        p -= p.max(axis=1, keepdims=True)
        below = np.exp(p, out=p).cumsum(axis=1)
        wanted = self._drawn[rows, place] * below[:, -1]
        tokens = (below > wanted[:, None]).argmax(axis=1)
        return tokens.astype(np.int32), z[np.arange(len(z)), tokens]


def write(
    stepper: Stepper, start: Sequence[int], length: int, choose: Likeliest | ByChance,
    end: int | None = None,
) -> list[tuple[list[int], float]]:  # fmt: skip
    """Token after token in every row until all have said `end`, `length` at most: the tokens
    without `end`, and the logarithm of their probability."""
    count = stepper.rows
    rows = np.arange(count)  # which row of the result each row of the stepper is
    said = np.zeros((length, count), np.int32)
    sums, sizes = np.zeros(count), np.full(count, length)
    scores = feed(stepper, start)
    for place in range(length):
        tokens, gains = choose(scores, place, rows)
        said[place, rows] = tokens
        sums[rows] += gains
        if end is not None:
            ended = tokens == end
            sizes[rows[ended & (sizes[rows] == length)]] = place
            going = sizes[rows] == length
            if not going.any():
                break
            if going.mean() <= SHRINK:
                kept = np.flatnonzero(going)
                stepper.keep(kept)
                rows, tokens = rows[kept], tokens[kept]
        if place + 1 < length:
            scores = stepper.step(tokens)
    return [(said[: sizes[i], i].tolist(), float(sums[i])) for i in range(count)]


def feed(stepper: Stepper, start: Sequence[int]) -> Array:
    """The scores after the tokens that everything begins with."""
    scores = np.zeros((0, 0))
    for token in start:
        scores = stepper.step(np.full(stepper.rows, token, np.int32))
    return scores
