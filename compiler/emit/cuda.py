"""CUDA: the kernels of a plan as text, and the list of what to launch.

In: a `Plan`. Out: a `CudaProgram`: one text per different kernel, the launches in order, and the
table of slots' places that kernels read. Loading, compiling and launching is the affair of
`runtime/cuda`; nothing here needs Numba. What a kernel looks like is told in `cuda_kernel`;
docs/cuda.md shows one.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..plan import ALIGN, AnyKernel, Buffer, Lookup, Loops, Plan, Product, Scatter
from .cuda_kernel import CudaKernel, Tuning
from .cuda_lookup import emit_lookup
from .cuda_loops import emit_loops
from .cuda_product import emit_product


@dataclass(frozen=True, slots=True)
class CudaLaunch:
    """One entry of the launch list: kernel number `kernel`, its slots' row at `table[at]`.

    `of`: the kernel of the plan that it does, or a part of it."""

    kernel: int
    at: int
    label: str
    of: int


@dataclass(frozen=True)
class CudaProgram:
    """A plan for the device. `memory`: bytes of the arena, with the scratch of every worker and the
    parts of sums behind it."""

    kernels: tuple[CudaKernel, ...]
    launches: tuple[CudaLaunch, ...]
    table: tuple[int, ...]
    memory: int


def emit_kernel(
    kernel: AnyKernel, capacity: int, tuning: Tuning | None = None
) -> tuple[CudaKernel, ...]:
    """The texts that one kernel of the plan needs, in the order in which they run."""
    tuning = tuning or Tuning()
    if kernel.frame is not None:
        raise TypeError(f"`{kernel.label}`: sequences are not written for CUDA")
    if isinstance(kernel, Loops):
        return emit_loops(kernel, capacity, tuning)
    if isinstance(kernel, Lookup | Scatter):
        return emit_lookup(kernel, capacity, tuning)
    if isinstance(kernel, Product):
        return emit_product(kernel, capacity, tuning)
    raise TypeError(f"`{kernel.label}`: recurrences are not written for CUDA")


def emit(plan: Plan, tuning: Tuning | None = None) -> CudaProgram:
    """All kernels of a plan, each different one once."""
    numbers: dict[tuple[object, ...], range] = {}
    kernels: list[CudaKernel] = []
    launches: list[CudaLaunch] = []
    table: list[int] = []
    scratch, arena = _scratch(plan), _aligned(plan.arena)
    memory = arena
    for of, kernel in enumerate(plan.kernels):
        if kernel.key not in numbers:
            texts = emit_kernel(kernel, plan.capacity, tuning)
            numbers[kernel.key] = range(len(kernels), len(kernels) + len(texts))
            kernels += texts
        buffers = [plan.buffers[i] for i in kernel.slots]
        for number in numbers[kernel.key]:
            made = kernels[number]
            launches.append(CudaLaunch(number, len(table), kernel.label, of))
            offsets, apart = _places(buffers, scratch, arena)
            if any(apart):
                memory = max(memory, arena + made.launch.workers(plan.capacity) * scratch)
            if made.parts.count > 1:  # kernels run one after another: they may share this memory
                offsets, apart = [*offsets, arena], [*apart, made.parts.apart]
                memory = max(memory, arena + _aligned(made.parts.memory))
            table += [*offsets, *apart]
    return CudaProgram(tuple(kernels), tuple(launches), tuple(table), memory)


def _scratch(plan: Plan) -> int:
    """Bytes of scratch that one worker needs."""
    ends = (b.offset + b.nbytes(1) for b in plan.buffers if b.kind == "scratch")
    return _aligned(max(ends, default=0))


def _places(buffers: list[Buffer], scratch: int, arena: int) -> tuple[list[int], list[int]]:
    """(byte offset, bytes from worker to worker) of each slot. Scratch lies behind the arena."""
    offsets = [b.offset + (arena if b.kind == "scratch" else 0) for b in buffers]
    return offsets, [scratch if b.kind == "scratch" else 0 for b in buffers]


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN
