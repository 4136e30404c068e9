"""Write runtime/data/embedded/*.npz from scikit-learn. Run by developers, never by users.

    python scripts/embed_datasets.py

The package does not load these sets through scikit-learn: that would make SciPy a dependency and
add about a second of import to every start.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn import datasets

TARGET = Path(__file__).resolve().parents[1] / "runtime" / "data" / "embedded"


def save(name: str, **arrays: np.ndarray) -> None:
    path = TARGET / f"{name}.npz"
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {path.stat().st_size} bytes")


def words(items: object) -> np.ndarray:
    return np.array([str(item) for item in items])  # fixed-width text: no pickle


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    digits = datasets.load_digits()
    save("digits", x=digits.data.astype(np.uint8), y=digits.target.astype(np.int32))
    diabetes = datasets.load_diabetes()
    save("diabetes", x=diabetes.data, y=diabetes.target, columns=words(diabetes.feature_names))
    iris = datasets.load_iris()
    save(
        "iris",
        x=iris.data,
        y=iris.target.astype(np.int32),
        columns=words(iris.feature_names),
        labels=words(iris.target_names),
    )
    wine = datasets.load_wine()
    save(
        "wine",
        x=wine.data,
        y=wine.target.astype(np.int32),
        columns=words(wine.feature_names),
        labels=words(["grower 1", "grower 2", "grower 3"]),
    )
    cancer = datasets.load_breast_cancer()
    save(
        "breast_cancer",
        x=cancer.data,
        y=(cancer.target == 0).astype(np.int32),  # there, 0 is malignant; here, 1 is
        columns=words(cancer.feature_names),
        labels=words(["benign", "malignant"]),
    )


if __name__ == "__main__":
    main()
