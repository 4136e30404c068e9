"""Draws: known answers of Random123, uniformity, and independence of how a batch is split."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler import random
from chainrule.compiler.op import Run, apply
from chainrule.compiler.types import ShapeError
from chainrule.runtime.plain import evaluate


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # threefry2x32, 20 rounds: kat_vectors of Random123 (D. E. Shaw Research)
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_known_answers(counter, key, expected) -> None:
    words = [np.array([c], np.uint32) for c in counter]
    found = random.threefry2x32(key, *words)
    assert tuple(int(w[0]) for w in found) == expected


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_uniform_numbers_fill_the_unit_interval(dtype: str) -> None:
    x = random.uniform((200_000,), 1, dtype, 5, 1)
    assert x.dtype == np.dtype(dtype.replace("f", "float"))
    assert 0 <= x.min() < 1e-4 < 1 - 1e-4 < x.max() < 1
    counts, _ = np.histogram(x, 20, (0, 1))
    assert abs(counts - 10_000).max() < 500  # five standard deviations


def test_normal_numbers_have_the_moments_of_the_normal_distribution() -> None:
    x = random.normal((200_000,), 1, "f64", 5, 1)
    assert np.isfinite(x).all()
    moments = [x.mean(), (x**2).mean(), (x**3).mean(), (x**4).mean()]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.1)


def test_both_element_types_draw_the_same_normal_numbers() -> None:
    wide = random.normal((100,), 1, "f64", 5, 1)
    np.testing.assert_array_equal(random.normal((100,), 1, "f32", 5, 1), wide.astype("f4"))


def test_seed_stream_step_and_element_each_change_the_number() -> None:
    first = random.uniform((4,), 1, "f64", 5, 1)
    changed = ((2, "f64", 5, 1), (1, "f64", 6, 1), (1, "f64", 5, 2), (1, "f64", 5 + 2**40, 1))
    others = [random.uniform((4,), *c) for c in changed]
    numbers = np.concatenate([first, *others])
    assert len(np.unique(numbers)) == numbers.size


def test_an_example_draws_the_same_in_a_larger_batch() -> None:
    draw = apply("uniform", shape=(3, 5), stream=9, batched=True)
    (small,) = evaluate([draw], {}, batch=2, seed=4)
    (large,) = evaluate([draw], {}, batch=6, seed=4)
    np.testing.assert_array_equal(large[:2], small)


def test_orthogonal_matrices_have_orthonormal_rows_or_columns() -> None:
    run = Run()
    for shape in ((3, 7), (7, 3), (5, 5)):
        y = apply("orthogonal", shape=shape, dtype="f64")
        q = y.op.compute(y, (), run)
        small = q @ q.T if shape[0] < shape[1] else q.T @ q
        np.testing.assert_allclose(small, np.eye(min(shape)), atol=1e-12)


def test_an_orthogonal_draw_is_a_matrix() -> None:
    with pytest.raises(ShapeError, match="makes matrices"):
        evaluate([apply("orthogonal", shape=(2, 3, 4))], {})
