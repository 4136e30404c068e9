"""Learning curves from rows of a history."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from chainrule.dsl.diagnostics import Failure
from chainrule.viz.curves import curves, panels, series


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
    assert [p.label for p in panels(rows(2))] == ["loss", "accuracy"]
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


def adversarial(count: int = 30) -> list[dict[str, Any]]:
    return [
        {"epoch": e, "split": split, "fooled": 0.5 / e, "critic": 1 + 1 / e, "maker": 2 - 1 / e,
         "real": 0.5}
        for e in range(1, count + 1)
        for split in ("train", "valid")
    ]  # fmt: skip


def test_both_losses_of_an_adversarial_net_share_a_panel() -> None:
    loss, metrics = panels(adversarial(), ["critic", "maker"])
    assert list(loss.values) == ["critic", "maker"]
    assert loss.label == "loss"
    assert loss.splits == ("train", "valid")
    assert list(metrics.values) == ["fooled", "real"]


def test_a_metric_of_another_scale_has_its_own_panel() -> None:
    found = panels([{"epoch": 1, "split": "train", "loss": 1.0, "accuracy": 0.9, "perplexity": 8}])
    assert [p.label for p in found] == ["loss", "accuracy", "perplexity"]


def test_an_axis_is_logarithmic_where_positive_numbers_span_decades() -> None:
    def panel(first: float, last: float) -> bool:
        (found,) = panels([{"epoch": e, "split": "train", "loss": v}
                           for e, v in ((1, first), (2, last))])  # fmt: skip
        return found.is_logarithmic

    assert panel(2.0, 0.01)
    assert not panel(2.0, 0.1)
    assert not panel(2.0, -0.01)


def test_curves_of_several_losses_name_each_and_the_examples_once(tmp_path: Path) -> None:
    drawn = curves(adversarial(), tmp_path, losses=["critic", "maker"], theme="dark")[0].read_text()
    for word in ("critic", "maker", "fooled"):
        assert drawn.count(f">{word}<") == 1
    assert drawn.count(">validation<") == 2


def test_a_run_that_blew_up_still_has_a_curve(tmp_path: Path) -> None:
    broken = rows()
    broken[4]["loss"] = "nan"
    assert len(curves(broken, tmp_path)) == 2


def test_a_single_epoch_stands_over_its_whole_number(tmp_path: Path) -> None:
    drawn = curves(rows(1), tmp_path)[0].read_text()
    assert ">1<" in drawn
    assert ">0.96<" not in drawn


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
