"""`train --live`: a page that shows a run, and does not disturb it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from chainrule import load
from chainrule.cli import cli
from chainrule.live import LivePage
from chainrule.runtime.train.observer import EpochDone, Progress, Started
from chainrule.viz.curves import panels
from chainrule.viz.line_chart import Line, chart, ticks
from chainrule.viz.live import Live, Norm, Shown, news, page

CODER = """net coder {
  input image: [64]
  z = image -> dense(8) -> relu
  output reconstruction = z -> dense(64) -> sigmoid
  loss mse(reconstruction, image)
}
data images = digits() -> take(120) -> split(valid = 0.2, seed = 1)
train coder on images {
  optimizer adam(lr = 1e-2)
  batch 40
  epochs 4
  sample(every = 2)
}
"""


def net(folder: Path, text: str = CODER) -> Path:
    file = folder / "coder.net"
    file.write_text(text)
    return file


def train(file: Path, *options: str) -> Any:
    return CliRunner().invoke(cli, ["train", str(file), *options])


def news_of(folder: Path) -> dict[str, Any]:
    text = (folder / "live.js").read_text()
    facts: dict[str, Any] = json.loads(text.removeprefix("chainruleLive(").removesuffix(");\n"))
    return facts


def test_a_run_with_a_live_page_learns_the_same_weights(tmp_path: Path) -> None:
    file = net(tmp_path)
    assert train(file, "--out", str(tmp_path / "a")).exit_code == 0
    ran = train(file, "--live", "--out", str(tmp_path / "b"))
    assert ran.exit_code == 0
    quiet, live = (load_file(tmp_path / d / "model.safetensors") for d in "ab")
    assert all(np.array_equal(quiet[n], live[n]) for n in quiet)
    assert f"live page: {tmp_path / 'b' / 'live.html'}" in ran.stdout


def test_the_last_page_shows_everything_and_looks_for_nothing(tmp_path: Path) -> None:
    assert train(net(tmp_path), "--live", "--out", str(tmp_path / "a")).exit_code == 0
    text = (tmp_path / "a" / "live.html").read_text()
    assert "coder: finished" in text and "<script" not in text and "http" not in text
    for title in ("loss", "learning rate", "gradient norms"):
        assert f"<figcaption>{title}" in text
    assert 'src="samples/epoch-004.png"' in text and 'alt="epoch 4"' in text
    assert not news_of(tmp_path / "a")["running"]  # an open page stops


def test_an_interrupted_run_says_so_and_a_resumed_one_keeps_its_curves(tmp_path: Path) -> None:
    file, out = net(tmp_path), tmp_path / "a"
    assert train(file, "--epochs", "2", "--out", str(out)).exit_code == 0
    assert train(file, "--live", "--resume", "--out", str(out)).exit_code == 0
    text = (out / "live.html").read_text()
    assert "4 epochs in the history" in text
    live = LivePage(load(file), out)
    live.ended("interrupted")
    assert "coder: interrupted" in (out / "live.html").read_text()


def test_a_run_that_breaks_down_ends_its_page(tmp_path: Path) -> None:
    file = net(tmp_path, CODER.replace("mse(reconstruction, image)", "sum(log(z - 9))"))
    ran = train(file, "--live", "--out", str(tmp_path / "a"))
    assert ran.exit_code == 1
    assert "ended by a mistake" in (tmp_path / "a" / "live.html").read_text()


def test_what_cannot_be_written_is_a_note_and_not_the_end(tmp_path: Path) -> None:
    (tmp_path / "a" / "live.html").mkdir(parents=True)
    ran = train(net(tmp_path), "--live", "--out", str(tmp_path / "a"))
    assert ran.exit_code == 0 and "the live page cannot be written" in ran.stdout


def test_writing_is_rationed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("chainrule.live.time.monotonic", lambda: clock[0])
    live = LivePage(load(net(tmp_path)), tmp_path / "a")
    live.started(Started("coder", 96, 40, 3, 4.0, 1, "cpu", 0))
    written = []
    monkeypatch.setattr("chainrule.live.write_text", lambda path, text: written.append(path.name))
    for k in range(100):  # ten seconds, ten times a second
        clock[0] += 0.1
        live.progress(Progress(1, k, 400, k / 100, {"loss": 1.0}, 10.0, 1.0))
    assert 10 <= len(written) <= 20
    live.epoch_done(EpochDone(1, 4.0, 100, {"loss": 1.0}, {}, 1.0, 10.0, 1.0, False))
    assert live.now == {}


def test_names_of_the_user_are_text_on_the_page() -> None:
    rows = [{"epoch": e, "step": e, "split": "train", "<b>&": 1.0 / e} for e in (1, 2)]
    live = Live("n", "running", "<i>", 0.5, panels(rows, ["<b>&"]), norms=[Norm("<u>", [(1, 2)])],
                shown=[Shown("<s>", text="</pre><script>")])  # fmt: skip
    text = page(live)
    for mark in ("<b>&<", "<i>", "<u>", "<s>", "</pre><script>"):
        assert mark not in text
    assert json.loads(news(live, 1)[len("chainruleLive(") : -3])["body"] in text


def test_a_chart_tells_its_last_numbers_and_leaves_out_what_is_not_finite() -> None:
    text = chart("loss", [Line("training", [(1, 4.0), (2, float("nan")), (3, 2.5)])])
    assert 'aria-label="loss: training 2.5"' in text and "nan" not in text
    assert "no numbers yet" in chart("loss", [])
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10] and ticks(1, 3, least=1) == [1, 2, 3]


def test_a_long_chart_is_thinned_and_keeps_its_last_point() -> None:
    text = chart("loss", [Line("training", [(x, x + 1.0) for x in range(5000)])])
    assert text.count(" L") < 330 and "training 5000" in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser")
def test_an_open_page_takes_the_news_from_its_folder_and_stops(tmp_path: Path) -> None:
    begun = Live("n", "running", "starting", 0.0)
    rows = [{"epoch": 1, "step": 1, "split": "train", "loss": 0.25}]
    ended = Live("n", "finished", "done", 1.0, panels(rows, ["loss"]))
    (tmp_path / "live.html").write_text(page(begun))
    (tmp_path / "live.js").write_text(news(ended, 7))
    ran = subprocess.run(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
         f"--user-data-dir={tmp_path / 'browser'}", "--virtual-time-budget=4000", "--dump-dom",
         (tmp_path / "live.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "n: finished" in ran.stdout and "loss: training 0.25" in ran.stdout
    assert re.search(r'<button[^>]*id="pause"[^>]*hidden', ran.stdout)
