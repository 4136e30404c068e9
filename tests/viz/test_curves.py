"""Learning curves from rows of a history."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from chainrule.dsl.diagnostics import Failure
from chainrule.viz.curves import curves, series


def rows(count: int = 5) -> list[dict[str, Any]]:
    return [
        {
            "epoch": e,
            "step": 10 * e,
            "split": split,
            "accuracy": 1 - 0.5**e,
            "loss": 0.8**e,
            "lr": 0.1,
            "seconds": 1.0,
            "examples_per_second": None,
        }
        for e in range(1, count + 1)
        for split in ("train", "valid")
    ]


def test_losses_come_before_metrics_and_speed_is_no_curve() -> None:
    found = series(rows(2))
    assert list(found) == ["loss", "accuracy"]
    assert found["loss"]["train"] == [(1.0, 0.8), (2.0, pytest.approx(0.64))]


def test_svg_and_png_are_written_with_the_same_bytes(tmp_path: Path) -> None:
    first = {p.name: p.read_bytes() for p in curves(rows(), tmp_path)}
    again = {p.name: p.read_bytes() for p in curves(rows(), tmp_path)}
    assert set(first) == {"loss.svg", "loss.png"}
    assert first == again
    text = first["loss.svg"].decode()
    ElementTree.fromstring(text)
    for word in ("training", "validation", "epoch", "loss", "accuracy"):
        assert word in text


def test_a_run_that_blew_up_still_has_a_curve(tmp_path: Path) -> None:
    broken = rows()
    broken[4]["loss"] = "nan"
    assert len(curves(broken, tmp_path)) == 2


def test_no_rows_give_an_empty_picture(tmp_path: Path) -> None:
    assert "no rows yet" in curves([], tmp_path)[0].read_text()


def test_a_metric_named_like_mathematics_is_a_name(tmp_path: Path) -> None:
    odd = [{"epoch": 1, "split": "train", "$\\frac": 1.0, "<b>": 2.0}]
    assert len(curves(odd, tmp_path)) == 2


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Failure, match="E566") as caught:
        curves(rows(), tmp_path)
    assert "chainrule[plot]" in str(caught.value)
