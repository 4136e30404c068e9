"""What happened in training, row by row: `history.csv` for people, `history.jsonl` for programs.

In: a row an epoch (or an interval) and split. Out: two files that are valid after every row; on
resume the rows past the resumed step are dropped, so that a run reads as if never interrupted.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..dsl.diagnostics import fail
from .files import append_text, write_text

_FIXED = ("epoch", "step", "split")
_SPEED = ("lr", "seconds", "examples_per_second")


@dataclass(frozen=True)
class Row:
    """One measurement. `values` holds losses and metrics by name."""

    epoch: int
    step: int
    split: str
    values: Mapping[str, float]
    lr: float | None = None
    seconds: float | None = None
    examples_per_second: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Flat, in the order of the columns; NaN and infinity, which JSON lacks, as texts."""
        fixed = {"epoch": self.epoch, "step": self.step, "split": self.split}
        speed = {name: _plain(getattr(self, name)) for name in _SPEED}
        return {**fixed, **{name: _plain(v) for name, v in self.values.items()}, **speed}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Row:
        values = {n: float(v) for n, v in facts.items() if n not in _FIXED and n not in _SPEED}
        speed = {n: None if facts.get(n) is None else float(facts[n]) for n in _SPEED}
        return cls(int(facts["epoch"]), int(facts["step"]), str(facts["split"]), values, **speed)


def _plain(value: float | None) -> float | str | None:
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else str(number)


@dataclass
class History:
    """The rows so far, and the folder they are written to (none: memory only)."""

    folder: Path | None = None
    rows: list[Row] = field(default_factory=list)
    _columns: tuple[str, ...] = ()

    @property
    def csv_path(self) -> Path | None:
        return self.folder / "history.csv" if self.folder else None

    @property
    def jsonl_path(self) -> Path | None:
        return self.folder / "history.jsonl" if self.folder else None

    def add(self, row: Row) -> None:
        """Keep a row and write it. A new metric makes the CSV be written anew with its column."""
        self.rows.append(row)
        if self.csv_path is None or self.jsonl_path is None:
            return
        if len(self.rows) == 1:
            self.rewrite()
            return
        append_text(self.jsonl_path, _json_line(row))
        if set(row.values) <= set(self._columns):
            append_text(self.csv_path, _csv_lines([row], self._columns))
        else:
            self._write_csv()

    def rewrite(self) -> None:
        """Write both files from the rows in memory, each whole or not at all."""
        if self.jsonl_path is None:
            return
        write_text(self.jsonl_path, "".join(map(_json_line, self.rows)))
        self._write_csv()

    def _write_csv(self) -> None:
        assert self.csv_path is not None
        names = dict.fromkeys(name for row in self.rows for name in row.values)
        self._columns = tuple(names)
        header = ",".join([*_FIXED, *self._columns, *_SPEED]) + "\n"
        write_text(self.csv_path, header + _csv_lines(self.rows, self._columns))

    @classmethod
    def resume(cls, folder: Path, step: int) -> History:
        """The history of an interrupted run up to a step; later rows leave the files too."""
        history = cls(folder, [row for row in read(folder / "history.jsonl") if row.step <= step])
        if history.rows:
            history.rewrite()
        return history

    def best(self, name: str, split: str = "valid", smallest: bool = True) -> Row | None:
        """The row with the best value of a loss or metric."""
        held = [
            r for r in self.rows if r.split == split and math.isfinite(r.values.get(name, math.nan))
        ]
        if not held:
            return None
        return (min if smallest else max)(held, key=lambda row: row.values[name])

    def tail(self, count: int) -> list[dict[str, Any]]:
        """The last rows as JSON values, for a checkpoint."""
        return [row.as_dict() for row in self.rows[-count:]] if count > 0 else []


def read(path: Path) -> list[Row]:
    """The rows of a `history.jsonl`; a last line cut short by a crash is left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise fail("E546", f"cannot read the history `{path}`: {error}") from error
    lines = text.split("\n")
    whole = lines[:-1]  # what follows the last newline is empty, or torn
    rows = []
    for number, line in enumerate(whole, 1):
        try:
            rows.append(Row.from_dict(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            message = f"`{path}`, line {number}: not a row of a training history"
            raise fail("E546", message, help="move the file away to start a new history") from error
    return rows


def _json_line(row: Row) -> str:
    return json.dumps(row.as_dict()) + "\n"


def _csv_lines(rows: list[Row], columns: tuple[str, ...]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        facts = row.as_dict()
        names = [*_FIXED, *columns, *_SPEED]
        writer.writerow(["" if facts.get(name) is None else facts[name] for name in names])
    return text.getvalue()
