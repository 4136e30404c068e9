"""Whole plans on the CPU give what the plan's own interpreter gives, on any number of threads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cuda_plans import Arena, loops, softmax_loops, whole

from chainrule.compiler.plan import Access, Fold, Let, Plan, Stage, Temp, Write
from chainrule.compiler.scalar import Call, Element, Literal, Position
from chainrule.compiler.schedule import plan as schedule
from chainrule.runtime.cpu import CpuDevice, CpuLoaded
from chainrule.runtime.plan_oracle import run_plan
from tests.compiler import plancase
from tests.compiler.plancase import Builder, numbers

THREADS = (1, 2, 3)


def on_threads(plan: Plan, threads: int) -> CpuLoaded:
    """Loaded with every kernel shared by that many threads, however small it is."""
    loaded = CpuDevice(threads=threads).load(plan)
    loaded.share_everything()
    return loaded


def check(plan: Plan, given: dict[str, np.ndarray], batch: int, tolerance: float) -> None:
    """Run on one, two and three threads: as the oracle, and with the same bits."""
    oracle = run_plan(plan, given, batch=batch, seed=5, step=2)
    names = [b.name for b in plan.buffers if b.kind in ("output", "param", "state")]
    first: dict[str, bytes] = {}
    for threads in THREADS:
        loaded = on_threads(plan, threads)
        for name, value in given.items():
            buffer = plan.buffer(name)
            array = np.asarray(value).astype(buffer.type.numpy)
            loaded.write(name, buffer.seen(array))
        loaded.run(batch, seed=5, step=2)
        for name in names:
            got = loaded.read(name, batch)
            want = oracle.read(name, batch)
            want = plan.buffer(name).seen(want)
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance, err_msg=name)
            assert first.setdefault(name, got.tobytes()) == got.tobytes(), (
                f"{name}: {threads} threads"
            )


@pytest.mark.parametrize("seed", [2, 9, 14, 33, 101])
def test_random_graphs_in_f64(seed: int) -> None:
    graph = Builder(seed, 12).graph()
    check(schedule(graph, 4), numbers(graph, 3), 3, 1e-9)


@pytest.mark.parametrize("seed", [3, 104])
def test_random_graphs_in_f32(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plancase, "ELEMENT", "f32")
    graph = Builder(seed, 12).graph()
    check(schedule(graph, 4), numbers(graph, 3), 3, 2e-4)


def random(arena: Arena | Plan, batch: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    found = {}
    for b in arena.buffers:
        if b.kind in ("input", "param"):
            shape = (batch, *b.type.shape) if b.type.batched else b.type.shape
            found[b.name] = rng.normal(size=shape).astype(b.type.numpy)
    return found


def test_strides_offsets_and_tails_of_elementwise_stages() -> None:
    """A transposed read, a row from an offset, a matrix of 5 × 37 for each example."""
    arena = Arena(7)
    x = arena.add("x", (37, 5), "input", batched=True)
    row = arena.add("row", (40,), "param")
    y = arena.add("y", (5, 37), "output", batched=True)
    mask = arena.add("mask", (5, 37), "output", "bool", batched=True)
    count = arena.add("count", (5, 37), "output", "i32", batched=True)
    lets = (
        Let(Call("mul", Element(0), Element(1)), "f32"),
        Let(Call("gt", Temp(0), Literal(0.25)), "bool"),
        Let(Call("select", Temp(1), Temp(0), Literal(-1.0)), "f32"),
        Let(Call("mul", Position(1), Literal(3.0)), "i32"),
        Let(Call("add", Position(-1), Temp(3)), "i32"),
    )
    stage = Stage(
        (5, 37), (Access(0, "f32", (1, 5), 0, 185), Access(1, "f32", (0, 1), 3)), lets,
        (Write(whole(2, (5, 37)), Temp(2)), Write(whole(3, (5, 37), "bool"), Temp(1)),
         Write(whole(4, (5, 37), "i32"), Temp(4))),
    )  # fmt: skip
    plan = arena.plan(loops((x, row, y, mask, count), stage))
    for batch in (1, 5, 7):
        check(plan, random(arena, batch), batch, 1e-6)


def test_folds_of_every_kind_per_example() -> None:
    arena = Arena(5)
    slots = [arena.add("x", (3, 21), "input", batched=True)]
    folds = []
    wanted = [("sum", 2, ()), ("max", 1, (3,)), ("min", 1, (3,)), ("argmax", 1, (3,))]
    for kind, axes, shape in [*wanted, ("argmax", 2, ())]:
        dtype = "i32" if kind == "argmax" else "f32"
        slots.append(arena.add(f"{kind}{axes}", shape, "output", dtype, batched=True))
        size = 3 if shape else 1
        access = Access(len(slots) - 1, dtype, (1,) * len(shape), 0, size)
        folds.append(Fold(access, Element(0), kind, axes))
    stage = Stage((3, 21), (whole(0, (3, 21)),), (), (), tuple(folds))
    check(arena.plan(loops(tuple(slots), stage)), random(arena, 4), 4, 1e-5)


def test_the_first_nan_is_the_greatest_as_in_numpy() -> None:
    arena = Arena(4)
    x = arena.add("x", (21,), "input", batched=True)
    where = arena.add("where", (), "output", "i32", batched=True)
    top = arena.add("top", (), "output", batched=True)
    folds = (Fold(Access(1, "i32", (), 0, 1), Element(0), "argmax", 1),
             Fold(Access(2, "f32", (), 0, 1), Element(0), "max", 1))  # fmt: skip
    stage = Stage((21,), (whole(0, (21,)),), (), (), folds)
    loaded = CpuDevice(threads=1).load(arena.plan(loops((x, where, top), stage)))
    values = np.zeros((4, 21), np.float32)
    values[0, [3, 18]] = np.nan
    values[1, [5, 20]] = 7.0
    values[2] = -np.inf
    loaded.write("x", values)
    loaded.run(4)
    np.testing.assert_array_equal(loaded.read("where", 4), np.argmax(values, 1))
    np.testing.assert_array_equal(loaded.read("top", 4), np.max(values, 1))


@pytest.mark.parametrize("shape", [(), (1,), (10,), (131,), (3, 50)])
def test_sums_over_the_batch(shape: tuple[int, ...]) -> None:
    """In columns side by side, and (for a scalar) along the batch; then a step with each result."""
    arena = Arena(40)
    x = arena.add("x", shape, "input", batched=True)
    w = arena.add("w", shape, "param")
    total = arena.add("total", shape, "output")
    fold = Fold(whole(1, shape, batched=False), Element(0), "sum", 0, batch=True)
    first = Stage(shape, (whole(0, shape),), (), (), (fold,))
    lets = (
        Let(Call("batch"), "f32"),
        Let(Call("div", Element(0), Temp(0)), "f32"),
        Let(Call("sub", Element(1), Temp(1)), "f32"),
    )
    then = Stage(shape, (whole(1, shape, batched=False), whole(2, shape, batched=False)), lets,
                 (Write(whole(2, shape, batched=False), Temp(2)),))  # fmt: skip
    kernel = loops((x, total, w), first, then, batched=False, over=True)
    for batch in (1, 33):
        check(arena.plan(kernel), random(arena, batch), batch, 1e-5)


def test_scratch_is_each_threads_own() -> None:
    arena = Arena(9)
    x = arena.add("x", (21,), "input", batched=True)
    own = arena.add("own", (), "scratch")
    y = arena.add("y", (21,), "output", batched=True)
    plan = arena.plan(replace(softmax_loops(21), slots=(x, own, y, own)))
    given = random(arena, 9)
    e = np.exp(given["x"] - given["x"].max(1, keepdims=True))
    for threads in THREADS:
        loaded = on_threads(plan, threads)
        loaded.write("x", given["x"])
        loaded.run(9)
        np.testing.assert_allclose(loaded.read("y", 9), e / e.sum(1, keepdims=True), rtol=1e-5)
