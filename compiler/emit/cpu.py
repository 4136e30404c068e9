"""Kernels of a plan as Python source for Numba, vectors written out.

In: a `Plan` and what is known of the host (`Target`). Out: one `Program`: source text for each
different kernel, and which of them each launch runs. The text uses the words of `runtime/simd`
and nothing else; names in it are made here, and the user's own words occur in comments alone,
stripped to plain characters. Compiling and running are left to `runtime/cpu.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..plan import ALIGN, AnyKernel, Extent, Lookup, Loops, Plan, Scatter
from .cpu_body import indent
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
class Launch:
    """Run source `source` on these slots. `work`: estimated nanoseconds on one thread."""

    source: int
    slots: tuple[int, ...]
    barrier: bool
    work: float


@dataclass(frozen=True)
class Program:
    """A plan's kernels. Behind the arena, each thread has scratch memory of its own: the plan's,
    then the kernels'. A thread finds the offsets of its slots in its own `rows`."""

    plan: Plan
    sources: tuple[Source, ...]
    launches: tuple[Launch, ...]

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

    def rows(self, thread: int = 0) -> tuple[list[int], list[int]]:
        """The byte offsets of every launch's slots and of kernel scratch; where each row starts."""
        behind = aligned(self.plan.arena) + thread * self.private
        scratch = behind + self.planned
        buffers = self.plan.buffers
        places = [b.offset + (behind if b.kind == "scratch" else 0) for b in buffers]
        rows: list[int] = []
        starts = []
        for launch in self.launches:
            starts.append(len(rows))
            rows += [*[places[i] for i in launch.slots], scratch]
        return rows, starts


def aligned(count: int) -> int:
    return -(-count // ALIGN) * ALIGN


def emit(plan: Plan, target: Target, simd: str) -> Program:
    """`simd` is the name by which the kernels import the vector words."""
    texts: dict[str, int] = {}
    known: dict[tuple[object, ...], int] = {}
    sources: list[Source] = []
    launches = []
    for kernel, barrier in zip(plan.kernels, plan.barriers, strict=True):
        key = kernel.key
        if key not in known:
            source = write(kernel, plan.capacity, target, simd)
            if source.text not in texts:
                texts[source.text] = len(sources)
                sources.append(source)
            known[key] = texts[source.text]
        launches.append(Launch(known[key], kernel.slots, barrier, work(kernel, plan.capacity)))
    return Program(plan, tuple(sources), tuple(launches))


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
    if not isinstance(kernel, Loops):
        return product_work(kernel, batch)
    total = 50.0
    for k, stage in enumerate(kernel.stages):
        over = kernel.over_batch and k == 0
        vectors = turns(stage, batch if over else 0) * (batch if kernel.batched else 1)
        total += vectors * (len(stage.lets) * 1.0 + len(accesses(stage)) * 1.5 + 2)
    return total
