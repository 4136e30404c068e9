"""Mean and deviation of fields, from the train part alone.

In: a data set whose columns ask to be normalised. Out: the same set with the numbers filled in,
the same for every part. They are taken at the very end, so that `normalize` means the train part
even where it is written before `split`, and no knowledge of the held-out examples leaks in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from .batches import permutation
from .dataset import Array, Column, Columns, Dataset, Part

_BLOCK = 8 << 20  # bytes of float64 in work at a time
SAMPLE = 4096  # pictures whose channels are measured, where they are decoded as they are taken
_SAMPLED = 2**63 + 2  # an epoch that training never reaches
Statistics = Mapping[str, Mapping[str, Sequence[float]]]


def settle(dataset: Dataset) -> Dataset:
    """Compute every mean and deviation that was asked for."""
    found: dict[str, tuple[Array, Array]] = {}
    for name, column in dataset.train.columns.items():
        if column.normalize:
            found[name] = moments(dataset.train, column)
    if not found:
        return dataset

    def fill(columns: Columns) -> Columns:
        filled = dict(columns)
        for name, (mean, deviation) in found.items():
            filled[name] = replace(columns[name], normalize="", mean=mean, deviation=deviation)
        return filled

    return dataset.mapped(fill)


def moments(part: Part, column: Column) -> tuple[Array, Array]:
    """(mean, deviation) by blocks, merged as Chan, Golub & LeVeque (1983) do: exact and stable.

    A feature that never varies gets deviation 1: it becomes 0, not NaN.
    """
    if column.normalize == "channel":
        return _channels(part, column)
    if column.normalize == "step":
        return _sequences(part, column)
    step = _rows_at_once(column)
    count, mean, squares = 0.0, np.zeros(()), np.zeros(())
    for start in range(0, len(part), step):
        # Plain source values: `mean` is not set yet.
        raw = column.pictures(column.raw[part.indices[start : start + step]])
        raw = raw.astype(np.float64) / column.unit
        rows = raw.reshape(-1) if column.normalize == "field" else raw
        n = float(len(rows))
        own = rows.mean(axis=0)
        delta = own - mean
        squares = squares + ((rows - own) ** 2).sum(axis=0) + delta**2 * (count * n / (count + n))
        mean = mean + delta * (n / (count + n))
        count += n
    return _settled(np.asarray(mean), np.asarray(squares / max(count, 1.0)))


def _rows_at_once(column: Column) -> int:
    return max(1, _BLOCK // (max(1, int(np.prod(column.raw.shape[1:]))) * 8))


def _settled(mean: Array, variance: Array) -> tuple[Array, Array]:
    deviation = np.sqrt(variance)
    flat = deviation <= 1e-12 * np.maximum(1.0, np.abs(mean))
    return mean, np.where(flat, 1.0, deviation)


def _sequences(part: Part, column: Column) -> tuple[Array, Array]:
    """Mean and deviation of each feature over the steps that there are, the same at each step."""
    raw = np.asarray(column.raw[part.indices], np.float64) / column.unit
    steps = raw.shape[1]
    lengths = column.length_column().rows(part.indices)
    rows = raw[np.arange(steps) < lengths[:, None]]
    mean, deviation = _settled(rows.mean(axis=0), rows.var(axis=0))
    shape = column.field.shape
    return np.broadcast_to(mean, shape).copy(), np.broadcast_to(deviation, shape).copy()


def _channels(part: Part, column: Column) -> tuple[Array, Array]:
    """Mean and deviation of each channel of pictures, [C, 1, 1].

    Bytes are counted, so that their sums are exact. Of pictures that are decoded as they are
    taken, a drawn sample is looked at: its error is far below what training could notice.
    """
    assert column.image is not None
    indices = part.indices
    if not isinstance(column.raw, np.ndarray) and len(indices) > SAMPLE:
        indices = np.sort(indices[permutation(len(indices), 0, _SAMPLED)[:SAMPLE]])
    channels, step = column.image[0], _rows_at_once(column)
    counts = np.zeros((channels, 256), np.int64)
    sums = np.zeros((3, channels))
    for start in range(0, len(indices), step):
        rows = column.pictures(column.raw[indices[start : start + step]])
        for c in range(channels):
            values = rows[:, c].ravel()
            if rows.dtype == np.uint8:
                counts[c] += np.bincount(values, minlength=256)
            else:
                wide = values.astype(np.float64)
                sums[:, c] += wide.size, wide.sum(), (wide**2).sum()
    if counts.any():
        levels = np.arange(256)
        sums = np.stack([counts.sum(1), counts @ levels, counts @ levels**2]).astype(np.float64)
    mean = sums[1] / np.maximum(sums[0], 1)
    variance = np.maximum(sums[2] / np.maximum(sums[0], 1) - mean**2, 0)
    shape = (channels, 1, 1)
    return _settled((mean / column.unit).reshape(shape), (variance / column.unit**2).reshape(shape))


def apply_statistics(values: Mapping[str, Array], statistics: Statistics) -> dict[str, Array]:
    """Normalise a user's examples as the training data were."""
    return {
        name: _affine(array, statistics.get(name), undo=False) for name, array in values.items()
    }


def undo_statistics(values: Mapping[str, Array], statistics: Statistics) -> dict[str, Array]:
    """Back to the units of the data, for the predictions of a normalised target."""
    return {name: _affine(array, statistics.get(name), undo=True) for name, array in values.items()}


def _affine(array: Array, facts: Mapping[str, Sequence[float]] | None, undo: bool) -> Array:
    if facts is None:
        return array
    # One number for all, one for each channel (the first axis), or one for each feature.
    mean, deviation = (np.asarray(facts[key], np.float64)[:, None] for key in ("mean", "std"))
    rows = array.reshape(len(array), len(mean), -1) if array.size else array.reshape(0, 1, 1)
    changed = rows * deviation + mean if undo else (rows - mean) / deviation
    return changed.reshape(array.shape).astype(array.dtype)
