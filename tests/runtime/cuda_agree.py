"""The CUDA device (in the simulator) against the plan's own interpreter."""

from __future__ import annotations

import numpy as np

from chainrule.compiler.emit.cuda_kernel import Tuning
from chainrule.compiler.plan import Plan
from chainrule.runtime.cuda import CudaDevice
from chainrule.runtime.plan_oracle import PlanOracle


def agree(plan: Plan, tuning: Tuning | None = None, batches: tuple[int, ...] = (3, 2)) -> None:
    """What the device leaves is what the interpreter leaves, after full and short batches."""
    rng = np.random.default_rng(5)
    loaded, oracle = CudaDevice(tuning).load(plan), PlanOracle(plan)
    named = [b for b in plan.buffers if b.kind not in ("temp", "scratch")]
    for b in named:
        lead = (plan.capacity,) if b.type.batched else ()
        values = rng.standard_normal(lead + b.type.shape).astype(b.type.numpy)
        loaded.write(b.name, values)
        oracle.write(b.name, values)
    for batch in batches:
        loaded.run(batch, seed=3, step=2)
        oracle.run(batch, seed=3, step=2)
        for b in named:
            tolerance = 1e-12 if b.type.dtype == "f64" else 1e-5
            np.testing.assert_allclose(
                loaded.read(b.name, batch).reshape(-1), oracle.read(b.name, batch).reshape(-1),
                rtol=tolerance, atol=tolerance, err_msg=b.name,
            )  # fmt: skip
