"""The text of CUDA kernels: which form is chosen, that f32 stays f32, that nothing of a user is
in it."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest

from chainrule.compiler.emit.cuda import emit
from chainrule.compiler.emit.cuda import emit_kernel as emit_all
from chainrule.compiler.emit.cuda_kernel import WHOLE, CudaKernel, Launch, Tile, Tuning
from chainrule.compiler.emit.cuda_teams import Team, beside, choose_team
from chainrule.compiler.emit.cuda_tiles import TILES, choose_parts, choose_tile
from chainrule.compiler.emit.cuda_writer import literal
from chainrule.compiler.plan import (
    Access,
    Buffer,
    Extent,
    Fold,
    Let,
    Loops,
    Matrix,
    Plan,
    Product,
    Stage,
    Temp,
    Write,
)
from chainrule.compiler.scalar import Call, Element, Literal, Position
from chainrule.compiler.types import Type

LABEL = 'evil"""\nimport os\n'


def loops(*stages: Stage, batched: bool = True, over: bool = False) -> Loops:
    slots = 1 + max(a.slot for s in stages for a in (*s.reads, *_written(s)))
    return Loops(LABEL, tuple(range(slots)), (), None, (), (), stages, batched, over)


def _written(stage: Stage) -> list[Access]:
    return [w.access for w in stage.writes] + [f.access for f in stage.folds]


def rows(slot: int, n: int) -> Access:
    return Access(slot, "f32", (1,), 0, n)


def doubled(n: int) -> Stage:
    return Stage(
        (n,), (rows(0, n),), (Let(Call("mul", Element(0), 2.0), "f32"),),
        (Write(rows(1, n), Temp(0)),),
    )  # fmt: skip


def summed(n: int, slot: int = 2) -> Stage:
    fold = Fold(Access(slot, "f32", (), 0, 1), Element(0), "sum", 1)
    return Stage((n,), (rows(0, n),), (), (), (fold,))


def dense(columns: int = 10) -> Product:
    write = Write(Access(2, "f32", (columns, 1)), Element(0))
    epilogue = Stage((-1, -1), (Access(-1, "f32", ()),), (), (write,))
    return Product(
        LABEL, (0, 1, 2), (), None, (), (),
        (Extent(1, True),), Extent(columns), (Extent(784),), Extent(1),
        Matrix(0, (784,), (1,)), Matrix(1, (columns,), (1,)), "f32", epilogue,
    )  # fmt: skip


def emit_kernel(kernel: Loops | Product, capacity: int) -> CudaKernel:
    """The text of a kernel that needs only one."""
    (text,) = emit_all(kernel, capacity)
    return text


def form(kernel: CudaKernel) -> str:
    return kernel.name.partition("_")[0]


@pytest.mark.parametrize(
    "kernel,expected",
    [
        (loops(doubled(100)), "elements"),
        (loops(summed(100)), "results"),
        (loops(doubled(10), summed(10)), "alone"),
        (loops(doubled(100), summed(100)), "together"),
        (loops(doubled(100), summed(100), batched=False), "together"),
        (dense(), "product"),
    ],
)
def test_the_form_follows_the_kernel(kernel: Loops | Product, expected: str) -> None:
    assert form(emit_kernel(kernel, 64)) == expected


def test_every_text_is_python_and_holds_nothing_of_the_user() -> None:
    for kernel in (loops(doubled(7)), loops(summed(7)), loops(doubled(99), summed(99)), dense()):
        source = emit_kernel(kernel, 64).source
        ast.parse(source)
        assert "evil" not in source and "import os" not in source
        assert max(map(len, source.splitlines())) < 120


def test_equal_kernels_have_one_text_and_a_name_by_content() -> None:
    one, two = emit_kernel(loops(doubled(7)), 64), emit_kernel(loops(doubled(8)), 64)
    assert one == emit_kernel(replace(loops(doubled(7)), label="another"), 64)
    assert one.name != two.name


def test_contiguous_axes_become_one_index() -> None:
    full = Access(0, "f32", (15, 5, 1), 0, 60)
    stage = Stage((4, 3, 5), (full,), (), (Write(replace(full, slot=1), Element(0)),))
    source = emit_kernel(loops(stage), 8).source
    assert "x0 = f32[p0 + i]" in source and "%" not in source
    asking = replace(stage, lets=(Let(Call("f32", Position(1)), "f32"),))
    assert "i_u // np.uint32(5) % np.uint32(3)" in emit_kernel(loops(asking), 8).source


def test_shared_arrays_stand_on_lines_of_their_own() -> None:
    for kernel in (dense(), loops(doubled(99), summed(99))):
        for line in emit_kernel(kernel, 64).source.splitlines():
            assert line.count("cuda.shared.array") <= 1


def test_folds_join_lanes_in_a_fixed_order() -> None:
    source = emit_kernel(loops(summed(100)), 8).source
    joins = [line for line in source.splitlines() if "part_f32[t + " in line]
    assert [int(j.split("+ ")[-1].rstrip("]")) for j in joins] == [64, 32, 16, 8, 4, 2, 1]
    assert source.count("cuda.syncthreads()") == 9


@pytest.mark.parametrize(
    "value,dtype,text",
    [
        (0.1, "f32", "np.float32(0.1)"),
        (0.1, "f64", "np.float64(0.1)"),
        (1 / 3, "f32", "np.float32(0.33333334)"),
        (3.0, "i32", "np.int32(3)"),
        (float("-inf"), "f32", "np.float32(-np.inf)"),
        (float("nan"), "f64", "np.float64(np.nan)"),
        (1.0, "bool", "True"),
    ],
)
def test_literals_carry_their_type(value: float, dtype: str, text: str) -> None:
    assert literal(value, dtype) == text


def test_the_tile_of_a_product_shrinks_until_the_device_is_full() -> None:
    assert choose_tile(dense(columns=1024), 2048, Tuning(), WHOLE) == TILES[0]
    assert choose_tile(dense(columns=128), 64, Tuning(), WHOLE) == TILES[-1]
    own = Tile(8, 8, 8, 2, 2)
    assert choose_tile(dense(), 64, Tuning(tile=own), WHOLE) == own


def test_narrow_products_take_narrow_tiles() -> None:
    rows = (Extent(1, True), Extent(56), Extent(56))

    def tile(columns: int, dtype: str = "f32") -> Tile:
        made = replace(dense(columns), rows=rows, dtype=dtype)
        return choose_tile(made, 32, Tuning(), WHOLE)

    assert (tile(256).rows, tile(256).columns) == (128, 128)
    assert tile(64).columns == 64 and tile(12).columns == 16
    assert tile(256, "f64").tall * tile(256, "f64").wide <= 16, "doubles take two registers"


def test_a_long_depth_is_cut_by_shape_not_by_device() -> None:
    deep = replace(dense(64), rows=(Extent(576),), depth=(Extent(1, True), Extent(3136)))
    parts = choose_parts(deep, 32, Tuning())
    assert parts == choose_parts(deep, 32, Tuning(blocks=16))
    assert parts.count > 16 and parts.count * parts.length >= 32 * 3136
    assert (parts.count - 1) * parts.length < 32 * 3136, "no part is empty on a full batch"
    assert choose_parts(dense(), 64, Tuning()) == WHOLE, "784 terms are not worth a second launch"


def pooled(kept: tuple[int, int, int], strides: tuple[int, ...]) -> Stage:
    fold = Fold(Access(1, "f32", (4, 2, 1)), Element(0), "max", 2)
    return Stage((*kept, 3, 3), (Access(0, "f32", strides),), (), (), (fold,))


def test_neighbouring_threads_read_neighbouring_words() -> None:
    channels_last = pooled((8, 8, 64), (1280, 128, 1, 640, 64))
    channels_first = pooled((64, 8, 8), (100, 20, 2, 10, 1))
    assert beside(channels_last, False) and not beside(channels_first, False)
    few, many = (choose_team(channels_last, n, 9, False, Tuning()) for n in (64, 10**6))
    assert few == Team(8, 32, row_first=False), "a warp reads 32 channels"
    assert many == Team(1, 256, row_first=False), "with enough results, each has one thread"
    assert choose_team(channels_first, 64, 9, False, Tuning()).row_first


def test_blocks_cover_the_extents() -> None:
    launch = Launch(256, ((Extent(1, True), 64), (Extent(10), 64), (Extent(3), 1)))
    assert launch.blocks(64) == 3 and launch.blocks(65) == 6
    assert Launch(32, ((Extent(1, True), 1),), limit=5, alone=True).workers(100) == 160


def test_scratch_lies_behind_the_arena_once_for_each_worker() -> None:
    share = Access(1, "f32", ())
    first = Stage((99,), (rows(0, 99),), (), (), (Fold(share, Element(0), "max", 1),))
    lets = (Let(Call("sub", Element(0), Element(1)), "f32"),)
    reads = (rows(0, 99), Access(1, "f32", (0,)))
    second = Stage((99,), reads, lets, (Write(rows(2, 99), Temp(0)),))
    kernel = replace(loops(first, second), slots=(0, 1, 2))
    example = Type((99,), batched=True)
    buffers = (
        Buffer("x", "input", example, 64), Buffer("", "scratch", Type(), 0),
        Buffer("y", "output", example, 2624),
    )  # fmt: skip
    plan = Plan("p", (kernel, kernel), (True, True), buffers, 5200, 6, {}, {"y": 2})
    program = emit(plan)
    run = program.run(6)
    assert len(program.kernels) == 1 and [call.at for call in run.calls] == [0, 6]
    assert run.table[:6].tolist() == [64, 5248, 2624, 0, 64, 0]
    assert program.memory == 5248 + 6 * 64
    assert "cuda.blockIdx.x * int(table[at + 4])" in program.kernels[0].source


def test_a_function_that_the_emitter_does_not_know_is_an_error() -> None:
    stage = Stage((3,), (rows(0, 3),), (Let(Call("sub", Literal(1.0), Element(0)), "bool"),))
    with pytest.raises(TypeError, match="not defined for truth values"):
        emit_kernel(loops(replace(stage, writes=(Write(rows(1, 3), Temp(0)),))), 4)
