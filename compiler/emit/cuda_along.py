"""Rows of a frame become an axis of each example, as a CUDA kernel.

In: an `Along` of the plan. Out: its kernel: threads stride over the elements of the result, in the
order in which they lie. How many steps the rows have comes last in the kernel's row of the table;
behind them the result is zero.
"""

from __future__ import annotations

from ..plan import Along, Extent
from .cuda_kernel import BATCH, CudaKernel, Frame, Group, Launch, Tuning, decode
from .cuda_nests import count_of
from .cuda_teams import power
from .cuda_writer import NUMPY, VIEWS, Text, times, total

_GRID = 65536  # most blocks of a kernel that strides


def emit_along(kernel: Along, capacity: int, tuning: Tuning) -> CudaKernel:
    """The text of a kernel. `capacity` (the largest batch) only helps to choose sizes."""
    t, out, frame = kernel.type, Text(), Frame(2, [])
    steps, size = kernel.over.steps, t.size
    count = steps * size
    most = count * (capacity if t.batched else 1)
    threads = min(tuning.threads, max(32, power(most)))
    source, target = (frame.base(slot, t.dtype) for slot in (0, 1))
    view = VIEWS[t.dtype][0]
    frame.bases_text(out)
    out.line("steps = int(table[at + 4])")
    with out.block(f"for i in range(cuda.grid(1), {count_of(count, t.batched)}, cuda.gridsize(1))"):
        groups = [Group(0, steps), Group(1, size)]
        if t.batched:
            groups.insert(0, Group(BATCH, None))
        index = decode(out, "i", [g for g in groups if g.size != 1] or groups[:1], most)
        step, element, example = index.get(0, "0"), index.get(1, "0"), index.get(BATCH, "0")
        row = total([f"{step} * batch", example]) if t.batched else step
        place = total([source, times(f"({row})", size), element])
        out.line(f"found = {NUMPY[t.dtype]}(0)")
        with out.block(f"if {step} < steps"):
            out.line(f"found = {view}[{place}]")
        out.line(f"{view}[{target} + i] = found")
    launch = Launch(threads, ((Extent(count, t.batched), threads),), _GRID)
    doc = f"At most {steps} rows of {size} as an axis: a thread takes every so many elements."
    return frame.finish("along", doc, out, launch)
