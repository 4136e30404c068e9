"""Lookups on CUDA: they agree in the simulator, and compile to PTX without a word of f64."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chainrule.compiler.graph import Graph
from chainrule.runtime.cuda_modules import compile_ptx
from chainrule.runtime.plan_oracle import run_plan
from tests.runtime.cuda_plans import SIMULATOR, run_simulated
from tests.runtime.lookupcases import BATCH, SHAPES, lookups, numbers, planned, transposed

if not SIMULATOR:

    def test_lookups_agree_in_the_simulator() -> None:
        run_simulated(__file__)

    @pytest.mark.parametrize("cc", [(8, 0), (9, 0)])
    def test_lookups_compile(tmp_path, monkeypatch: pytest.MonkeyPatch, cc) -> None:
        monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
        texts = compile_ptx(planned(lookups(65, (4,), (130,), "f32")), cc)
        assert {"lookup", "scatter"} <= {n.partition("_")[0] for n in texts}
        for name, ptx in texts.items():
            assert ".entry" in ptx and not re.search(r"\.f64", ptx), name
            assert "atom" not in ptx, "the order of a sum must be one"

else:
    from chainrule.compiler.emit.cuda_kernel import Tuning
    from chainrule.runtime.cuda import CudaDevice

    def check(graph: Graph, tuning: Tuning | None = None) -> None:
        plan, given = planned(graph), numbers(graph)
        oracle = run_plan(plan, given, batch=BATCH, seed=5)
        loaded = CudaDevice(tuning).load(plan)
        for name, array in given.items():
            loaded.write(name, array)
        loaded.run(BATCH, seed=5, step=1)
        for o in graph.outputs:
            np.testing.assert_allclose(loaded.read(o.name, BATCH), oracle.read(o.name, BATCH),
                                       rtol=1e-12, atol=1e-12, err_msg=o.name)  # fmt: skip

    @pytest.mark.parametrize(("rows", "ids", "row"), SHAPES[:6])
    def test_lookups_equal_the_interpreter(rows, ids, row) -> None:
        check(lookups(rows, ids, row, "f64"))

    def test_more_places_than_a_block_marks_at_once() -> None:
        check(lookups(2, (70,), (3,), "f64"), Tuning(threads=2, blocks=2))

    def test_tables_that_lie_the_other_way_round() -> None:
        check(transposed("f64"))
