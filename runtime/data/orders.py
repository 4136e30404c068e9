"""In which order training takes the examples of an epoch.

In: a part, a batch size, a seed, an epoch. Out: positions in the part; consecutive ones of `batch`
each are the batches, and only the last may be short. Every order is a pure function of its
arguments, so that training resumes at any step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .batches import permutation
from .dataset import Bucket, Indices, Part

_BATCHES = 2**62  # added to an epoch: the order of its batches is not that of its examples


def epoch_order(
    part: Part, batch: int, seed: int, epoch: int, *, shuffle: bool = True,
    bucket: Bucket | None = None, stateful: bool = False,
) -> Indices:  # fmt: skip
    """The order that training asks for. `stateful`: row e of a batch goes on where row e of the
    batch before ended; else examples of similar length together where there is a `bucket`."""
    if stateful:
        return streams(len(part), batch)
    if bucket is not None and shuffle:
        return bucketed(_keys(part, bucket), batch, seed, epoch)
    if shuffle:
        return permutation(len(part), seed, epoch)
    return np.arange(len(part), dtype=np.int64)


def streams(n: int, batch: int) -> Indices:
    """n examples that follow one another, read at `batch` places at once: every batch goes on
    where the one before ended, row by row. What is left over (fewer than `batch`) is left out."""
    steps = n // batch
    return np.arange(steps * batch, dtype=np.int64).reshape(batch, steps).T.ravel()


def bucketed(keys: NDArray[np.int64], batch: int, seed: int, epoch: int) -> Indices:
    """Examples with equal keys [n, fields] together, otherwise by chance; then the batches by
    chance. A short batch comes last, and which examples it holds changes from epoch to epoch."""
    n = len(keys)
    order = permutation(n, seed, epoch)
    by_key = np.lexsort(keys[order].T[::-1])
    full = n // batch
    spare = permutation(full + 1, seed, epoch + _BATCHES)[0] * batch if n % batch else full * batch
    rest = n - full * batch
    grouped = order[by_key]
    short = grouped[spare : spare + rest]
    grouped = np.concatenate([grouped[:spare], grouped[spare + rest :]])
    turn = permutation(full, seed, epoch + _BATCHES)
    return np.concatenate([grouped.reshape(full, batch)[turn].ravel(), short])


def by_length(part: Part, fields: tuple[str, ...]) -> Indices:
    """For measuring: the shortest first, so that little is computed for nothing."""
    varying = [f for f in fields if f in part.varying]
    if not varying:
        return np.arange(len(part), dtype=np.int64)
    return np.lexsort([part.lengths(f) for f in reversed(varying)]).astype(np.int64)


def _keys(part: Part, bucket: Bucket) -> NDArray[np.int64]:
    """Which bucket each example is in, by each of the fields."""
    fields = bucket.fields or part.varying
    return np.stack([part.lengths(f) // bucket.width for f in fields], axis=1)
