"""The source `text`: windows over one long text, each with the same one token further on.

In: a file, plain or packed. Out: fields `text` and `next`, numbers of a lexicon; the vocabulary is
settled when the train part is known. Parts of a text are blocks of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .arguments import Given, Parameter
from .dataset import Column, Dataset, Field, whole
from .places import find_file
from .registry import source
from .text_files import read_text
from .vocabulary import UNITS, UNKNOWN, Lexicon, Numbering, split_tokens
from .windows import Windows

LIMIT = Parameter("vocabulary", "integer", None, 2, 10_000_000)
LOWER = Parameter("lower", "flag", False)


def unit_of(given: Given) -> str:
    """`char` or `word`. Raises E409."""
    unit = str(given.values["unit"])
    if unit not in UNITS:
        raise given.fail("E409", f'`unit` is "char" or "word", not "{unit}"', "unit")
    return unit


@source(
    "text",
    Parameter("file", "text"),
    Parameter("window", "integer", 64, 1, 1_000_000),
    Parameter("stride", "integer", None, 1, 1_000_000_000),
    Parameter("unit", "word", "char"),
    LIMIT,
    LOWER,
)
def text(given: Given) -> Dataset:
    """A text in windows: `text` tokens[window, k], and `next`, the same one token further on.

    `stride` is from one window to the next, by default a window. Tokens are characters, or words
    and signs (`unit = "word"`); `vocabulary` is the most that k may be. `split` holds out blocks.
    """
    path, unit, lower = find_file(given, "file"), unit_of(given), given.flag("lower")
    read = read_text(path, given, "file", lower)
    if not read.strip():
        raise given.fail("E427", f"`{path}` is empty", "file")
    limit = given.values["vocabulary"]
    assert limit is None or isinstance(limit, int)
    numbers, lexicon = _characters(read, lower, limit) if unit == "char" else _words(
        read, lower, limit
    )  # fmt: skip
    window = given.integer("window")
    stride = window if given.values["stride"] is None else given.integer("stride")
    count = (len(numbers) - 1 - window) // stride + 1
    if count < 1:
        raise given.fail(
            "E430",
            f"`{path.name}` has {len(numbers):,} {unit}s, too few for a window of {window}",
            "window",
            help=f"a window of {max(1, min(64, (len(numbers) - 1) // 2))} would do",
        )
    columns = []
    for offset, name in enumerate(("text", "next")):
        field = Field(name, (window,), "i32", target=offset == 1, sequence=True)
        raw = Windows(numbers, window, stride, count, offset)
        columns.append(Column(field, raw, lexicon=lexicon))
    made = whole("text", columns, note=f"{len(numbers):,} {unit}s, window {window}")
    # Between two parts as many windows are left out as share a token to be predicted.
    return replace(made, gap=-(-window // stride) - 1)


def _characters(text: str, lower: bool, limit: int | None) -> tuple[NDArray[np.int32], Lexicon]:
    """By NumPy: a novel has a million."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    number_of = np.zeros(0x110000, np.int32)
    number_of[points] = 1
    different = np.flatnonzero(number_of)
    number_of[different] = np.arange(1, len(different) + 1)
    words = (UNKNOWN, *(chr(point) for point in different))
    return number_of[points], Lexicon(words, (UNKNOWN,), "char", lower, limit)


def _words(text: str, lower: bool, limit: int | None) -> tuple[NDArray[np.int32], Lexicon]:
    numbering = Numbering((UNKNOWN,))
    numbers = np.array(numbering(split_tokens(text, "word")), np.int32)
    return numbers, numbering.lexicon("word", lower, limit)
