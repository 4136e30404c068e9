"""Lookups as CUDA kernels: rows copied out of a table, rows added up into one.

In: a `Lookup` or a `Scatter` of the plan. Out: its kernel. A lookup is a loop of threads over the
elements of its result. A sum must have one order, so nothing is added in memory by several threads:
a block does one row of the result, or a stretch of its columns. Its threads read the ids and mark
the places where they are that row, 32 places in a word; then each adds up one column there, in
ascending order.
"""

from __future__ import annotations

from ..plan import Access, Extent, Lookup, Scatter
from .cuda_kernel import BATCH, CudaKernel, Frame, Group, Launch, Tuning, decode
from .cuda_nests import count_of
from .cuda_teams import power
from .cuda_text import Indices, Program
from .cuda_writer import Text, literal, load, store, times, total

_GRID = 65536  # most blocks of a kernel that strides
_BITS = 32  # places of a word
_WORDS = 256  # most words of a block at a time
_ACROSS = 128  # most columns of a block


def emit_lookup(kernel: Lookup | Scatter, capacity: int, tuning: Tuning) -> tuple[CudaKernel, ...]:
    """The text of a kernel. `capacity` (the largest batch) only helps to choose sizes."""
    if isinstance(kernel, Lookup):
        return (_lookup(kernel, capacity, tuning),)
    return (_scatter(kernel, capacity, tuning),)


def _lookup(kernel: Lookup, capacity: int, tuning: Tuning) -> CudaKernel:
    stage, out = kernel.epilogue, Text()
    frame = Frame(len(kernel.slots), [stage])
    for access in (kernel.table, kernel.ids):
        frame.base(access.slot, access.dtype)
    rows, columns, batched = kernel.rows.size, kernel.columns, kernel.rows.batched
    size = rows * columns
    most = size * (capacity if batched else 1)
    threads = min(tuning.threads, max(32, power(most)))
    program = Program(stage, "", {0: "found"})
    frame.bases_text(out)
    with out.block(f"for i in range(cuda.grid(1), {count_of(size, batched)}, cuda.gridsize(1))"):
        index = {0: "i"}
        if columns > 1:
            index = decode(out, "i", [Group(0, None), Group(1, columns)], most)
        row, column = index[0], index.get(1, "0")
        read = _read(frame, kernel.ids, row, rows, batched)
        out.line(f"k = {_kept(read, kernel.count)}")
        example = f"({row} // {rows})" if rows > 1 else row
        place = _place(frame, kernel.table, {BATCH: example, 0: "k", 1: column})
        out.line(f"found = {load(place, kernel.table.dtype)}")
        counted = f"(i64[2]{' * ' + str(rows) if rows > 1 else ''} + {row})" if batched else row
        at = Indices((row, column), "0", f"{times(counted, columns)} + {column}")
        here = {0: row, 1: column}
        program.lets(out, at, lambda a: frame.place(a, here))
        program.writes(out, at, lambda a: frame.place(a, here))
    launch = Launch(threads, ((Extent(size, batched), threads),), _GRID)
    doc = f"Rows of a table of {kernel.count} × {columns}: a thread takes every so many elements."
    return frame.finish("lookup", doc, out, launch)


def _scatter(kernel: Scatter, capacity: int, tuning: Tuning) -> CudaKernel:
    out, frame = Text(), Frame(len(kernel.slots), [])
    for access in (kernel.ids, kernel.source, kernel.target):
        frame.base(access.slot, access.dtype)
    rows, columns, batched = kernel.rows.size, kernel.columns, kernel.rows.batched
    across = batched and not kernel.each  # the sum goes over the examples, too
    places = count_of(rows, across)
    most = rows * (capacity if across else 1)
    threads = min(tuning.threads, _ACROSS, max(32, power(columns)))
    words = max(1, min(_WORDS, 2 * tuning.threads, -(-most // _BITS)))
    stretches = -(-columns // threads)
    blocks = kernel.count * stretches
    dtype = kernel.target.dtype
    out.line("t = int(cuda.threadIdx.x)")
    out.line(f"marks = cuda.shared.array({words}, dtype=np.int64)")
    frame.bases_text(out)
    header = f"range(cuda.blockIdx.x, {count_of(blocks, kernel.each)}, cuda.gridDim.x)"
    with out.block(f"for b in {header}"):
        out.line(f"k = int(b) // {stretches} % {kernel.count}")
        example = "0"
        if kernel.each:
            out.line(f"e = int(b) // {blocks}")
            example = "e"
        out.line(f"c = int(b) % {stretches} * {threads} + t")
        out.line(f"added = {literal(0, dtype)}")
        with out.block(f"for base in range(0, {places}, {words * _BITS})"):
            _marks(out, frame, kernel, words, threads, places, example)
            out.sync()
            with out.block(f"if c < {columns}"), out.block(f"for w in range({words})"):
                _marked(out, frame, kernel, example)
            out.sync()
        with out.block(f"if c < {columns}"):
            place = _place(frame, kernel.target, {BATCH: example, 0: "k", 1: "c"})
            out.line(store(place, "added", dtype))
    launch = Launch(threads, ((Extent(blocks, kernel.each), 1),), _GRID)
    doc = f"Rows added up to {kernel.count} × {columns}: a block does a row of the result."
    return frame.finish("scatter", doc, out, launch)


def _marks(
    out: Text, frame: Frame, kernel: Scatter, words: int, threads: int, places: str, example: str
) -> None:
    """The threads mark, in shared memory, where the ids are k."""
    rows, across = kernel.rows.size, kernel.rows.batched and not kernel.each
    with out.block(f"for w in range(t, {words}, {threads})"):
        out.line("word = np.int64(0)")
        with out.block(f"for j in range({_BITS})"):
            out.line(f"r = base + w * {_BITS} + j")
            with out.block(f"if r < {places}"):
                at = _element(kernel.ids, "r", rows, across, example)
                place = _place(frame, kernel.ids, at)
                with out.block(f"if {_kept(load(place, 'i32'), kernel.count)} == k"):
                    out.line("word |= np.int64(1) << j")
        out.line("marks[w] = word")


def _marked(out: Text, frame: Frame, kernel: Scatter, example: str) -> None:
    """A thread adds its column of the rows that a word marks."""
    rows, across = kernel.rows.size, kernel.rows.batched and not kernel.each
    out.line("word = marks[w]")
    bits, bit = f"for j in range({_BITS})", "if (word >> j) & 1"
    with out.block("if word != 0"), out.block(bits), out.block(bit):
        out.line(f"r = base + w * {_BITS} + j")
        at = _element(kernel.source, "r", rows, across, example)
        place = _place(frame, kernel.source, {**at, 1: "c"})
        term = f"added + {load(place, kernel.source.dtype)}"
        out.line(f"added = np.int32({term})" if kernel.source.dtype == "i32" else f"added = {term}")


def _element(a: Access, row: str, rows: int, across: bool, example: str) -> dict[int, str]:
    """The indices of row r: of all examples, or of one."""
    if not across:
        return {BATCH: example, 0: row}
    if rows == 1:
        return {BATCH: row, 0: "0"}
    if a.example == rows * a.strides[0]:
        return {BATCH: "0", 0: row}
    return {BATCH: f"({row} // {rows})", 0: f"({row} % {rows})"}


def _read(frame: Frame, ids: Access, row: str, rows: int, batched: bool) -> str:
    """The id of row r."""
    return load(_place(frame, ids, _element(ids, row, rows, batched, "0")), "i32")


def _kept(found: str, count: int) -> str:
    """An id as the number of a row that there is."""
    return f"max(min(np.int64({found}), np.int64({count - 1})), np.int64(0))"


def _place(frame: Frame, access: Access, index: dict[int, str]) -> str:
    """The element at these indices, those that are 0 left out."""
    terms = [frame.base(access.slot, access.dtype), str(access.offset)]
    for axis, name in index.items():
        stride = access.example if axis == BATCH else access.strides[axis]
        if stride and name != "0":
            terms.append(times(name, stride))
    return total(terms)
