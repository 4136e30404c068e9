"""The `sample` line of `train`: what a net makes while it learns, undisturbed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from chainrule.cli import cli
from chainrule.compiler.elaborate import load_module
from chainrule.dsl.diagnostics import Failure, fail
from chainrule.exhibits import PAIRS, SAMPLES, TEXT, exhibits
from chainrule.making import Maker
from chainrule.model import Model
from chainrule.runtime.history import read
from chainrule.runtime.train.observer import Observer
from chainrule.runtime.train.settings import Sample
from chainrule.showing import found, losses, progress

CODER = """
net coder {
  input image: [64]
  z = image -> dense(6)
  decode = dense(64)
  near = z + 0.1 * normal([6])
  output early = sigmoid(decode(near)), reconstruction = sigmoid(decode(z) + 0)
  output sampled = sigmoid(decode(normal([6]))), code = z
  loss mse(sigmoid(decode(near)), image)
}
data images = digits() -> take(200) -> split(valid = 0.2, seed = 1)
train coder on images {
  optimizer adam(lr = 1e-2)
  batch 40
  epochs 3
  LINE
}
"""
RING = """
net ring {
  input x: [2]
  G = dense(2)
  D = dense(1)
  fake = G(normal([3]))
  output fake
  loss d_loss = mean((D(x) - 1)^2) + mean(D(stop_gradient(fake))^2)
  loss g_loss = mean((D(fake) - 1)^2)
}
data points = moons(n = 60)
train ring on points {
  minimize d_loss over D with sgd(lr = 0.1)
  minimize g_loss over G with sgd(lr = 0.1)
  epochs 2
  sample
}
"""
SPEAKER = """
data saying = text("a.txt", window = 8) -> split(valid = 0.2)
net char {
  input text: tokens[T, k]
  input next: tokens[T, k]
  h = text -> embedding(6) -> lstm(12)
  scores = h.hs -> dense(k)
  output scores
  loss cross_entropy(scores, next)
}
train char on saying {
  optimizer adam()
  epochs 1
  sample(count = 3)
}
generate wild from char {
  start "dis"
  length 12
  temperature 2
}
"""
ADDER = """
data sums = addition(n = 40, digits = 1) -> split(valid = 0.2)
net add {
  input source: tokens[S, m]
  input target: tokens[T, k]
  input next: tokens[T, k]
  enc = source -> embedding(4) -> gru(6, mask = mask(source))
  dec = target -> embedding(4) -> gru(6, start = enc.last)
  output dec.hs -> dense(k)
  loss cross_entropy(dec.hs -> dense(k), next, mask = mask(next))
}
train add on sums {
  optimizer adam()
  epochs 1
  sample(count = 3)
}
generate total from add {
  source "1+2"
  length 3
}
"""
PAINTER = """
net painter {
  input image: [64]
  input digit: class[10]
  fake = concat(normal([4]), one_hot(digit, 10)) -> dense(64) -> sigmoid
  output fake
  loss mse(fake, image)
}
data images = digits() -> take(50)
train painter on images {
  optimizer adam()
  epochs 1
  sample
}
"""


def model(text: str, folder: Path, line: str = "sample(every = 2)") -> Model:
    path = folder / "t.net"
    path.write_text(text.replace("LINE", line))
    return Model(load_module(path), device="plain")


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes()
            for p in sorted((folder / "samples").iterdir())}  # fmt: skip


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path))


class Notes(Observer):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.epochs = 0

    def note(self, text: str) -> None:
        self.said.append(text)

    def epoch_done(self, facts: object) -> None:
        self.epochs += 1


def test_an_autoencoder_shows_samples_and_everything_that_looks_like_its_input(
    tmp_path: Path,
) -> None:
    shown = exhibits(model(CODER, tmp_path), Sample())
    assert [(e.kind, e.outputs) for e in shown] == [
        (SAMPLES, ("sampled",)), (PAIRS, ("early", "reconstruction")),
    ]  # fmt: skip


def test_of_chooses_one_output(tmp_path: Path) -> None:
    coder = model(CODER, tmp_path)
    assert [e.kind for e in exhibits(coder, Sample(of="sampled"))] == [SAMPLES]
    assert [e.kind for e in exhibits(coder, Sample(of="early"))] == [PAIRS]
    with pytest.raises(Failure, match="E294"):
        exhibits(coder, Sample(of="code"))
    with pytest.raises(Failure, match="E293") as caught:
        exhibits(coder, Sample(of="smapled"))
    assert "did you mean `sampled`" in str(caught.value)


def test_features_that_happen_to_be_a_square_number_are_no_picture(tmp_path: Path) -> None:
    text = """
net wine {
  input features: [13]
  output again = features -> dense(13)
  loss mse(again, features)
}
data d = wine()
train wine on d {
  optimizer sgd(0.1)
  epochs 1
}
"""
    sixteen = text.replace("features: [13]", "x: [16]").replace("features", "x")
    with pytest.raises(Failure, match="E294"):
        exhibits(model(text, tmp_path), Sample())
    made = Model(load_module(_write(tmp_path, sixteen.replace("(13)", "(16)"))), device="plain")
    made._given = None
    made.__dict__["_declared_data"] = None
    assert exhibits(made, Sample())  # without data, 4 × 4 numbers may be a picture


def _write(folder: Path, text: str) -> Path:
    path = folder / "w.net"
    path.write_text(text)
    return path


def test_sheets_stand_in_the_folder_at_the_epochs_asked_for_and_after_the_last(
    tmp_path: Path,
) -> None:
    model(CODER, tmp_path).fit(out=tmp_path / "run")
    assert [(e, n) for e, n, _ in found(tmp_path / "run")] == [
        (2, "reconstruction"), (2, "sampled"), (3, "reconstruction"), (3, "sampled"),
    ]  # fmt: skip


def test_a_sheet_of_pairs_shows_the_examples_above_what_the_net_gives_back(tmp_path: Path) -> None:
    coder = model(CODER, tmp_path)
    pairs = exhibits(coder, Sample(of="early"))[0]
    sheet = Maker(coder, 8).make(pairs)
    assert not isinstance(sheet, str)
    part = coder.dataset.valid  # type: ignore[union-attr]
    at = np.linspace(0, len(part) - 1, 8).round().astype(int)
    examples = part.rows("image", at)
    high = sheet.shape[0] // 3
    cell = sheet[4:116, 4:116, 0][::14, ::14]
    assert np.abs(cell / 255 - examples[0].reshape(8, 8)).max() < 0.003
    again = coder.predict(examples)["reconstruction"]
    cell = sheet[4 + 2 * 116 : 116 + 2 * 116, 4 + 116 : 116 + 116, 0][::14, ::14]
    assert np.abs(cell / 255 - again[1].reshape(8, 8)).max() < 0.003
    assert high == 117


def test_the_weights_are_the_same_to_the_bit_with_and_without_the_line(tmp_path: Path) -> None:
    def trained(line: str) -> dict[str, bytes]:
        coder = model(CODER, tmp_path, line)
        coder.fit(out=tmp_path / "run")
        return {name: np.asarray(a).tobytes() for name, a in coder.session.values.items()}

    assert trained("sample(every = 1)") == trained("")


def test_the_same_noise_is_used_at_every_epoch(tmp_path: Path) -> None:
    still = CODER.replace("adam(lr = 1e-2)", "sgd(0.0)")
    model(still, tmp_path, "sample(every = 1, of = sampled)").fit(out=tmp_path / "run")
    first, second, third = files(tmp_path / "run").values()
    assert first == second == third


def test_a_resumed_run_leaves_the_files_of_one_that_was_never_interrupted(tmp_path: Path) -> None:
    def run(folder: Path, *epochs: int) -> tuple[dict[str, bytes], list[bytes]]:
        for number, until in enumerate(epochs):
            coder = model(CODER, tmp_path)
            coder.fit(out=folder, epochs=until, resume=number > 0)
        rows = [{**r.as_dict(), "seconds": 0} for r in read(folder / "history.jsonl")]
        drawn = progress(rows, folder, losses(coder))
        return files(folder), [p.read_bytes() for p in drawn]

    whole = run(tmp_path / "whole", 4)
    assert run(tmp_path / "parts", 1, 3, 4) == whole
    assert len(whole[0]) == 4


def test_a_fresh_run_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    model(CODER, tmp_path, "sample(every = 1)").fit(out=folder)
    (folder / "samples" / "mine.png").write_bytes(b"kept")
    model(CODER, tmp_path, "sample(every = 2, of = sampled)").fit(out=folder)
    assert list(files(folder)) == [
        "samples/epoch-002.png", "samples/epoch-003.png", "samples/mine.png",
    ]  # fmt: skip


def test_points_are_shown_over_those_of_the_data(tmp_path: Path) -> None:
    model(RING, tmp_path).fit(out=tmp_path / "run")
    sheet = pixels(tmp_path / "run" / "samples" / "epoch-002.png")
    assert sheet.shape[0] == sheet.shape[1]
    blue = (sheet[..., 2].astype(int) - sheet[..., 0] > 60).sum()
    grey = (np.ptp(sheet, axis=2) < 3).sum() - (sheet.min(axis=2) == 255).sum()
    assert blue > 200
    assert grey > 200


def test_a_net_that_writes_is_shown_by_its_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("now is the winter of our discontent\n" * 6)
    model(SPEAKER, tmp_path).fit(out=tmp_path / "run")
    said = (tmp_path / "run" / "samples" / "epoch-001.txt").read_text().rstrip("\n").split("\n\n")
    assert len(said) == 3
    assert [text[:3] for text in said] == ["dis"] * 3


def test_a_net_that_answers_is_shown_by_its_answers_to_examples(tmp_path: Path) -> None:
    adder = model(ADDER, tmp_path)
    assert [e.kind for e in exhibits(adder, Sample())] == [TEXT]
    adder.fit(out=tmp_path / "run")
    lines = (tmp_path / "run" / "samples" / "epoch-001.txt").read_text().split("\n\n")
    assert len(lines) == 3
    assert lines[0].startswith("1+2 → ")
    assert all("+" in line.partition(" → ")[0] for line in lines)


def test_a_net_that_is_given_a_label_shows_a_row_for_each_class(tmp_path: Path) -> None:
    model(PAINTER, tmp_path).fit(out=tmp_path / "run")
    high, wide, _ = pixels(tmp_path / "run" / "samples" / "epoch-001.png").shape
    assert (high, wide) == (4 + 10 * 116, 4 + 8 * 116)


def test_what_goes_wrong_while_showing_is_told_once_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise fail("E544", "no space left")

    monkeypatch.setattr("chainrule.showing.write_png", broken)
    heard = Notes()
    coder = model(CODER, tmp_path, "sample(every = 1)")
    coder.fit(out=tmp_path / "run", observer=heard)
    assert heard.said == ["nothing to show: no space left"]
    assert heard.epochs == 3


def test_the_picture_of_the_run_is_drawn_on_the_way_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(CODER, tmp_path).fit(out=tmp_path / "run")
    assert not (tmp_path / "run" / "progress.svg").exists()
    monkeypatch.setattr("chainrule.showing.PATIENCE", 0.0)
    model(CODER, tmp_path).fit(out=tmp_path / "run")
    assert "epoch 2" in (tmp_path / "run" / "progress.svg").read_text()


def test_train_tells_of_the_picture_of_the_run(tmp_path: Path) -> None:
    model(RING, tmp_path)
    words = ["train", str(tmp_path / "t.net"), "--device", "plain", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    for name in ("loss.svg", "progress.svg", "progress.png"):
        assert f"wrote {tmp_path / 'run' / name}" in result.output
    curves = (tmp_path / "run" / "loss.svg").read_text()
    assert curves.count(">d_loss<") == curves.count(">g_loss<") == 1
    assert ">loss<" in curves


def test_without_a_folder_nothing_is_shown_but_a_wrong_line_is_still_refused(
    tmp_path: Path,
) -> None:
    model(CODER, tmp_path).fit()
    with pytest.raises(Failure, match="E293"):
        model(CODER, tmp_path, "sample(of = nothing)").fit()
    assert [p.name for p in tmp_path.iterdir()] == ["t.net"]
