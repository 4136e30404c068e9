"""Kernels compile to PTX without a GPU; where CUDA cannot run, a diagnostic says why."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from chainrule.compiler.emit.cuda import emit
from chainrule.compiler.emit.cuda_kernel import Tuning
from chainrule.compiler.emit.cuda_tiles import TILES
from chainrule.compiler.plan import (
    Access,
    Extent,
    Fold,
    Let,
    Loops,
    Matrix,
    Plan,
    Stage,
    Temp,
    Write,
)
from chainrule.compiler.scalar import FUNCTIONS, Call, Element, Literal, Position
from chainrule.dsl.diagnostics import Failure
from chainrule.runtime import cuda_toolkit
from chainrule.runtime.cuda import CudaDevice
from chainrule.runtime.cuda_modules import compile_ptx, export, write_module
from tests.runtime.cuda_images import Image, by_data, by_weights, forward
from tests.runtime.cuda_plans import (
    SIMULATOR,
    Arena,
    affine_epilogue,
    loops,
    plain_epilogue,
    product,
    softmax_loops,
    whole,
)

TARGETS = [(8, 0), (9, 0)]
pytestmark = pytest.mark.skipif(SIMULATOR, reason="the simulator compiles nothing")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))


def several(dtype: str = "f32") -> Plan:
    """A kernel of every form."""
    arena = Arena(64)
    for name, shape, batched in (("x", (784,), True), ("W", (10, 784), False), ("b", (10,), False)):
        arena.add(name, shape, "input" if batched else "param", dtype, batched=batched)
    arena.add("y", (10,), "output", dtype, batched=True)
    arena.add("p", (10,), "output", dtype, batched=True)
    arena.add("s", (), "scratch", dtype)
    arena.add("wide", (784,), "output", dtype, batched=True)
    arena.add("total", (784,), "output", dtype)
    arena.add("best", (), "output", "i32", batched=True)
    arena.add("dW", (10, 784), "output", dtype)
    bias, write = Access(2, dtype, (0, 1)), Access(3, dtype, (10, 1))
    m = Extent(1, True)
    over = Fold(whole(1, (784,), dtype, batched=False), Element(0), "sum", 0, True)
    best = Fold(Access(1, "i32", (), 0, 1), Element(0), "argmax", 1)
    return arena.plan(
        product((0, 1, 2, 3), (m, Extent(10), Extent(784)), Matrix(0, (784,), (1,)),
                Matrix(1, (1,), (784,)), affine_epilogue(bias, write, dtype), dtype=dtype),
        product((0, 3, 9), (Extent(10), Extent(784), m), Matrix(1, (1,), (10,)),
                Matrix(0, (784,), (1,)), plain_epilogue(Access(2, dtype, (784, 1)), dtype),
                dtype=dtype),
        _slots(softmax_loops(10, dtype), (3, 5, 4, 5)),
        _slots(softmax_loops(784, dtype), (0, 5, 6, 5)),
        loops((0, 7), Stage((784,), (whole(0, (784,), dtype),), (), (), (over,)), batched=False,
              over=True),
        loops((3, 8), Stage((10,), (whole(0, (10,), dtype),), (), (), (best,))),
    )  # fmt: skip


def _slots(kernel: Loops, slots: tuple[int, ...]) -> Loops:
    return replace(kernel, slots=slots)


@pytest.mark.parametrize("cc", TARGETS)
def test_every_form_compiles_to_ptx(cc: tuple[int, int]) -> None:
    texts = compile_ptx(several(), cc)
    forms = {n.partition("_")[0] for n in texts}
    assert forms == {"alone", "product", "results", "together"}
    for ptx in texts.values():
        assert f".target sm_{cc[0]}{cc[1]}" in ptx and ".entry" in ptx
        assert not re.search(r"\.f64", ptx), "f32 arithmetic must not widen"


def test_doubles_compile_too() -> None:
    assert all(".f64" in ptx for ptx in compile_ptx(several("f64"), (9, 0)).values())


@pytest.mark.parametrize("dtype", ["f32", "f64", "i32"])
def test_every_scalar_function_compiles(dtype: str) -> None:
    real = {"exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "tanh", "sigmoid", "erf", "sin", "cos",
            "floor", "reciprocal", "pow", "uniform", "normal"}  # fmt: skip
    names = [n for n in FUNCTIONS if dtype != "i32" or n not in real]
    arena = Arena(8)
    for k in range(3):
        arena.add(f"x{k}", (5,), "input", dtype, batched=True)
    lets, writes = [], []
    for name in names:
        draw = name in ("uniform", "normal")
        arguments = (Literal(1.0), Position(-1)) if draw else map(Element, range(FUNCTIONS[name]))
        result = name if name in ("f32", "f64", "i32", "bool") else dtype
        slot = arena.add(name, (5,), "output", result, batched=True)
        writes.append(Write(whole(slot, (5,), result), Temp(len(lets))))
        lets.append(Let(Call(name, *arguments), result))
    reads = tuple(whole(k, (5,), dtype) for k in range(3))
    kernel = loops(tuple(range(3 + len(names))), Stage((5,), reads, tuple(lets), tuple(writes)))
    (ptx,) = compile_ptx(arena.plan(kernel), (8, 0)).values()
    assert ptx.count("st.global") >= len(names)


def test_the_inner_loop_of_a_product_has_no_index_tests() -> None:
    """128 products cost ten reads of up to four words and some additions (see docs/cuda.md)."""
    plan = several()
    kernels = (plan.kernels[0],)
    (ptx,) = compile_ptx(replace(plan, kernels=kernels), (9, 0), Tuning(tile=TILES[0])).values()
    (inner,) = (b for b in ptx.split("$L__") if b.count("fma.rn.f32") > 16)
    assert inner.count("fma.rn.f32") == 128
    assert inner.count("ld.shared") <= 10 and inner.count("ld.shared.v4") >= 7
    assert len(inner.splitlines()) - 128 <= 40
    assert "shr.s64" not in inner and "ld.global" not in inner


@pytest.mark.parametrize("cc", TARGETS)
@pytest.mark.parametrize("make", [forward, by_weights, by_data])
def test_convolutions_divide_by_multiplying(make: object, cc: tuple[int, int]) -> None:
    """Where a row or a term of nested axes lies costs 32-bit products, no division."""
    image = Image(9, 9, 8, 3, 3, 8)
    x, y, w = (9, 9, 8), (*image.result, 8), (3, 3, 8, 8)
    shapes = {
        forward: ((x, True), (w, False), ((8,), False), (y, True)),
        by_weights: ((x, True), (y, True), (w, False)),
        by_data: (((11, 11, 8), True), (w, False), (x, True)),
    }[make]  # type: ignore[index]
    arena = Arena(64)
    for number, (shape, batched) in enumerate(shapes):
        arena.add(f"s{number}", shape, "output", batched=batched)
    texts = compile_ptx(arena.plan(make(image)), cc)  # type: ignore[operator]
    for ptx in texts.values():
        assert not re.search(r"\b(div|rem)\.[su]|\.f64", ptx.partition("ld.global.f32")[2])
    assert len(texts) == (2 if make is by_weights else 1)


def test_export_writes_text_ptx_and_the_launch_list(tmp_path: Path) -> None:
    plan = several()
    files = export(plan, tmp_path / "out", ((9, 0),))
    facts = json.loads((tmp_path / "out" / "launches.json").read_text())
    assert all(f.is_file() for f in files)
    assert len(facts["launches"]) == len(plan.kernels)
    assert {f.suffix for f in files} == {".py", ".ptx", ".json"}
    assert facts["memory"] == emit(plan).memory


def test_a_damaged_file_in_the_cache_is_written_again(tmp_path: Path) -> None:
    kernel = emit(several()).kernels[0]
    path = write_module(kernel, tmp_path)
    path.write_text("raise SystemExit", encoding="utf-8")
    assert write_module(kernel, tmp_path).read_text(encoding="utf-8") == kernel.source


def failure() -> str:
    with pytest.raises(Failure) as caught:
        CudaDevice().load(several())
    return str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    text = failure()
    assert "E520" in text and "numba-cuda" in text
    assert "chainrule[cuda]" in text and "--device cpu" in text


def test_a_missing_driver_and_a_missing_gpu_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = cuda_toolkit.toolkit()
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    text = failure()
    assert "E521" in text and "driver" in text and "--device cpu" in text
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "gpus", [])
    text = failure()
    assert "E521" in text and "finds no GPU" in text


def test_too_little_memory_is_refused_with_both_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_toolkit, "free_memory", lambda cuda: 2.0**20)
    with pytest.raises(Failure) as caught:
        cuda_toolkit.check_memory(None, 3 * 2**20, "`digits` with 64 examples")
    text = str(caught.value)
    assert "E522" in text and "3.0 MiB" in text and "1.0 MiB" in text


def test_importing_the_device_does_not_import_numba() -> None:
    code = "import sys, chainrule.runtime.cuda; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
