"""A net whose scan goes on from batch to batch, compiled and interpreted, stopped and resumed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import Model, load
from chainrule.runtime.checkpoint import load as checkpoint
from chainrule.runtime.train import loop
from chainrule.runtime.train.observer import Observer, Progress

NET = """data saying = text("a.txt", window = 5) -> split(valid = 0.1)
net char {
  input text: tokens[T, k]
  input next: tokens[T, k]
  h = text -> embedding(6) -> CELL
  scores = h.hs -> dense(k)
  output scores
  loss cross_entropy(scores, next)
}
train char on saying {
  optimizer adam(lr = 1e-2)
  batch 4
  epochs 2
}
"""
STATEFUL = "stacked(lstm, [7, 8], stateful = true)"


def char(folder: Path, cell: str = STATEFUL, **more: Any) -> Model:
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_text("now is the winter of our discontent made glorious summer. " * 4)
    (folder / "a.net").write_text(NET.replace("CELL", cell))
    return load(folder / "a.net", **more)


def losses(model: Model) -> list[float]:
    rows = model.fit().rows
    return [r.values["loss"] for r in rows if r.split == "train"]


def test_compiled_training_carries_the_states_that_the_interpreter_carries(tmp_path: Path) -> None:
    compiled = losses(char(tmp_path))
    np.testing.assert_allclose(compiled, losses(char(tmp_path, device="plain")), rtol=1e-4)
    alone = losses(char(tmp_path, "stacked(lstm, [7, 8])", device="plain"))
    assert abs(alone[0] - compiled[0]) > 1e-4


class Stopping(Observer):
    """Wants the run to stop after so many steps, as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def progress(self, progress: Progress) -> None:
        if progress.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("device", ["cpu", "plain"])
@pytest.mark.parametrize("stop", [5, 14])
def test_a_run_resumed_in_the_middle_of_an_epoch_is_the_same_bit_for_bit(
    tmp_path: Path, device: str, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "STRETCH", 0.0)  # look for the wish to stop after every step
    straight = char(tmp_path, device=device)
    straight.fit()
    cut = char(tmp_path, device=device).run(out=tmp_path / "out", observer=Stopping(stop))
    assert cut.interrupted and cut.step == stop
    held = checkpoint(tmp_path / "out" / "checkpoint.safetensors").tensors
    for name, units in (("h_2.layer.h", 7), ("h_2.layer.c", 7), ("h_2.layer_2.h", 8)):
        assert held[name].shape == (4, units) and held[name].any()
    resumed = char(tmp_path, device=device)
    resumed.fit(out=tmp_path / "out", resume=True)
    for name in straight.parameters:
        np.testing.assert_array_equal(resumed.parameters[name], straight.parameters[name])


def test_carried_states_are_no_weights(tmp_path: Path) -> None:
    model = char(tmp_path)
    model.fit(steps=3, out=tmp_path / "out")
    kept = checkpoint(tmp_path / "out" / "model.safetensors").tensors
    assert set(kept) == set(model.parameters)
    text = np.zeros((2, 5), np.int32)
    once = model.predict({"text": text})
    np.testing.assert_array_equal(model.predict({"text": text}), once)  # no state was left over
