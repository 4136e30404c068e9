"""CUDA: the kernels of a plan as text, and the list of what to launch.

In: a `Plan`. Out: a `CudaProgram`: one text per different kernel, the launches in order, and for
each number of examples and steps the table of slots' places that kernels read. Loading, compiling
and launching is the affair of `runtime/cuda`; nothing here needs Numba. What a kernel looks like is
told in `cuda_kernel`; docs/cuda.md shows one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..plan import ALIGN, Along, AnyKernel, Buffer, Loops, Plan, Product, Recurrence
from ..types import Frame
from .cuda_along import emit_along
from .cuda_kernel import CudaKernel, Tuning
from .cuda_launch import AnyLaunch, CudaLaunch, CudaLoop, Run, launched
from .cuda_lookup import emit_lookup
from .cuda_loops import emit_loops
from .cuda_product import emit_product


@dataclass(frozen=True)
class CudaProgram:
    """A plan for the device. `memory`: bytes of the arena, with the scratch of every worker and the
    parts of sums behind it. `places`: the byte offset of every buffer, and how many bytes later it
    begins for each example of the batch. Frame k of a launch is number k − 1 of `frames`."""

    kernels: tuple[CudaKernel, ...]
    launches: tuple[AnyLaunch, ...]
    places: tuple[tuple[int, int], ...]
    memory: int
    frames: tuple[Frame, ...] = ()

    def run(self, batch: int, steps: Sequence[int] | None = None) -> Run:
        """The calls for so many examples. `steps[k]`: how many frame number k has, `steps[0]` is 1;
        None: all of them."""
        most = [1, *(f.steps for f in self.frames)]
        places = [offset + batch * ahead for offset, ahead in self.places]
        return launched(self.launches, places, batch, most if steps is None else steps)


def emit_kernel(
    kernel: AnyKernel, capacity: int, tuning: Tuning | None = None
) -> tuple[CudaKernel, ...]:
    """The texts that one kernel of the plan needs, in the order in which they run."""
    tuning = tuning or Tuning()
    assert not isinstance(kernel, Recurrence), "a recurrence is no text, but many launches"
    most = capacity if kernel.frame is None else capacity * kernel.frame.steps
    if isinstance(kernel, Loops):
        return emit_loops(kernel, most, tuning)
    if isinstance(kernel, Product):
        return emit_product(kernel, most, tuning)
    if isinstance(kernel, Along):
        return (emit_along(kernel, most, tuning),)
    return emit_lookup(kernel, most, tuning)


def emit(plan: Plan, tuning: Tuning | None = None) -> CudaProgram:
    """All kernels of a plan, each different one once."""
    made = _Emitter(plan, tuning or Tuning())
    launches: list[AnyLaunch] = []
    for of, kernel in enumerate(plan.kernels):
        launches += made.launches(kernel, of, plan.buffers)
    places = [
        (b.offset + (made.arena if b.kind == "scratch" else 0), b.ahead) for b in plan.buffers
    ]
    return CudaProgram(
        tuple(made.kernels), tuple(launches), tuple(places), made.memory, tuple(made.frames)
    )


class _Emitter:
    """Kernels, each different one once, and the launches that run them."""

    def __init__(self, plan: Plan, tuning: Tuning) -> None:
        self.capacity, self.tuning = plan.capacity, tuning
        self.arena = self.memory = _aligned(plan.arena)
        ends = (b.offset + b.nbytes(1) for b in plan.buffers if b.kind == "scratch")
        self.scratch = _aligned(max(ends, default=0))  # bytes that one worker needs
        self.kernels: list[CudaKernel] = []
        self.known: dict[tuple[object, ...], range] = {}
        self.frames: dict[Frame, int] = {}

    def launches(self, kernel: AnyKernel, of: int, buffers: Sequence[Buffer]) -> list[AnyLaunch]:
        """What runs for a kernel. `buffers`: what each number among its slots names."""
        if isinstance(kernel, Recurrence):
            return [self._loop(kernel, of, buffers)]
        found: list[AnyLaunch] = []
        behind = [buffers[s] for s in kernel.slots]
        copies = tuple(self.scratch if b.kind == "scratch" else 0 for b in behind)
        along = self._frame(kernel.over) if isinstance(kernel, Along) else 0
        frame = self._frame(kernel.frame)
        examples = self.capacity * (1 if kernel.frame is None else kernel.frame.steps)
        for number in self._texts(kernel):
            made, apart = self.kernels[number], copies
            more: tuple[int, ...] = ()
            if any(apart):
                self._reach(made.launch.workers(examples) * self.scratch)
            if made.parts.count > 1:  # kernels run one after another: they may share this memory
                more, apart = (self.arena,), (*apart, made.parts.apart)
                self._reach(made.parts.memory)
            found.append(
                CudaLaunch(number, kernel.slots, kernel.label, of, frame, apart, more, along)
            )
        return found

    def _loop(self, kernel: Recurrence, of: int, buffers: Sequence[Buffer]) -> CudaLoop:
        behind = [buffers[kernel.slots[s.slot]] for s in kernel.spots]
        parts = tuple(
            tuple([one for k in part for one in self.launches(k, of, behind)])
            for part in kernel.parts
        )
        over = self._frame(kernel.over)
        return CudaLoop(kernel.slots, kernel.label, of, over, kernel.reverse, kernel.spots, parts)

    def _texts(self, kernel: AnyKernel) -> range:
        """The numbers of a kernel's texts. What they are also follows from which slots are one."""
        alike = tuple(kernel.slots.index(s) for s in kernel.slots)
        key = (kernel.frame, alike, *kernel.key)
        if key not in self.known:
            texts = emit_kernel(kernel, self.capacity, self.tuning)
            self.known[key] = range(len(self.kernels), len(self.kernels) + len(texts))
            self.kernels += texts
        return self.known[key]

    def _frame(self, frame: Frame | None) -> int:
        return 0 if frame is None else self.frames.setdefault(frame, len(self.frames) + 1)

    def _reach(self, behind: int) -> None:
        """So many bytes behind the arena are in use."""
        self.memory = max(self.memory, self.arena + _aligned(behind))


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN
