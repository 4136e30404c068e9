"""Kernels of a plan as Python source for Numba, vectors written out.

In: a `Plan` and what is known of the host (`Target`). Out: one `Program`: source text for each
different kernel, and which of them each launch runs. The text uses the words of `runtime/simd`
and nothing else; names in it are made here, and the user's own words occur in comments alone,
stripped to plain characters. Compiling and running are left to `runtime/cpu.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .. import plan as plan_kernels
from ..plan import (
    ALIGN,
    AnyKernel,
    Extent,
    Lookup,
    Loops,
    Plan,
    Product,
    Recurrence,
    Scatter,
    group_of,
)
from ..types import Frame
from .cpu_body import indent
from .cpu_launch import Along, Launch, Loop, Tables, sources_of
from .cpu_lookup import lookup_body, lookup_slots, lookup_title, lookup_work
from .cpu_loops import loops_body
from .cpu_nest import accesses, turns
from .cpu_product import product_body, product_work

PAD = 4096  # bytes after the memory: whole vectors may be read past the end of a matrix
SIGNATURE = "arena, row, batch, thread, threads"
HEAD = '''"""{title}

Written by chainrule. Slot i lies at byte row[i] of the arena.
"""
from {simd} import *
{words}

@kernel
def run({signature}):
'''


@dataclass(frozen=True)
class Target:
    """`registers`: vectors of 16 f32 that the host's registers hold."""

    registers: int = 32


@dataclass(frozen=True)
class Source:
    """A compiled kernel. `scratch`: bytes for each thread. `shared`: threads can share it, and if
    `divisible` in any number of parts at no cost."""

    text: str
    scratch: int
    shared: bool
    divisible: bool


@dataclass(frozen=True)
class Program:
    """A plan's kernels. Behind the arena, each thread has scratch memory of its own: the plan's,
    then the kernels'. A thread finds the offsets of its slots in its own `rows`."""

    plan: Plan
    sources: tuple[Source, ...]
    launches: tuple[Launch, ...]
    frames: tuple[Frame, ...] = ()  # frame k of a launch is number k − 1 here

    @property
    def written_out(self) -> Iterator[Launch]:
        """The launches of sources, those inside recurrences, too."""
        return sources_of(self.launches)

    @property
    def recurs(self) -> bool:
        """Whether the walker of recurrences is needed."""
        return any(launch.code is not None for launch in self.launches)

    @property
    def planned(self) -> int:
        """Bytes of scratch that the plan itself asks for, for one thread."""
        found = [b.offset + b.nbytes(1) for b in self.plan.buffers if b.kind == "scratch"]
        return aligned(max(found, default=0))

    @property
    def private(self) -> int:
        """Bytes of scratch for one thread."""
        return self.planned + aligned(max((s.scratch for s in self.sources), default=0))

    def memory(self, threads: int) -> int:
        """Bytes for the arena and the scratch of all threads."""
        return aligned(self.plan.arena) + threads * self.private + PAD

    def tables(self, thread: int = 0) -> Tables:
        """The byte offsets of every launch's slots and of kernel scratch, and the code of
        recurrences."""
        behind = aligned(self.plan.arena) + thread * self.private
        buffers = self.plan.buffers
        places = [b.offset + (behind if b.kind == "scratch" else 0) for b in buffers]
        found = Tables()
        ahead = {i: b.ahead for i, b in enumerate(buffers) if b.ahead}
        found.add(self.launches, places, behind + self.planned, ahead)
        return found


def aligned(count: int) -> int:
    return -(-count // ALIGN) * ALIGN


def emit(plan: Plan, target: Target, simd: str) -> Program:
    """`simd` is the name by which the kernels import the vector words."""
    made = _Writer(target, simd)
    both = zip(plan.kernels, plan.barriers, strict=True)
    launches = tuple([made.launch(k, barrier, plan.capacity) for k, barrier in both])
    return Program(plan, tuple(made.sources), launches, tuple(made.frames))


class _Writer:
    """Sources, each different one once, and the launches that run them."""

    def __init__(self, target: Target, simd: str) -> None:
        self.target, self.simd = target, simd
        self.texts: dict[str, int] = {}
        self.known: dict[tuple[object, ...], int] = {}
        self.sources: list[Source] = []
        self.frames: dict[Frame, int] = {}

    def frame(self, frame: Frame | None) -> int:
        return 0 if frame is None else self.frames.setdefault(frame, len(self.frames) + 1)

    def launch(self, kernel: AnyKernel, barrier: bool, capacity: int) -> Launch:
        """`capacity`: the most examples that it is run on at a time."""
        if isinstance(kernel, Recurrence):
            return self._recurrence(kernel, barrier, capacity)
        if isinstance(kernel, plan_kernels.Along):
            return self._along(kernel, barrier, capacity)
        most = capacity * kernel.frame.steps if kernel.frame is not None else capacity
        key = (most, *kernel.key)
        if key not in self.known:
            source = write(kernel, most, self.target, self.simd)
            if source.text not in self.texts:
                self.texts[source.text] = len(self.sources)
                self.sources.append(source)
            self.known[key] = self.texts[source.text]
        number, frame = self.known[key], self.frame(kernel.frame)
        shared = int(self.sources[number].shared)
        cost = work(kernel, most)
        return Launch(number, kernel.slots, barrier, cost, frame, None, shared)

    def _along(self, kernel: plan_kernels.Along, barrier: bool, capacity: int) -> Launch:
        steps, nbytes = kernel.over.steps, kernel.type.size * kernel.type.numpy.itemsize
        code = Along(self.frame(kernel.over), nbytes, steps, kernel.type.batched)
        examples = capacity if kernel.type.batched else 1
        cost = 50 + examples * steps * (5 + nbytes / 20)
        return Launch(-1, kernel.slots, barrier, cost, 0, code, examples)

    def _recurrence(self, kernel: Recurrence, barrier: bool, capacity: int) -> Launch:
        group = group_of(capacity) if kernel.apart else 0
        most = group or capacity
        both = zip(kernel.parts, kernel.waits, strict=True)
        parts = tuple(
            tuple([self.launch(k, wait, most) for k, wait in zip(kernels, waits, strict=True)])
            for kernels, waits in both
        )
        code = Loop(self.frame(kernel.over), kernel.reverse, group, kernel.spots, parts)
        groups = -(-capacity // most)
        cost = 100 + groups * kernel.over.steps * sum(k.work for k in parts[1])
        return Launch(-1, kernel.slots, barrier, cost, 0, code, groups if group else 0)


def write(kernel: AnyKernel, capacity: int, target: Target, simd: str) -> Source:
    """The module of one kernel."""
    words: list[str] = []
    if isinstance(kernel, Lookup | Scatter):
        looked = lookup_body(kernel)
        lines, scratch, shared, divisible = looked.lines, 0, True, looked.divisible
    elif isinstance(kernel, Loops):
        loops = loops_body(kernel)
        lines, scratch, shared, divisible = loops.lines, 0, loops.shared, True
    else:
        assert isinstance(kernel, Product)
        product = product_body(kernel, capacity, target.registers)
        lines, scratch, shared, divisible = product.lines, product.scratch, True, product.divisible
        words = product.words
    pointers = [
        f"p{slot} = at_{dtype}(arena, row, {slot})" for slot, dtype in slots(kernel).items()
    ]
    defined = "".join(f"\n{word}" for word in words)
    head = HEAD.format(title=title(kernel), simd=simd, signature=SIGNATURE, words=defined)
    return Source(head + "\n".join(indent([*pointers, *lines])) + "\n", scratch, shared, divisible)


def slots(kernel: AnyKernel) -> dict[int, str]:
    """Element type of each slot in use."""
    if isinstance(kernel, Lookup | Scatter):
        found = lookup_slots(kernel)
    elif isinstance(kernel, Loops):
        found = {a.slot: a.dtype for stage in kernel.stages for a in accesses(stage)}
    else:
        assert isinstance(kernel, Product)
        found = {a.slot: a.dtype for a in accesses(kernel.epilogue) if a.slot >= 0}
        found |= {kernel.a.slot: kernel.dtype, kernel.b.slot: kernel.dtype}
    return dict(sorted(found.items()))


def title(kernel: AnyKernel) -> str:
    """What the kernel is, without a word of the user: equal kernels of two layers share it."""
    if isinstance(kernel, Lookup | Scatter):
        return lookup_title(kernel)
    if isinstance(kernel, Loops):
        stages = " then ".join(str(list(s.axes)) for s in kernel.stages)
        where = "summed over the batch" if kernel.over_batch else (
            "for each example" if kernel.batched else "once")  # fmt: skip
        return f"Loops over {stages}, {where}."
    assert isinstance(kernel, Product)

    def size(*extents: Extent) -> str:
        return ".".join(
            f"{e.size if e.size != 1 or not e.batched else ''}{'m' * e.batched}" for e in extents
        )

    rows, depth, columns = size(*kernel.rows), size(*kernel.depth), size(kernel.columns)
    return f"Product: {rows} x {depth} by {depth} x {columns}."


def plain_words(text: str) -> str:
    """User text that may stand in a comment: printable ASCII, one line, no more than 100
    characters.
    """
    shown = "".join(c if " " <= c <= "~" else "?" for c in text)
    return shown.replace("\\", "/").replace('"', "'")[:100]


def work(kernel: AnyKernel, batch: int) -> float:
    """Nanoseconds on one thread, roughly: arithmetic at 100 GFLOP/s, memory at 20 GB/s."""
    if isinstance(kernel, Lookup | Scatter):
        return lookup_work(kernel, batch)
    if isinstance(kernel, Product):
        return product_work(kernel, batch)
    assert isinstance(kernel, Loops)
    total = 50.0
    for k, stage in enumerate(kernel.stages):
        over = kernel.over_batch and k == 0
        vectors = turns(stage, batch if over else 0) * (batch if kernel.batched else 1)
        total += vectors * (len(stage.lets) * 1.0 + len(accesses(stage)) * 1.5 + 2)
    return total
