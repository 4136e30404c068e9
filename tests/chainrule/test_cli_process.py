"""The command line as a process: signals, pipes, exit codes, and what it imports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from chainrule.runtime.checkpoint import load

COMMAND = [sys.executable, "-m", "chainrule"]
NET = """\
net line {
  input x: [2]
  input y: class[2]
  p = x -> dense(8) -> tanh -> dropout(0.2) -> dense(2)
  output softmax(p)
  loss cross_entropy(p, y)
  metric accuracy(p, y)
}
data points = moons(n = 200) -> split(valid = 0.2, seed = 1)
train line on points {
  optimizer adam(lr = 1e-3)
  batch 7
  epochs 40
  schedule cosine(warmup = 1)
}
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "line.net"
    path.write_text(NET)
    return path


def run(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, args)], capture_output=True, text=True, timeout=120, **options
    )  # type: ignore[call-overload,no-any-return]


def columns(path: Path) -> list[list[str]]:
    """The history without its timings."""
    return [line.split(",")[:6] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("wish", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_resumed_equals_one_that_was_not(wish: int, net: Path) -> None:
    whole, cut = net.parent / "whole", net.parent / "cut"
    train = ["train", net, "--device", "plain", "--out"]
    assert run(*train, whole).returncode == 0
    process = subprocess.Popen(
        [*COMMAND, *map(str, train), str(cut)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch  2/"):
            break
    process.send_signal(wish)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(r"interrupted after step \d+; saved in", said)
    assert f"go on with: chainrule train {net}" in said and "--resume" in said
    assert not (cut / "model.safetensors").exists()
    again = run(*train, cut, "--resume")
    assert again.returncode == 0 and "resumed after step" in again.stdout
    ours, theirs = load(cut / "model.safetensors"), load(whole / "model.safetensors")
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert all(np.array_equal(ours.tensors[n], theirs.tensors[n]) for n in ours.tensors)
    assert columns(cut / "history.csv") == columns(whole / "history.csv")


def test_output_to_a_pipe_has_no_control_codes(net: Path) -> None:
    result = run("train", net, "--device", "plain", "--epochs", "2", "--out", net.parent / "o")
    assert result.returncode == 0
    for text in (result.stdout, result.stderr):
        assert "\x1b" not in text and "\r" not in text
    assert max(map(len, result.stdout.splitlines()[:5])) <= 80


def test_a_reader_that_leaves_is_no_error(net: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "doc"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(timeout=60)


def test_a_mistake_goes_to_standard_error_with_exit_code_2(net: Path) -> None:
    net.write_text(NET.replace("tanh", "tahn"))
    result = run("check", net)
    assert (result.returncode, result.stdout) == (2, "")
    assert "did you mean `tanh`?" in result.stderr and "Traceback" not in result.stderr


def test_a_missing_data_file_says_where_it_was_looked_for(net: Path) -> None:
    net.write_text(NET.replace("moons(n = 200)", 'csv("nowhere.csv", target = y)'))
    result = run("train", net)
    assert result.returncode == 2
    assert "E403" in result.stderr and "nowhere.csv" in result.stderr


def test_an_output_folder_that_cannot_be_written_is_a_diagnostic(net: Path) -> None:
    blocked = net.parent / "file"
    blocked.write_text("")
    result = run("train", net, "--device", "plain", "--epochs", "1", "--out", blocked / "out")
    assert result.returncode == 2 and "E544" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_run_at_a_terminal_shows_a_bar(net: Path) -> None:
    pty = pytest.importorskip("pty")
    main, side = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "train", str(net), "--device", "plain", "--out", str(net.parent / "o")],
        stdout=side, stderr=side, env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )  # fmt: skip
    os.close(side)
    shown = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            piece = os.read(main, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    process.wait(timeout=30)
    os.close(main)
    assert process.returncode == 0
    assert b"/s" in shown and b"left" in shown and "━".encode() in shown


@pytest.mark.parametrize(
    ("args", "unwanted"),
    [
        (["--version"], {"numpy", "numba", "lark", "networkx", "rich"}),
        (["explain", "E540"], {"numpy", "numba", "lark", "networkx", "rich"}),
        (["fmt", "--check", "line.net"], {"numpy", "numba", "networkx", "rich"}),
        (["check", "--no-data", "line.net"], {"numba", "matplotlib", "pygraphviz"}),
    ],
)
def test_a_command_imports_only_what_it_needs(
    args: list[str], unwanted: set[str], net: Path
) -> None:
    script = (
        "import sys\nfrom chainrule.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *args], capture_output=True, text=True, cwd=net.parent,
        timeout=60,
    )  # fmt: skip
    assert unwanted & set(result.stderr.split()) == set()
