"""Numbers too small for the normal form, in steps and outside of them."""

from __future__ import annotations

import platform

import numpy as np
import pytest

from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.pipeline import compile_plan
from chainrule.compiler.types import Type
from chainrule.runtime.cpu import CpuDevice

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="only there are they counted as zero"
)


def test_a_step_counts_denormal_numbers_as_zero_and_leaves_the_thread_as_it_was() -> None:
    x = leaf("input", "x", Type((8,), "f32", True))
    graph = Graph("small", (Output("output", "y", x * 0.5),), {"x": Leaf(x, "input")})
    loaded = CpuDevice(1).load(compile_plan(graph, 2))
    smallest = np.full((2, 8), np.finfo(np.float32).tiny, np.float32)
    loaded.write("x", smallest)
    loaded.run(2)
    assert not loaded.read("y", 2).any()
    assert (smallest * np.float32(0.5)).all()
