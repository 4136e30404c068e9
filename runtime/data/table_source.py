"""The source `csv`: the columns of a table as features, labels and sequences.

In: a file and what its columns are. Out: a `Dataset` of one pool.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...dsl.diagnostics import did_you_mean
from .arguments import Given, Parameter
from .cells import cell_names, sequence_columns, used_columns
from .dataset import Column, Dataset, Field, whole
from .places import find_file
from .registry import source
from .text_table import Table, read_table


@source(
    "csv",
    Parameter("file", "text"),
    Parameter("target", "names", None),
    Parameter("features", "names", None),
    Parameter("delimiter", "text", ","),
    Parameter("header", "flag", True),
    Parameter("classes", "classes", None),
    Parameter("sequence", "names", None),
)
def csv_file(given: Given) -> Dataset:
    """A table as text: the numeric columns as `features` [k] and one by one, the target by name.

    Text columns become classes, numbered in sorted order; `classes = true` does so for a numeric
    target, and `classes = 3` takes it as labels 0, 1, 2. Without a header columns are c1, c2, ….
    `sequence = "x1..x50"` takes columns side by side as the field `sequence` [50]; of a list of
    such groups each is a feature, [50, n]; `sequence = heart` takes the numbers in each cell.
    """
    path = find_file(given, "file")
    delimiter = given.text("delimiter")
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise given.fail("E409", '`delimiter` is one character, such as ";"', "delimiter")
    targets = given.names("target") or ()
    classes = given.values["classes"]
    if classes is not None and not targets:
        raise given.fail("E409", "`classes` speaks about the target, and none is named", "classes")
    series = given.names("sequence") or ()
    table = read_table(
        path,
        delimiter=delimiter,
        header=given.flag("header"),
        as_labels=(*(targets if classes is True else ()), *cell_names(series)),
        span=given.place("file"),
    )
    for at, wanted in (("target", targets), ("features", given.names("features") or ())):
        for name in wanted:
            _check_known(given, at, name, table)
    made = sequence_columns(given, table, series)
    used = used_columns(given, table, series)
    columns = made + _features(given, table, targets, used)
    return whole("csv", columns + [_target(given, table, name, classes) for name in targets])


def _check_known(given: Given, at: str, name: str, table: Table) -> None:
    if name not in table.names:
        shown = ", ".join(f"`{n}`" for n in table.names[:12])
        near = did_you_mean(name, table.names)
        message = f"`{table.path}` has no column `{name}`"
        raise given.fail("E408", message, at, help=near or f"its columns are {shown}")


def _features(
    given: Given, table: Table, targets: tuple[str, ...], used: frozenset[str]
) -> list[Column]:
    """The numeric columns together and one by one, and labels; not what sequences are made of."""
    asked = given.names("features")
    names = asked or tuple(n for n in table.numbers if n not in targets and n not in used)
    for name in names:
        if name in targets:
            raise given.fail("E409", f"`{name}` is both a feature and the target", "features")
        if name not in table.numbers:
            message = f"column `{name}` holds texts, and a feature is a number"
            raise given.fail("E407", message, "features")
    columns = []
    if names:
        matrix = np.empty((table.rows, len(names)))
        for place, name in enumerate(names):
            matrix[:, place] = table.numeric(name)
        columns.append(Column(Field("features", (len(names),), columns=names), matrix))
        singles = [n for n in names if n != "features"]
        columns += [Column(Field(n, ()), matrix[:, names.index(n)]) for n in singles]
    for name in table.words:
        if name not in targets and name not in used:
            columns.append(_label(table, name, target=False))
    if not columns and not used:
        raise given.fail("E406", f"`{table.path}` holds no column besides the target", "file")
    return columns


def _label(table: Table, name: str, target: bool) -> Column:
    kinds, labels = table.labelled(name)
    described = Field(name, (), "i32", classes=len(labels), labels=labels, target=target)
    return Column(described, kinds)


def _target(given: Given, table: Table, name: str, classes: object) -> Column:
    if name in table.words:
        column = _label(table, name, target=True)
        found = len(column.field.labels)
        if isinstance(classes, int) and classes is not True and classes < found:
            message = f"`{name}` has {found} different labels, and `classes` is {classes}"
            raise given.fail("E419", message, "classes")
        if isinstance(classes, int) and classes is not True:
            column = replace(column, field=replace(column.field, classes=classes))
        return column
    values = table.numeric(name)
    if not isinstance(classes, int) or isinstance(classes, bool):
        return Column(Field(name, (), target=True), values)
    wrong = np.flatnonzero((values != np.floor(values)) | (values < 0) | (values >= classes))
    if len(wrong):
        message = (
            f"row {wrong[0] + 1} of `{table.path}` has `{name}` = {values[wrong[0]]:g}, "
            f"and labels of {classes} classes are 0 to {classes - 1}"
        )
        raise given.fail("E419", message, "classes", help="`classes = true` numbers any labels")
    described = Field(name, (), "i32", classes=classes, target=True)
    return Column(described, values.astype(np.int32))
