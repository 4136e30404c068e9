"""The step-by-step page: its numbers against other ways to them, its structure, its safety."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from chainrule.cli import cli
from chainrule.compiler.pipeline import forward, gradients
from chainrule.dsl.diagnostics import Failure
from chainrule.model import Model
from chainrule.runtime.gradcheck import random_inputs
from chainrule.runtime.plain import run_graph
from chainrule.viz.walk.numbers import first_elements, short
from chainrule.viz.walk.page import Page, page
from chainrule.viz.walk.pixels import pixels
from chainrule.viz.walk.stops import BACKWARD, FORWARD, NET, UPDATE
from chainrule.walking import Asked, walk, walked_through
from tests.walkpages import Reader, example, html_of, model_of, recurrent, walked

SMALL = """net small {
  input x: [5]
  input label: class[3]
  h      = x -> dense(4) -> tanh
  scores = h -> dense(3)
  output softmax(scores)
  loss   cross_entropy(scores, label)
}
train small on csv("none.csv") {
  optimizer RULE
  epochs 1
}
"""
EXAMPLES = ("digits", "lenet", "sequences_mnist")


def small(rule: str = "sgd(lr = 0.5)") -> Model:
    return model_of(SMALL.replace("RULE", rule))


def oracle(model: Model, batch: int) -> dict[tuple[str, str], NDArray[Any]]:
    """Losses and gradients by the compiler's own differentiation of the same example."""
    graph = forward(model.module, model.name, training=True, dtype="f64", sizes=model.sizes)
    given = dict(model.session.values) | random_inputs(graph, batch, 1)
    return run_graph(gradients(graph), given, batch=batch)


def by_title(found: Page, start: str) -> NDArray[Any]:
    (stop,) = [s for s in found.stops if s.title.startswith(start)]
    return np.asarray(found.numbers[stop.key])


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "model", [small(), model_of(recurrent()), example("digits")], ids=lambda m: m.name
)
def test_gradients_of_parameters_are_those_of_the_compiler(model: Model, batch: int) -> None:
    found, truth = walked(model, batch), oracle(model, batch)
    seen = 0
    for stop in found.stops:
        if stop.phase == BACKWARD and stop.of.op.name == "param" and stop.key.place == NET:
            expected = truth["gradient", f"grad {stop.of.attrs['name']}"]
            np.testing.assert_allclose(found.numbers[stop.key], expected, rtol=1e-9, atol=1e-12)
            seen += 1
    assert seen == sum(1 for kind, _ in truth if kind == "gradient")


def test_the_loss_is_that_of_the_compiler() -> None:
    model = small()
    found, truth = walked(model, 3), oracle(model, 3)
    losses = found.numbers[next(s.key for s in found.stops if s.title.startswith("L:"))]
    assert np.mean(losses) == pytest.approx(truth["loss", "loss"], rel=1e-12)


def test_every_stop_has_numbers_and_every_number_is_finite() -> None:
    for model in (small(), model_of(recurrent("gru(4)")), model_of(recurrent("rnn(4)"))):
        found = walked(model)
        for stop in found.stops:
            assert np.isfinite(found.numbers[stop.key].astype(float)).all(), stop.title


@pytest.mark.parametrize("cell", ["lstm(5)", "gru(5)", "rnn(5)"])
def test_the_parts_of_the_steps_add_up_to_the_gradient(cell: str) -> None:
    """Of three steps all are walked through, so their parts are the whole of ∂L/∂W."""
    model = model_of(recurrent(cell).replace("[4, 3]", "[3, 4]"))
    found, truth = walked(model), oracle(model, 1)
    parts: dict[str, NDArray[Any]] = {}
    for stop in found.stops:
        if stop.phase == BACKWARD and stop.of.op.name == "param" and stop.key.place != NET:
            name = str(stop.of.attrs["name"])
            parts[name] = parts.get(name, np.asarray(0.0)) + found.numbers[stop.key]
    assert parts
    for name, total in parts.items():
        np.testing.assert_allclose(total, truth["gradient", f"grad {name}"], rtol=1e-9, atol=1e-12)


def test_the_gradient_goes_from_step_to_step() -> None:
    """What a step sends back is what arrives at the one before it."""
    found = walked(model_of(recurrent().replace("[4, 3]", "[3, 4]")))
    np.testing.assert_allclose(
        by_title(found, "∂L/∂c₁: what goes"), by_title(found, "∂L/∂c₁: a sum") - (
            by_title(found, "∂L/∂h₁: the gradient") * by_title(found, "o₁: sigmoid")
            * (1 - np.tanh(by_title(found, "c₁: sum")) ** 2)
        ), rtol=1e-12,
    )  # fmt: skip


def test_steps_forward_repeat_the_recurrence() -> None:
    found = walked(model_of(recurrent("rnn(5)")))
    last = by_title(found, "h_T")
    np.testing.assert_array_equal(last, by_title(found, "h₄"))


def test_sgd_moves_against_the_gradient() -> None:
    found = walked(small("sgd(lr = 0.5)"))
    for stop in (s for s in found.stops if s.phase == UPDATE):
        (_, theta), (_, gradient) = stop.uses
        expected = found.numbers[theta] - 0.5 * found.numbers[gradient]
        np.testing.assert_allclose(found.numbers[stop.key], expected, rtol=1e-12, atol=1e-15)
        slope = found.slopes[stop.key]
        np.testing.assert_allclose(slope.move, slope.gradient, rtol=1e-9)


def test_adam_begins_with_a_step_of_the_learning_rate() -> None:
    """v̂ = g and ŝ = g² at t = 1, so the step is η g / (|g| + ε)."""
    found = walked(small("adam(lr = 1e-2)"))
    for stop in (s for s in found.stops if s.phase == UPDATE):
        slope = found.slopes[stop.key]
        expected = [g / (abs(g) + 1e-8) for g in slope.gradient]
        np.testing.assert_allclose(slope.move, expected, rtol=1e-6)


def test_the_loss_of_each_learning_rate_is_that_after_its_step() -> None:
    model = small()
    found = walked(model)
    k = 20
    eta = found.rates[k]
    graph = forward(model.module, model.name, training=True, dtype="f64")
    given: dict[str, Any] = dict(model.session.values) | random_inputs(graph, 1, 1)
    truth = oracle(model, 1)
    for p in graph.params:
        given[p.name] = given[p.name] - eta * truth["gradient", f"grad {p.name}"]
    after = run_graph(graph, given)["loss", "loss"]
    assert found.losses[k] == pytest.approx(float(np.mean(after)), rel=1e-9)


def test_clipping_is_part_of_the_update() -> None:
    text = SMALL.replace("RULE", "sgd(lr = 1.0)\n  clip 0.001")
    found = walked(model_of(text))
    moved = [found.numbers[s.key] - found.numbers[s.uses[0][1]]
             for s in found.stops if s.phase == UPDATE]  # fmt: skip
    norm = np.sqrt(sum(float(np.sum(m**2)) for m in moved))
    assert norm == pytest.approx(0.001, rel=1e-9)
    assert "g̃" in next(s for s in found.stops if s.phase == UPDATE).formulas[-1].note


# ---------------------------------------------------------------- structure


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_step_has_its_line_its_node_its_equation_and_its_place(name: str) -> None:
    settings = {"units": "6"} if name == "sequences_mnist" else {}
    model = example(name, **settings)
    html = html_of(model)
    read = Reader(html)
    assert len(html) < 3_000_000
    assert [s.id for s in read.steps] == [f"step-{k + 1}" for k in range(len(read.steps))]
    for step in read.steps:
        assert f"line-{step.facts['data-line']}" in read.ids, step.text[:60]
        assert step.facts["data-node"] in read.ids, step.text[:60]
        assert step.math, step.text[:60]
        assert step.facts["data-told"]
        for link in step.links:
            assert link.removeprefix("#") in read.ids, link
    computed = [s for s in read.steps if "is given" not in s.text and "= 1" not in s.math[0]]
    assert sum("data-kernel" in s.facts for s in computed) >= 0.9 * len(computed)
    assert len(set(read.ids)) == len(read.ids)


def test_the_walk_goes_forward_then_back_then_updates() -> None:
    phases = [s.phase for s in walked(small()).stops]
    assert phases == sorted(phases, key=(FORWARD, BACKWARD, UPDATE).index)
    assert set(phases) == {FORWARD, BACKWARD, UPDATE}


def test_numbers_on_the_page_are_those_of_the_oracle() -> None:
    model = small()
    truth = oracle(model, 1)
    read = Reader(html_of(model))
    step = next(s for s in read.steps if "∂L/∂W₂" in s.math[0] and "backward" in s.facts["class"])
    assert first_elements(truth["gradient", "grad scores.W"]) in step.text


def test_a_net_without_training_is_walked_without_an_update() -> None:
    text = SMALL.partition("train")[0]
    phases = {s.phase for s in walked(model_of(text)).stops}
    assert phases == {FORWARD, BACKWARD}
    assert 'type="range"' not in html_of(model_of(text))


def test_a_page_asks_for_nothing_from_outside() -> None:
    html = html_of(example("digits"))
    read = Reader(html)
    assert all(a.startswith(("#", "data:image/png;base64,")) for a in read.addresses)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy[1]
    # Only names of markup languages look like addresses.
    without = html.replace("http://www.w3.org/2000/svg", "").replace(
        "http://www.w3.org/1999/xlink", "")  # fmt: skip
    assert "http:" not in without
    assert "https:" not in without
    assert "url(" not in html
    assert "@import" not in html


def test_what_a_stranger_wrote_is_text_and_not_markup() -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    text = f"# {evil} & </code></ol>\n" + SMALL.replace("none.csv", evil).replace("RULE", "sgd()")
    plain = Reader(html_of(small("sgd()")))
    read = Reader(html_of(model_of(text, f"/tmp/{evil.replace('/', '')}.net")))
    assert read.handlers == []
    assert read.tags.count("script") == plain.tags.count("script") == 2
    assert read.tags.count("img") == plain.tags.count("img")


def test_the_same_file_is_the_same_page() -> None:
    assert html_of(small()) == html_of(small())


@pytest.mark.slow
def test_the_same_file_is_the_same_page_in_another_process(tmp_path: Path) -> None:
    program = (
        "from tests.walkpages import *; import sys;"
        "sys.stdout.buffer.write(html_of(model_of(recurrent())).encode())"
    )
    pages = [
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=True,
            cwd=Path(__file__).parents[2], env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"},
        ).stdout for seed in ("1", "2")
    ]  # fmt: skip
    assert pages[0] == pages[1] != b""


def test_a_small_array_is_whole_and_a_large_one_a_summary() -> None:
    assert short(-0.000123456) == "−0.0001235"
    assert short(-0.0) == "0"
    assert first_elements(np.arange(10.0)) == "[0, 1, 2, 3, 4, 5, …]"
    assert pixels(np.zeros((300, 300))) is None
    shown = pixels(np.linspace(-1, 1, 100).reshape(10, 10))
    assert shown is not None
    assert (shown.width, shown.height, shown.signed) == (10, 10, True)


# ---------------------------------------------------------------- the command


def test_the_command_writes_one_file(tmp_path: Path) -> None:
    run = CliRunner().invoke(
        cli, ["walk", "examples/digits.net", "--example", "3", "--out", str(tmp_path)]
    )
    assert run.exit_code == 0, run.output
    (file,) = tmp_path.iterdir()
    html = file.read_text(encoding="utf-8")
    assert file.name == "walk.html"
    assert "example 3 of the test part, initial weights" in html


def test_the_page_is_of_the_trained_weights(tmp_path: Path) -> None:
    model = example("digits")
    weights = tmp_path / "model.safetensors"
    model.parameters["scores.b"] = np.arange(10.0) + 0.25
    model.save(weights)
    run = CliRunner().invoke(
        cli,
        ["walk", "examples/digits.net", "--weights", str(weights), "--out", str(tmp_path / "out")],
    )
    assert run.exit_code == 0, run.output
    html = (tmp_path / "out" / "walk.html").read_text(encoding="utf-8")
    assert "weights of model.safetensors" in html
    assert "[0.25, 1.25, 2.25, 3.25, 4.25, 5.25, …]" in html


def test_weights_that_are_not_there_are_told(tmp_path: Path) -> None:
    run = CliRunner().invoke(
        cli, ["walk", "examples/digits.net", "--weights", str(tmp_path / "no.safetensors")]
    )
    assert run.exit_code == 2


def test_an_example_that_there_is_not_is_refused() -> None:
    with pytest.raises(Failure, match="E640"):
        walk(example("digits"), Asked(example=100_000))


def test_a_net_of_hundreds_of_layers_is_refused() -> None:
    deep = SMALL.replace("  scores", "  repeat 200 { h = h -> dense(4) -> tanh }\n  scores")
    with pytest.raises(Failure, match="E641"):
        walked_through(model_of(deep.replace("RULE", "sgd()")), Asked(random=True))


def test_a_batch_shows_its_examples_as_rows() -> None:
    found = walked(small(), batch=3)
    assert by_title(found, "x is given").shape == (3, 5)
    assert "[3, 5]" in page(found)
