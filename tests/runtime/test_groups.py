"""Optimizers and schedules for some of the parameters, trained."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule
from chainrule.dsl.diagnostics import Failure
from chainrule.runtime.schedules import Cosine, Length, Step, combined

NET = """\
net line {
  input x: [3]
  input y: [2]
  h = x -> dense(4)
  p = h -> dense(2)
  output p
  loss mse(p, y)
}
train line on moons() {
  LINES
  batch all
  epochs 6
}
"""


def trained(lines: str, epochs: int = 6) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Parameters before and after."""
    rng = np.random.default_rng(1)
    model = chainrule.loads(NET.replace("LINES", "\n  ".join(lines.split("; "))), device="plain")
    before = {n: model.parameters[n].copy() for n in model.parameters}
    x = rng.normal(size=(20, 3)).astype(np.float32)
    y = rng.normal(size=(20, 2)).astype(np.float32)
    model.fit({"x": x, "y": y}, epochs=epochs)
    return before, {n: model.parameters[n] for n in model.parameters}


def moved(lines: str) -> set[str]:
    before, after = trained(lines)
    return {n for n in before if not np.array_equal(before[n], after[n])}


def test_the_last_line_that_matches_a_parameter_counts() -> None:
    assert moved("optimizer sgd(lr = 0); optimizer sgd(lr = 0.1) for p.*") == {"p.W", "p.b"}
    assert moved("optimizer sgd(lr = 0); optimizer sgd(lr = 0.1) for p") == {"p.W", "p.b"}
    lines = "optimizer sgd(lr = 0.1); optimizer sgd(lr = 0) for p; optimizer sgd(lr = 0.1) for p.b"
    assert moved(lines) == {"h.W", "h.b", "p.b"}


def test_a_schedule_of_a_group_leaves_the_others_as_they_are() -> None:
    stop = "step(every = 1, factor = 0)"  # after the first epoch
    for lines in (
        f"optimizer sgd(lr = 0.1); schedule {stop} for p.*",
        f"optimizer sgd(lr = 0.1); schedule {stop}; schedule constant for h",
    ):
        _, first = trained(lines, epochs=1)
        _, last = trained(lines, epochs=6)
        assert {n for n in first if np.array_equal(first[n], last[n])} == {"p.W", "p.b"}


def test_a_group_follows_its_schedule_step_by_step() -> None:
    """With one step an epoch, an SGD of rate r under a schedule is SGD of the rates r·f."""
    lines = "optimizer sgd(lr = 0.2); schedule step(every = 2, factor = 0.5); schedule cosine for p"
    _, after = trained(lines)
    rng = np.random.default_rng(1)
    values, _ = trained("optimizer sgd(lr = 1)")
    w = {n: a.astype(np.float64) for n, a in values.items()}
    x = rng.normal(size=(20, 3)).astype(np.float32)
    y = rng.normal(size=(20, 2)).astype(np.float32)
    length = Length(1, 6)
    halves = combined([Step(2, 0.5)], 1, 6, length)
    cosines = combined([Cosine()], 1, 6, length)
    assert not np.allclose(halves, cosines)
    for half, cosine in zip(halves, cosines, strict=True):
        h = x @ w["h.W"].T + w["h.b"]
        error = h @ w["p.W"].T + w["p.b"] - y
        delta = 2 * error / error.size
        back = delta @ w["p.W"]
        w["p.W"] -= 0.2 * cosine * delta.T @ h
        w["p.b"] -= 0.2 * cosine * delta.sum(axis=0)
        w["h.W"] -= 0.2 * half * back.T @ x
        w["h.b"] -= 0.2 * half * back.sum(axis=0)
    for name in after:
        np.testing.assert_allclose(after[name], w[name], rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("lines", "advice"),
    [
        ("optimizer sgd(0.1); optimizer sgd(0.1) for q.*", "the layers with parameters are"),
        ("optimizer sgd(0.1); schedule cosine for q", "the layers with parameters are `h`, `p`"),
        ("optimizer sgd(0.1) for p; optimizer sgd(0.1)", "write what is for all"),
    ],
)
def test_a_line_that_changes_nothing_is_refused(lines: str, advice: str) -> None:
    with pytest.raises(Failure) as caught:
        trained(lines)
    (found,) = caught.value.diagnostics
    assert found.code == "E292" and found.help.startswith(advice) and found.span is not None
