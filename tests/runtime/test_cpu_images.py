"""Kernels of image networks, in [height, width, channels] memory, give what the plan's interpreter
gives: pooling, statistics of channels, normalisation into padded memory, windows of neighbours.
"""

from __future__ import annotations

import numpy as np
import pytest
from cuda_plans import Arena, contiguous, loops, whole
from test_cpu_plans import check, on_threads, random

from chainrule.compiler.emit.cpu import Target, emit
from chainrule.compiler.plan import Access, Fold, Let, Plan, Stage, Temp, Write
from chainrule.compiler.scalar import Call, Element, Literal

TIGHT = {"f32": 2e-5, "f64": 1e-12}
IMAGES = [(5, 7, 3, "f32"), (9, 5, 17, "f32"), (6, 7, 64, "f32"), (5, 5, 5, "f64"),
          (4, 3, 96, "f32"), (7, 5, 20, "f64")]  # fmt: skip


def text(plan: Plan) -> str:
    (source,) = emit(plan, Target(), "simd").sources
    return source.text


def pooling(height: int, width: int, channels: int, dtype: str, kernel: int, stride: int) -> Plan:
    """Sum, maximum and place of the maximum of max(x·s + t, 0), scale and shift by channel."""
    arena = Arena(4)
    rows, columns = (height - kernel) // stride + 1, (width - kernel) // stride + 1
    small = (rows, columns, channels)
    size = rows * columns * channels
    slots = [arena.add("x", (height, width, channels), "input", dtype, batched=True)]
    slots += [arena.add(n, (channels,), "param", dtype) for n in ("s", "t")]
    folds = []
    for kind in ("sum", "max", "argmax"):
        own = "i32" if kind == "argmax" else dtype
        slots.append(arena.add(kind, small, "output", own, batched=True))
        place = Access(len(slots) - 1, own, contiguous(small), 0, size)
        folds.append(Fold(place, Temp(2), kind, 2))
    row = width * channels
    window = (stride * row, stride * channels, 1, row, channels)
    reads = (Access(0, dtype, window, 0, height * row), Access(1, dtype, (0, 0, 1, 0, 0)),
             Access(2, dtype, (0, 0, 1, 0, 0)))  # fmt: skip
    lets = (Let(Call("mul", Element(0), Element(1)), dtype),
            Let(Call("add", Temp(0), Element(2)), dtype),
            Let(Call("max", Temp(1), Literal(0.0)), dtype))  # fmt: skip
    stage = Stage((*small, kernel, kernel), reads, lets, (), tuple(folds))
    return arena.plan(loops(tuple(slots), stage))


@pytest.mark.parametrize(("height", "width", "channels", "dtype"), IMAGES)
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2)])
def test_pooling_by_channel(
    height: int, width: int, channels: int, dtype: str, kernel: int, stride: int
) -> None:
    plan = pooling(height, width, channels, dtype, kernel, stride)
    check(plan, random(plan, 3), 3, TIGHT[dtype])


def test_pooling_runs_along_the_channels() -> None:
    """No element is fetched by itself, and no window is joined lane by lane."""
    made = text(pooling(8, 8, 32, "f32", 2, 2))
    assert "load(p0" in made
    assert "gather" not in made and "_lanes(" not in made


@pytest.mark.parametrize(("height", "width", "channels", "dtype"), IMAGES)
def test_statistics_of_channels(height: int, width: int, channels: int, dtype: str) -> None:
    """Σ g and Σ g·(x − μ)·ρ over the pixels of each example."""
    arena = Arena(4)
    shape = (height, width, channels)
    slots = [arena.add(n, shape, "input", dtype, batched=True) for n in "xg"]
    slots += [arena.add(n, (channels,), "param", dtype) for n in ("mean", "rho")]
    slots += [arena.add(n, (channels,), "output", dtype, batched=True) for n in ("s", "q")]
    pixels = height * width
    walk, still = (1, channels), (1, 0)
    reads = (Access(0, dtype, walk, 0, pixels * channels),
             Access(1, dtype, walk, 0, pixels * channels),
             Access(2, dtype, still), Access(3, dtype, still))  # fmt: skip
    lets = (Let(Call("sub", Element(0), Element(2)), dtype),
            Let(Call("mul", Temp(0), Element(3)), dtype),
            Let(Call("mul", Temp(1), Element(1)), dtype))  # fmt: skip
    folds = tuple(
        Fold(Access(k, dtype, (1,), 0, channels), value, "sum", 1)
        for k, value in ((4, Element(1)), (5, Temp(2)))
    )
    stage = Stage((channels, pixels), reads, lets, (), folds)
    plan = arena.plan(loops(tuple(slots), stage))
    check(plan, random(plan, 3), 3, TIGHT[dtype])


@pytest.mark.parametrize(("pixels", "channels"), [(65536, 5), (65536, 96), (3100, 1), (1037, 17)])
def test_long_sums_keep_their_accuracy(pixels: int, channels: int) -> None:
    """Numbers between 0 and 1: a plain chain of 65,536 additions would err by 1e-5 and more."""
    arena = Arena(1)
    x = arena.add("x", (pixels, channels), "input", batched=True)
    s = arena.add("s", (channels,), "output", batched=True)
    total = arena.add("total", (), "output", batched=True)
    by_channel = Stage(
        (channels, pixels),
        (Access(0, "f32", (1, channels)),),
        (),
        (),
        (Fold(Access(1, "f32", (1,), 0, channels), Element(0), "sum", 1),),
    )
    all_of_it = Stage((pixels * channels,), (Access(0, "f32", (1,)),), (), (),
                      (Fold(Access(2, "f32", (), 0, 1), Element(0), "sum", 1),))  # fmt: skip
    loaded = on_threads(arena.plan(loops((x, s, total), by_channel, all_of_it)), 1)
    values = np.random.default_rng(1).random((1, pixels, channels), np.float32)
    loaded.write("x", values)
    loaded.run(1)
    exact = values.astype(np.float64)
    np.testing.assert_allclose(loaded.read("s", 1), exact.sum(1), rtol=1e-6)
    np.testing.assert_allclose(loaded.read("total", 1), exact.sum((1, 2)), rtol=1e-6)


def normalisation(height: int, width: int, channels: int, dtype: str) -> Plan:
    """max((x − μ)/σ·√γ, 0) inside a border of zeros."""
    arena = Arena(4)
    wide = width + 2
    size = (height + 2) * wide * channels
    slots = [arena.add("x", (height, width, channels), "input", dtype, batched=True)]
    slots += [arena.add(n, (channels,), "param", dtype) for n in ("mean", "sigma", "gamma")]
    slots.append(arena.add("y", (height + 2, wide, channels), "output", dtype, batched=True))
    pixel = (width * channels, channels, 1)
    reads = (Access(0, dtype, pixel, 0, height * width * channels),
             *(Access(k, dtype, (0, 0, 1)) for k in (1, 2, 3)))  # fmt: skip
    lets = (Let(Call("sub", Element(0), Element(1)), dtype),
            Let(Call("div", Temp(0), Element(2)), dtype),
            Let(Call("square", Element(3)), dtype),
            Let(Call("add", Temp(2), Literal(1.0)), dtype),
            Let(Call("sqrt", Temp(3)), dtype),
            Let(Call("mul", Temp(1), Temp(4)), dtype),
            Let(Call("max", Temp(5), Literal(0.0)), dtype))  # fmt: skip
    inside = Access(4, dtype, (wide * channels, channels, 1), (wide + 1) * channels, size)
    first = (wide + 1) * channels
    ends = Stage(
        (first,),
        (),
        (),
        tuple(
            Write(Access(4, dtype, (1,), start, size), Literal(0.0)) for start in (0, size - first)
        ),
    )
    gaps = Stage((height - 1, 2 * channels), (), (), (
        Write(Access(4, dtype, (wide * channels, 1), (2 * wide - 1) * channels, size),
              Literal(0.0)),))  # fmt: skip
    stage = Stage((height, width, channels), reads, lets, (Write(inside, Temp(6)),))
    return arena.plan(loops(tuple(slots), ends, gaps, stage))


@pytest.mark.parametrize(("height", "width", "channels", "dtype"), IMAGES)
def test_normalisation_into_padded_memory(
    height: int, width: int, channels: int, dtype: str
) -> None:
    plan = normalisation(height, width, channels, dtype)
    check(plan, random(plan, 3), 3, TIGHT[dtype])


def test_what_is_the_same_for_all_pixels_is_worked_out_once() -> None:
    made = text(normalisation(8, 8, 32, "f32"))
    before = made[: made.index("for e in range")]
    assert made.count("sqrt(") == 1 and "sqrt(" in before
    assert made.count("reciprocal(") == 1 and "reciprocal(" in before
    assert " / " not in made


def test_tables_of_what_one_stage_leaves_for_the_next() -> None:
    """A gate by channel, different for each example, lies in a thread's own memory."""
    arena = Arena(5)
    shape = (6, 5, 17)
    x = arena.add("x", shape, "input", batched=True)
    own = arena.add("own", (17,), "scratch")
    y = arena.add("y", shape, "output", batched=True)
    mean = Stage((17, 30), (Access(0, "f32", (1, 17), 0, 510),), (), (),
                 (Fold(Access(1, "f32", (1,)), Element(0), "sum", 1),))  # fmt: skip
    lets = (Let(Call("sigmoid", Element(1)), "f32"), Let(Call("mul", Element(0), Temp(0)), "f32"))
    gate = Stage((6, 5, 17), (whole(0, shape), Access(1, "f32", (0, 0, 1))), lets,
                 (Write(whole(2, shape), Temp(1)),))  # fmt: skip
    plan = arena.plan(loops((x, own, y), mean, gate))
    given = random(plan, 5)
    want = given["x"] / (1 + np.exp(-given["x"].sum((1, 2), keepdims=True)))
    for threads in (1, 3):
        loaded = on_threads(plan, threads)
        loaded.write("x", given["x"])
        loaded.run(5)
        np.testing.assert_allclose(loaded.read("y", 5), want, rtol=1e-5, atol=1e-6)


def test_tables_that_differ_from_example_to_example() -> None:
    arena = Arena(5)
    shape = (6, 5, 20)
    slots = (arena.add("x", shape, "input", batched=True),
             arena.add("gate", (20,), "input", batched=True),
             arena.add("y", shape, "output", batched=True))  # fmt: skip
    lets = (Let(Call("sigmoid", Element(1)), "f32"), Let(Call("mul", Element(0), Temp(0)), "f32"))
    gate = Access(1, "f32", (0, 0, 1), 0, 20)
    stage = Stage((6, 5, 20), (whole(0, shape), gate), lets, (Write(whole(2, shape), Temp(1)),))
    copy = Stage((20,), (Access(1, "f32", (1,), 0, 20),), (), (
        Write(Access(2, "f32", (1,), 0, 600), Element(0)),))  # fmt: skip
    for stages in ((stage,), (stage, copy)):
        plan = arena.plan(loops(slots, *stages))
        check(plan, random(plan, 4), 4, 1e-5)


@pytest.mark.parametrize(("channels", "dtype"), [(5, "f32"), (64, "f32"), (17, "f64")])
def test_sums_over_neighbouring_channels(channels: int, dtype: str) -> None:
    """Σ x² over five neighbours in a padded operand, as local response normalisation needs."""
    arena = Arena(4)
    wide = channels + 4
    x = arena.add("x", (5, 3, wide), "input", dtype, batched=True)
    y = arena.add("y", (5, 3, channels), "output", dtype, batched=True)
    read = Access(0, dtype, (3 * wide, wide, 1, 1), 0, 15 * wide)
    fold = Fold(whole(1, (5, 3, channels), dtype), Temp(0), "sum", 1)
    square = (Let(Call("square", Element(0)), dtype),)
    plan = arena.plan(loops((x, y), Stage((5, 3, channels, 5), (read,), square, (), (fold,))))
    check(plan, random(plan, 3), 3, TIGHT[dtype])


@pytest.mark.parametrize("channels", [3, 17, 64])
def test_pieces_are_added_where_windows_overlap(channels: int) -> None:
    """3 × 3 windows with stride 2, added back one place of the window after another."""
    arena = Arena(4)
    height, width, rows, columns = 7, 9, 3, 4
    g = arena.add("g", (9, rows, columns, channels), "input", batched=True)
    y = arena.add("y", (height, width, channels), "output", batched=True)
    size, part = height * width * channels, rows * columns * channels
    stages = [Stage((size,), (), (), (Write(Access(1, "f32", (1,), 0, size), Literal(0.0)),))]
    for k in range(9):
        start = (k // 3 * width + k % 3) * channels
        place = Access(1, "f32", (2 * width * channels, 2 * channels, 1), start, size)
        read = Access(0, "f32", (columns * channels, channels, 1), k * part, 9 * part)
        add = (Let(Call("add", Element(0), Element(1)), "f32"),)
        writes = (Write(place, Temp(0)),)
        stages.append(Stage((rows, columns, channels), (place, read), add, writes))
    plan = arena.plan(loops((g, y), *stages))
    check(plan, random(plan, 3), 3, 1e-6)


def test_the_rows_of_one_image_are_shared() -> None:
    """Threads have work even where there is a single example."""
    plan = pooling(9, 9, 17, "f32", 3, 2)
    assert "total = batch * 4" in text(plan)
    check(plan, random(plan, 1), 1, 1e-5)
