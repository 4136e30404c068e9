"""Loops on CUDA (in the simulator) give what NumPy gives, whichever way threads share them."""

from __future__ import annotations

from time import sleep
from types import SimpleNamespace

import numpy as np
import pytest

from chainrule.compiler import random
from chainrule.compiler.emit.cuda_kernel import SIMULATOR as SMALL
from chainrule.compiler.emit.cuda_kernel import Tuning
from chainrule.compiler.plan import Access, Fold, Let, Plan, Stage, Temp, Write
from chainrule.compiler.scalar import FUNCTIONS, Call, Element, Literal, Position
from tests.runtime.cuda_plans import (
    SIMULATOR,
    Arena,
    contiguous,
    elementwise,
    loops,
    run_simulated,
    softmax_loops,
    whole,
)

if not SIMULATOR:

    def test_loops_agree_with_numpy_in_the_simulator() -> None:
        run_simulated(__file__)

else:
    from chainrule.runtime import cuda_simulator
    from chainrule.runtime.cuda import CudaDevice, CudaLoaded

    DRAWN = np.random.default_rng(1)
    BATCH = 3

    def load(plan: Plan, tuning: Tuning = SMALL, **arrays: np.ndarray) -> CudaLoaded:
        loaded = CudaDevice(tuning).load(plan)
        for name, array in arrays.items():
            loaded.write(name, array)
        return loaded

    def floats(*shape: int, dtype: str = "f32") -> np.ndarray:
        kind = np.float32 if dtype == "f32" else np.float64
        return DRAWN.standard_normal(shape).astype(kind)

    def erf(x: np.ndarray) -> np.ndarray:
        from math import erf as exact

        return np.vectorize(exact)(x.astype(np.float64))

    REFERENCE = {
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
        "neg": np.negative, "pow": np.power, "max": np.maximum, "min": np.minimum, "exp": np.exp,
        "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt,
        "rsqrt": lambda x: 1 / np.sqrt(x), "tanh": np.tanh,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "erf": erf, "sin": np.sin, "cos": np.cos,
        "abs": np.abs, "sign": np.sign, "floor": np.floor, "square": np.square,
        "reciprocal": np.reciprocal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
        "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal, "and": np.logical_and,
        "or": np.logical_or, "not": np.logical_not, "select": np.where,
        "f32": lambda x: x.astype(np.float32), "f64": lambda x: x.astype(np.float64),
        "i32": lambda x: x.astype(np.int32), "bool": lambda x: x.astype(bool),
        "batch": lambda: np.full((BATCH, 5), BATCH), "uniform": None, "normal": None,
    }  # fmt: skip
    TRUTHS = ("lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not", "bool")

    def test_every_scalar_function_has_a_reference() -> None:
        assert set(REFERENCE) == set(FUNCTIONS)

    @pytest.mark.parametrize("dtype", ["f32", "f64"])
    @pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ("uniform", "normal")])
    def test_scalar_functions(name: str, dtype: str) -> None:
        count = FUNCTIONS[name]
        truth = name in ("and", "or", "not")
        result = "bool" if name in TRUTHS else name if name in ("f32", "f64", "i32") else dtype
        arena = Arena(BATCH)
        xs = [floats(BATCH, 5, dtype=dtype) for _ in range(count)]
        if name in ("log", "sqrt", "rsqrt", "log1p", "pow"):
            xs[0] = np.abs(xs[0])
        kinds = [dtype] * count if not truth else ["bool"] * count
        if name == "select":
            kinds[0] = "bool"
        xs = [x > 0 if kind == "bool" else x for x, kind in zip(xs, kinds, strict=True)]
        if name in ("eq", "ne", "le", "ge"):
            xs[1][0] = xs[0][0]
        for k, kind in enumerate(kinds):
            arena.add(f"x{k}", (5,), "input", kind, batched=True)
        arena.add("y", (5,), "output", result, batched=True)
        reads = tuple(whole(k, (5,), kind) for k, kind in enumerate(kinds))
        kernel = elementwise(
            tuple(range(count + 1)), (5,), reads, whole(count, (5,), result),
            (Call(name, *map(Element, range(count))), result),
        )  # fmt: skip
        loaded = load(arena.plan(kernel), **{f"x{k}": x for k, x in enumerate(xs)})
        loaded.run(BATCH)
        expected = np.asarray(REFERENCE[name](*xs))
        found = loaded.read("y", BATCH)
        assert (
            found.dtype
            == {"bool": bool, "i32": np.int32, "f32": np.float32, "f64": np.float64}[result]
        )
        tolerance = 1e-6 if dtype == "f32" else 1e-14
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)

    def test_infinities_and_nan_pass_as_in_numpy() -> None:
        arena = Arena(1)
        x = np.array([[-np.inf, -1, 0, 1000, np.nan]], np.float32)
        arena.add("x", (5,), "input", batched=True)
        for name in ("log", "exp", "max", "sqrt"):
            arena.add(name, (5,), batched=True)
        read = (whole(0, (5,)),)
        x0 = Element(0)
        calls = [("log", x0), ("exp", x0), ("max", x0, Literal(0.0)), ("sqrt", x0)]
        kernels = [
            elementwise((0, k), (5,), read, whole(1, (5,)), (Call(*call), "f32"))
            for k, call in enumerate(calls, 1)
        ]
        loaded = load(arena.plan(*kernels), x=x)
        loaded.run(1)
        with np.errstate(all="ignore"):
            expected = {
                "log": np.log(x), "exp": np.exp(x), "max": np.maximum(x, 0), "sqrt": np.sqrt(x)
            }  # fmt: skip
        for name, values in expected.items():
            np.testing.assert_allclose(loaded.read(name, 1), values, rtol=1e-6)

    @pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (2, 1, 3)])
    def test_broadcast_transpose_and_slice_are_only_strides(shape: tuple[int, ...]) -> None:
        arena = Arena(4)
        size = int(np.prod(shape))
        turned = shape[::-1]
        arena.add("x", turned, "input", batched=True)
        arena.add("b", (shape[-1] + 2,), "param")
        arena.add("y", shape, batched=True)
        x, b = floats(4, *turned), floats(shape[-1] + 2)
        reads = (
            Access(0, "f32", contiguous(turned)[::-1], 0, size),
            Access(1, "f32", (0,) * (len(shape) - 1) + (1,), 2),
        )
        kernel = elementwise(
            (0, 1, 2), shape, reads, whole(2, shape), (Call("sub", Element(0), Element(1)), "f32")
        )
        loaded = load(arena.plan(kernel), x=x, b=b)
        loaded.run(3)
        axes = (0, *range(len(shape), 0, -1))
        expected = x.transpose(axes)[:3] - b[2:]
        np.testing.assert_array_equal(loaded.read("y", 3), expected)
        assert not loaded.read("y", 4)[3].any(), "examples beyond the batch stay untouched"

    def test_positions_make_one_hot_rows() -> None:
        arena = Arena(3)
        arena.add("label", (), "input", "i32", batched=True)
        arena.add("hot", (4,), batched=True)
        kernel = elementwise(
            (0, 1), (4,), (Access(0, "i32", (0,), 0, 1),), whole(1, (4,)),
            (Call("eq", Element(0), Position(0)), "bool"), (Call("f32", Temp(0)), "f32"),
        )  # fmt: skip
        loaded = load(arena.plan(kernel), label=np.array([2, 0, 3]))
        loaded.run(3)
        np.testing.assert_array_equal(loaded.read("hot", 3), np.eye(4, dtype=np.float32)[[2, 0, 3]])

    def test_flat_positions_count_inside_the_example() -> None:
        arena = Arena(2)
        arena.add("y", (2, 3), "output", "i32", batched=True)
        kernel = elementwise(
            (0,), (2, 3), (), whole(0, (2, 3), "i32"),
            (Call("add", Position(-1), Position(0)), "i32"),
        )  # fmt: skip
        loaded = load(arena.plan(kernel))
        loaded.run(2)
        expected = np.arange(6).reshape(2, 3) + np.array([[0], [1]])
        np.testing.assert_array_equal(loaded.read("y", 2), np.stack([expected] * 2))

    @pytest.mark.parametrize("dtype", ["f32", "f64"])
    @pytest.mark.parametrize("function", ["uniform", "normal"])
    def test_draws_are_the_numbers_of_the_reference(function: str, dtype: str) -> None:
        arena = Arena(3)
        arena.add("y", (2, 3), "output", dtype, batched=True)
        arena.add("w", (5,), "output", dtype)
        kernels = (
            elementwise((0,), (2, 3), (), whole(0, (2, 3), dtype),
                        (Call(function, Literal(7.0), Position(-1)), dtype)),
            elementwise((1,), (5,), (), whole(0, (5,), dtype, batched=False),
                        (Call(function, Literal(8.0), Position(-1)), dtype), batched=False),
        )  # fmt: skip
        loaded = load(arena.plan(*kernels))
        seed = 0x1234567890ABCDEF
        loaded.run(3, seed=seed, step=5)
        draw = getattr(random, function)
        apart = 0 if function == "uniform" else {"f32": 4e-7, "f64": 1e-7}[dtype]
        for name, shape, stream in (("y", (3, 2, 3), 7), ("w", (5,), 8)):
            expected = draw(shape, stream, dtype, seed, 5)
            np.testing.assert_allclose(loaded.read(name), expected, rtol=apart)

    def test_an_update_in_place_reads_before_it_writes() -> None:
        arena = Arena(1)
        arena.add("w", (11,), "param")
        arena.add("g", (11,), "state")
        w, g = floats(11), floats(11)
        kernel = elementwise(
            (0, 1), (11,), (whole(0, (11,), batched=False), whole(1, (11,), batched=False)),
            whole(0, (11,), batched=False), (Call("mul", Element(1), 0.5), "f32"),
            (Call("sub", Element(0), Temp(0)), "f32"), batched=False,
        )  # fmt: skip
        loaded = load(arena.plan(kernel), w=w, g=g)
        loaded.run(1)
        np.testing.assert_array_equal(loaded.read("w"), w - g * np.float32(0.5))

    FOLDS = {"sum": np.sum, "max": np.max, "min": np.min, "argmax": np.argmax}

    @pytest.mark.parametrize("kind", list(FOLDS))
    @pytest.mark.parametrize("threads", [4, 16])
    @pytest.mark.parametrize("rows,terms", [(1, 17), (5, 3), (3, 8)])
    @pytest.mark.parametrize("batched", [True, False])
    def test_folds_of_the_last_axis(
        kind: str, threads: int, rows: int, terms: int, batched: bool
    ) -> None:
        arena = Arena(3)
        result = "i32" if kind == "argmax" else "f32"
        arena.add("x", (rows, terms), "input" if batched else "param", batched=batched)
        arena.add("y", (rows,), "output", result, batched=batched)
        x = floats(3, rows, terms) if batched else floats(rows, terms)
        if kind == "argmax":
            x = np.round(x)  # with ties: the first counts
        fold = Fold(whole(1, (rows,), result, batched), Element(0), kind, 1)
        stage = Stage((rows, terms), (whole(0, (rows, terms), "f32", batched),), (), (), (fold,))
        plan = arena.plan(loops((0, 1), stage, batched=batched))
        loaded = load(plan, Tuning(threads=threads), x=x)
        loaded.run(3)
        np.testing.assert_allclose(loaded.read("y"), FOLDS[kind](x, axis=-1), rtol=1e-5)

    @pytest.mark.parametrize("kind", ["sum", "max", "min"])
    @pytest.mark.parametrize("threads", [4, 16])
    @pytest.mark.parametrize("rows,terms,axes", [(5, 2, 1), (2, 3, 1), (7, 1, 0), (1, 3, 2)])
    def test_folds_over_the_batch_then_go_on(
        kind: str, threads: int, rows: int, terms: int, axes: int
    ) -> None:
        arena = Arena(5)
        shape = (rows, terms)
        kept = shape[: 2 - axes]
        arena.add("x", shape, "input", batched=True)
        arena.add("sum", kept)
        arena.add("mean", kept)
        x = floats(5, *shape)
        fold = Fold(whole(1, kept, batched=False), Element(0), kind, axes, batch=True)
        first = Stage(shape, (whole(0, shape),), (), (), (fold,))
        lets = (Let(Call("batch"), "f32"), Let(Call("div", Element(0), Temp(0)), "f32"))
        then = Stage(
            kept, (whole(1, kept, batched=False),), lets,
            (Write(whole(2, kept, batched=False), Temp(1)),),
        )  # fmt: skip
        kernel = loops((0, 1, 2), first, then, batched=False, over=True)
        loaded = load(arena.plan(kernel), Tuning(threads=threads), x=x)
        for batch in (5, 4):
            loaded.run(batch)
            expected = FOLDS[kind](x[:batch].reshape(batch, *kept, -1), axis=(0, -1))
            np.testing.assert_allclose(loaded.read("sum"), expected, rtol=1e-5)
            np.testing.assert_allclose(loaded.read("mean"), expected / batch, rtol=1e-5)

    @pytest.mark.parametrize("classes", [5, 37])
    def test_softmax_in_three_stages_with_scratch(classes: int) -> None:
        arena = Arena(5)
        arena.add("scores", (classes,), "input", batched=True)
        arena.add("", (), "scratch")
        arena.add("y", (classes,), batched=True)
        arena.add("", (), "scratch")
        arena.buffers[3] = type(arena.buffers[3])("", "scratch", arena.buffers[3].type, 64)
        x = floats(5, classes)
        loaded = load(arena.plan(softmax_loops(classes)), scores=x)
        loaded.run(5)
        e = np.exp(x - x.max(axis=1, keepdims=True))
        np.testing.assert_allclose(loaded.read("y"), e / e.sum(1, keepdims=True), rtol=1e-5)

    def test_threads_that_ask_together_get_one_shared_array(
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def slow(*arguments: object) -> np.ndarray:
            sleep(0.01)  # long enough for every other thread to arrive
            return make(*arguments)

        make = np.empty
        arena = Arena(1)
        arena.add("x", (17,), "input", batched=True)
        arena.add("y", (), batched=True)
        x = floats(1, 17)
        fold = Fold(whole(1, ()), Element(0), "sum", 1)
        kernel = loops((0, 1), Stage((17,), (whole(0, (17,)),), (), (), (fold,)))
        loaded = load(arena.plan(kernel), x=x)
        monkeypatch.setattr(cuda_simulator, "np", SimpleNamespace(empty=slow))
        loaded.run(1)
        np.testing.assert_allclose(loaded.read("y"), x.sum(axis=1), rtol=1e-5)

    def test_unbatched_stages_run_in_order() -> None:
        """w / √Σw²: the second stage needs the whole of the first."""
        arena = Arena(1)
        arena.add("w", (3, 5), "param")
        arena.add("norm", ())
        w = floats(3, 5)
        square = (Let(Call("square", Element(0)), "f32"),)
        first = Stage((3, 5), (whole(0, (3, 5), batched=False),), square, (),
                      (Fold(Access(1, "f32", ()), Temp(0), "sum", 2),))  # fmt: skip
        lets = (
            Let(Call("rsqrt", Element(1)), "f32"),
            Let(Call("mul", Element(0), Temp(0)), "f32"),
        )
        reads = (whole(0, (3, 5), batched=False), Access(1, "f32", (0, 0)))
        second = Stage((3, 5), reads, lets, (Write(whole(0, (3, 5), batched=False), Temp(1)),))
        loaded = load(arena.plan(loops((0, 1), first, second, batched=False)), w=w)
        loaded.run(1)
        np.testing.assert_allclose(loaded.read("w"), w / np.sqrt((w**2).sum()), rtol=1e-5)

    def test_one_stage_may_fold_different_axes_and_write() -> None:
        arena = Arena(3)
        arena.add("x", (3, 5), "input", batched=True)
        arena.add("rows", (3,), batched=True)
        arena.add("all", (), batched=True)
        arena.add("most", (3,), "output", "i32", batched=True)
        x = floats(3, 3, 5)
        stage = Stage(
            (3, 5), (whole(0, (3, 5)),), (Let(Call("mul", Element(0), 2.0), "f32"),),
            (Write(whole(0, (3, 5)), Temp(0)),),
            (Fold(whole(1, (3,)), Temp(0), "sum", 1), Fold(whole(2, ()), Element(0), "max", 2),
             Fold(whole(3, (3,), "i32"), Element(0), "argmax", 1)),
        )  # fmt: skip
        loaded = load(arena.plan(loops((0, 1, 2, 3), stage)), x=x)
        loaded.run(3)
        np.testing.assert_allclose(loaded.read("rows"), 2 * x.sum(axis=2), rtol=1e-5)
        np.testing.assert_array_equal(loaded.read("all"), x.max(axis=(1, 2)))
        np.testing.assert_array_equal(loaded.read("most"), x.argmax(axis=2))
        np.testing.assert_array_equal(loaded.read("x"), 2 * x)
