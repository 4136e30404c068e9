"""The kernels of lookups: rows of a table with what follows them, sums of rows.

In: a form, where values lie, and what shares the kernel. Out: its draft.
"""

from __future__ import annotations

from collections.abc import Callable

from ..plan import Access, Extent, Lookup, Scatter
from ..value import Value
from .drafts import Draft, Home, Slots, span_of, used
from .forms import Gathered, Operand, Scattered
from .stages import StageBuilder

Example = Callable[[Value], int]  # elements from one example of a value to the next


def read_rows(form: Gathered, slots: Slots, example: Example) -> tuple[Access, Access]:
    """Where the rows of the table lie, and where the ids."""
    table, ids = form.operands
    return _read(table, table.strides, slots, example), _read(ids, (1,), slots, example)


def lookup(
    form: Gathered, table: Access, ids: Access, builder: StageBuilder, slots: Slots, label: str
) -> Draft:
    """A lookup with its epilogue."""
    stage, rows = builder.stage(), form.value.args[0].shape[0]
    reads, writes = used([stage])
    values = tuple(builder.values)
    kernel = Lookup(
        label, slots.numbers, values, span_of(values),
        tuple(sorted({table.slot, ids.slot} | reads)), writes,
        form.layout.rows[0], form.layout.columns.size, rows, table, ids, stage,
    )  # fmt: skip
    return Draft(kernel, slots.homes)


def scatter(form: Scattered, home: Home, slots: Slots, example: Example, label: str) -> Draft:
    """A sum of rows that goes to `home`."""
    v, (ids, added) = form.value, form.operands
    batched = ids.value.type.batched or added.value.type.batched
    read = _read(ids, (1,), slots, example), _read(added, added.strides, slots, example)
    slot = slots.at(home)
    target = Access(slot, v.type.dtype, (form.columns, 1), 0, example(v))
    kernel = Scatter(
        label, slots.numbers, (v,), span_of((v,)), tuple(sorted({a.slot for a in read})), (slot,),
        Extent(form.places, batched), form.columns, v.shape[0], *read, target, v.type.batched,
    )  # fmt: skip
    return Draft(kernel, slots.homes)


def _read(o: Operand, strides: tuple[int, ...], slots: Slots, example: Example) -> Access:
    v = o.value
    return Access(slots.of(v), v.type.dtype, strides, o.offset, example(v))
