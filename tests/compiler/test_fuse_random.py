"""Random graphs, planned and run by the plan's own interpreter, against the plain one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .plancase import Builder, assert_plan_is_right

QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}


@settings(max_examples=120, **QUIET)
@given(seed=st.integers(0, 1 << 30), size=st.integers(1, 30))
def test_a_random_graph_gives_the_same_numbers_planned(seed: int, size: int):
    assert_plan_is_right(Builder(seed, size).graph())


@settings(max_examples=20, **QUIET)
@given(seed=st.integers(0, 1 << 30), batch=st.sampled_from((1, 2, 5)))
def test_a_batch_may_be_as_small_as_one_and_as_large_as_the_capacity(seed: int, batch: int):
    assert_plan_is_right(Builder(seed, 12).graph(), batch=batch, capacity=5)


@pytest.mark.slow
def test_a_thousand_random_graphs_give_the_same_numbers_planned():
    for seed in range(1000):
        assert_plan_is_right(Builder(seed, 25).graph())
