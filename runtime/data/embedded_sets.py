"""The small classical sets that come with the package.

They are kept as compressed NumPy files, made once by `scripts/embed_datasets.py`, so that a first
network trains without scikit-learn, which brings SciPy and a second of import time.
`embedded/README.md` names their sources and licences.
"""

from __future__ import annotations

from importlib import resources

import numpy as np

from .arguments import Given
from .dataset import Array, Column, Dataset, Field, Part, whole
from .registry import source


def _load(name: str) -> dict[str, Array]:
    path = resources.files(__package__) / "embedded" / f"{name}.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def _words(array: Array) -> tuple[str, ...]:
    return tuple(str(word) for word in array)


def _classified(name: str, target: str) -> Dataset:
    """Numeric `features` and one class target."""
    data = _load(name)
    labels = _words(data["labels"])
    features = Field("features", (data["x"].shape[1],), columns=_words(data["columns"]))
    kind = Field(target, (), "i32", classes=len(labels), labels=labels, target=True)
    return whole(name, [Column(features, data["x"]), Column(kind, data["y"])])


@source("digits")
def digits(given: Given) -> Dataset:
    """1,797 handwritten digits of 8×8 pixels: `image` [64] in 0…1, `digit` class[10].

    Every fifth example of each digit, in the order of the file, is the test part (355). The
    file's own order is not used for it: its last third is by other writers.
    """
    data = _load("digits")
    image = Column(Field("image", (64,)), data["x"], unit=16.0, pooled=True, image=(1, 8, 8))
    digit = Column(Field("digit", (), "i32", classes=10, target=True), data["y"])
    pool = {"image": image, "digit": digit}
    place = np.zeros(len(digit), np.int64)  # how many of the same digit came before
    for k in range(10):
        same = data["y"] == k
        place[same] = np.arange(np.count_nonzero(same))
    test = place % 5 == 4
    return Dataset(
        "digits",
        Part(pool, np.flatnonzero(~test)),
        Part(pool, np.arange(0)),
        Part(pool, np.flatnonzero(test)),
        own_test=True,
    )


@source("iris")
def iris(given: Given) -> Dataset:
    """150 irises (Fisher, 1936): `features` [4] in cm, `species` class[3]."""
    return _classified("iris", "species")


@source("wine")
def wine(given: Given) -> Dataset:
    """178 wines of three growers: `features` [13], `grower` class[3]."""
    return _classified("wine", "grower")


@source("breast_cancer")
def breast_cancer(given: Given) -> Dataset:
    """569 cell samples (Wolberg, 1995): `features` [30], `malignant` class[2].

    `malignant` (1 is malignant) also binds to an input of shape `[]`, for a logistic output.
    """
    return _classified("breast_cancer", "malignant")


@source("diabetes")
def diabetes(given: Given) -> Dataset:
    """442 patients (Efron et al., 2004): `features` [10], `target`, the progress of the illness.

    The features are centred and scaled to a sum of squares of 1, as they are usually published.
    """
    data = _load("diabetes")
    features = Field("features", (10,), columns=_words(data["columns"]))
    target = Field("target", (), target=True)
    return whole("diabetes", [Column(features, data["x"]), Column(target, data["y"])])
