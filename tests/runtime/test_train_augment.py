"""Training on changed pictures: the same numbers after an interruption, and a run of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import chainrule
from chainrule.cli import cli
from chainrule.dsl.diagnostics import Failure
from chainrule.model import Model
from chainrule.runtime.train import loop
from chainrule.runtime.train.observer import Observer, Progress

NET = """
net pets {
  input image: [3, 6, 6]
  input label: class[2]
  scores = flatten(image) -> dense(8) -> relu -> dense(2)
  output scores
  loss cross_entropy(scores, label)
  metric accuracy(scores, label)
}
data shots = images("pets") -> split(valid = 6, seed = 1) -> normalize
train pets on shots {
  optimizer adam(lr = 1e-2)
  batch 5
  epochs 3
  augment LINE
}
"""
LINE = "rotate(20), shift(1), crop(6), flip(horizontal), brightness(0.3), contrast(0.3), cutout(2)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for k in range(40):
        place = tmp_path / "pets" / ("cat" if k % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 120, (8, 8, 3), dtype=np.uint8)
        pixels[:, :, k % 2] += 100
        Image.fromarray(pixels).save(place / f"{k}.png")
    return tmp_path


def model(folder: Path, line: str = LINE, device: str = "plain", threads: int = 1) -> Model:
    path = folder / "pets.net"
    path.write_text(NET.replace("LINE", line))
    return chainrule.load(path, device=device, threads=threads)


class StopAt(Observer):
    def __init__(self, step: int) -> None:
        self.step = step

    def progress(self, facts: Progress) -> None:
        if facts.step >= self.step:
            import signal

            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("stop", [3, 9])
def test_a_resumed_run_sees_the_pictures_that_it_would_have_seen(
    folder: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model(folder)
    whole.fit(out=folder / "whole")
    monkeypatch.setattr(loop, "STRETCH", 0.0)  # one step at a time: it stops within an epoch
    with pytest.raises(KeyboardInterrupt):
        model(folder).fit(out=folder / "parts", observer=StopAt(stop))
    resumed = model(folder)
    resumed.fit(out=folder / "parts", resume=True)
    for name, values in whole.session.values.items():
        np.testing.assert_array_equal(resumed.session.values[name], values)


def test_another_augmentation_is_another_run(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        model(folder).fit(out=folder / "run", observer=StopAt(2))
    with pytest.raises(Failure) as caught:
        model(folder, "crop(6)").fit(out=folder / "run", resume=True)
    assert caught.value.diagnostics[0].code == "E547"


def test_the_number_of_threads_does_not_matter(folder: Path) -> None:
    found = []
    for threads in (1, 2):
        run = model(folder, device="cpu", threads=threads)
        run.fit()
        found.append(run.session.values)
    for name, values in found[0].items():
        np.testing.assert_array_equal(found[1][name], values)


def test_training_is_changed_and_measuring_is_not(folder: Path) -> None:
    lines = ("crop(6)", "crop(6), rotate(20)")
    still, turned = (model(folder, line) for line in lines)
    assert still.evaluate(part="train") == turned.evaluate(part="train")
    first, second = (run.fit(epochs=1).rows[0].values["loss"] for run in (still, turned))
    assert first != second


def test_arrays_are_changed_too(folder: Path) -> None:
    x = np.random.default_rng(0).standard_normal((20, 3, 8, 8)).astype(np.float32)
    y = np.arange(20) % 2
    run = model(folder, "crop(6), flip(horizontal)")
    history = run.fit((x, y), valid=(x[:4], y[:4]), epochs=2)
    assert len(history.rows) == 4
    assert run.evaluate((x, y)).keys() == {"loss", "accuracy"}
    assert run.predict(x[:3, :, 1:7, 1:7]).shape == (3, 2)


def test_the_names_of_the_folders_are_in_the_report(folder: Path) -> None:
    report = model(folder).report()
    assert report is not None and report.labels == ("cat", "dog")  # type: ignore[union-attr]


def test_statistics_travel_with_the_weights(folder: Path) -> None:
    run = model(folder)
    run.fit(epochs=1, out=folder / "run")
    pictures = np.random.default_rng(0).random((4, 3, 6, 6)).astype(np.float32)
    wanted = run.predict(pictures)
    fresh = model(folder)
    fresh.load_weights(folder / "run" / "model.safetensors")
    fresh.__dict__["_declared_data"] = None  # its own data are not asked for the statistics
    assert len(fresh.statistics["image"]["mean"]) == 3
    np.testing.assert_array_equal(fresh.predict(pictures), wanted)


def test_the_command_data_tells_and_draws(folder: Path) -> None:
    model(folder)
    runner, sheet = CliRunner(), folder / "sheet.png"
    command = ["data", str(folder / "pets.net"), "-o", str(sheet), "--rows", "3", "--columns", "4"]
    result = runner.invoke(cli, command)
    assert result.exit_code == 0, result.output
    assert "34 train, 6 valid" in result.output and "rotate(20)" in result.output
    with Image.open(sheet) as image:
        assert image.format == "PNG" and image.size == (4 + 4 * 112, 4 + 3 * 112)
        cell = np.asarray(image)[4:112, 4:112]
    # Cells are enlarged 18-fold: all pixels of a block are alike.
    assert (cell[:18, :18] == cell[0, 0]).all() and not (cell == cell[0, 0]).all()
    again = folder / "again.png"
    runner.invoke(cli, [*command[:3], str(again), *command[4:]])
    assert again.read_bytes() == sheet.read_bytes()


def test_the_command_data_refuses_what_is_no_picture(folder: Path) -> None:
    (folder / "iris.net").write_text(
        "net f {\n  input x: [4]\n  input y: class[3]\n  s = x -> dense(3)\n"
        "  loss cross_entropy(s, y)\n}\ntrain f on iris() {\n  optimizer sgd(0.1)\n  epochs 1\n}\n"
    )
    plain = CliRunner().invoke(cli, ["data", str(folder / "iris.net")])
    assert plain.exit_code == 0 and "features: [4]" in plain.output
    drawn = CliRunner().invoke(cli, ["data", str(folder / "iris.net"), "-o", "x.png"])
    assert drawn.exit_code == 2 and "E421" in drawn.output
