"""The source `copy`: rows of bits to be said again from memory.

The task of Graves, Wayne & Danihelka, "Neural Turing Machines" (2014), section 4.1. In: a count,
lengths, a seed. Out: `inputs`, `targets` and `weight`, padded with zeros, with their lengths.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .arguments import Given, Parameter
from .dataset import Column, Dataset, Field, whole
from .registry import source
from .tasks import TESTED, random_words

Floats = NDArray[np.float32]


@source(
    "copy",
    Parameter("n", "integer", 10_000, 1, 10_000_000),
    Parameter("length", "integer", 20, 1, 10_000),
    Parameter("width", "integer", 8, 1, 64),
    Parameter("least", "integer", 1, 1, 10_000),
    Parameter("seed", "integer", 0, 0, 2**63 - 1),
)
def copy(given: Given) -> Dataset:
    """Bits to remember and say again: `inputs` [T, width + 2], `targets` [T, width], `weight` [T].

    A start signal, L rows of bits (L from `least` to `length`), an end signal; then L blank rows,
    at which the bits are wanted: `weight` is 1 there and 0 elsewhere. The test part is a tenth.
    """
    n, least, longest = (given.integer(name) for name in ("n", "least", "length"))
    if least > longest:
        message = f"`least` is {least}, which is above `length`, {longest}"
        raise given.fail("E409", message, "least")
    parts = [_columns(given, count, test) for count, test in ((n, 0), (max(1, n // TESTED), 1))]
    return whole("copy", parts[0], parts[1])


def _columns(given: Given, n: int, stream: int) -> list[Column]:
    least, longest, width = (given.integer(name) for name in ("least", "length", "width"))
    seed, steps = given.integer("seed"), 2 * longest + 2
    choices = np.uint64(longest - least + 1)
    lengths = (random_words(n, seed, 2 * stream) % choices).astype(np.int64) + least
    words = random_words(n * longest, seed, 2 * stream + 1).reshape(n, longest, 1)
    bits = (words >> np.arange(width, dtype=np.uint64)) & np.uint64(1)
    inside = np.arange(longest) < lengths[:, None]
    drawn: Floats = (bits * inside[..., None]).astype(np.float32)
    inputs = np.zeros((n, steps, width + 2), np.float32)
    targets = np.zeros((n, steps, width), np.float32)
    rows = np.arange(n)
    inputs[:, 0, width] = 1  # start
    inputs[:, 1 : longest + 1, :width] = drawn
    inputs[rows, lengths + 1, width + 1] = 1  # end
    for length in range(least, longest + 1):
        same = np.flatnonzero(lengths == length)
        targets[same, length + 2 : 2 * length + 2] = drawn[same, :length]
    at = np.arange(steps)
    weight = ((at >= lengths[:, None] + 2) & (at < 2 * lengths[:, None] + 2)).astype(np.float32)
    total = (2 * lengths + 2).astype(np.int32)
    made = {"inputs": inputs, "targets": targets, "weight": weight}
    return [
        Column(
            Field(name, values.shape[1:], target=name != "inputs", sequence=True),
            values,
            lengths=total,
        )
        for name, values in made.items()
    ]
