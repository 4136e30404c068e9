"""Recurrences on the CPU against the plain interpreter: random scans, all batches, all lengths."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.plan_check import check_plan
from chainrule.compiler.schedule import plan
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.plan_oracle import PlanOracle

from scancases import Case

# steps, steps that the run has, capacity, batch
SIZES = ((4, 4, 3, 3), (1, 1, 2, 1), (5, 3, 40, 33), (6, 6, 64, 64), (7, 1, 12, 5))
DEVICES = [CpuDevice(1), CpuDevice(2)]


def _agree(case: Case, steps: int, taken: int, capacity: int, batch: int) -> None:
    made = plan(case.graph(steps), capacity)
    check_plan(made)
    given = case.given(steps, batch)
    wanted = case.expected(given, taken, batch)
    oracle = PlanOracle(made)
    runs = [(oracle, None), *((device.load(made), device) for device in DEVICES)]
    bits: dict[str, bytes] = {}
    for run, device in runs:
        if device is DEVICES[1]:
            run.share_everything()
        for name, array in given.items():
            run.write(name, array)
        for _ in range(2):
            run.run(batch, lengths={"T": taken})
        for name, array in wanted.items():
            frame = made.buffers[made.outputs[name]].type.frame
            found = run.read(name, batch)
            want = array
            if frame is not None or name.startswith("a"):
                want = array if frame is None else array.reshape(taken, batch, -1).swapaxes(0, 1)
                assert not found[:, taken:].any(), name
                found = found[:, :taken]
            tolerance = 1e-10 if case.dtype == "f64" else 3e-4
            np.testing.assert_allclose(
                found.reshape(want.shape), want, tolerance, tolerance, err_msg=f"{name} {device}"
            )
            if device is not None:
                assert bits.setdefault(name, found.tobytes()) == found.tobytes(), name


@pytest.mark.parametrize("seed", range(12))
def test_a_scan_gives_what_its_steps_give_one_after_another(seed: int) -> None:
    _agree(Case(seed), *SIZES[seed % len(SIZES)])


@pytest.mark.parametrize("seed", range(100, 108))
def test_a_step_may_reduce_over_the_batch_or_carry_what_examples_share(seed: int) -> None:
    _agree(Case(seed, mixed=True), *SIZES[seed % len(SIZES)])


@pytest.mark.parametrize("seed", range(200, 204))
def test_scans_in_single_precision(seed: int) -> None:
    _agree(Case(seed, "f32", mixed=seed % 2 == 0), *SIZES[seed % len(SIZES)])
