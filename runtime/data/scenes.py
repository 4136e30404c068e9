"""The source `scenes`: pictures of one or two handwritten digits, and what can be said of them.

In: MNIST. Out: `image` [1, 56, 56], and a caption as `target` and `next`, laid out like those of
`pairs`. Scenes to train on show MNIST's train digits, scenes to test show its test digits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .arguments import Given, Parameter
from .dataset import Array, Column, Dataset, Field, whole
from .idx import mnist_dataset
from .pairs import Spoken, spoken_columns
from .registry import source
from .tasks import TESTED, random_words
from .vocabulary import SPECIAL, Vocabulary

EDGE, DIGIT = 56, 28
NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WORDS = Vocabulary((*SPECIAL, "a", "an", "left", "of", "above", *NUMERALS), "word")
SLACK = 13  # pixels by which two digits stand askew, in all
KINDS = ("alone", "beside", "above")


@source(
    "scenes",
    Parameter("folder", "text", None),
    Parameter("n", "integer", 20_000, 1, 1_000_000),
    Parameter("seed", "integer", 0, 0, 2**63 - 1),
)
def scenes(given: Given) -> Dataset:
    """Scenes of MNIST digits and their captions: `image` [1, 56, 56], `target` and `next`.

    `a four`, `a three left of a seven`, `a two above a nine`. The test part, a tenth as many, is
    made of MNIST's test digits.
    """
    n, seed = given.integer("n"), given.integer("seed")
    digits = mnist_dataset(given)
    made = []
    for count, part, stream in ((n, digits.train, 0), (max(1, n // TESTED), digits.test, 1)):
        pictures = np.asarray(part.columns["image"].raw).reshape(-1, DIGIT, DIGIT)
        labels = np.asarray(part.columns["digit"].raw)
        made.append(_scenes(count, pictures, labels, seed, stream))
    return whole("scenes", made[0], made[1], note=digits.note)


def _scenes(n: int, pictures: Array, labels: Array, seed: int, stream: int) -> list[Column]:
    bits = random_words(4 * n, seed, stream).reshape(4, n)
    kinds = (bits[0] % np.uint64(len(KINDS))).astype(np.int64)
    first, second = ((b % np.uint64(len(labels))).astype(np.int64) for b in bits[1:3])
    images = np.zeros((n, 1, EDGE, EDGE), np.uint8)
    places = _places(kinds, bits[3])
    for i in range(n):
        y, x, v, u = places[i]
        images[i, 0, y : y + DIGIT, x : x + DIGIT] = pictures[first[i]]
        if kinds[i]:
            seen = images[i, 0, v : v + DIGIT, u : u + DIGIT]
            np.maximum(seen, pictures[second[i]], out=seen)
    said = [_caption(int(k), int(a), int(b)) for k, a, b in
            zip(kinds, labels[first], labels[second], strict=True)]  # fmt: skip
    longest = len(_caption(1, 0, 0))
    columns = spoken_columns(Spoken([(0,)] * n, list(said)), (1, longest + 1), WORDS, WORDS)
    field = Field("image", (1, EDGE, EDGE))
    image = Column(field, images, unit=255.0, pooled=True, image=(1, EDGE, EDGE))
    return [image, columns["target"], columns["next"]]


def _caption(kind: int, first: int, second: int) -> list[int]:
    words = [*_named(first)]
    if kind:
        words += [*(("left", "of") if kind == 1 else ("above",)), *_named(second)]
    return [WORDS.numbers[word] for word in words]


def _named(digit: int) -> tuple[str, str]:
    return "an" if NUMERALS[digit] == "eight" else "a", NUMERALS[digit]


def _places(kinds: NDArray[np.int64], bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Row and column of the first digit, row and column of the second.

    MNIST's ink lies in the middle 20 × 20 pixels, so that neighbours may overlap by a few. One
    digit stands anywhere.
    """
    drawn = np.stack([(bits >> np.uint64(shift)) for shift in (0, 12, 24, 36)], axis=1)
    free = (drawn % np.uint64(EDGE - DIGIT + 1)).astype(np.int64)
    near = (drawn % np.uint64(4)).astype(np.int64)  # from the edge inwards
    askew = (drawn % np.uint64(SLACK)).astype(np.int64) + (EDGE - DIGIT - SLACK) // 2
    far = EDGE - DIGIT - near
    beside = np.stack([askew[:, 0], near[:, 1], askew[:, 2], far[:, 3]], axis=1)
    above = np.stack([near[:, 0], askew[:, 1], far[:, 2], askew[:, 3]], axis=1)
    return np.where((kinds == 0)[:, None], free, np.where((kinds == 1)[:, None], beside, above))
