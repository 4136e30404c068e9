"""`chainrule sample`, `embed` and `predict --node`, as at a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from chainrule.cli import cli
from tests.chainrule.generativenets import CONDITIONAL, GAN, PLAIN, VAE

CELL = 112 + 4  # pixels of a picture on a sheet, with its gap


def run(*args: object) -> Result:
    """A command's result; its exception, where there is one, is the test's."""
    result = CliRunner().invoke(cli, [str(a) for a in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    return result


class Trained:
    """A file, and the folder of its finished run."""

    def __init__(self, folder: Path, name: str, text: str) -> None:
        self.file, self.out = folder / f"{name}.net", folder / "out"
        self.file.write_text(text)
        done = run("train", self.file, "--device", "plain", "--out", self.out)
        assert done.exit_code == 0, done.output

    def __call__(self, command: str, *args: object) -> Result:
        return run(command, self.file, *args, "--device", "plain", "--out", self.out)


def trained(factory: pytest.TempPathFactory, name: str, text: str) -> Trained:
    return Trained(factory.mktemp(name), name, text)


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory, "vae", VAE)


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory, "gan", GAN)


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory, "conditional", CONDITIONAL)


def size(path: Path) -> tuple[int, int]:
    """Width and height of a picture."""
    with Image.open(path) as image:
        return image.size


def test_sample_writes_a_grid_beside_the_weights(vae: Trained) -> None:
    result = vae("sample")
    assert result.exit_code == 0, result.output
    assert "wrote 64 samples to" in result.output
    assert size(vae.out / "samples.png") == (4 + 8 * CELL, 4 + 8 * CELL)


def test_sample_takes_count_columns_and_scale(vae: Trained, tmp_path: Path) -> None:
    path = tmp_path / "few.png"
    vae("sample", "--count", 5, "--columns", 2, "--scale", 3, "-o", path)
    assert size(path) == (4 + 2 * 28, 4 + 3 * 28)


def test_the_same_seed_writes_the_same_bytes(vae: Trained, tmp_path: Path) -> None:
    first, again, other = (tmp_path / f"{n}.png" for n in "abc")
    for path, seed in ((first, 1), (again, 1), (other, 2)):
        vae("sample", "--count", 4, "--seed", seed, "-o", path)
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()


@pytest.mark.parametrize(
    ("options", "name", "cells"),
    [
        (["--interpolate", "--rows", 2, "--steps", 5], "interpolation", (5, 2)),
        (["--interpolate", "--rows", 1, "--linear"], "interpolation", (10, 1)),
        (["--between", 0, 3, "--between", 1, 2, "--steps", 3], "interpolation", (3, 2)),
        (["--reconstruct", "--count", 6, "--columns", 4], "reconstruction", (4, 4)),
    ],
)
def test_every_way_of_sampling_has_its_picture(
    vae: Trained, options: list[object], name: str, cells: tuple[int, int]
) -> None:
    result = vae("sample", *options)
    assert result.exit_code == 0, result.output
    assert size(vae.out / f"{name}.png") == (4 + cells[0] * CELL, 4 + cells[1] * CELL)


def test_the_pictures_of_a_plane_touch_each_other(vae: Trained) -> None:
    assert vae("sample", "--manifold", "--rows", 3).exit_code == 0
    assert size(vae.out / "manifold.png") == (3 * 112, 3 * 112)


def test_numbers_are_written_by_the_ending(vae: Trained, tmp_path: Path) -> None:
    for kind in ("npz", "csv", "json"):
        assert vae("sample", "--count", 3, "-o", tmp_path / f"x.{kind}").exit_code == 0
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["sampled"].shape == (3, 64)
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 4
    assert len(json.loads((tmp_path / "x.json").read_text())["sampled"]) == 3


def test_json_tells_files_and_shapes(vae: Trained) -> None:
    facts = json.loads(vae("sample", "--count", 3, "--json").output)
    assert facts["net"] == "vae" and facts["arrays"] == {"sampled": [3, 64]}
    assert facts["files"] == [str(vae.out / "samples.png")]


def test_points_are_drawn_over_those_of_the_data(gan: Trained) -> None:
    pytest.importorskip("matplotlib")
    result = gan("sample")
    assert result.exit_code == 0, result.output
    assert "500 samples" in result.output
    assert size(gan.out / "samples.png")[0] > 100


def test_each_class_has_a_row(conditional: Trained) -> None:
    assert conditional("sample", "--each", "digit", "--columns", 3).exit_code == 0
    assert size(conditional.out / "classes.png") == (4 + 3 * CELL, 4 + 10 * CELL)


def test_a_label_is_set(conditional: Trained, tmp_path: Path) -> None:
    for digit in (3, 4):
        conditional("sample", "--set-input", f"digit={digit}", "-o", tmp_path / f"{digit}.png")
    assert (tmp_path / "3.png").read_bytes() != (tmp_path / "4.png").read_bytes()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--node", "q"], "E617", "it has `reconstruction`"),
        (["--node", "z"], "E614", "computed from `image`"),
        (["--set-input", "digit=3"], "E616", "it depends on none"),
        (["--each", "digit"], "E616", "no label `digit`"),
        (["--set-input", "digit"], "E603", "digit=3"),
        (["--interpolate", "--manifold"], "E619", "one at a time"),
        (["--steps", 4], "E619", "goes with `--interpolate` or `--between`"),
        (["--reconstruct", "--seed", 4], "E619", "`--seed`"),
        (["--count", 0], "E619", "from 1"),
        (["--interpolate", "--steps", 1], "E619", "two steps"),
        (["--between", 0, 4000], "E618", "examples"),
        (["--between", 0, 1, "--latent", "encode.h"], "E618", "[12]"),
        (["-o", "x.gif"], "E615", ".png"),
    ],
)
def test_what_cannot_be_sampled_is_said(
    vae: Trained, options: list[object], code: str, words: str
) -> None:
    result = vae("sample", *options)
    assert result.exit_code == 2
    assert f"error[{code}]" in result.output and words in result.output


def test_a_vector_that_is_no_picture_is_kept_as_numbers(tmp_path: Path) -> None:
    net = Trained(tmp_path, "gan", GAN.replace("dense(2)\n}", "dense(13)\n}").replace(
        "judge(fake)", "judge(fake[0:2])"))  # fmt: skip
    result = net("sample")
    assert result.exit_code == 2 and "error[E615]" in result.output
    assert "-o samples.npz" in result.output
    assert net("sample", "-o", tmp_path / "samples.npz").exit_code == 0


def test_a_net_without_samples_says_how_to_add_one(tmp_path: Path) -> None:
    result = Trained(tmp_path, "plain", PLAIN)("sample")
    assert result.exit_code == 2 and "error[E614]" in result.output
    assert "normal([20])" in result.output


def test_an_untrained_net_is_to_be_trained_first(tmp_path: Path) -> None:
    path = tmp_path / "vae.net"
    path.write_text(VAE)
    for command in (("sample",), ("embed", "--node", "mean")):
        result = run(command[0], path, *command[1:], "--out", tmp_path / "none")
        assert result.exit_code == 2 and "error[E540]" in result.output


def test_samples_need_no_data(tmp_path: Path) -> None:
    data = tmp_path / "images.npz"
    np.savez(data, image=np.random.default_rng(0).random((60, 64)))
    text = VAE.replace("digits() -> take(200) -> split(0.2, 0.1)",
                       'npz("images.npz") -> split(0.2, 0.1) -> normalize(image)')  # fmt: skip
    net = Trained(tmp_path, "vae", text)
    with_data, without = tmp_path / "a.png", tmp_path / "b.png"
    assert net("sample", "-o", with_data).exit_code == 0
    data.unlink()
    result = net("sample", "-o", without)
    assert result.exit_code == 0, result.output
    assert with_data.read_bytes() == without.read_bytes()
    assert "error[E40" in net("embed", "--node", "mean").output


def test_embed_prints_the_numbers_of_a_node_beside_the_classes(vae: Trained) -> None:
    lines = vae("embed", "--node", "mean", "--part", "valid").output.splitlines()
    assert lines[0] == "digit,mean[0],mean[1]"
    assert len(lines) > 10 and all(0 <= int(line.split(",")[0]) < 10 for line in lines[1:])


def test_embed_writes_several_nodes_and_their_projections(vae: Trained, tmp_path: Path) -> None:
    path = tmp_path / "e.npz"
    vae("embed", "--node", "encode.h", "--node", "z", "-o", path)
    with np.load(path) as arrays:
        assert arrays["encode.h"].shape[1:] == (12,) and arrays["z"].shape[1:] == (2,)
        assert arrays["digit"].shape == (len(arrays["z"]),)
    vae("embed", "--node", "encode.h", "--project", "pca", "-o", path)
    with np.load(path) as arrays:
        assert arrays["encode.h.pca"].shape[1:] == (2,)


def test_embed_draws_a_node_by_class_with_the_same_bytes_again(
    vae: Trained, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    seen = []
    for name in ("a.svg", "b.png"):
        result = vae("embed", "--node", "encode.h", "--plot", tmp_path / name)
        assert result.exit_code == 0, result.output
        seen.append((tmp_path / name).with_suffix(".svg").read_bytes())
    assert seen[0] == seen[1] and b"first component" in seen[0]
    assert size(tmp_path / "b.png")[0] > 500


def test_embed_takes_examples_from_a_file_as_predict_does(vae: Trained, tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    np.savez(path, image=np.random.default_rng(0).random((3, 64)))
    embedded = vae("embed", path, "--node", "mean").output
    predicted = vae("predict", path, "--node", "mean").output
    assert embedded == predicted and len(embedded.splitlines()) == 4


def test_examples_from_two_places_are_refused(vae: Trained, tmp_path: Path) -> None:
    result = vae("embed", tmp_path / "x.npz", "--node", "mean", "--part", "test")
    assert result.exit_code == 2 and "error[E619]" in result.output
    result = vae("embed", "--node", "mean", "--node", "z", "--plot", tmp_path / "x.png")
    assert result.exit_code == 2 and "error[E619]" in result.output


def test_a_net_that_generates_texts_writes_texts(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("to be or not to be, that is the question, " * 20)
    text = """\
data play = text("words.txt", window = 8) -> split(0.1, 0.1)
net speech {
  input text: tokens[T, k]
  input next: tokens[T, k]
  scores = (text -> embedding(6) -> lstm(8)).hs -> dense(k)
  output scores = scores
  loss cross_entropy(scores, next)
}
train speech on play {
  optimizer adam(lr = 0.01)
  batch 8
  steps 2
}
generate speech from speech {
  start "to"
  length 5
}
"""
    net = Trained(tmp_path, "speech", text)
    result = net("sample", "--count", 2, "--seed", 1)
    assert result.exit_code == 0, result.output
    texts = result.output.splitlines()
    assert len(texts) == 2 and all(t.startswith("to") and len(t) > 2 for t in texts)
