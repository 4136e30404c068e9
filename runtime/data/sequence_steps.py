"""Steps of a data pipe for sequences: `-> bucket(width = 5)`, `-> sequence(x, length = count)`.

In: a data set and checked arguments. Out: the same numbers, with what is known of their steps.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .arguments import Given, Parameter
from .dataset import Array, Bucket, Column, Columns, Dataset
from .registry import step
from .steps import unknown_field


@step("bucket", Parameter("width", "integer", 4, 1, 1_000_000), Parameter("fields", "names", None))
def bucket(dataset: Dataset, given: Given) -> Dataset:
    """Train on batches of sequences of similar length, which leaves less to be padded.

    Lengths in a batch differ by less than `width`, except where one bucket gives way to the next.
    `fields` says whose lengths, the first first; by default those of all that vary.
    """
    fields = given.names("fields") or ()
    for name in fields:
        if name not in dataset.fields:
            raise unknown_field(given, "fields", name, dataset)
    varying = dataset.train.varying
    fixed = [name for name in fields if name not in varying]
    if fixed or not varying:
        what = f"`{fixed[0]}`" if fixed else f"`{dataset.name}`"
        shown = ", ".join(f"`{name}`" for name in varying)
        raise given.fail(
            "E434",
            f"{what} has no sequences that differ in length",
            "fields" if fixed else "",
            help=f"these have: {shown}" if varying else "leave `bucket` out",
        )
    return replace(dataset, bucket=Bucket(given.integer("width"), fields))


@step("sequence", Parameter("field", "name"), Parameter("length", "name", None))
def sequence(dataset: Dataset, given: Given) -> Dataset:
    """The first axis of a field is the steps of a sequence; the field `length` says how many.

    Rows of whole numbers from 0 become tokens[T, k]. What follows a sequence counts as zeros.
    """
    name = str(given.values["field"])
    count = given.values["length"]
    for at, wanted in (("field", name), ("length", count)):
        if wanted is not None and wanted not in dataset.fields:
            raise unknown_field(given, at, str(wanted), dataset)
    field = dataset.fields[name]
    if not field.shape or field.vocabulary is not None or field.sequence:
        what = "is a sequence already" if field.shape else "has no axis of steps"
        raise given.fail("E409", f"`{field}` {what}", "field")
    pools = [part.columns for part in dataset.parts.values()]
    top = max(_top(pool[name]) for pool in pools)

    def change(columns: Columns) -> Columns:
        lengths = None if count is None else _lengths(given, columns[str(count)], field.shape[0])
        kept = {n: c for n, c in columns.items() if n != count}
        return {**kept, name: _sequence(columns[name], top, lengths)}

    return dataset.mapped(change)


def _top(column: Column) -> int:
    """The largest of whole numbers from 0; −1 where there are others."""
    raw = column.raw
    if raw.dtype.kind not in "iu" or len(raw.shape) != 2 or column.unit != 1.0 or not len(raw):
        return -1
    values: Array = np.asarray(raw)
    return int(values.max()) if values.min() >= 0 and values.max() < 2**31 - 1 else -1


def _sequence(column: Column, top: int, lengths: Array | None) -> Column:
    raw = column.raw
    field = replace(column.field, sequence=True)
    if top >= 0:
        field = replace(field, dtype="i32", classes=top + 1)
    if lengths is not None:
        values = np.array(raw)
        values[np.arange(values.shape[1]) >= lengths[:, None]] = 0
        raw = values
    return replace(column, field=field, raw=raw, lengths=lengths)


def _lengths(given: Given, column: Column, steps: int) -> Array:
    """Lengths as whole numbers from 1 to the number of steps. Raises E433."""
    values = np.asarray(column.raw)
    wrong = np.flatnonzero((values < 1) | (values > steps) | (values != np.floor(values)))
    if values.ndim != 1:
        raise given.fail("E409", f"`{column.field}` is not one length an example", "length")
    if len(wrong):
        message = f"example {wrong[0]} has the length {values[wrong[0]]:g}"
        way_out = f"a length is a whole number from 1 to {steps}"
        raise given.fail("E433", message, "length", help=way_out)
    return values.astype(np.int32)
