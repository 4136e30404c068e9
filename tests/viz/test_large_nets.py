"""Large nets are drawn or refused, with a suggestion, and never hang."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chainrule import Model, load, loads
from chainrule.dsl.diagnostics import Failure
from chainrule.viz import render

ROOT = Path(__file__).resolve().parents[2]
DEEP = """net deep {
  input x: [8]
  input y: class[3]
  h = x
  repeat LAYERS { h = h -> dense(8) -> tanh }
  scores = h -> dense(3)
  output scores
  loss cross_entropy(scores, y)
}
"""


def deep(layers: int) -> Model:
    return loads(DEEP.replace("LAYERS", str(layers)))


def code_of(failure: pytest.ExceptionInfo[Failure]) -> str:
    return failure.value.diagnostics[0].code


def test_resnet_152_fits_a_slide_within_seconds() -> None:
    model = load(ROOT / "examples" / "resnet.net", set={"depth": 152})
    began = time.process_time()
    picture = model.draw("layers")
    assert not picture.warning
    assert time.process_time() - began < 8  # 1 s where nothing else runs


def test_thousands_of_layers_are_folded_in_the_layers_and_the_training_view() -> None:
    model = deep(1500)
    for view in ("layers", "training"):
        began = time.process_time()
        assert "× 1500" in model.draw(view).dot
        assert time.process_time() - began < 20  # 1.3 s where nothing else runs


def test_more_than_ten_thousand_operations_are_refused_with_a_suggestion() -> None:
    model = deep(2500)
    began = time.process_time()
    with pytest.raises(Failure) as failure:
        model.draw("operations")
    assert code_of(failure) == "E560" and "--depth" in str(failure.value.diagnostics[0].help)
    assert time.process_time() - began < 20


def test_the_time_of_a_backward_view_grows_with_the_net_and_not_faster() -> None:
    def seconds(layers: int) -> float:
        model = deep(layers)
        began = time.process_time()
        model.draw("backward")
        return time.process_time() - began

    seconds(20)
    assert seconds(400) < 12 * seconds(100) + 0.5  # 4 times; the square would be 16


def test_a_backward_view_of_too_many_equations_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Failure) as failure:
        render.refuse_long(render.LONGEST + 1)
    assert code_of(failure) == "E590" and "--view layers" in failure.value.diagnostics[0].help
    model = deep(60)
    monkeypatch.setattr("chainrule.viz.backward.refuse_long", lambda n: render.refuse_long(n, 100))
    with pytest.raises(Failure) as failure:
        model.draw("backward")
    assert code_of(failure) == "E590"


def test_a_layout_that_takes_too_long_is_stopped() -> None:
    edges = "\n".join(f"  a{i} -> a{(i * 7 + 3) % 900};\n  a{i} -> a{(i * 13) % 900};"
                      for i in range(900))  # fmt: skip
    began = time.monotonic()
    with pytest.raises(Failure) as failure:
        render.layout(f"digraph {{\n{edges}\n}}", "svg", seconds=0.5)
    assert code_of(failure) == "E561" and time.monotonic() - began < 30
