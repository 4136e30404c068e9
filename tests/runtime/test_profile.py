"""Profiles: every kernel once, times that tile the step, work counted as by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chainrule.compiler.pipeline import parse_module, step
from chainrule.compiler.plan import Product
from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.source import Source
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.gradcheck import random_inputs
from chainrule.runtime.plain_device import PlainDevice
from chainrule.runtime.profile import Profile, StepTimes, measure_peaks, profile, report
from chainrule.runtime.profile.peaks import Peaks
from chainrule.runtime.profile.report import Timed
from chainrule.runtime.session import Program, compile_graph, initial_values

NET = """\
net mlp {
  input x: [48]
  input y: class[8]
  h = x -> dense(64) -> relu
  p = h -> dense(8)
  loss cross_entropy(p, y)
}
data points = moons()
train mlp on points {
  optimizer sgd(lr = 0.1)
  batch 32
}
"""
BATCH = 32
PEAKS = Peaks(1e11, 1e10, 1 << 20, 1, "f32")


def program(threads: int = 1, device: object = None) -> Program:
    module = parse_module(Source("mlp.net", NET))
    graph = step(module, module.trains[0])
    made = compile_graph(graph, BATCH, device or CpuDevice(threads))  # type: ignore[arg-type]
    made.push(initial_values(graph, 0))
    return made


def times_of(made: Program) -> StepTimes:
    return profile(made.loaded, random_inputs(made.graph, BATCH, 0), BATCH, seconds=0.05)


@pytest.fixture(scope="module")
def found() -> tuple[Program, StepTimes, Profile]:
    made = program()
    times = times_of(made)
    return made, times, report(times, made.graph.places, PEAKS)


def test_every_kernel_of_the_plan_appears_exactly_once(
    found: tuple[Program, StepTimes, Profile],
) -> None:
    made, times, whole = found
    kernels = made.loaded.plan.kernels
    assert [id(t.kernel) for t in whole.launches] == [id(k) for k in kernels]
    assert len(times.kernels) == len(kernels) and np.all(times.kernels >= 0)
    assert np.count_nonzero(times.kernels) > len(kernels) / 2
    for by in ("launch", "kernel", "layer", "line"):
        rows = [r for r in whole.rows(by) if not r.overhead]
        assert sum(r.launches for r in rows) == len(kernels), by


@pytest.mark.parametrize("by", ["launch", "kernel", "layer", "line"])
def test_shares_sum_to_1_and_the_greatest_comes_first(
    found: tuple[Program, StepTimes, Profile], by: str
) -> None:
    rows = found[2].rows(by)
    assert sum(r.share for r in rows) == pytest.approx(1)
    assert [r.share for r in rows] == sorted((r.share for r in rows), reverse=True)


def test_the_parts_make_up_the_step(found: tuple[Program, StepTimes, Profile]) -> None:
    _, times, _ = found
    assert times.step / 3 < times.total < 3 * times.step  # other processes use the machine too


def test_the_operations_of_products_are_those_counted_by_hand(
    found: tuple[Program, StepTimes, Profile],
) -> None:
    """Forward 2·m·k·n each, by weights as much, by data only for the second layer."""
    by_hand = 2 * BATCH * (2 * 48 * 64 + 3 * 64 * 8)
    launches = [t for t in found[2].launches if isinstance(t.kernel, Product)]
    counted = sum(t.flops for t in launches)
    assert by_hand <= counted < 1.2 * by_hand  # and what is fused at the end
    assert len(launches) == 5


def test_bytes_are_those_of_the_arrays_read_and_written(
    found: tuple[Program, StepTimes, Profile],
) -> None:
    first = next(t for t in found[2].launches if t.layer == "h" and t.role == "forward")
    numbers = BATCH * 48 + 48 * 64 + 64 + BATCH * 64
    assert first.nbytes == 4 * numbers


def test_a_kernel_points_at_the_users_line(found: tuple[Program, StepTimes, Profile]) -> None:
    lines = {t.layer: t.span.line for t in found[2].launches if t.span is not None}
    assert lines["h"] == 4 and lines["p"] == 5
    assert {r.what for r in found[2].rows("line")} >= {"h = x -> dense(64) -> relu"}


def test_a_row_is_compared_with_the_roof_that_bounds_it(
    found: tuple[Program, StepTimes, Profile],
) -> None:
    times = found[1]
    (first, *_) = [t for t in found[2].launches if isinstance(t.kernel, Product)]
    (row,) = [r for r in found[2].rows() if (r.seconds, r.what[-9:]) == _named(first)]
    compute, memory = first.flops / PEAKS.flops, first.nbytes / PEAKS.nbytes
    least = max(compute, memory)
    assert row.percent == pytest.approx(100 * least / first.seconds)
    assert row.bound == ("compute" if compute > memory else "memory")
    assert report(times, {}, None).rows()[0].percent is None


def _named(launch: Timed) -> tuple[float, str]:
    return launch.seconds, launch.what[-9:]


def test_profiling_leaves_parameters_and_states_as_they_were() -> None:
    made = program()
    before = made.pull(made.carried)
    times_of(made)
    after = made.pull(made.carried)
    assert all(np.array_equal(before[n], after[n]) for n in before)


def test_two_threads_share_kernels_and_count_once() -> None:
    made = program(threads=2)
    made.loaded.share_everything()  # type: ignore[attr-defined]
    times = times_of(made)
    assert times.threads == 2 and times.alone is not None
    assert len(times.kernels) == len(made.loaded.plan.kernels)
    assert times.total < 5 * times.step


def test_a_device_without_kernels_says_so() -> None:
    made = program(device=PlainDevice())
    with pytest.raises(Failure) as caught:
        times_of(made)
    assert caught.value.diagnostics[0].code == "E631"


def test_the_machines_peaks_are_rates_of_a_real_machine() -> None:
    peaks = measure_peaks(1, "f32", 1 << 20)
    double = measure_peaks(1, "f64", 1 << 20)
    assert 1e9 < peaks.flops < 1e13 and 1e8 < peaks.nbytes < 1e13
    assert double.flops < peaks.flops
    assert peaks.working_set == 1 << 20


def test_the_simulator_times_every_launch() -> None:
    """In a process of its own: Numba decides at its import whether CUDA is simulated."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_profile as t;"
        "from chainrule.runtime.cuda import CudaDevice;"
        "import chainrule.runtime.profile.steps as s;"
        "s.FEWEST = 1; t.BATCH = 2; made = t.program(device=CudaDevice());"
        "times = t.profile(made.loaded, t.random_inputs(made.graph, 2, 0), 2, seconds=1e-3);"
        "assert times.device == 'cuda' and len(times.kernels) == len(made.loaded.plan.kernels);"
        "assert (times.kernels > 0).all()"
    )
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
