"""Products of odd shapes and strides, against NumPy; the block and the threads never show."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from cuda_plans import Arena, affine_epilogue, plain_epilogue, product

from chainrule.compiler.emit import cpu_product
from chainrule.compiler.emit.cpu import Target, write
from chainrule.compiler.emit.cpu_product_shape import Axis
from chainrule.compiler.plan import Access, Extent, Let, Matrix, Plan, Stage, Temp, Write
from chainrule.compiler.scalar import Call, Element, Literal, Position
from chainrule.runtime.cpu import CpuDevice

DRAWN = np.random.default_rng(4)


def run(plan: Plan, batch: int, threads: int = 1, **arrays: np.ndarray) -> np.ndarray:
    loaded = CpuDevice(threads=threads).load(plan)
    loaded.share_everything()
    for name, array in arrays.items():
        loaded.write(name, array)
    loaded.run(batch)
    return loaded.read("c", batch)


def floats(dtype: str, *shape: int) -> np.ndarray:
    return DRAWN.normal(size=shape).astype(np.float32 if dtype == "f32" else np.float64)


# depth, columns, dtype: a single number; less than a vector; tails of every kind; several panels.
SHAPES = [(1, 1, "f32"), (7, 3, "f32"), (13, 17, "f32"), (20, 131, "f32"), (31, 64, "f64"),
          (5, 9, "f64")]  # fmt: skip


@pytest.mark.parametrize(("depth", "columns", "dtype"), SHAPES)
@pytest.mark.parametrize("stored", ["plain", "transposed"])
def test_a_batch_of_rows_by_a_matrix(depth: int, columns: int, dtype: str, stored: str) -> None:
    """max(x @ W + b, 0), W in either layout, batches that fill no block."""
    arena = Arena(9)
    x = arena.add("x", (depth,), "input", dtype, batched=True)
    shape = (depth, columns) if stored == "plain" else (columns, depth)
    w = arena.add("w", shape, "param", dtype)
    b = arena.add("b", (columns,), "param", dtype)
    c = arena.add("c", (columns,), "output", dtype, batched=True)
    matrix = Matrix(1, (columns,), (1,)) if stored == "plain" else Matrix(1, (1,), (depth,))
    epilogue = affine_epilogue(
        Access(2, dtype, (0, 1)), Access(3, dtype, (columns, 1)), dtype
    )  # fmt: skip
    sizes = (Extent(1, True), Extent(columns), Extent(depth))
    plan = arena.plan(
        product((x, w, b, c), sizes, Matrix(0, (depth,), (1,)), matrix, epilogue, dtype=dtype)
    )
    wv, bv = floats(dtype, *shape), floats(dtype, columns)
    for batch in (1, 6, 9):
        xv = floats(dtype, batch, depth)
        want = np.maximum(xv @ (wv if stored == "plain" else wv.T) + bv, 0)
        first = run(plan, batch, 1, x=xv, w=wv, b=bv)
        tolerance = 2e-5 if dtype == "f32" else 1e-12
        np.testing.assert_allclose(first, want, rtol=tolerance, atol=tolerance)
        for threads in (2, 3):
            assert run(plan, batch, threads, x=xv, w=wv, b=bv).tobytes() == first.tobytes()


# The last two: blocks of an update; a last panel of two vectors, and of one.
@pytest.mark.parametrize(("rows", "columns"), [(5, 32), (37, 10), (19, 48), (18, 150), (35, 208)])
def test_a_gradient_sums_over_the_batch_and_updates_in_place(rows: int, columns: int) -> None:
    """W ← W − 0.5·(xᵀ g)/m: the depth is the batch, and A is read along its columns."""
    arena = Arena(12)
    x = arena.add("x", (rows,), "input", batched=True)
    g = arena.add("g", (columns,), "input", batched=True)
    w = arena.add("c", (rows, columns), "param")
    place = Access(2, "f32", (columns, 1))
    lets = (
        Let(Call("batch"), "f32"),
        Let(Call("div", Element(0), Temp(0)), "f32"),
        Let(Call("mul", Temp(1), Literal(0.5)), "f32"),
        Let(Call("sub", Element(1), Temp(2)), "f32"),
    )
    reads = (Access(-1, "f32", ()), place)
    epilogue = Stage((-1, -1), reads, lets, (Write(place, Temp(3)),))
    sizes = (Extent(rows), Extent(columns), Extent(1, True))
    plan = arena.plan(
        product((x, g, w), sizes, Matrix(0, (1,), (rows,)), Matrix(1, (columns,), (1,)), epilogue)
    )
    wv = floats("f32", rows, columns)
    for batch in (1, 12):
        xv, gv = floats("f32", batch, rows), floats("f32", batch, columns)
        found = {run(plan, batch, t, x=xv, g=gv, c=wv).tobytes() for t in (1, 2, 3)}
        assert len(found) == 1
        got = np.frombuffer(found.pop(), np.float32).reshape(rows, columns)
        np.testing.assert_allclose(got, wv - 0.5 * (xv.T @ gv) / batch, rtol=2e-5, atol=2e-5)


def test_a_product_for_each_example_with_positions_in_the_epilogue() -> None:
    """C[l] = A[l] @ B + 100·row + column, over matrices of 3 × 5 and 5 × 18 with offsets."""
    arena = Arena(6)
    a = arena.add("a", (4, 5), "input", batched=True)
    b = arena.add("b", (6, 18), "param")
    c = arena.add("c", (3, 18), "output", batched=True)
    lets = (
        Let(Call("mul", Position(0), Literal(100.0)), "i32"),
        Let(Call("add", Temp(0), Position(1)), "i32"),
        Let(Call("f32", Temp(1)), "f32"),
        Let(Call("add", Element(0), Temp(2)), "f32"),
    )
    epilogue = Stage((-1, -1), (Access(-1, "f32", ()),), lets,
                     (Write(Access(2, "f32", (18, 1), 0, 54), Temp(3)),))  # fmt: skip
    kernel = product(
        (a, b, c), (Extent(3), Extent(18), Extent(5)), Matrix(0, (5,), (1,), 5, 20),
        Matrix(1, (18,), (1,), 18), epilogue, loop=Extent(1, True),
    )  # fmt: skip
    av, bv = floats("f32", 6, 4, 5), floats("f32", 6, 18)
    want = av[:, 1:] @ bv[1:] + 100 * np.arange(3)[:, None] + np.arange(18)
    for threads in (1, 2, 3):
        got = run(arena.plan(kernel), 6, threads, a=av, b=bv)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_a_transposed_result_is_computed_the_other_way_round() -> None:
    """C' = (A @ B)' with C' stored by columns: the same numbers, contiguous."""
    arena = Arena(8)
    x = arena.add("x", (21,), "input", batched=True)
    g = arena.add("g", (40,), "input", batched=True)
    c = arena.add("c", (40, 21), "output")
    epilogue = plain_epilogue(Access(2, "f32", (1, 21)))
    sizes = (Extent(21), Extent(40), Extent(1, True))
    plan = arena.plan(
        product((x, g, c), sizes, Matrix(0, (1,), (21,)), Matrix(1, (40,), (1,)), epilogue)
    )
    xv, gv = floats("f32", 8, 21), floats("f32", 8, 40)
    np.testing.assert_allclose(run(plan, 8, 2, x=xv, g=gv), gv.T @ xv, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["rows", "columns", "depth"])
def test_the_block_does_not_change_a_bit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the three extents is once the batch."""
    arena = Arena(11)
    extents = {k: Extent(23) for k in ("rows", "columns", "depth")} | {kind: Extent(1, True)}
    shapes = {"rows": ((23,), (23, 23)), "columns": ((23, 23), (23,)), "depth": ((23,), (23,))}
    (left, right) = shapes[kind]
    a = arena.add("a", left, "input", batched=kind != "columns")
    b = arena.add("b", right, "input", batched=kind != "rows")
    c = arena.add("c", (23,) if kind != "depth" else (23, 23), "output", batched=kind != "depth")
    write = {"rows": (23, 1), "columns": (1, 23), "depth": (23, 1)}[kind]
    ma = Matrix(0, (1,), (23,)) if kind == "depth" else Matrix(0, (23,), (1,))
    mb = Matrix(1, (1,), (23,)) if kind == "columns" else Matrix(1, (23,), (1,))
    kernel = product((a, b, c), (extents["rows"], extents["columns"], extents["depth"]), ma, mb,
                     plain_epilogue(Access(2, "f32", write)))  # fmt: skip
    plan = arena.plan(kernel)
    av = floats("f32", *((11,) if kind != "columns" else ()), *left)
    bv = floats("f32", *((11,) if kind != "rows" else ()), *right)
    found = set()
    for block in (cpu_product.Block(1, 1), cpu_product.Block(4, 2), cpu_product.Block(6, 4)):
        monkeypatch.setattr(cpu_product, "choose_block", lambda *_, chosen=block: chosen)
        found.add(run(plan, 11, 2, a=av, b=bv).tobytes())
    assert len(found) == 1
    got = np.frombuffer(found.pop(), np.float32).reshape(-1, 23)
    pair = {"rows": (av, bv), "columns": (bv, av.T), "depth": (av.T, bv)}[kind]
    want = pair[0] @ pair[1]
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


def test_blocks_fit_the_registers_and_the_rows() -> None:
    for shape, columns in (((1,), 1), ((10,), 10), ((128,), 512), ((784,), 128), ((7,), 1000),
                           ((4, 32, 28), 64), ((16, 4, 4), 512), ((3, 2, 2), 40)):  # fmt: skip
        axes = tuple(Axis(n, False, (k,), 1, (1,)) for k, n in enumerate(shape))
        for registers in (4, 8, 32):
            block = cpu_product.choose_block(axes, columns, 128, 16, registers, 1)
            assert 1 <= block.rows <= shape[block.axis]
            rows = block.rows * prod(shape[block.axis + 1 :])
            used = rows * block.vectors + block.vectors + 1
            assert used <= registers or rows == 1


def test_rows_that_share_places_in_the_caches_are_packed() -> None:
    """1,024 columns of 4 bytes: the text packs B, takes fewer rows, and the numbers stay right."""
    arena = Arena(80)
    x = arena.add("x", (1024,), "input", batched=True)
    w = arena.add("w", (1024, 1024), "param")
    c = arena.add("c", (1024,), "output", batched=True)
    kernel = product((x, w, c), (Extent(1, True), Extent(1024), Extent(1024)),
                     Matrix(0, (1024,), (1,)), Matrix(1, (1024,), (1,)),
                     plain_epilogue(Access(2, "f32", (1024, 1))))  # fmt: skip
    assert "store(own" in write(kernel, 80, Target(), "simd").text
    xv, wv = floats("f32", 80, 1024), floats("f32", 1024, 1024)
    want = xv.astype(np.float64) @ wv
    np.testing.assert_allclose(run(arena.plan(kernel), 80, 2, x=xv, w=wv), want, atol=2e-3)
