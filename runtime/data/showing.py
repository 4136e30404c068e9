"""Examples of tokens as people read them.

In: a data set with vocabularies, or numbers and a vocabulary. Out: lines of text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np

from .dataset import Array, Dataset
from .vocabulary import Vocabulary

WIDEST = 72  # characters of a text that are shown


def shown_examples(dataset: Dataset, count: int) -> list[str]:
    """The first examples of the train part, every field of tokens as text; nothing without one."""
    known = dataset.vocabularies
    part = dataset.train
    rows = np.arange(min(count, len(part)), dtype=np.int64)
    if not known or not len(rows):
        return []
    widest = max(map(len, known))
    lines: list[str] = []
    arrays = {name: part.rows(name, rows) for name in known}
    lengths = {name: part.lengths(name)[rows] for name in known}
    for row in rows:
        for name, words in known.items():
            numbers = arrays[name][row, : lengths[name][row]]
            lines.append(f"  {name:<{widest}}  {quoted(words.text(numbers))}")
    return ["the first of train:", *lines]


def texts_of(numbers: Array, vocabulary: Vocabulary, lengths: Iterable[int] | None) -> list[str]:
    """Rows of numbers as texts, each as long as it says."""
    steps = lengths if lengths is not None else [numbers.shape[1]] * len(numbers)
    return [vocabulary.text(row[:n]) for row, n in zip(numbers, steps, strict=True)]


def quoted(text: str) -> str:
    """On one line, in quotes, not too long."""
    cut = text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
    return json.dumps(cut, ensure_ascii=False)
