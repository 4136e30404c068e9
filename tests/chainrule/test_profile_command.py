"""`chainrule profile`: the table, the JSON and the diagram, without any data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chainrule.cli import cli

NET = """\
block pair(units) {
  input x: [n]
  output x -> dense(units) -> tanh -> dense(units)
}
net small {
  input x: [6]
  input y: class[3]
  h = x -> pair(16)
  z = 0.5 * (h -> dense(3))
  output softmax(z)
  loss cross_entropy(z, y)
}
data points = csv("nowhere.csv", target = y)
train small on points {
  optimizer adam(lr = 1e-2)
  batch 8
  epochs 3
}
"""
ROW = {
    "what", "kind", "layer", "passes", "file", "line", "launches", "seconds", "share", "flops",
    "bytes", "flops_per_second", "bytes_per_second", "percent_of_peak", "bound",
}  # fmt: skip


def run(*args: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.net"
    path.write_text(NET)
    return path


def test_the_table_fits_80_columns_and_needs_no_data(small: Path) -> None:
    result = run("profile", small, "--seconds", 0.02, "--threads", 1)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert "small of small.net: a step of 8 examples on cpu, 1 thread" in result.output
    assert "update" in result.output and "examples in, losses out" in result.output


def test_what_does_not_fit_the_table_is_summed_up(small: Path) -> None:
    result = run("profile", small, "--seconds", 0.02, "--threads", 1, "--top", 2)
    rows = result.output.split("─\n")[1].split("\n\n")[0].splitlines()
    assert len(rows) == 3 and "more" in rows[-1]


def test_the_json_names_every_kernel_with_its_line(small: Path) -> None:
    result = run("profile", small, "--seconds", 0.02, "--threads", 1, "--json", "--batch", 4)
    facts = json.loads(result.stdout)
    assert facts["net"] == "small" and facts["batch"] == 4 and facts["by"] == "launch"
    assert all(set(row) == ROW for row in facts["rows"])
    assert sum(row["share"] for row in facts["rows"]) == pytest.approx(1)
    kernels = [row for row in facts["rows"] if row["kind"] == "kernel"]
    assert {row["line"] for row in kernels} >= {3, 9}
    assert all(row["launches"] == 1 for row in kernels)
    assert facts["peak"]["flops_per_second"] > 1e9


def test_layers_are_named_where_they_are_applied(small: Path) -> None:
    args = ("--seconds", 0.02, "--threads", 1, "--json", "--by", "layer")
    facts = json.loads(run("profile", small, *args).stdout)
    lines = {row["what"]: row["line"] for row in facts["rows"]}
    assert lines["h"] == 8


def test_a_net_without_training_is_timed_as_it_predicts(small: Path) -> None:
    small.write_text(NET[: NET.index("data")])
    result = run("profile", small, "--seconds", 0.02, "--threads", 1)
    assert result.exit_code == 0 and "update" not in result.output
    small.write_text(NET)
    again = run("profile", small, "--seconds", 0.02, "--threads", 1, "--forward")
    assert again.exit_code == 0 and "update" not in again.output


def test_the_diagram_prints_a_share_in_every_box(small: Path) -> None:
    picture = small.with_suffix(".dot")
    result = run("profile", small, "--seconds", 0.02, "--threads", 1, "--diagram", picture)
    assert result.exit_code == 0, result.output
    text = picture.read_text()
    boxes = [line for line in text.splitlines() if "fillcolor" in line and "tooltip" in line]
    boxes = [line for line in boxes if 'tooltip="input' not in line]
    assert len(boxes) >= 5
    assert all("%" in line or "fused" in line for line in boxes)
    assert "over 50%" in text and "share of a step of 8 examples" in text


def test_devices_without_kernels_and_empty_nets_are_explained(small: Path) -> None:
    result = run("profile", small, "--device", "plain")
    assert result.exit_code == 2 and "E631" in result.stderr
    small.write_text("net nothing {\n  input x: [3]\n  h = x -> dense(2)\n}\n")
    result = run("profile", small)
    assert result.exit_code == 2 and "E632" in result.stderr
