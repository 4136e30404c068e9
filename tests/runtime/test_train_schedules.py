"""Learning-rate schedules against their closed forms, and the plateau epoch by epoch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chainrule.runtime.schedules import (
    Cosine,
    Exponential,
    Length,
    Linear,
    Plateau,
    PlateauState,
    Schedule,
    Step,
    Warmup,
    combined,
)

LENGTH = Length(per_epoch=10, total=100)
STEPS = np.arange(1, 101)


def test_a_constant_schedule_is_one_everywhere() -> None:
    assert np.all(Schedule().rates(STEPS, LENGTH) == 1)


def test_step_multiplies_by_its_factor_after_every_so_many_epochs() -> None:
    rates = Step(every=3, factor=0.5).rates(STEPS, LENGTH)
    assert [rates[k] for k in (0, 29, 30, 59, 60, 99)] == [1, 1, 0.5, 0.5, 0.25, 0.125]


def test_step_may_fall_within_an_epoch() -> None:
    rates = Step(every=0.5, factor=0.1).rates(STEPS, LENGTH)
    assert rates[4] == 1 and rates[5] == pytest.approx(0.1) and rates[10] == pytest.approx(0.01)


def test_exponential_falls_once_an_epoch() -> None:
    rates = Exponential(0.9).rates(STEPS, LENGTH)
    assert rates[9] == 1 and rates[10] == 0.9 and rates[99] == pytest.approx(0.9**9)


def test_warmup_rises_in_a_line_and_stays() -> None:
    rates = Warmup(2).rates(STEPS, LENGTH)
    np.testing.assert_allclose(rates[:20], np.arange(1, 21) / 20)
    assert np.all(rates[20:] == 1)


def test_cosine_is_half_a_cosine_from_one_to_its_floor() -> None:
    rates = Cosine(floor=0.1).rates(STEPS, LENGTH)
    for step in (1, 26, 51, 100):
        expected = 0.1 + 0.9 * (1 + math.cos(math.pi * (step - 1) / 100)) / 2
        assert rates[step - 1] == pytest.approx(expected, rel=1e-12)


def test_cosine_after_a_warmup_starts_its_fall_at_one() -> None:
    rates = Cosine(warmup=2).rates(STEPS, LENGTH)
    assert rates[19] == 1 and rates[20] == 1 and rates[0] == pytest.approx(1 / 20)
    assert rates[60] == pytest.approx((1 + math.cos(math.pi * 40 / 80)) / 2)
    assert np.all(np.diff(rates[20:]) < 0)


def test_linear_reaches_its_floor_at_the_end() -> None:
    rates = Linear(floor=0.2).rates(np.array([1, 51, 101]), LENGTH)
    np.testing.assert_allclose(rates, [1, 0.6, 0.2])


def test_schedules_multiply() -> None:
    both = combined([Warmup(1), Step(5, 0.1)], 1, 100, LENGTH)
    np.testing.assert_allclose(
        both, Warmup(1).rates(STEPS, LENGTH) * Step(5, 0.1).rates(STEPS, LENGTH)
    )


def test_rates_do_not_depend_on_how_steps_are_grouped() -> None:
    chosen = [Cosine(warmup=1), Step(3, 0.5)]
    whole = combined(chosen, 1, 100, LENGTH)
    pieces = [combined(chosen, first, 7, LENGTH) for first in range(1, 99, 7)]
    assert np.array_equal(np.concatenate(pieces), whole[:98])


def test_a_plateau_lowers_the_rate_after_its_patience_and_not_below_its_floor() -> None:
    plateau = Plateau(factor=0.1, patience=2, min_delta=0.01, floor=0.005)
    state, rates = PlateauState(), []
    for value in (1.0, 0.5, 0.495, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4):
        state = state.after(plateau, value)
        rates.append(state.rate)
    expected = [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.005, 0.005, 0.005]
    np.testing.assert_allclose(rates, expected)
