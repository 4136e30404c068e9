"""The training loop on the plain device: means, early stops, resuming, breakdowns."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.compiler.elaborate import Module, parse_module
from chainrule.compiler.pipeline import evaluation, step
from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.source import Source
from chainrule.runtime.checkpoint import load
from chainrule.runtime.data import Column, Dataset, Field, Part, Request
from chainrule.runtime.feeding import Feeder
from chainrule.runtime.plain_device import PlainDevice
from chainrule.runtime.session import Means, sizes_of
from chainrule.runtime.train import loop
from chainrule.runtime.train.interrupts import Interrupts
from chainrule.runtime.train.job import Job, Outcome
from chainrule.runtime.train.loop import train
from chainrule.runtime.train.observer import EpochDone, Observer, Progress
from chainrule.runtime.train.settings import read_settings
from chainrule.runtime.train.watch import Watch, monitor

TEXT = """
net line {
  input x: [3]
  input y: [1]
  p = x -> dense(1)
  output p
  loss mse(p, y)
  metric mae(p, y)
}
train line on d {
  optimizer momentum(lr = 0.05)
  batch 8
  epochs 6
  LINES
}
"""


def dataset(count: int = 45, valid: int = 10) -> Dataset:
    draw = np.random.default_rng(3)
    x = draw.standard_normal((count + valid, 3)).astype(np.float32)
    y = (x @ np.array([[1.0], [-2.0], [0.5]]) + 0.3).astype(np.float32)
    columns = {
        "x": Column(Field("x", (3,)), x),
        "y": Column(Field("y", (1,), target=True), y),
    }
    every = np.arange(count + valid)
    return Dataset(
        "d", Part(columns, every[:count]), Part(columns, every[count:]), Part(columns, every[:0])
    )


def module(lines: str = "", text: str = TEXT) -> Module:
    return parse_module(Source("line.net", text.replace("LINES", lines)), {})


def job(lines: str = "", folder: Path | None = None, **changes: Any) -> Job:
    text = changes.pop("text", TEXT)
    found = module(lines, text)
    declared = found.trains[0]
    made = Job(
        step(found, declared),
        evaluation(found, declared.name.id), changes.pop("data", None) or dataset(),
        {"x": "x", "y": "y"}, read_settings(declared), PlainDevice(), "momentum", folder,
    )  # fmt: skip
    return replace(made, settings=replace(made.settings, **changes))


class Listener(Observer):
    """Remembers everything; stops the run where it is told to."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.epochs: list[EpochDone] = []
        self.notes: list[str] = []
        self.stop_at = stop_at

    def progress(self, facts: Progress) -> None:
        if self.stop_at is not None and facts.step >= self.stop_at:
            signal_stop()

    def epoch_done(self, facts: EpochDone) -> None:
        self.epochs.append(facts)

    def note(self, text: str) -> None:
        self.notes.append(text)


def signal_stop() -> None:
    import signal

    signal.raise_signal(signal.SIGINT)


def rows(outcome: Outcome) -> list[tuple[Any, ...]]:
    return [(r.epoch, r.step, r.split, dict(r.values), r.lr) for r in outcome.history.rows]


# ---------------------------------------------------------------- means


def test_a_short_batch_counts_for_the_examples_it_holds() -> None:
    means = Means(("loss",))
    means.add(np.array([[1.0], [2.0], [10.0]]), np.array([4, 4, 2]))
    assert means.means() == {"loss": pytest.approx((4 + 8 + 20) / 10)}


def test_means_do_not_depend_on_how_steps_are_grouped() -> None:
    draw = np.random.default_rng(0)
    table, sizes = draw.random((101, 2)), sizes_of(101 * 7 - 3, 7)
    whole, pieces = Means(("a", "b")), Means(("a", "b"))
    whole.add(table, sizes)
    for start in range(0, 101, 9):
        pieces.add(table[start : start + 9], sizes[start : start + 9])
    assert np.array_equal(whole.sums, pieces.sums) and whole.examples == 101 * 7 - 3


def test_the_mean_loss_of_an_epoch_weighs_the_last_short_batch() -> None:
    frozen = TEXT.replace("lr = 0.05", "lr = 0.0")
    outcome = train(job(text=frozen, epochs=1))
    one_by_one = train(job(text=frozen, epochs=1, batch=1))
    (ours, *_), (theirs, *_) = outcome.history.rows, one_by_one.history.rows
    assert ours.values["loss"] == pytest.approx(theirs.values["loss"], rel=1e-6)
    assert ours.step == 6 and theirs.step == 45


def test_validation_is_the_mean_over_the_validation_part() -> None:
    outcome = train(job(epochs=2))
    part = dataset().valid
    x, y = part.array("x").astype(np.float64), part.array("y").astype(np.float64)
    p = x @ outcome.values["p.W"].T + outcome.values["p.b"]
    last = outcome.history.rows[-1]
    assert last.split == "valid"
    assert last.values["loss"] == pytest.approx(float(np.mean((p - y) ** 2)), rel=1e-5)


def test_training_learns_the_line() -> None:
    outcome = train(job(epochs=200))
    np.testing.assert_allclose(outcome.values["p.W"], [[1, -2, 0.5]], atol=1e-3)


def test_full_batch_takes_one_step_an_epoch_and_steps_may_end_within_one() -> None:
    assert train(job(batch=None, epochs=3)).step == 3
    ended = train(job(epochs=None, steps=8))
    assert ended.step == 8 and ended.history.rows[-1].epoch == 2


# ---------------------------------------------------------------- early stopping


def test_a_watch_counts_the_epochs_without_an_improvement() -> None:
    watch = Watch(min_delta=0.1)
    assert [watch.see(e, v) for e, v in enumerate([1.0, 0.95, 0.8, 0.75, 0.9], 1)] == [
        True, False, True, False, False,
    ]  # fmt: skip
    assert (watch.best, watch.best_epoch, watch.waited) == (0.8, 3, 2)


def test_not_a_number_is_never_the_best() -> None:
    found = monitor("loss", ["loss"], [], True)
    assert not Watch().see(1, found.value({}, {"loss": float("nan")}))


def test_more_accuracy_is_better_and_more_error_is_worse() -> None:
    assert monitor("accuracy", ["loss"], ["accuracy"], True).greater
    assert not monitor("mae", ["loss"], ["mae"], True).greater
    assert monitor("train_loss", ["loss"], [], True).split == "train"


def test_watching_what_there_is_not_suggests_the_nearest() -> None:
    with pytest.raises(Failure) as caught:
        monitor("acuracy", ["loss"], ["accuracy"], True)
    assert caught.value.diagnostics[0].help == "did you mean `accuracy`?"
    with pytest.raises(Failure):
        monitor("valid_loss", ["loss"], [], False)


def test_an_early_stop_restores_the_best_weights() -> None:
    # A rate that first learns and then, raised by the schedule, destroys.
    destroying = "stop_early(patience = 3)\nschedule step(every = 3, factor = 30)"
    listener = Listener()
    outcome = train(job(destroying, epochs=40), listener)
    assert outcome.stopped_early and outcome.best_epoch is not None
    losses = [e.valid["loss"] for e in listener.epochs]
    assert len(losses) == outcome.best_epoch + 3
    assert min(losses) == losses[outcome.best_epoch - 1]
    x = dataset().valid.array("x").astype(np.float64)
    y = dataset().valid.array("y").astype(np.float64)
    p = x @ outcome.values["p.W"].T + outcome.values["p.b"]
    assert float(np.mean((p - y) ** 2)) == pytest.approx(min(losses), rel=1e-4)


def test_a_plateau_lowers_the_rate_that_the_step_uses() -> None:
    listener = Listener()
    lines = "schedule plateau(patience = 2, factor = 0.5, min_delta = 100)"
    outcome = train(job(lines, epochs=6), listener)
    # The first epoch is an improvement on infinity; after every two others the rate is halved.
    trained = [r.lr for r in outcome.history.rows if r.split == "train"]
    assert trained == [1, 1, 1, 0.5, 0.5, 0.25]
    assert len(listener.notes) == 2


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize("stop_at", [1, 6, 7, 20])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    stop_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "STRETCH", 0.0)  # look for the wish to stop after every step
    lines = "stop_early(patience = 50)\nschedule cosine(warmup = 1)"
    whole = train(job(lines, tmp_path / "whole"))
    first = train(job(lines, tmp_path / "cut"), Listener(stop_at))
    assert first.interrupted and first.model is None and first.step == stop_at
    second = train(job(lines, tmp_path / "cut"), resume=True)
    assert rows(second) == rows(whole)
    for name in ("checkpoint", "model"):
        ours = load(tmp_path / "cut" / f"{name}.safetensors").tensors
        theirs = load(tmp_path / "whole" / f"{name}.safetensors").tensors
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[n], theirs[n]) for n in ours)


def test_resuming_a_run_with_nothing_left_to_train_keeps_its_weights(tmp_path: Path) -> None:
    whole = train(job(folder=tmp_path, epochs=2))
    shorter = train(job(folder=tmp_path, epochs=1), resume=True)
    assert shorter.step == whole.step
    for name, array in whole.values.items():
        np.testing.assert_array_equal(shorter.values[name], array)


def test_a_finished_run_can_be_made_longer(tmp_path: Path) -> None:
    train(job(folder=tmp_path, epochs=2))
    longer = train(job(folder=tmp_path, epochs=5), resume=True)
    whole = train(job(epochs=5))
    assert np.array_equal(longer.values["p.W"], whole.values["p.W"])


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch": 9}, {"shuffle": False}])
def test_a_checkpoint_of_another_run_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    train(job(folder=tmp_path, epochs=1))
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(Failure) as caught:
        train(job(folder=tmp_path, epochs=2, **change), resume=True)
    assert caught.value.diagnostics[0].code == "E547"
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_truncated_checkpoint_is_refused_and_kept(tmp_path: Path) -> None:
    train(job(folder=tmp_path, epochs=1))
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    before = path.read_bytes()
    with pytest.raises(Failure) as caught:
        train(job(folder=tmp_path, epochs=2), resume=True)
    assert caught.value.diagnostics[0].code == "E541"
    assert path.read_bytes() == before


def test_resuming_from_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        train(job(folder=tmp_path), resume=True)
    assert caught.value.diagnostics[0].code == "E540"


def test_a_fresh_run_moves_the_checkpoint_of_an_earlier_one_aside(tmp_path: Path) -> None:
    train(job(folder=tmp_path, epochs=1))
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    train(job(folder=tmp_path, epochs=1, seed=5))
    assert (tmp_path / "checkpoint.previous.safetensors").read_bytes() == before


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    found: list[bool] = []

    def work() -> None:
        with Interrupts() as interrupts:
            found.append(interrupts.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


# ---------------------------------------------------------------- breaking down


def test_a_breakdown_names_the_first_value_that_is_not_finite_at_its_line() -> None:
    text = TEXT.replace("loss mse(p, y)", "loss mse(log(p - p), y)")
    with pytest.raises(Failure) as caught:
        train(job(text=text))
    (found,) = caught.value.diagnostics
    assert found.code == "E501" and "step 1 (epoch 1)" in found.message
    assert (
        found.span is not None
        and found.span.line == text.split("\n").index("  loss mse(log(p - p), y)") + 1
    )


def test_a_breakdown_in_the_middle_of_a_stretch_tells_the_step() -> None:
    # exp of an exploding parameter overflows after some good steps.
    text = TEXT.replace("lr = 0.05", "lr = 3.0").replace("loss mse(p, y)", "loss mse(exp(p), y)")
    with pytest.raises(Failure) as caught:
        train(job(text=text, epochs=50))
    message = caught.value.diagnostics[0].message
    assert caught.value.diagnostics[0].code == "E501"
    assert "step 1 " not in message and "first" in message


def test_no_training_examples_is_a_diagnostic() -> None:
    with pytest.raises(Failure) as caught:
        train(job(data=dataset(count=0)))
    assert caught.value.diagnostics[0].code == "E502"


# ---------------------------------------------------------------- several steps, streaming


def test_several_minimize_lines_share_what_they_change() -> None:
    text = TEXT.replace("  loss mse(p, y)\n", "  loss a = mse(p, y)\n  loss b = mae(p, y)\n")
    text = text.replace(
        "optimizer momentum(lr = 0.05)",
        "minimize a over p.W with sgd(lr = 0.1)\n  repeat 2 minimize b over p.b with sgd(lr = 0.1)",
    )
    outcome = train(job(text=text, epochs=1, batch=45, shuffle=False))
    start = evaluation(module(text=text), "line")
    from chainrule.runtime.session import initial_values

    values = initial_values(start, 0)
    data = dataset().train
    x, y = data.array("x").astype(np.float64), data.array("y").astype(np.float64)
    W, b = values["p.W"].astype(np.float64), values["p.b"].astype(np.float64)
    W = W - 0.1 * (2 * (x @ W.T + b - y) * x).mean(axis=0)
    for _ in range(2):
        b = b - 0.1 * np.sign(x @ W.T + b - y).mean(axis=0)
    np.testing.assert_allclose(outcome.values["p.W"], W, rtol=1e-5)
    np.testing.assert_allclose(outcome.values["p.b"], b, rtol=1e-5, atol=1e-7)


def test_streamed_examples_are_those_of_memory() -> None:
    requests = {"x": Request("x", "f32", (3,)), "y": Request("y", "f32", (1,))}
    part, order = dataset().train, np.random.default_rng(1).permutation(45)
    found: list[list[np.ndarray]] = []
    for stream in (False, True):
        taken = []
        with Feeder(part, requests, stream=stream).epoch(order, 8, start=2) as feed:
            steps_left = 4
            while steps_left:
                fields, places, _ = feed.take(3 if steps_left > 3 else steps_left)
                taken.append(fields["x"][places])
                steps_left -= len(sizes_of(len(places), 8))
        found.append([np.concatenate(taken)])
    assert np.array_equal(found[0][0], found[1][0]) and len(found[0][0]) == 45 - 16
