"""Order and batches: deterministic, complete, resumable, and clean when something breaks."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.dsl.parse import parse_expression
from chainrule.dsl.source import Source
from chainrule.runtime.data import Batches, Dataset, Part, Request, build_dataset, permutation


def build(text: str) -> Dataset:
    return build_dataset(parse_expression(Source("test.net", text)), base=Path())


def epoch(batch: int, **options: object) -> Batches:
    part = build("iris").train
    requests = {"x": Request("features", "f64"), "y": Request("species")}
    return Batches(part, requests, batch, seed=3, epoch=2, **options)  # type: ignore[arg-type]


def workers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "chainrule-data"]


@settings(max_examples=200, deadline=None)
@given(n=st.integers(0, 3000), seed=st.integers(0, 2**64 - 1), turn=st.integers(0, 2**64 - 1))
def test_a_permutation_holds_every_position_once(n: int, seed: int, turn: int) -> None:
    order = permutation(n, seed, turn)
    assert order.dtype == np.int64 and sorted(order.tolist()) == list(range(n))
    np.testing.assert_array_equal(order, permutation(n, seed, turn))


def test_a_permutation_changes_with_seed_and_epoch() -> None:
    orders = {tuple(permutation(50, s, e)) for s in range(10) for e in range(10)}
    assert len(orders) == 100


def philox(key: tuple[int, int], count: int) -> list[int]:
    """Philox4x64-10 from its paper (Salmon et al., 2011, section 3.4), counters from 1."""
    word, words = 2**64, []
    for counter in range(1, -(-count // 4) + 1):
        (a, b, c, d), (k, m) = (counter, 0, 0, 0), key
        for _ in range(10):
            low, high = a * 0xD2E7470EE14C6C93, c * 0xCA5A826395121157
            a, b, c, d = (high >> 64) ^ b ^ k, high % word, (low >> 64) ^ d ^ m, low % word
            k, m = (k + 0x9E3779B97F4A7C15) % word, (m + 0xBB67AE8584CAA73B) % word
        words += [a, b, c, d]
    return words[:count]


def test_the_permutation_is_the_order_of_philox_words() -> None:
    # A change would silently alter every seeded run and every resumed one.
    words = philox((5, 7), 100)
    assert permutation(100, 5, 7).tolist() == sorted(range(100), key=lambda i: words[i])
    assert permutation(8, 1, 0).tolist() == [3, 5, 2, 7, 0, 6, 1, 4]


def test_permutations_are_uniform() -> None:
    counts = np.zeros((6, 6))
    for turn in range(3000):
        counts[np.arange(6), permutation(6, 0, turn)] += 1
    # chi-squared, 25 degrees of freedom: P(> 52.6) = 0.001
    assert ((counts - 500) ** 2 / 500).sum() < 52.6


@pytest.mark.parametrize("batch", [1, 7, 64, 149, 150, 151])
def test_an_epoch_shows_every_example_once_with_the_last_batch_short(batch: int) -> None:
    batches = epoch(batch)
    seen = [b["x"] for b in batches]
    assert [len(x) for x in seen] == batches.sizes.tolist() and len(batches) == -(-150 // batch)
    everything = build("iris").train.array("features", "f64")
    np.testing.assert_array_equal(np.concatenate(seen), everything[batches.order])


def test_the_short_batch_can_be_dropped() -> None:
    batches = epoch(64, last="drop")
    assert batches.sizes.tolist() == [64, 64] and len(list(batches)) == 2


@pytest.mark.parametrize(("steps", "start"), [(1, 0), (3, 0), (3, 4), (100, 0), (2, 21), (2, 22)])
def test_chunks_hold_the_same_batches_from_any_step_on(steps: int, start: int) -> None:
    batches = epoch(7)
    plain = list(batches)[start:]
    found: list[np.ndarray] = []
    with batches.chunks(steps, start=start) as chunks:
        for chunk in chunks:
            assert chunk.first_step == start + len(found)
            assert chunk.arrays["x"].flags.c_contiguous
            found += np.split(chunk.arrays["x"], np.cumsum(chunk.sizes)[:-1])
    assert len(found) == len(plain)
    for mine, theirs in zip(found, plain, strict=True):
        np.testing.assert_array_equal(mine, theirs["x"])
    assert not workers()


def test_leaving_early_ends_the_thread() -> None:
    with epoch(1).chunks(1, ahead=1) as chunks:
        next(chunks)
    assert not workers()
    assert list(chunks) == []


def test_an_error_in_the_thread_is_raised_where_chunks_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = Part.rows
    calls: list[int] = []

    def failing(self: Part, *arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) > 4:
            raise OSError("the disk went away")
        return original(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Part, "rows", failing)
    with pytest.raises(OSError, match="went away"), epoch(10).chunks(1) as chunks:
        list(chunks)
    assert not workers()


def test_a_request_gives_dtype_and_shape() -> None:
    part = build("digits()").train
    (first, *_) = Batches(part, {"x": Request("image", "f64", (1, 8, 8))}, 5)
    assert first["x"].shape == (5, 1, 8, 8) and first["x"].dtype == np.float64


def test_half_built_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        epoch(0)
    with pytest.raises(ValueError, match="keep"):
        epoch(3, last="pad")
