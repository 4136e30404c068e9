"""Texts of CUDA kernels become functions, PTX and files.

In: `CudaKernel`s. Out: Numba's kernels, imported from content-addressed files in the cache folder
(so that Numba keeps their machine code beside them and a reader can study them); PTX, which needs
no GPU; and a folder of both for `chainrule compile --target cuda`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from ..compiler.emit.cuda import CudaProgram, emit
from ..compiler.emit.cuda_kernel import CudaKernel, Tuning
from ..compiler.emit.cuda_launch import AnyLaunch, CudaLaunch
from ..compiler.plan import Plan
from . import kernel_cache
from .cuda_simulator import simulated_math
from .cuda_toolkit import simulated, toolkit

VIEW_TYPES = {"f32": "float32", "f64": "float64", "i32": "int32", "u8": "uint8", "i64": "int64"}


def write_module(kernel: CudaKernel, folder: Path) -> Path:
    """The file of that text. Written whole or not at all; one that differs is replaced."""
    path = folder / f"{kernel.name}.py"
    if path.is_file() and path.read_text(encoding="utf-8") == kernel.source:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{kernel.name}.{os.getpid()}.tmp"
    beside.write_text(kernel.source, encoding="utf-8")
    beside.replace(path)
    return path


def load_module(kernel: CudaKernel, folder: Path | None = None) -> ModuleType:
    """Import the file of a kernel (once per process)."""
    name = f"chainrule_cuda_{kernel.name}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        name, write_module(kernel, folder or kernel_cache.folder())
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if simulated():
        module.math = simulated_math()  # type: ignore[attr-defined]
    sys.modules[name] = module
    return module


def load_kernel(kernel: CudaKernel) -> Any:
    """The Numba kernel of a text, compiled for the current device."""
    function = getattr(load_module(kernel), kernel.name)
    if not simulated():
        function.compile(signature(kernel))
    return function


def signature(kernel: CudaKernel) -> tuple[Any, ...]:
    """Numba's types of the arguments."""
    from numba import types

    views = [getattr(types, VIEW_TYPES[view])[::1] for view in kernel.views]
    return (*views, types.int64[::1], types.int64, types.int64)


def compile_ptx(
    plan: Plan, cc: tuple[int, int] = (8, 0), tuning: Tuning | None = None
) -> dict[str, str]:
    """PTX of every different kernel of a plan, by the kernel's name. Needs no GPU."""
    return program_ptx(emit(plan, tuning), cc)


def program_ptx(program: CudaProgram, cc: tuple[int, int]) -> dict[str, str]:
    """PTX of every kernel of a program, for a compute capability."""
    cuda = toolkit()
    texts: dict[str, str] = {}
    for kernel in program.kernels:
        function = getattr(load_module(kernel), kernel.name)
        ptx, _ = cuda.compile_ptx(function.py_func, signature(kernel), cc=cc)
        texts[kernel.name] = ptx
    return texts


def export(
    plan: Plan,
    folder: Path,
    capabilities: tuple[tuple[int, int], ...] = ((8, 0), (9, 0)),
    tuning: Tuning | None = None,
) -> list[Path]:
    """Write a plan's kernels: Python text, PTX for each capability, and `launches.json`, which
    tells what runs in which order, on which memory. Gives the files."""
    program = emit(plan, tuning)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{kernel.name}.py" for kernel in program.kernels]
    for path, kernel in zip(files, program.kernels, strict=True):
        path.write_text(kernel.source, encoding="utf-8")
    for cc in capabilities:
        for name, ptx in program_ptx(program, cc).items():
            files.append(folder / f"{name}.sm_{cc[0]}{cc[1]}.ptx")
            files[-1].write_text(ptx, encoding="utf-8")
    files.append(folder / "launches.json")
    files[-1].write_text(json.dumps(_launches(plan, program), indent=1) + "\n", encoding="utf-8")
    return files


def _launches(plan: Plan, program: CudaProgram) -> dict[str, Any]:
    """The launch list as data. A kernel's row of the table: see `emit.cuda_launch.CudaLaunch`."""
    kernels = [
        {
            "name": k.name,
            "views": list(k.views),
            "threads": k.launch.threads,
            "blocks": [
                {"size": e.size, "times_batch": e.batched, "per_block": per}
                for e, per in k.launch.factors
            ],
            "most_blocks": k.launch.limit,
        }
        for k in program.kernels
    ]
    buffers = [
        {"name": b.name, "kind": b.kind, "type": str(b.type), "offset": b.offset, "ahead": b.ahead,
         "per_example": b.type.batched, "order": b.order}
        for b in plan.buffers
    ]  # fmt: skip
    return {
        "plan": plan.name,
        "capacity": plan.capacity,
        "memory": program.memory,
        "kernels": kernels,
        "frames": [{"clock": f.clock, "most_steps": f.steps} for f in program.frames],
        "launches": [_launch(program, e) for e in program.launches],
        "buffers": buffers,
    }


def _launch(program: CudaProgram, launch: AnyLaunch) -> dict[str, Any]:
    """One entry. Its slots are numbers of buffers, inside a recurrence numbers of its spots."""
    found = {"label": launch.label, "slots": launch.slots, "frame": launch.frame}
    if isinstance(launch, CudaLaunch):
        name = program.kernels[launch.kernel].name
        more = {"more": launch.more, "apart": launch.apart, "along": launch.along}
        return {"kernel": name, **found, **more}
    spots = [
        {"slot": s.slot, "kind": s.kind, "type": str(s.type), "per_example": s.type.batched,
         "lead": s.lead}
        for s in launch.spots
    ]  # fmt: skip
    names = ("before", "turns", "after")
    parts = {
        name: [_launch(program, e) for e in part]
        for name, part in zip(names, launch.parts, strict=True)
    }
    return {**found, "reverse": launch.reverse, "spots": spots, **parts}
