"""Convolutions of odd shapes, all directions: right, and on any thread count the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from cpu_convolutions import DIRECTIONS, Geometry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainrule.compiler.emit.cpu import Target, write
from chainrule.compiler.plan import Plan
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.plan_oracle import run_plan

CASES = [
    Geometry((6, 7), (3, 3), 3, 8),
    Geometry((4, 4), (3, 3), 17, 40),
    Geometry((7, 7), (1, 1), 5, 16, stride=2),
    Geometry((3, 13), (1, 3), 5, 6),
    Geometry((5, 9), (5, 5), 1, 6, dtype="f64"),
    Geometry((8, 8), (3, 3), 16, 33, stride=2),
    Geometry((3, 4), (7, 7), 3, 20, stride=2),
    Geometry((3, 3), (11, 11), 3, 18, stride=4),
    Geometry((5, 5), (3, 3), 5, 17, stride=3, dilation=2),
    Geometry((2, 2), (3, 3), 32, 48, dtype="f64"),
    Geometry((1, 1), (2, 2), 3, 1),
    Geometry((9, 30), (3, 3), 4, 16),
]


def floats(rng: np.random.Generator, dtype: str, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32 if dtype == "f32" else np.float64)


def run(plan: Plan, batch: int, threads: int, arrays: dict[str, np.ndarray]) -> np.ndarray:
    loaded = CpuDevice(threads=threads).load(plan)
    loaded.share_everything()
    for name, array in arrays.items():
        loaded.write(name, array)
    loaded.run(batch)
    return loaded.read("c", batch)


def check(geometry: Geometry, direction: str, capacity: int, epilogue: str = "plain") -> None:
    """Against NumPy and the plan's interpreter; every thread count gives the same bits."""
    if direction == "by data" and geometry.stride > 1:
        return
    rng = np.random.default_rng(7)
    plan = geometry.plan(direction, capacity, epilogue)
    for batch in {capacity, max(1, capacity - 2), 1}:
        arrays = {
            b.name: floats(
                rng, geometry.dtype, *((batch,) if b.type.batched else ()), *b.type.shape
            )
            for b in plan.buffers
            if b.kind != "output"
        }
        results = [run(plan, batch, threads, arrays) for threads in (1, 2, 3)]
        want = geometry.expected(direction, arrays["a"].astype("f8"), arrays["b"].astype("f8"))
        if epilogue == "bias":
            want = np.maximum(want + arrays["bias"] + arrays["residual"], 0)
        close = 1e-5 if geometry.dtype == "f32" else 1e-13
        scale = max(1.0, float(np.abs(want).max()))
        np.testing.assert_allclose(results[0], want, atol=8 * close * scale, rtol=close)
        assert all(r.tobytes() == results[0].tobytes() for r in results), geometry
        if batch == capacity:
            oracle = run_plan(plan, arrays, batch=batch).read("c", batch)
            np.testing.assert_allclose(results[0], oracle, atol=8 * close * scale, rtol=close)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("geometry", CASES, ids=str)
def test_a_convolution_is_what_its_equation_says(geometry: Geometry, direction: str) -> None:
    check(geometry, direction, 5)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_epilogue_adds_bias_and_residual_in_place_of_every_sum(direction: str) -> None:
    check(Geometry((5, 6), (3, 3), 7, 24), direction, 4, "bias")
    check(Geometry((4, 2), (3, 3), 20, 20, dtype="f64"), direction, 3, "bias")


FAST = [
    Geometry((6, 8), (3, 3), 32, 64),
    Geometry((9, 7), (3, 3), 48, 32),
    Geometry((10, 14), (3, 3), 48, 96),
    Geometry((8, 8), (3, 3), 16, 16),
]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("geometry", FAST, ids=str)
def test_a_window_of_3_by_3_takes_fewer_multiplications(geometry: Geometry, direction: str) -> None:
    """Tiles of 2 × 2 results, whole and cut off at the border; a last group that is not full."""
    plan = geometry.plan(direction, 7)
    assert ("winograd" in write(plan.kernels[0], 7, Target(), "simd").text) == (
        direction != "by weights" or geometry.out[0] % 2 == 0
    )
    check(geometry, direction, 7)
    check(geometry, direction, 7, "bias")


def test_fewer_multiplications_cost_little_precision() -> None:
    """Against f64, errors are no larger than those of the long sum itself."""
    geometry, rng = Geometry((16, 16), (3, 3), 64, 64), np.random.default_rng(5)
    for direction in DIRECTIONS:
        plan = geometry.plan(direction, 8)
        arrays = {
            b.name: floats(rng, "f32", *((8,) if b.type.batched else ()), *b.type.shape)
            for b in plan.buffers[:2]
        }
        want = geometry.expected(direction, *(arrays[n].astype("f8") for n in "ab"))
        error = np.abs(run(plan, 8, 1, arrays) - want).max() / np.abs(want).max()
        assert error < 1e-5


NESTED = [Geometry((4, 6), (3, 3), 5, 24), Geometry((2, 2), (2, 3), 4, 16), FAST[0]]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("geometry", NESTED, ids=str)
def test_draws_and_positions_know_the_nested_rows(geometry: Geometry, direction: str) -> None:
    """Blocks within a line, over whole lines, over whole images; tiles."""
    rng, plan = np.random.default_rng(3), geometry.plan(direction, 5, "draw")
    arrays = {
        b.name: floats(rng, "f32", *((5,) if b.type.batched else ()), *b.type.shape)
        for b in plan.buffers
        if b.kind != "output"
    }
    want = run_plan(plan, arrays, batch=5).read("c", 5)
    for threads in (1, 3):
        np.testing.assert_allclose(run(plan, 5, threads, arrays), want, rtol=1e-4, atol=1e-3)


SIDES = st.tuples(st.integers(1, 9), st.integers(1, 19))
KERNELS = st.tuples(st.integers(1, 4), st.integers(1, 4))
GEOMETRIES = st.builds(
    Geometry, SIDES, KERNELS, st.integers(1, 20), st.integers(1, 40), st.integers(1, 3),
    st.integers(1, 2), st.sampled_from(["f32", "f32", "f64"]),
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    GEOMETRIES, st.sampled_from(DIRECTIONS), st.integers(1, 9), st.sampled_from(["plain", "bias"])
)
def test_any_geometry(geometry: Geometry, direction: str, capacity: int, epilogue: str) -> None:
    check(geometry, direction, capacity, epilogue)
