"""The memory that `summary` states: parts of the arena, and the peak of a training process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.memory import measured, predicted
from chainrule.cli import cli

NET = """\
net small {
  input x: [6]
  input y: class[3]
  h = x -> dense(16) -> tanh
  z = h -> dense(3)
  output softmax(z)
  loss cross_entropy(z, y)
}
data points = SOURCE
train small on points with x = point, y = label {
  optimizer adam(lr = 1e-2)
  batch 8
  epochs 3
}
"""
WIDE = """\
net wide {
  input image: [64]
  input digit: class[10]
  z = image -> dense(3000) -> relu -> dense(2000) -> tanh -> dense(10)
  output softmax(z)
  loss cross_entropy(z, digit)
}
data some = digits() -> split(valid = 0.2, seed = 1)
train wide on some {
  optimizer adam(lr = 1e-4)
  batch 100
  epochs 2
}
"""


def summary(path: Path) -> dict[str, object]:
    result = CliRunner().invoke(cli, ["summary", str(path), "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_the_parts_make_up_the_arena(tmp_path: Path) -> None:
    path = tmp_path / "wide.net"
    path.write_text(WIDE)
    facts = summary(path)
    training = facts["training"]
    assert isinstance(training, dict) and isinstance(facts["memory"], dict)
    arena = training["arena"]
    assert sum(arena.values()) == facts["memory"]["train"]
    count = 65 * 3000 + 3001 * 2000 + 2001 * 10
    assert arena["parameters"] == pytest.approx(4 * count, abs=64)  # scalars fill cache lines
    assert arena["optimizer state"] == pytest.approx(8 * count, abs=64)  # Adam keeps two moments
    assert training["peak"] > training["process"] + sum(arena.values())


def test_without_the_data_the_peak_is_unknown_and_the_rest_is_told(tmp_path: Path) -> None:
    path = tmp_path / "small.net"
    text = NET.replace("SOURCE", 'csv("nowhere.csv", target = label)')
    path.write_text(text)
    training = summary(path)["training"]
    assert isinstance(training, dict)
    assert training["peak"] is None and training["data"] is None
    shown = CliRunner().invoke(cli, ["summary", str(path)]).output
    assert "unknown: the data are not here" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.slow
def test_a_training_process_needs_the_memory_that_summary_predicts(tmp_path: Path) -> None:
    path = tmp_path / "wide.net"
    path.write_text(WIDE)
    assert predicted(str(path), "")["peak"] == pytest.approx(measured(str(path), "", 2), rel=0.05)
