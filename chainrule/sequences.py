"""Sequences that a user brings: texts, or rows of different lengths, as a net's input takes them.

In: a text or a list of texts for an input with a vocabulary; an array or a list of arrays for any
input of steps. Out: an array `[n, T, …]` padded with zeros, and the length of each. Raises Failure
E610 for what is no sequence, E432 for a token that the net does not know, E433 for one too long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import batch_of
from .compiler.graph import Leaf
from .dsl.diagnostics import fail
from .runtime.data import Vocabulary
from .runtime.data.dataset import LENGTH

Array = NDArray[Any]


def has_steps(leaf: Leaf) -> bool:
    """Is its first axis the steps of a sequence?"""
    t = leaf.value.type
    return bool(leaf.value.attrs.get("clock")) or (t.classes is not None and len(t.shape) == 1)


def is_single(leaf: Leaf, given: Any) -> bool:
    """Is it one example, not several?"""
    if not has_steps(leaf):
        return bool(np.shape(given) == leaf.value.shape)
    if isinstance(given, np.ndarray):
        return bool(given.ndim == len(leaf.value.shape))
    return isinstance(given, str)


def batches(
    leaves: Mapping[str, Leaf],
    given: Mapping[str, Any],
    vocabularies: Callable[[], Mapping[str, Vocabulary]],
) -> dict[str, Array]:
    """Examples as the compiled net takes them; of sequences, their lengths too. `vocabularies`
    by input, looked up only for tokens: they may have to be read from the data."""
    ready: dict[str, Array] = {}
    for name, examples in given.items():
        leaf = leaves[name]
        if has_steps(leaf) and not _is_full(leaf, examples):
            known = vocabularies().get(name) if _is_text(examples) else None
            ready[name], ready[name + LENGTH] = sequences(leaf, examples, known)
        else:
            ready[name] = batch_of(leaf, examples)
    return ready


def _is_full(leaf: Leaf, given: Any) -> bool:
    """An array with all steps of every example, in whatever axes."""
    if not isinstance(given, np.ndarray) or not given.ndim:
        return False
    return given.shape == leaf.value.shape or given.size == len(given) * leaf.value.type.size > 0


def _is_text(given: Any) -> bool:
    first = given[0] if isinstance(given, list | tuple) and given else given
    return isinstance(first, str)


def sequences(leaf: Leaf, given: Any, vocabulary: Vocabulary | None) -> tuple[Array, Array]:
    """Examples of one input, and their lengths."""
    rows = [_row(leaf, row, vocabulary) for row in _rows(leaf, given)]
    if not rows:
        raise fail("E610", f"`{leaf.name}` holds no examples")
    t = leaf.value.type
    steps = t.shape[0]
    out = np.zeros((len(rows), *t.shape), t.numpy)
    for number, row in enumerate(rows):
        if len(row) > steps:
            raise fail(
                "E433",
                f"example {number} of `{leaf.name}` has {len(row)} steps, and the net takes "
                f"{steps} at most",
                help="shorten it; how many steps a net takes comes from its training data",
            )
        out[number, : len(row)] = row
    return out, np.array([len(row) for row in rows], np.int32)


def _rows(leaf: Leaf, given: Any) -> Sequence[Any]:
    """One example, or several: told apart by the number of axes."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, np.ndarray) and given.ndim:
        return [given] if given.ndim == len(leaf.value.shape) else list(given)
    if not isinstance(given, Sequence) or not len(given):
        raise fail("E610", f"`{leaf.name}` is a sequence, or a list of sequences")
    first = given[0]
    return given if isinstance(first, str) or np.ndim(first) == len(leaf.value.shape) else [given]


def _row(leaf: Leaf, row: Any, vocabulary: Vocabulary | None) -> Array:
    t = leaf.value.type
    if isinstance(row, str):
        if vocabulary is None:
            message = f"`{leaf.name}` has no vocabulary to read a text with"
            raise fail("E610", message, help="give the numbers of its tokens")
        row = vocabulary.encode(row)
    values = np.asarray(row)
    if values.dtype.kind not in "fiub" or values.shape[1:] != t.shape[1:] or not values.ndim:
        shown = ", ".join(["steps", *map(str, t.shape[1:])])
        message = f"an example of `{leaf.name}` is [{shown}] of numbers, got {list(values.shape)}"
        raise fail("E610", message)
    if t.classes is not None and values.size:
        wrong = values[(values < 0) | (values >= t.classes)]
        if len(wrong):
            message = f"`{leaf.name}` holds tokens from 0 to {t.classes - 1}, not {wrong[0]}"
            raise fail("E432", message)
    return values
