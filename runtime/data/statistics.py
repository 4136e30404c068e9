"""Mean and deviation of fields, from the train part alone.

In: a data set whose columns ask to be normalised. Out: the same set with the numbers filled in,
the same for every part. They are taken at the very end, so that `normalize` means the train part
even where it is written before `split`, and no knowledge of the held-out examples leaks in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from .dataset import Array, Column, Columns, Dataset, Part

_BLOCK = 8 << 20  # bytes of float64 in work at a time
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
    width = max(1, column.field.size) * 8
    step = max(1, _BLOCK // width)
    count, mean, squares = 0.0, np.zeros(()), np.zeros(())
    for start in range(0, len(part), step):
        # Plain source values: `mean` is not set yet.
        raw = column.raw[part.indices[start : start + step]].astype(np.float64) / column.unit
        rows = raw.reshape(-1) if column.normalize == "field" else raw
        n = float(len(rows))
        own = rows.mean(axis=0)
        delta = own - mean
        squares = squares + ((rows - own) ** 2).sum(axis=0) + delta**2 * (count * n / (count + n))
        mean = mean + delta * (n / (count + n))
        count += n
    deviation = np.sqrt(squares / max(count, 1.0))
    flat = deviation <= 1e-12 * np.maximum(1.0, np.abs(mean))
    return np.asarray(mean), np.where(flat, 1.0, deviation)


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
    mean, deviation = (np.asarray(facts[key], np.float64) for key in ("mean", "std"))
    shape = array.shape[1:] if mean.size > 1 else ()
    mean, deviation = mean.reshape(shape), deviation.reshape(shape)
    changed = array * deviation + mean if undo else (array - mean) / deviation
    return changed.astype(array.dtype)
