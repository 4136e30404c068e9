"""Training by several losses and with draws: any number of threads, stopped and resumed, broken."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from chainrule import load
from chainrule.dsl.diagnostics import Failure
from chainrule.runtime.train import loop
from chainrule.runtime.train.observer import Observer, Progress

GAN = """
block generator(units) {
  input z: [n]
  output z -> dense(units) -> batchnorm -> leaky_relu(0.2) -> dense(64) -> sigmoid
}
block discriminator(units) {
  input x: [n]
  score = x -> dense(units) -> leaky_relu(0.2) -> dropout(0.3) -> dense(1)
  output score[0]
}
net gan {
  input image: [64]
  G        = generator(6)
  D        = discriminator(5)
  fake     = G(normal([3]))
  of_image = D(image)
  of_fake  = D(fake)
  loss d_loss = -log(sigmoid(of_image)) + softplus(of_fake)
  loss g_loss = softplus(-of_fake)
  metric d_fake = sigmoid(of_fake)
  output fake
}
data small = digits() -> split(valid = 0.5, seed = 1)
train gan on small {
  repeat 2 minimize d_loss over D with adam(lr = 0.01, beta1 = 0.5)
  minimize g_loss over G with RULE
  batch 100
  epochs 2
  MORE
}
"""

VAE = """
block decoder(units) {
  input z: [n]
  output z -> dense(units) -> relu -> dense(64)
}
net vae {
  input image: [64]
  h       = image -> dense(7) -> dropout(0.2) -> relu
  mu      = h -> dense(2)
  spread  = h -> dense(2)
  decode  = decoder(6)
  z       = mu + exp(spread / 2) * normal([2])
  loss kl_normal(mu, spread) + bernoulli_nll(decode(z), image)
  output p = sigmoid(decode(z)), sampled = sigmoid(decode(normal([2])))
}
data small = digits() -> split(valid = 0.5, seed = 1)
train vae on small {
  optimizer RULE
  batch 100
  epochs 2
  MORE
}
"""

CASES = {
    "gan": (GAN, "rmsprop(lr = 0.01)", "seed 4"),
    "gan whose discriminator is half frozen": (GAN, "adam(lr = 0.01)", "freeze D.score, G.dense_2"),
    "gan with a schedule": (GAN, "momentum(lr = 0.1)", "schedule cosine\n  clip 1.0"),
    "vae": (VAE, "adam(lr = 0.01)", "seed 2"),
    "vae whose encoder is frozen": (VAE, "adam(lr = 0.01)", "freeze h, mu"),
}


def written(folder: Path, case: str) -> Path:
    text, rule, more = CASES[case]
    path = folder / "a.net"
    path.write_text(text.replace("RULE", rule).replace("MORE", more))
    return path


def numbers(model) -> dict[str, np.ndarray]:
    """Parameters and running statistics."""
    return {n: np.array(a) for n, a in model.session.values.items()}


@pytest.mark.parametrize("case", CASES)
def test_threads_change_no_bit(case: str, tmp_path: Path) -> None:
    path = written(tmp_path, case)
    found = []
    for threads in (1, 2):
        model = load(path, threads=threads)
        begun = numbers(model)
        rows = [(r.split, r.values) for r in model.fit().rows]
        found.append((numbers(model), repr(rows)))
    assert found[0][1] == found[1][1]
    for name, array in found[0][0].items():
        np.testing.assert_array_equal(found[1][0][name], array, err_msg=name)
    assert any((found[0][0][n] != begun[n]).any() for n in begun)


class Stopping(Observer):
    """Wants the run to stop after so many steps, as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def progress(self, progress: Progress) -> None:
        if progress.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_is_the_same_bit_for_bit(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "STRETCH", 0.0)  # look for the wish to stop after every step
    path = written(tmp_path, case)
    straight = load(path)
    history = straight.fit()
    cut = load(path).run(out=tmp_path / "out", observer=Stopping(12))
    assert cut.interrupted and cut.step == 12
    resumed = load(path, threads=2)
    again = resumed.fit(out=tmp_path / "out", resume=True)
    assert repr([r.values for r in again.rows]) == repr([r.values for r in history.rows])
    expected = numbers(straight)
    for name, array in numbers(resumed).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.mark.parametrize(
    ("good", "bad", "line"),
    [
        ("-log(sigmoid(of_image))", "log(mean(image) - 1)", "loss d_loss"),
        ("softplus(-of_fake)\n  metric", "log(of_fake - 1e4)\n  metric", "loss g_loss"),
    ],
)
def test_a_breakdown_is_told_at_the_line_of_its_loss(
    good: str, bad: str, line: str, tmp_path: Path
) -> None:
    assert good in GAN
    text = GAN.replace(good, bad).replace("RULE", "sgd(0.1)").replace("MORE", "")
    (tmp_path / "a.net").write_text(text)
    with pytest.raises(Failure) as caught:
        load(tmp_path / "a.net").fit()
    (found,) = caught.value.diagnostics
    assert found.code == "E501" and found.span is not None
    row = found.span.source.text[: found.span.start].count("\n")
    assert line in found.span.source.text.splitlines()[row]


def test_a_breakdown_of_an_update_is_told_by_the_line_that_made_it(tmp_path: Path) -> None:
    """The generator's first step is so long that D cannot judge what it makes in the next."""
    text = GAN.replace("RULE", "sgd(1e38)").replace("MORE", "").replace("-> sigmoid\n", "\n", 1)
    (tmp_path / "a.net").write_text(text)
    with pytest.raises(Failure) as caught:
        load(tmp_path / "a.net").fit()
    (found,) = caught.value.diagnostics
    assert found.code == "E501" and "`G." in found.message
