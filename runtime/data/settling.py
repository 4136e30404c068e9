"""Vocabularies from the train part alone, once all steps of a data pipe are known.

In: a data set whose fields hold numbers of a lexicon. Out: the same set with a vocabulary for each
such field, and the numbers changed to it. A trained net's own vocabularies take the place of those
of the data (E432 where they are of another kind).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...dsl.diagnostics import fail
from ...dsl.source import Span
from .dataset import Column, Columns, Dataset
from .vocabulary import UNKNOWN, Lexicon, Vocabulary
from .windows import Windows

Counts = NDArray[np.int64]


def settle_vocabularies(
    dataset: Dataset, known: Mapping[str, Vocabulary], span: Span | None = None
) -> Dataset:
    """Decide every vocabulary that is open. `known`: those of a trained net, by field."""
    groups: dict[Lexicon, list[str]] = {}
    for name, column in dataset.train.columns.items():
        if column.lexicon is not None:
            groups.setdefault(column.lexicon, []).append(name)
    for lexicon, names in groups.items():
        given = next((known[name] for name in names if name in known), None)
        if given is None:
            given = lexicon.vocabulary(_counts(dataset, lexicon, names))
        else:
            _check(names[0], given, lexicon, span)
        dataset = _numbered(dataset, names, lexicon, given, span)
    for name, column in dataset.train.columns.items():
        if name in known and column.field.vocabulary != known[name]:
            raise _other_kind(name, "the data's own is another one", span)
    return dataset


def _counts(dataset: Dataset, lexicon: Lexicon, names: list[str]) -> Counts:
    """How often the train part has each token."""
    part, size = dataset.train, len(lexicon.words)
    columns = [part.columns[name] for name in names]
    windows = [c.raw for c in columns if isinstance(c.raw, Windows)]
    if windows:  # each token of the text once, however many windows show it
        covered = np.logical_or.reduce([w.covered(part.indices) for w in windows])
        return np.bincount(windows[0].numbers[covered], minlength=size)
    total = np.zeros(size, np.int64)
    for column in columns:
        total += np.bincount(np.asarray(column.raw[part.indices]).ravel(), minlength=size)
    return total


def _numbered(
    dataset: Dataset, names: list[str], lexicon: Lexicon, vocabulary: Vocabulary, span: Span | None
) -> Dataset:
    table = lexicon.table(vocabulary)
    shared: dict[int, NDArray[np.int32]] = {}  # windows of one text stay windows of one text

    def change(columns: Columns) -> Columns:
        changed = dict(columns)
        for name in names:
            changed[name] = _translated(columns[name], table, vocabulary, shared)
        return changed

    found = dataset.mapped(change)
    if vocabulary.special(UNKNOWN) is None and len(table) and table.min() < 0:
        word = lexicon.words[int(table.argmin())]
        raise _other_kind(names[0], f"it has no `{word}`, and no `<unk>`", span)
    return found


def _translated(
    column: Column,
    table: NDArray[np.int32],
    vocabulary: Vocabulary,
    shared: dict[int, NDArray[np.int32]],
) -> Column:
    raw = column.raw
    if isinstance(raw, Windows):
        numbers = shared.setdefault(id(raw.numbers), table[raw.numbers])
        raw = raw.with_numbers(numbers)
    else:
        raw = table[np.asarray(raw)]
    field = replace(column.field, classes=len(vocabulary), vocabulary=vocabulary)
    return replace(column, raw=raw, field=field, lexicon=None)


def _check(name: str, given: Vocabulary, lexicon: Lexicon, span: Span | None) -> None:
    special = tuple(word for word in given.words[:4] if given.special(word) is not None)
    if special != lexicon.special:
        raise _other_kind(name, "its special tokens are others", span)
    if given.unit != lexicon.unit:
        raise _other_kind(name, f"it knows {given.unit}s, the data have {lexicon.unit}s", span)
    if given.lower != lexicon.lower:
        raise _other_kind(name, "one of them has small letters only", span)


def _other_kind(name: str, why: str, span: Span | None) -> Exception:
    return fail(
        "E432",
        f"the trained net's vocabulary for `{name}` does not go with these data: {why}",
        span,
        help="use the data declaration that the net was trained with, or train afresh",
    )
