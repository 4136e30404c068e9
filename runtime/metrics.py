"""Reports on predictions: what cannot be a mean over examples, or needs all of them at once.

In: predictions and targets as NumPy arrays, one row an example. Out: a `ClassReport` (accuracy,
top-k, confusion matrix, precision and recall of each class) or a `RegressionReport` (R², errors).
The metrics that a net itself names run in its graph and are averaged by the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def classes_of(scores: Array) -> NDArray[np.int64]:
    """The class that each row of scores says: the greatest; of one number, whether it is ≥ ½."""
    flat = scores.reshape(len(scores), -1)
    if flat.shape[1] == 1:
        return np.asarray(flat[:, 0] >= 0.5, np.int64)
    return np.asarray(flat.argmax(axis=1), np.int64)


def accuracy(scores: Array, labels: Array) -> float:
    """Share of rows whose greatest score is at the label."""
    return float(np.mean(classes_of(scores) == labels)) if len(labels) else float("nan")


def top_k(scores: Array, labels: Array, k: int) -> float:
    """Share of rows whose label is among the k greatest scores.

    A label counts where fewer than k scores are greater, so that ties favour it.
    """
    if not len(labels):
        return float("nan")
    flat = scores.reshape(len(scores), -1)
    own = np.take_along_axis(flat, labels.reshape(-1, 1).astype(np.int64), axis=1)
    return float(np.mean((flat > own).sum(axis=1) < k))


def confusion(predicted: Array, labels: Array, classes: int) -> NDArray[np.int64]:
    """`[true, predicted]` counts."""
    pairs = labels.astype(np.int64) * classes + predicted.astype(np.int64)
    counts = np.bincount(pairs, minlength=classes * classes)
    return np.asarray(counts.reshape(classes, classes), np.int64)


def r_squared(predicted: Array, target: Array) -> float:
    """1 − Σ(y − ŷ)² / Σ(y − ȳ)²; 0 where the target never changes and is not met."""
    y, p = _flat(target), _flat(predicted)
    missed = float(np.sum((y - p) ** 2))
    spread = float(np.sum((y - y.mean(axis=0)) ** 2))
    if spread == 0:
        return 1.0 if missed == 0 else 0.0
    return 1 - missed / spread


def _flat(values: Array) -> NDArray[np.float64]:
    return np.asarray(values, np.float64).reshape(len(values), -1)


@dataclass(frozen=True)
class ClassReport:
    """How well labels were told."""

    labels: tuple[str, ...]
    matrix: NDArray[np.int64]  # [true, predicted]
    accuracy: float
    top: dict[int, float]  # k -> share

    @property
    def precision(self) -> NDArray[np.float64]:
        """Of those called a class, the share that are of it; NaN where none was called so."""
        return _share(self.matrix.diagonal(), self.matrix.sum(axis=0))

    @property
    def recall(self) -> NDArray[np.float64]:
        """Of those of a class, the share that were called so."""
        return _share(self.matrix.diagonal(), self.matrix.sum(axis=1))

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of precision and recall: 2·hits / (called + present)."""
        called, present = self.matrix.sum(axis=0), self.matrix.sum(axis=1)
        return _share(2 * self.matrix.diagonal(), called + present)

    def as_json(self) -> dict[str, Any]:
        return {
            "accuracy": self.accuracy,
            "top_k": {str(k): share for k, share in self.top.items()},
            "labels": list(self.labels),
            "confusion": self.matrix.tolist(),
            "precision": _json(self.precision),
            "recall": _json(self.recall),
            "f1": _json(self.f1),
        }


def _share(part: Array, whole: Array) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(part / whole, np.float64)


def _json(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(v) else float(v) for v in values]


@dataclass(frozen=True)
class RegressionReport:
    """How well numbers were told."""

    r2: float
    rmse: float  # root of the mean squared error
    mae: float  # mean absolute error

    def as_json(self) -> dict[str, Any]:
        return {"r2": self.r2, "rmse": self.rmse, "mae": self.mae}


Report = ClassReport | RegressionReport


def class_report(
    scores: Array, labels: Array, classes: int, names: Sequence[str] = (), tops: Sequence[int] = ()
) -> ClassReport:
    """Everything told about the classes; `tops` are the k worth telling (those below the count)."""
    shown = tuple(names) if len(names) == classes else tuple(map(str, range(classes)))
    flat = scores.reshape(len(scores), -1)
    kept = {k: top_k(flat, labels, k) for k in tops if 1 < k < flat.shape[1]}
    return ClassReport(
        shown, confusion(classes_of(scores), labels, classes), accuracy(scores, labels), kept
    )


def regression_report(predicted: Array, target: Array) -> RegressionReport:
    """Everything told about the numbers."""
    error = _flat(predicted) - _flat(target)
    return RegressionReport(
        r_squared(predicted, target),
        float(np.sqrt(np.mean(error**2))),
        float(np.mean(np.abs(error))),
    )
