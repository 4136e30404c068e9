"""The Python API: NumPy in, NumPy out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chainrule
from chainrule import Failure

TEXT = """
net line(units = 1) {
  input  x: [n]
  input  y: [1]
  p = x -> dense(units)
  output p
  loss   mse(p, y)
}
train line on d {
  optimizer sgd(lr = 0.1)
  batch 10
  epochs 60
}
data d = csv("d.csv", target = y)
"""
DEVICE = "plain"
W = np.array([[1.5], [-2.0]])


def points(count: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).standard_normal((count, 2)).astype(np.float32)
    return x, (x @ W + 0.5).astype(np.float32)


@pytest.fixture
def model() -> chainrule.Model:
    return chainrule.loads(TEXT, device=DEVICE)


@pytest.fixture
def fitted(model: chainrule.Model) -> chainrule.Model:
    model.fit(points())
    return model


def test_fit_learns_from_arrays_and_gives_the_history(model: chainrule.Model) -> None:
    x, y = points()
    history = model.fit({"x": x, "y": y}, valid=points(20, 1))
    np.testing.assert_allclose(model.parameters["p.W"], W.T, atol=1e-3)
    best = history.best("loss", "valid")
    assert best is not None and best.values["loss"] < 1e-5
    assert len(history.rows) == 120


def test_predict_takes_a_batch_an_example_or_a_dictionary(fitted: chainrule.Model) -> None:
    x, y = points(7, 2)
    batch = fitted.predict(x)
    assert batch.shape == (7, 1) and batch.dtype == np.float32
    np.testing.assert_allclose(batch, y, atol=1e-3)
    np.testing.assert_array_equal(fitted.predict({"x": x}), batch)
    np.testing.assert_allclose(fitted.predict(x[0]), batch[0], rtol=1e-6)
    np.testing.assert_allclose(fitted.predict(x, batch=3), batch, rtol=1e-6)


def test_gradients_are_those_of_the_closed_form(fitted: chainrule.Model) -> None:
    x, y = points(9, 3)
    fitted.parameters["p.W"] = np.array([[0.3, 0.4]])
    fitted.parameters["p.b"] = np.array([0.1])
    found = fitted.gradients({"x": x, "y": y})
    error = x @ np.array([[0.3], [0.4]]) + 0.1 - y
    np.testing.assert_allclose(found["p.W"], 2 * (error * x).mean(axis=0, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(found["p.b"], 2 * error.mean(axis=0), rtol=1e-5)
    again = fitted.gradients({"x": x}, {"y": y})
    np.testing.assert_array_equal(again["p.W"], found["p.W"])


def test_evaluate_and_report_measure_given_arrays(fitted: chainrule.Model) -> None:
    assert fitted.evaluate(points(30, 5))["loss"] < 1e-5
    report = fitted.report(points(30, 5))
    assert report is not None and report.as_json()["r2"] == pytest.approx(1, abs=1e-4)


def test_weights_go_through_a_file(fitted: chainrule.Model, tmp_path: Path) -> None:
    fitted.save(tmp_path / "w.safetensors")
    other = chainrule.loads(TEXT, device=DEVICE)
    other.fit(points(), epochs=1)
    other.load_weights(tmp_path / "w.safetensors")
    x, _ = points(4, 6)
    np.testing.assert_array_equal(other.predict(x), fitted.predict(x))


def test_weights_of_another_net_are_refused_and_nothing_changes(
    fitted: chainrule.Model, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "w.safetensors")
    other = chainrule.loads(TEXT.replace("p =", "q =").replace("p\n", "q\n").replace("(p,", "(q,"),
                            device=DEVICE)  # fmt: skip
    other.fit(points(), epochs=1)
    before = other.parameters["q.W"]
    with pytest.raises(Failure) as caught:
        other.load_weights(tmp_path / "w.safetensors")
    assert caught.value.diagnostics[0].code == "E543"
    np.testing.assert_array_equal(other.parameters["q.W"], before)


def test_fitting_again_goes_on_from_where_the_model_is(fitted: chainrule.Model) -> None:
    before = fitted.evaluate(points())["loss"]
    history = fitted.fit(points(), epochs=1)
    assert history.rows[0].values["loss"] < 10 * before + 1e-9


def test_a_copy_of_a_parameter_is_not_the_parameter(fitted: chainrule.Model) -> None:
    held = fitted.parameters["p.W"]
    held[...] = 0
    assert np.any(fitted.parameters["p.W"] != 0)
    assert set(fitted.parameters) == {"p.W", "p.b"}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda m: m.predict(np.zeros((3, 5))), "[n, 2]"),
        (lambda m: m.predict({"z": np.zeros((3, 2))}), "no input `z`"),
        (lambda m: m.predict(np.array([["a", "b"]])), "numbers"),
        (
            lambda m: m.gradients({"x": np.zeros((3, 2)), "y": np.zeros((4, 1))}),
            "different numbers",
        ),
        (lambda m: m.gradients({"x": np.zeros((3, 2))}), "`y` is not given"),
        (lambda m: m.fit((np.zeros((3, 2)),)), "expected 2 arrays"),
        (lambda m: m.parameters.__setitem__("p.W", np.zeros(3)), "has shape [1, 2]"),
        (lambda m: m.parameters["p.WW"], "did you mean `p.W`?"),
    ],
)
def test_what_does_not_fit_is_told_with_its_shape(
    fitted: chainrule.Model, wrong: object, hint: str
) -> None:
    with pytest.raises(Failure) as caught:
        wrong(fitted)  # type: ignore[operator]
    assert caught.value.diagnostics[0].code == "E610"
    assert hint in str(caught.value)


def test_settings_are_overridden_on_loading(tmp_path: Path) -> None:
    path = tmp_path / "line.net"
    path.write_text(TEXT.replace("input  y: [1]", "input  y: [units]"))
    model = chainrule.load(path, set={"units": 3}, device=DEVICE)
    x, y = points()
    model.fit((x, np.hstack([y, y, y])), epochs=1)
    assert model.parameters["p.W"].shape == (3, 2)


def test_a_normalised_target_comes_back_in_its_units(tmp_path: Path) -> None:
    x, y = points(80)
    rows = ["a,b,y"] + [f"{a},{b},{100 * t + 7}" for (a, b), (t,) in zip(x, y, strict=True)]
    (tmp_path / "d.csv").write_text("\n".join(rows) + "\n")
    path = tmp_path / "line.net"
    path.write_text(
        TEXT.replace(
            'csv("d.csv", target = y)',
            'csv("d.csv", target = y) -> normalize(fields = [features, y])',
        )
    )
    model = chainrule.load(path, device=DEVICE)
    model.fit()
    np.testing.assert_allclose(model.predict(x), 100 * y + 7, atol=1)
    model.save(tmp_path / "w.safetensors")
    other = chainrule.load(path, device=DEVICE)
    other.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_allclose(other.predict(x), model.predict(x), rtol=1e-6)


def test_a_classifier_reports_a_confusion_matrix() -> None:
    model = chainrule.loads(
        "net c {\n input x: [2]\n input k: class[3]\n s = x -> dense(3)\n output softmax(s)\n"
        " loss cross_entropy(s, k)\n}\ntrain c on d {\n optimizer adam(lr = 0.05)\n epochs 40\n}\n"
        "data d = xor()\n",
        device=DEVICE,
    )
    draw = np.random.default_rng(0)
    k = draw.integers(0, 3, 90)
    x = draw.standard_normal((90, 2)) * 0.2 + np.array([[0, 3], [3, 0], [-3, -3]])[k]
    model.fit({"x": x, "k": k})
    report = model.report({"x": x, "k": k})
    assert report is not None and report.as_json()["accuracy"] == 1
    assert report.as_json()["confusion"] == np.diag(np.bincount(k)).tolist()


def test_a_net_shows_itself_and_derives_itself(fitted: chainrule.Model) -> None:
    assert fitted.draw("operations").dot.startswith("digraph")
    assert fitted._repr_svg_().lstrip().startswith(("<?xml", "<svg"))
    assert "∂L/∂" in fitted.derive()
    assert "parameters       3" in str(fitted.summary())
    assert repr(fitted) == "<net line from <text>>"


def test_a_mistake_in_the_text_is_a_failure_that_prints_as_the_diagnostic() -> None:
    with pytest.raises(Failure) as caught:
        chainrule.loads("net n {\n  input x: [2]\n  output x -> tahn\n}\n").predict(
            np.zeros((1, 2))
        )
    assert "did you mean `tanh`?" in str(caught.value)


def test_a_net_without_train_cannot_be_fitted() -> None:
    model = chainrule.loads("net n {\n  input x: [2]\n  output tanh(x)\n}\n", device=DEVICE)
    np.testing.assert_allclose(model.predict(np.ones((1, 2))), np.tanh(np.ones((1, 2))), rtol=1e-6)
    with pytest.raises(Failure) as caught:
        model.fit((np.zeros((2, 2)),))
    assert caught.value.diagnostics[0].code == "E608"


def test_the_version_is_that_of_the_package() -> None:
    assert chainrule.__version__ == "0.1.0"


def test_train_gives_the_net_its_settings_and_set_goes_before_it() -> None:
    text = TEXT.replace("train line on", "train line(units = 2) on").replace("y: [1]", "y: [units]")
    x, y = points()
    model = chainrule.loads(text, device=DEVICE)
    model.fit((x, np.hstack([y, y])), epochs=1)
    assert model.parameters["p.W"].shape == (2, 2)
    other = chainrule.loads(text, device=DEVICE, set={"units": 1})
    other.fit((x, y), epochs=1)
    assert other.parameters["p.W"].shape == (1, 2)
    with pytest.raises(Failure) as caught:
        chainrule.loads(text.replace("units = 2", "unit = 2"), device=DEVICE)
    assert "did you mean `units`?" in str(caught.value)
