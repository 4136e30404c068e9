"""Sequences in a CSV table: a group of columns, or a cell with several numbers.

In: a table and what `csv(…, sequence = …)` says. Out: columns whose first axis is the steps. Names
with dots between, `x1..x50`, are columns side by side, the same number of steps in each row; any
other name is a column whose cells hold the numbers, as many as each row has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...dsl.diagnostics import Failure, did_you_mean
from .arguments import Given
from .dataset import Column, Field
from .text_table import Table, finite_number

Numbers = NDArray[np.float64]
DOTS = ".."


def cell_names(asked: Sequence[str]) -> tuple[str, ...]:
    """The columns whose cells hold several numbers: they are read as texts."""
    return tuple(name for name in asked if DOTS not in name)


def sequence_columns(given: Given, table: Table, asked: Sequence[str]) -> list[Column]:
    """`sequence` [T, n] of the ranges, and a field for each column of several numbers."""
    ranges = [name for name in asked if DOTS in name]
    columns = [_ranges(given, table, ranges)] if ranges else []
    return columns + [_cells(given, table, name) for name in cell_names(asked)]


def used_columns(given: Given, table: Table, asked: Sequence[str]) -> frozenset[str]:
    """The columns that sequences are made of."""
    found = set(cell_names(asked))
    for name in asked:
        if DOTS in name:
            found |= set(_range(given, table, name))
    return frozenset(found)


def _ranges(given: Given, table: Table, ranges: list[str]) -> Column:
    groups = [_range(given, table, name) for name in ranges]
    counts = {name: len(group) for name, group in zip(ranges, groups, strict=True)}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"`{name}` has {n}" for name, n in counts.items())
        message = f"the groups of columns differ in their numbers of steps: {shown}"
        raise given.fail("E433", message, "sequence")
    values = np.stack([np.stack([table.numeric(n) for n in g], axis=1) for g in groups], axis=2)
    values = values[:, :, 0] if len(groups) == 1 else values
    return Column(Field("sequence", values.shape[1:], sequence=True), values)


def _range(given: Given, table: Table, written: str) -> list[str]:
    """The columns from one name to another, in the order of the file."""
    ends = [end.strip() for end in written.split(DOTS, 1)]
    for end in ends:
        if end not in table.names:
            near = did_you_mean(end, table.names)
            shown = ", ".join(f"`{name}`" for name in table.names[:12])
            message = f"`{table.path}` has no column `{end}`"
            raise given.fail("E408", message, "sequence", help=near or f"its columns are {shown}")
    first, last = (table.names.index(end) for end in ends)
    if first > last:
        message = f"`{ends[0]}` comes after `{ends[1]}` in `{table.path}`"
        way_out = f'write `sequence = "{ends[1]}{DOTS}{ends[0]}"`'
        raise given.fail("E433", message, "sequence", help=way_out)
    group = list(table.names[first : last + 1])
    for name in group:
        if name not in table.numbers:
            message = f"column `{name}` of `{table.path}` holds texts, and a step is a number"
            raise given.fail("E407", message, "sequence")
    return group


def _cells(given: Given, table: Table, name: str) -> Column:
    if name not in table.words:
        near = did_you_mean(name, table.names)
        shown = ", ".join(f"`{n}`" for n in table.names[:12])
        message = f"`{table.path}` has no column `{name}`"
        raise given.fail("E408", message, "sequence", help=near or f"its columns are {shown}")
    texts = list(table.vocabulary[name])  # each different cell, in order of appearance
    which = np.frombuffer(table.words[name], np.int32)
    steps_apart = any(";" in text for text in texts)
    rows: list[Numbers] = []
    for number, text in enumerate(texts):
        try:
            rows.append(_row(text, steps_apart))
        except ValueError as error:
            raise _bad_cell(
                given, table, name, int(np.argmax(which == number)), str(error)
            ) from None
    width = rows[0].shape[1]
    for number, row in enumerate(rows):
        if row.shape[1] != width:
            why = f"its steps have {row.shape[1]} numbers, those of the first row {width}"
            raise _bad_cell(given, table, name, int(np.argmax(which == number)), why)
    lengths = np.array([len(row) for row in rows], np.int32)
    padded = np.zeros((len(rows), int(lengths.max()), width))
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    values, steps = padded[which], lengths[which]
    values = values[:, :, 0] if width == 1 else values
    return Column(Field(name, values.shape[1:], sequence=True), values, lengths=steps)


def _row(text: str, steps_apart: bool) -> Numbers:
    """One cell as [steps, numbers]. Raises ValueError with what is wrong, and where."""
    steps = [s for s in text.split(";") if s.strip()] if steps_apart else text.split()
    rows: list[list[float]] = []
    for place, step in enumerate(steps, 1):
        numbers = [finite_number(word) for word in step.split()]
        if None in numbers:
            word = step.split()[numbers.index(None)]
            raise ValueError(f"step {place}: `{word[:40]}` is not a number")
        rows.append([n for n in numbers if n is not None])
    if not rows:
        raise ValueError("no step")
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise ValueError(f"its steps have {min(widths)} to {max(widths)} numbers")
    return np.array(rows, np.float64)


def _bad_cell(given: Given, table: Table, name: str, row: int, why: str) -> Failure:
    where = f"`{table.path}`, line {table.lines[row]}, column `{name}`"
    return given.fail(
        "E433",
        f"{where}: {why}",
        "sequence",
        help="a cell holds numbers with spaces between them, or steps with `;` between them",
    )
