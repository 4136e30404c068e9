"""CSV files: numbers and labels in columns, read as a stream, every complaint with its line.

In: a path and which columns are what. Out: a table whose numeric columns are float64 and whose
other columns are texts numbered in sorted order. A value that is missing, or not a number where
the column's first value is one, is refused: silently guessing would train on wrong data.
"""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...dsl.diagnostics import Failure, fail
from ...dsl.source import Span
from .dataset import Array
from .memory import check_fits

_MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
_ASK_MEMORY = 20_000  # rows between looks at the memory left


@dataclass
class Table:
    """The columns of a CSV file by name, in its order."""

    path: Path
    names: tuple[str, ...]
    numbers: dict[str, array[float]] = field(default_factory=dict)
    words: dict[str, array[int]] = field(default_factory=dict)
    vocabulary: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: int = 0
    lines: array[int] = field(default_factory=lambda: array("q"))  # where each row ends

    def labelled(self, name: str) -> tuple[Array, tuple[str, ...]]:
        """Numbers 0…k−1 and the k texts, in sorted order."""
        seen = self.vocabulary[name]  # text → order of appearance
        order = sorted(seen)
        new = np.empty(len(order), np.int32)
        for position, text in enumerate(order):
            new[seen[text]] = position
        return new[np.frombuffer(self.words[name], np.int32)], tuple(order)

    def numeric(self, name: str) -> Array:
        return np.frombuffer(self.numbers[name], np.float64)


def read_table(
    path: Path,
    *,
    delimiter: str = ",",
    header: bool = True,
    as_labels: Sequence[str] = (),
    only: Sequence[str] | None = None,
    span: Span | None = None,
) -> Table:
    """Read a CSV file. `as_labels`: columns of labels even where they look like numbers."""
    try:
        with path.open("rb") as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            return _Reading(path, span, file.tell, as_labels, only).run(reader, header)
    except OSError as error:
        raise fail("E403", f"cannot read `{path}`: {error.strerror or error}", span) from error
    except UnicodeDecodeError as error:
        message = (
            f"`{path}` is not UTF-8 text: byte {error.start} is {error.object[error.start]:#x}"
        )
        raise fail("E406", message, span, help="save the file as UTF-8") from error


class _Reading:
    """The state of one pass over a file."""

    def __init__(
        self,
        path: Path,
        span: Span | None,
        position: Any,
        as_labels: Sequence[str],
        only: Sequence[str] | None,
    ) -> None:
        self.path, self.span, self.position = path, span, position
        self.as_labels, self.only = frozenset(as_labels), only
        self.line = 0

    def run(self, reader: Any, header: bool) -> Table:
        rows = self._rows(reader)
        first = next(rows, None)
        if first is None:
            raise self._fail("E406", "is empty", line=False)
        names = self._names(first) if header else [f"c{i + 1}" for i in range(len(first))]
        table = Table(self.path, tuple(names))
        if not header:
            self._begin(table, first)
            self._add(table, first)
        for row in rows:
            if table.rows == 0:
                self._begin(table, row)
            self._add(table, row)
            if table.rows % _ASK_MEMORY == 0:
                self._check_memory(table)
        if table.rows == 0:
            raise self._fail("E406", "has a header and no rows", line=False)
        return table

    def _rows(self, reader: Any) -> Iterator[list[str]]:
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                self.line = reader.line_num
                raise self._fail("E406", f"is malformed: {error}") from error
            self.line = reader.line_num
            if row is None:
                return
            if row:  # blank lines are skipped
                yield row

    def _names(self, row: list[str]) -> list[str]:
        names = [name.strip() for name in row]
        for place, name in enumerate(names):
            if not name:
                raise self._fail("E406", f"column {place + 1} has no name")
            if name in names[:place]:
                raise self._fail("E406", f"two columns are called `{name}`")
        if all(finite_number(name) is not None for name in names):
            way_out = "write `header = false` if the first line is data"
            raise self._fail("E406", "the header holds only numbers", help=way_out)
        return names

    def _begin(self, table: Table, row: list[str]) -> None:
        """The first row decides which columns are numbers."""
        self._check_width(table, row)
        for name, text in zip(table.names, row, strict=True):
            if self.only is not None and name not in self.only:
                continue
            if name in self.as_labels or (finite_number(text) is None and not _is_missing(text)):
                table.words[name], table.vocabulary[name] = array("i"), {}
            else:
                table.numbers[name] = array("d")

    def _add(self, table: Table, row: list[str]) -> None:
        self._check_width(table, row)
        for name, text in zip(table.names, row, strict=True):
            if name in table.numbers:
                value = finite_number(text)
                if value is None:
                    raise self._bad_value(name, text)
                table.numbers[name].append(value)
            elif name in table.words:
                label = text.strip()
                if _is_missing(label):
                    raise self._bad_value(name, text)
                seen = table.vocabulary[name]
                table.words[name].append(seen.setdefault(label, len(seen)))
        table.rows += 1
        table.lines.append(self.line)

    def _check_width(self, table: Table, row: list[str]) -> None:
        if len(row) != len(table.names):
            message = f"{len(row)} columns where the first line has {len(table.names)}"
            way_out = "quote values that hold the delimiter" if len(row) > len(table.names) else ""
            raise self._fail("E406", message, help=way_out)

    def _bad_value(self, name: str, text: str) -> Failure:
        if _is_missing(text):
            return self._fail(
                "E407",
                f"the value of `{name}` is missing",
                help="fill the gap or remove the row before training",
            )
        shown = text if len(text) <= 40 else text[:37] + "…"
        return self._fail(
            "E407",
            f"`{shown}` in column `{name}` is not a number",
            help=f"correct it; or, if `{name}` is a label, name it as target with `classes = true`",
        )

    def _check_memory(self, table: Table) -> None:
        size = self.path.stat().st_size
        read = max(1, int(self.position()))
        width = 8 * len(table.numbers) + 4 * len(table.words)
        left = int(table.rows * width * max(0.0, size / read - 1))
        way_out = "convert it once with NumPy and read it with `npy(…)`, which maps the file"
        check_fits(left, f"the rest of `{self.path.name}`", self.span, way_out)

    def _fail(self, code: str, message: str, line: bool = True, help: str = "") -> Failure:
        joint = f", line {self.line}: " if line else " "
        return fail(code, f"`{self.path}`{joint}{message}", self.span, help=help)


def finite_number(text: str) -> float | None:
    """A finite number in the usual notation (Python's `float` also takes `1_000` and `nan`)."""
    if "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _is_missing(text: str) -> bool:
    return text.strip().lower() in _MISSING
