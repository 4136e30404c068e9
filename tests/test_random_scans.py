"""Gradients of random recurrent nets, compiled for the CPU, against the interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.pipeline import compile_plan, optimise
from chainrule.runtime.cpu import CpuDevice

from .randomscans import BATCH, gradient_graph, leaves, numbers

_MORE = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 24)]


@pytest.mark.parametrize("seed", [0, 1, *_MORE])
def test_compiled_random_scans_give_the_interpreter_s_numbers(seed: int) -> None:
    graph = gradient_graph(seed)
    given = leaves(graph, seed)
    wanted = numbers(graph, given)
    found = []
    for threads in (1, 2):
        loaded = CpuDevice(threads).load(compile_plan(optimise(graph), BATCH + 2))
        loaded.share_everything()
        for name, array in given.items():
            if name in loaded.plan.index_of:
                loaded.write(name, array)
        recorded = loaded.run(BATCH)
        found.append([
            np.asarray(recorded[o.name]) if o.name in recorded else loaded.read(o.name, BATCH)
            for o in graph.outputs
        ])  # fmt: skip
    for o, a, one, two in zip(graph.outputs, wanted, *found, strict=True):
        np.testing.assert_allclose(one, a, rtol=1e-8, atol=1e-11, err_msg=o.name)
        np.testing.assert_array_equal(one, two, err_msg=o.name)
