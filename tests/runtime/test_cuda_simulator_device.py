"""Products and the CUDA device (in the simulator): results, feeding, recording, snapshots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chainrule.compiler import random
from chainrule.compiler.emit.cuda_kernel import Tile, Tuning
from chainrule.compiler.plan import Access, Extent, Fold, Let, Matrix, Plan, Stage, Temp, Write
from chainrule.compiler.scalar import Call, Element, Literal, Position
from chainrule.runtime.device import Feed
from tests.runtime.cuda_plans import (
    SIMULATOR,
    Arena,
    affine_epilogue,
    elementwise,
    loops,
    plain_epilogue,
    product,
    run_simulated,
    whole,
)

if not SIMULATOR:

    def test_products_and_the_device_work_in_the_simulator() -> None:
        run_simulated(__file__)

else:
    from chainrule.runtime.cuda import CudaDevice, CudaLoaded

    DRAWN = np.random.default_rng(2)
    BATCH = Extent(1, True)

    def floats(*shape: int, dtype: str = "f32") -> np.ndarray:
        return DRAWN.standard_normal(shape).astype(np.float32 if dtype == "f32" else np.float64)

    TILES = [Tile(4, 4, 4, 2, 2), Tile(8, 4, 3, 4, 2), Tile(2, 2, 16, 1, 1)]

    @pytest.mark.parametrize("tile", TILES)
    @pytest.mark.parametrize("batch,inner,units", [(1, 1, 1), (5, 7, 3), (4, 13, 9)])
    @pytest.mark.parametrize("dtype", ["f32", "f64"])
    def test_a_dense_layer(tile: Tile, batch: int, inner: int, units: int, dtype: str) -> None:
        arena = Arena(batch)
        arena.add("x", (inner,), "input", dtype, batched=True)
        arena.add("W", (units, inner), "param", dtype)
        arena.add("b", (units,), "param", dtype)
        arena.add("y", (units,), "output", dtype, batched=True)
        epilogue = affine_epilogue(Access(2, dtype, (0, 1)), Access(3, dtype, (units, 1)), dtype)
        kernel = product(
            (0, 1, 2, 3), (BATCH, Extent(units), Extent(inner)),
            Matrix(0, (inner,), (1,)), Matrix(1, (1,), (inner,)), epilogue, dtype=dtype,
        )  # fmt: skip
        loaded = CudaDevice(Tuning(threads=4, tile=tile)).load(arena.plan(kernel))
        x, w, b = (floats(*s, dtype=dtype) for s in ((batch, inner), (units, inner), (units,)))
        for name, values in (("x", x), ("W", w), ("b", b)):
            loaded.write(name, values)
        loaded.run(batch)
        expected = np.maximum(x @ w.T + b, 0)
        tolerance = 1e-5 if dtype == "f32" else 1e-12
        np.testing.assert_allclose(loaded.read("y"), expected, rtol=tolerance, atol=tolerance)

    def test_a_weight_gradient_sums_over_the_batch() -> None:
        """dW = δᵀ x, divided by m: the batch is the depth."""
        arena = Arena(5)
        arena.add("x", (7,), "input", batched=True)
        arena.add("delta", (3,), "input", batched=True)
        arena.add("dW", (3, 7))
        lets = (Let(Call("batch"), "f32"), Let(Call("div", Element(0), Temp(0)), "f32"))
        write = Write(Access(2, "f32", (7, 1)), Temp(1))
        epilogue = Stage((-1, -1), (Access(-1, "f32", ()),), lets, (write,))
        kernel = product(
            (0, 1, 2),
            (Extent(3), Extent(7), BATCH),
            Matrix(1, (1,), (3,)),
            Matrix(0, (7,), (1,)),
            epilogue,
        )
        loaded = CudaDevice().load(arena.plan(kernel))
        x, delta = floats(5, 7), floats(5, 3)
        loaded.write("x", x)
        loaded.write("delta", delta)
        for batch in (5, 2):
            loaded.run(batch)
            expected = delta[:batch].T @ x[:batch] / batch
            np.testing.assert_allclose(loaded.read("dW"), expected, rtol=1e-5, atol=1e-6)

    def test_a_product_for_each_example() -> None:
        arena = Arena(3)
        arena.add("a", (2, 5), "input", batched=True)
        arena.add("b", (5, 4), "input", batched=True)
        arena.add("c", (2, 4), batched=True)
        write = Access(2, "f32", (4, 1), 0, 8)
        kernel = product(
            (0, 1, 2), (Extent(2), Extent(4), Extent(5)), Matrix(0, (5,), (1,), 0, 10),
            Matrix(1, (4,), (1,), 0, 20), plain_epilogue(write), loop=BATCH,
        )  # fmt: skip
        loaded = CudaDevice().load(arena.plan(kernel))
        a, b = floats(3, 2, 5), floats(3, 5, 4)
        loaded.write("a", a)
        loaded.write("b", b)
        loaded.run(3)
        np.testing.assert_allclose(loaded.read("c"), a @ b, rtol=1e-5, atol=1e-6)

    def test_dropout_in_an_epilogue_draws_the_numbers_of_the_reference() -> None:
        arena = Arena(4)
        arena.add("x", (3,), "input", batched=True)
        arena.add("W", (5, 3), "param")
        arena.add("y", (5,), batched=True)
        lets = (
            Let(Call("uniform", Literal(3.0), Position(-1)), "f32"),
            Let(Call("lt", Temp(0), Literal(0.5)), "bool"),
            Let(Call("select", Temp(1), Element(0), Literal(0.0)), "f32"),
        )
        write = Write(Access(2, "f32", (5, 1)), Temp(2))
        epilogue = Stage((-1, -1), (Access(-1, "f32", ()),), lets, (write,))
        kernel = product(
            (0, 1, 2),
            (BATCH, Extent(5), Extent(3)),
            Matrix(0, (3,), (1,)),
            Matrix(1, (1,), (3,)),
            epilogue,
        )
        loaded = CudaDevice().load(arena.plan(kernel))
        x, w = floats(4, 3), floats(5, 3)
        loaded.write("x", x)
        loaded.write("W", w)
        loaded.run(4, seed=9, step=2)
        kept = random.uniform((4, 5), 3, "f32", 9, 2) < 0.5
        np.testing.assert_allclose(loaded.read("y"), np.where(kept, x @ w.T, 0), rtol=1e-5)

    # ------------------------------------------------------------ the device

    def regression() -> Plan:
        """Σ over the batch of (w·x − y)² / m is recorded; w ← w − rate · its gradient."""
        arena = Arena(4)
        arena.add("x", (), "input", batched=True)
        arena.add("y", (), "input", "i32", batched=True)
        arena.add("w", (), "param")
        arena.add("rate", (), "scalar")
        arena.add("step", (), "scalar")
        arena.add("error", (), "temp", batched=True)
        arena.add("loss", (), "scalar")
        arena.add("slope", (), "temp")
        calls = (
            (Call("mul", Element(0), Element(2)), "f32"),
            (Call("sub", Temp(0), Element(1)), "f32"),
        )
        each = (Access(0, "f32", (), 0, 1), Access(1, "i32", (), 0, 1), Access(2, "f32", ()))
        error = elementwise((0, 1, 2, 5), (), each, Access(3, "f32", (), 0, 1), *calls)
        lets = (
            Let(Call("batch"), "f32"),
            Let(Call("square", Element(0)), "f32"),
            Let(Call("div", Temp(1), Temp(0)), "f32"),
            Let(Call("mul", Element(0), Element(1)), "f32"),
            Let(Call("div", Temp(3), Temp(0)), "f32"),
        )
        folds = (
            Fold(Access(2, "f32", ()), Temp(2), "sum", 0, True),
            Fold(Access(3, "f32", ()), Temp(4), "sum", 0, True),
        )
        reads = (Access(0, "f32", (), 0, 1), Access(1, "f32", (), 0, 1))
        sums = loops((5, 0, 6, 7), Stage((), reads, lets, (), folds), batched=False, over=True)
        update = elementwise(
            (2, 7, 3), (), tuple(Access(k, "f32", ()) for k in range(3)), Access(0, "f32", ()),
            (Call("mul", Element(1), Element(2)), "f32"), (Call("mul", Temp(0), 2.0), "f32"),
            (Call("sub", Element(0), Temp(1)), "f32"), batched=False,
        )  # fmt: skip
        return arena.plan(error, sums, update, recorded=("loss", "step"))

    def feed(rate: np.ndarray, count: int = 10) -> Feed:
        x = np.linspace(-1, 1, 16, dtype=np.float32)
        order = np.random.default_rng(0).permutation(16)[:count]
        return Feed({"x": x, "y": np.arange(16, dtype=np.int32) % 3}, order, 4, {"rate": rate})

    def reference(given: Feed, w: np.float32) -> tuple[list[float], np.float32]:
        losses = []
        for index in range(given.steps):
            rows = given.rows[index * 4 : index * 4 + 4]
            x, y = given.fields["x"][rows], given.fields["y"][rows]
            error = w * x - y
            losses.append(float(np.mean(error**2)))
            w = w - np.float32(given.scalars["rate"][index]) * 2 * np.mean(error * x)
        return losses, w

    def loaded_regression() -> CudaLoaded:
        loaded = CudaDevice().load(regression())
        loaded.write("w", np.array(0.5))
        return loaded

    def test_steps_gather_batches_set_scalars_and_record() -> None:
        loaded, given = loaded_regression(), feed(np.array([0.1, 0.2, 0.3]))
        found = loaded.run_steps(given, seed=1, step=7)
        losses, w = reference(given, np.float32(0.5))
        assert found.shape == (3, 2) and found.dtype == np.float64
        np.testing.assert_allclose(found[:, 0], losses, rtol=1e-5)
        np.testing.assert_array_equal(found[:, 1], [7, 8, 9])
        np.testing.assert_allclose(loaded.read("w"), w, rtol=1e-5)

    def test_a_large_field_is_gathered_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
        given = feed(np.array([0.1, 0.2, 0.3]))
        expected = loaded_regression().run_steps(given, seed=1, step=1)
        loaded = loaded_regression()
        monkeypatch.setattr("chainrule.runtime.cuda.free_memory", lambda cuda: 1.0)
        np.testing.assert_array_equal(loaded.run_steps(given, seed=1, step=1), expected)

    def test_a_step_that_is_not_finite_is_the_last_row(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("chainrule.runtime.cuda.CHUNK", 2)
        loaded = loaded_regression()
        rows = loaded.run_steps(feed(np.array([0.1, np.nan, 0.1]), 12), seed=1, step=1)
        assert len(rows) == 3 and np.isnan(rows[2, 0]) and np.isfinite(rows[:2]).all()
        loaded.write("w", np.array(np.nan))
        assert len(loaded.run_steps(feed(np.zeros(3), 12), seed=1, step=1)) == 1

    def test_a_snapshot_brings_params_back() -> None:
        loaded = loaded_regression()
        before = loaded.snapshot()
        loaded.run_steps(feed(np.full(3, 0.1)), seed=1, step=1)
        assert loaded.read("w") != np.float32(0.5)
        loaded.restore(before)
        assert loaded.read("w") == np.float32(0.5)

    def test_run_gives_the_recorded_numbers() -> None:
        loaded = loaded_regression()
        loaded.write("x", np.array([1.0, 2.0]))
        loaded.write("y", np.array([0, 1]))
        assert loaded.run(2, step=3) == {"loss": pytest.approx(0.125), "step": 3.0}

    def test_a_transposed_param_keeps_the_orientation_of_the_user() -> None:
        arena = Arena(1)
        arena.add("W", (3, 2), "param", order=(1, 0))  # as it lies in memory
        arena.add("first", (3,))
        kernel = elementwise(
            (0, 1), (3,), (Access(0, "f32", (1,)),), whole(1, (3,), batched=False),
            (Call("mul", Element(0), 1.0), "f32"), batched=False,
        )  # fmt: skip
        loaded = CudaDevice().load(arena.plan(kernel))
        w = floats(2, 3)
        loaded.write("W", w)
        loaded.run(1)
        np.testing.assert_array_equal(loaded.read("W"), w)
        np.testing.assert_array_equal(loaded.read("first"), w.T.reshape(-1)[:3])

    def test_wrong_shapes_and_batches_are_refused() -> None:
        loaded = loaded_regression()
        with pytest.raises(ValueError, match="`w` takes"):
            loaded.write("w", np.zeros(3))
        with pytest.raises(ValueError, match="`x` takes"):
            loaded.write("x", np.zeros(5))
        with pytest.raises(ValueError, match="batch of 5"):
            loaded.run(5)
        given = feed(np.zeros(3))
        for wrong, told in (
            (replace(given, batch=5), "batch of 5"),
            (replace(given, rows=given.rows + 8), "16 examples"),
            (replace(given, fields={**given.fields, "x": np.zeros((16, 2))}), "`x` takes"),
        ):
            with pytest.raises(ValueError, match=told):
                loaded.run_steps(wrong, seed=1, step=1)
