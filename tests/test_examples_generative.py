"""The generative examples, and those that reuse weights: each learns on made pictures.

The made pictures are the embedded 8×8 digits, enlarged to MNIST's size, so no file is needed.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

import chainrule
from chainrule.cli import cli

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
AUTOENCODERS = ("autoencoder", "denoising", "vae")
GANS = ("gan", "dcgan", "wgan")
REUSE = ("pretraining", "transfer")
Array = NDArray[Any]


@cache
def made(count: int = 128) -> tuple[Array, Array]:
    """`count` pictures [28, 28] in 0…1 and their labels."""
    digits = chainrule.load(EXAMPLES / "digits.net").dataset
    assert digits is not None
    small = digits.train.array("image")[:count].reshape(count, 8, 8)
    large = np.pad(small.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))
    return np.ascontiguousarray(large, np.float32), digits.train.array("digit")[:count]


def pictures(model: chainrule.Model) -> dict[str, Array]:
    """Made pictures as the net takes them, with labels where it has any."""
    images, labels = made()
    leaves = {leaf.name: leaf.value for leaf in model.evaluation.inputs}
    if leaves["image"].type.size == 64:
        images = images[:, 2:26:3, 2:26:3]
    data = {"image": images.reshape(len(images), *leaves["image"].shape)}
    return data | ({"digit": labels} if "digit" in leaves else {})


def example(name: str, run: str | None = None, **settings: Any) -> chainrule.Model:
    return chainrule.load(EXAMPLES / f"{name}.net", train=run, set=settings, device="plain", seed=3)


@pytest.mark.parametrize("name", [*AUTOENCODERS, *GANS, *REUSE])
def test_a_generative_example_can_be_checked_without_its_data(name: str) -> None:
    result = CliRunner().invoke(cli, ["check", str(EXAMPLES / f"{name}.net"), "--no-data"])
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_an_autoencoder_learns_to_show_its_input(name: str) -> None:
    model = example(name)
    data = pictures(model)
    before = model.evaluate(data)
    model.fit(data, steps=12, batch=16)
    loss = next(iter(before))
    assert model.evaluate(data)[loss] < 0.9 * before[loss]


def test_the_negative_elbo_of_the_vae_is_the_sum_of_its_two_parts() -> None:
    model = example("vae")
    scores = model.evaluate(pictures(model))
    assert scores["kl"] > 0
    assert scores["negative_elbo"] == pytest.approx(scores["kl"] - scores["log_likelihood"], 1e-5)


def test_the_denoising_net_sees_half_of_the_pixels() -> None:
    model = example("denoising")
    model.fit(pictures(model), steps=1, batch=8)
    image = np.ones((200, 784), np.float32)
    seen = model.predict(image)["corrupted"]
    assert set(np.unique(seen)) == {0.0, 1.0}
    assert abs(seen.mean() - 0.5) < 0.01


@pytest.mark.parametrize("name", GANS)
def test_both_nets_of_a_gan_learn_and_samples_are_pictures(name: str) -> None:
    model = example(name)
    data = pictures(model)
    before = {n: np.array(a) for n, a in model.parameters.items()}
    history = model.fit(data, steps=2, batch=16)
    for net in ("G.", "D."):
        weights = [n for n in before if n.startswith(net) and n.endswith(".W")]
        assert weights
        assert all(np.abs(model.parameters[n] - before[n]).max() > 0 for n in weights)
    assert all(np.isfinite(list(row.values.values())).all() for row in history.rows)
    samples = model.sample(5)
    assert samples.shape == (5, *data["image"].shape[1:])
    assert samples.min() >= 0
    assert samples.max() <= 1
    assert not np.array_equal(samples[0], samples[1])


def test_the_critic_of_the_wasserstein_gan_is_paid_for_a_slope_other_than_one() -> None:
    with_penalty, without = example("wgan"), example("wgan", penalty=0)
    data = pictures(without)
    costs = [m.evaluate(data)["critic_loss"] for m in (with_penalty, without)]
    assert costs[0] > costs[1]
    assert costs[1] == pytest.approx(-without.evaluate(data)["distance"], rel=1e-4)


def test_layers_learned_before_are_loaded_and_stay_as_they_are(tmp_path: Path) -> None:
    first = example("pretraining", "first")
    first.fit(pictures(first), steps=1, batch=16, out=tmp_path / "first")
    first.save(tmp_path / "first" / "model.safetensors")
    second = example("pretraining", "second")
    second.fit(pictures(second), steps=1, batch=16, out=tmp_path / "second")
    np.testing.assert_array_equal(second.parameters["h1.dense.W"], first.parameters["h1.dense.W"])


def test_convolutions_of_the_large_net_start_the_small_one_and_change_slowly(
    tmp_path: Path,
) -> None:
    large = example("transfer", "large")
    large.fit(pictures(large), steps=1, batch=10)
    large.save(tmp_path / "large" / "model.safetensors")
    start = np.array(large.parameters["seen.s2.W"])
    small = example("transfer", "small")
    small.fit(pictures(small), steps=1, batch=10, out=tmp_path / "small")
    moved = np.abs(small.parameters["seen.s2.W"] - start).max()
    assert 0 < moved < 2e-4  # Adam's first step is the learning rate


def script(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(
        spec
    )  # where its dataclasses look for their module
    spec.loader.exec_module(module)
    return module


EVEN = [100] * 10


@pytest.mark.parametrize(
    ("counts", "confident", "passed"),
    [
        (EVEN, [90] * 10, True),
        ([250, 250, *[62] * 7, 66], [60] * 10, True),
        ([251, 249, *[62] * 7, 66], [60] * 10, False),  # one digit too often
        (EVEN, [90] * 9 + [9], True),  # nine digits
        (EVEN, [90] * 8 + [9, 9], False),  # two hardly seen with confidence
        (EVEN, [50] * 10, False),  # half of all
    ],
)
def test_samples_are_judged_by_how_many_digits_are_seen_with_confidence(
    counts: list[int], confident: list[int], passed: bool
) -> None:
    verdict = script("judge_samples").Verdict(np.array(counts), np.array(confident), 0.9)
    assert verdict.passed is passed
