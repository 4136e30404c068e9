"""The history: valid after every row, whole again after a crash, cut where a run resumes."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from chainrule.dsl.diagnostics import Failure
from chainrule.runtime.history import History, Row, read


def row(step: int, split: str = "train", **values: float) -> Row:
    return Row(step // 10, step, split, values or {"loss": 1 / step}, 0.1, 0.5, 1000.0)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_both_files_hold_every_row_after_each(tmp_path: Path) -> None:
    history = History(tmp_path)
    for count, step in enumerate((10, 20, 30), 1):
        history.add(row(step))
        assert read(tmp_path / "history.jsonl") == history.rows
        assert len(table(tmp_path)) == count
    assert float(table(tmp_path)[1]["loss"]) == 0.05


def test_a_metric_that_comes_later_gets_its_column(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add(row(10, loss=1.0))
    history.add(row(10, "valid", loss=2.0, accuracy=0.5))
    history.add(row(20, loss=0.5))
    rows = table(tmp_path)
    assert [r["accuracy"] for r in rows] == ["", "0.5", ""]
    assert list(rows[0])[:3] == ["epoch", "step", "split"]


def test_resuming_drops_the_rows_past_the_step(tmp_path: Path) -> None:
    history = History(tmp_path)
    for step in (10, 20, 30):
        history.add(row(step))
    resumed = History.resume(tmp_path, 20)
    assert [r.step for r in resumed.rows] == [10, 20]
    assert len(table(tmp_path)) == 2
    resumed.add(row(30))
    assert read(tmp_path / "history.jsonl") == history.rows


def test_a_line_torn_by_a_crash_is_left_out_and_others_are_refused(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add(row(10))
    path = tmp_path / "history.jsonl"
    path.write_text(path.read_text() + '{"epoch": 2, "st')
    assert [r.step for r in History.resume(tmp_path, 99).rows] == [10]
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(Failure) as caught:
        read(path)
    assert caught.value.diagnostics[0].code == "E546"
    assert "line 1" in caught.value.diagnostics[0].message


def test_infinite_losses_are_kept_in_valid_json(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add(row(10, loss=math.inf, other=math.nan))
    (line,) = (tmp_path / "history.jsonl").read_text().splitlines()
    json.loads(line, parse_constant=pytest.fail)
    (found,) = read(tmp_path / "history.jsonl")
    assert found.values["loss"] == math.inf and math.isnan(found.values["other"])


def test_the_best_row_and_the_tail() -> None:
    history = History()
    for step, loss in ((10, 3.0), (20, math.nan), (30, 1.0), (40, 2.0)):
        history.add(row(step, "valid", loss=loss))
    best, worst = history.best("loss"), history.best("loss", smallest=False)
    assert best is not None and best.step == 30
    assert worst is not None and worst.step == 10
    assert history.best("accuracy") is None
    assert [r["step"] for r in history.tail(2)] == [30, 40]
