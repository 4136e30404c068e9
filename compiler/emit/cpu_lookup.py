"""Lookups on the CPU: rows copied out of a table, rows added up into one.

In: a `Lookup` or a `Scatter`. Out: the lines of its function's body. Threads share the rows of a
lookup. A sum must have the same order on any number of threads: they share the rows of a scatter's
result or, where it has few, its columns, so each element is added up by one thread, in the order
of the ids. Rows go in vectors; the widths are those of loops, the same on every host.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..plan import Access, Lookup, Scatter
from .cpu_body import Body, Given, constructor, indent
from .cpu_nest import Loop, Place, accesses, draws, lanes_of
from .cpu_product_text import extent, sum_of, times

FEW = 32  # rows of a result that are too few to be shared by threads
WIDEST = {"f32": 16, "f64": 8, "i32": 16, "bool": 16}


@dataclass(frozen=True)
class WrittenLookup:
    """The body of a kernel's function. `divisible`: in any number of parts at no cost."""

    lines: list[str]
    divisible: bool


def lookup_body(kernel: Lookup | Scatter) -> WrittenLookup:
    """The text of a kernel, after the slots have been given names."""
    if isinstance(kernel, Lookup):
        return WrittenLookup(_Rows(kernel).lines(), True)
    if kernel.each:
        return WrittenLookup(_each(kernel), True)
    if kernel.count < FEW and kernel.columns > WIDEST[kernel.target.dtype]:
        return WrittenLookup(_by_columns(kernel), False)
    return WrittenLookup(_by_rows(kernel), True)  # some rows are asked for more often: many parts


def lookup_slots(kernel: Lookup | Scatter) -> dict[int, str]:
    """Element type of each slot in use."""
    if isinstance(kernel, Scatter):
        used = [kernel.ids, kernel.source, kernel.target]
    else:
        own = (a for a in accesses(kernel.epilogue) if a.slot >= 0)
        used = [kernel.table, kernel.ids, *own]
    return {a.slot: a.dtype for a in used}


def lookup_title(kernel: Lookup | Scatter) -> str:
    """What the kernel is, without a word of the user."""
    rows, table = extent(kernel.rows), f"{kernel.count} x {kernel.columns}"
    if isinstance(kernel, Lookup):
        return f"Lookup: {rows} rows of {table}."
    return f"Scatter: {rows} rows added up to {table}{' for each example' * kernel.each}."


def lookup_work(kernel: Lookup | Scatter, batch: int) -> float:
    """Nanoseconds on one thread, roughly."""
    vectors = kernel.rows.at(batch) * -(-kernel.columns // 16)
    if isinstance(kernel, Scatter):
        blank = kernel.count * -(-kernel.columns // 16) * (batch if kernel.each else 1)
        return 50.0 + kernel.rows.at(batch) * 2 + vectors * 1.3 + blank * 1.4
    stage = kernel.epilogue
    each = len(stage.lets) * 1.0 + len(accesses(stage)) * 0.8
    return 50.0 + kernel.rows.at(batch) * 2 + vectors * each


# ------------------------------------------------------------------------------------ lookups


class _Rows:
    """A lookup: a loop over rows around one over columns, the epilogue inside."""

    def __init__(self, kernel: Lookup) -> None:
        self.kernel, stage = kernel, kernel.epilogue
        widest = min(lanes_of(stage), WIDEST[kernel.table.dtype])
        self.lanes = lanes_for(kernel.columns, widest)
        loops = (Loop("r", None, (0,)), Loop("j", kernel.columns, (1,), vector=True))
        self.body = Body(
            stage, loops, _places(stage.reads), self.lanes, self._counter(),
            fixed={0: Given("x", kernel.table.dtype, 2)},
            tail=str(kernel.columns % self.lanes),
        )  # fmt: skip

    def lines(self) -> list[str]:
        kernel = self.kernel
        head = [
            "seed = header(arena, 0)",
            "step = header(arena, 1)",
            "first_example = header(arena, 2)",
        ]
        return [
            *(head if draws(kernel.epilogue) else []),
            *self.body.lines(0, False),
            f"total = {extent(kernel.rows)}",
            "first, last = share(total, thread, threads, 1), share(total, thread + 1, threads, 1)",
            "for r in range(first, last):",
            *indent([*self._place(), *self.body.lines(1, False), *self._columns()]),
        ]

    def _counter(self) -> str:
        """Where in its stream the draw of the first lane lies."""
        kernel = self.kernel
        row = f"(first_example{times(kernel.rows.size)} + r)" if kernel.rows.batched else "r"
        return f"{row}{times(kernel.columns)} + j"

    def _place(self) -> list[str]:
        """Where the row that is asked for begins."""
        kernel, size = self.kernel, self.kernel.rows.size
        ids = place_of(kernel.ids, "r", "r", size, kernel.rows.batched)
        chosen = f"id_at(p{kernel.ids.slot}, {ids}, {kernel.count})"
        example = f"r // {size}" if size > 1 else "r"
        terms = ((chosen, kernel.table.strides[0]), (f"({example})", kernel.table.example))
        return [f"place = {sum_of(kernel.table.offset, *terms)}"]

    def _columns(self) -> list[str]:
        columns, lanes = self.kernel.columns, self.lanes
        whole, left = columns - columns % lanes, columns % lanes
        lines = []
        if whole:
            lines += [f"for j in range(0, {whole}, {lanes}):", *indent(self._vector(0))]
        return lines + ([f"j = {whole}", *self._vector(left)] if left else [])

    def _vector(self, left: int) -> list[str]:
        kernel, lanes, part = self.kernel, self.lanes, bool(left)
        pointer, step = f"p{kernel.table.slot}", kernel.table.strides[1]
        if step == 1 or lanes == 1:
            read = part_of("load", pointer, "place + j" if step else "place", lanes, left)
        else:
            read = f"gather({pointer}, place + {step} * j, {step}, {lanes}, {left or lanes})"
        stage = kernel.epilogue
        writes = [
            self.body.write(place, self.body.vector_of(w.value, place.dtype), part)
            for w, place in zip(
                stage.writes, _places(tuple(w.access for w in stage.writes)), strict=True
            )
        ]
        return [f"x = {read}", *self.body.lines(2, part), *writes]


def _places(over: tuple[Access, ...]) -> tuple[Place, ...]:
    return tuple(Place(a.slot, a.dtype, a.offset, a.strides) for a in over)


# ------------------------------------------------------------------------------------ sums of rows


def _by_columns(kernel: Scatter) -> list[str]:
    """Threads share the columns: each goes through all the ids."""
    columns, lanes = kernel.columns, WIDEST[kernel.target.dtype]
    left = columns % lanes
    begin, end = (f"share({columns}, thread{n}, threads, {lanes})" for n in ("", " + 1"))
    target = f"p{kernel.target.slot}"
    spans = [(f"for j in range(first, last, {lanes}):", 0)]
    lines = [f"first, last = {begin}, {end}"]
    if left:  # a range ends between vectors, or at the end
        lines.append(f"whole = last - {left} * (last == {columns})")
        spans = [
            (f"for j in range(first, whole, {lanes}):", 0),
            (f"for j in range(whole, last, {lanes}):", left),
        ]
    clear, add = [], [f"into = i{times(columns)}"]
    for head, part in spans:
        clear += [head, f"    {_zero(kernel, f'k * {columns} + j', lanes, part)}"]
        add += [head, *indent(_added(kernel, target, lanes, part))]
    return [*lines, f"for k in range({kernel.count}):", *indent(clear), *_walk(kernel, add)]


def _by_rows(kernel: Scatter) -> list[str]:
    """Threads share the rows of the result: each goes through all the ids and takes its own."""
    begin, end = (f"share({kernel.count}, thread{n}, threads, 1)" for n in ("", " + 1"))
    return [
        f"first, last = {begin}, {end}",
        *_cleared(kernel, f"first{times(kernel.columns)}", f"last{times(kernel.columns)}"),
        *_walk(kernel, ["if i >= first and i < last:", *indent(_row(kernel, "0"))]),
    ]


def _each(kernel: Scatter) -> list[str]:
    """Every example has a sum of its own, and threads share the examples."""
    size = kernel.count * kernel.columns
    ids, source = kernel.ids, kernel.source
    at = sum_of(ids.offset, ("e", ids.example), ("t", ids.strides[0]))
    start = sum_of(source.offset, ("e", source.example), ("t", source.strides[0]))
    return [
        "first, last = share(batch, thread, threads, 1), share(batch, thread + 1, threads, 1)",
        "for e in range(first, last):",
        f"    base = e{times(size)}",
        *indent(_cleared(kernel, "base", f"base + {size}")),
        f"    for t in range({kernel.rows.size}):",
        f"        i = id_at(p{ids.slot}, {at}, {kernel.count})",
        f"        start = {start}",
        *indent(_row(kernel, "base"), 2),
    ]


def _walk(kernel: Scatter, inside: list[str]) -> list[str]:
    """Through all rows in ascending order: `i` is the id of each, `start` where it begins."""
    ids, source, size, batched = kernel.ids, kernel.source, kernel.rows.size, kernel.rows.batched
    if not batched or (_goes_on(ids, size) and _goes_on(source, size)):
        step = source.strides[0] if size > 1 or not batched else source.example
        each = ids.strides[0] if size > 1 or not batched else ids.example
        head = [f"for r in range({extent(kernel.rows)}):"]
        at, start = sum_of(ids.offset, ("r", each)), sum_of(source.offset, ("r", step))
    else:
        head = [f"for r in range({extent(kernel.rows)}):", f"    e, t = r // {size}, r % {size}"]
        at = sum_of(ids.offset, ("e", ids.example), ("t", ids.strides[0]))
        start = sum_of(source.offset, ("e", source.example), ("t", source.strides[0]))
    read = [f"i = id_at(p{ids.slot}, {at}, {kernel.count})", f"start = {start}"]
    return [*head, *indent([*read, *inside])]


def _goes_on(a: Access, size: int) -> bool:
    """Whether the rows of one example follow those of the one before."""
    return size == 1 or a.example == size * a.strides[0]


def _row(kernel: Scatter, base: str) -> list[str]:
    """One whole row added: row i of the result that begins at `base`."""
    columns = kernel.columns
    lanes = lanes_for(columns, WIDEST[kernel.target.dtype])
    left, target = columns % lanes, f"p{kernel.target.slot}"
    whole = columns - left
    lines = [f"into = {sum_of(0, (base, 1), ('i', columns))}"]
    if whole:
        lines.append(f"for j in range(0, {whole}, {lanes}):")
        lines += indent(_added(kernel, target, lanes, 0))
    return lines + ([f"j = {whole}", *_added(kernel, target, lanes, left)] if left else [])


def _added(kernel: Scatter, target: str, lanes: int, left: int) -> list[str]:
    """A vector at `start`, column j, added to that at `into`."""
    pointer, step = f"p{kernel.source.slot}", kernel.source.strides[1]
    if step == 1 or lanes == 1:
        read = part_of("load", pointer, "start + j" if step else "start", lanes, left)
    else:
        read = f"gather({pointer}, start + {step} * j, {step}, {lanes}, {left or lanes})"
    own = part_of("load", target, "into + j", lanes, left)
    tail = f", {left}" if left else ""
    return [f"{'store_part' if left else 'store'}({target}, into + j, {own} + {read}{tail})"]


def _cleared(kernel: Scatter, begin: str, end: str) -> list[str]:
    """Zeros from one element to another."""
    lanes = WIDEST[kernel.target.dtype]
    dtype, target = kernel.target.dtype, f"p{kernel.target.slot}"
    zero = f"{constructor(dtype)}({lanes}, 0)"
    return [
        f"begin, end = {begin}, {end}",
        f"whole = end - (end - begin) % {lanes}",
        f"for j in range(begin, whole, {lanes}):",
        f"    store({target}, j, {zero})",
        "if whole < end:",
        f"    store_part({target}, whole, {zero}, end - whole)",
    ]


def _zero(kernel: Scatter, place: str, lanes: int, left: int) -> str:
    target, zero = f"p{kernel.target.slot}", f"{constructor(kernel.target.dtype)}({lanes}, 0)"
    if left:
        return f"store_part({target}, {place}, {zero}, {left})"
    return f"store({target}, {place}, {zero})"


# ------------------------------------------------------------------------------------ both


def place_of(a: Access, row: str, example: str, size: int, batched: bool) -> str:
    """The place of the id of row r, of which every example has `size`."""
    if not batched:
        return sum_of(a.offset, (row, a.strides[0]))
    if size == 1:
        return sum_of(a.offset, (example, a.example))
    if a.example == size * a.strides[0]:
        return sum_of(a.offset, (row, a.strides[0]))
    return sum_of(a.offset, (f"(r // {size})", a.example), (f"(r % {size})", a.strides[0]))


def lanes_for(columns: int, widest: int) -> int:
    """As many lanes as fit: the next power of two, up to the widest."""
    return int(min(widest, 1 << max(0, columns - 1).bit_length()))


def part_of(word: str, pointer: str, place: str, lanes: int, left: int) -> str:
    """A load of a whole vector, or of its first `left` lanes."""
    if left:
        return f"{word}_part({pointer}, {place}, {lanes}, {left})"
    return f"{word}({pointer}, {place}, {lanes})"
