"""`chainrule plot`: the numbers behind each kind of plot against NumPy, and its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule.dsl.diagnostics import Failure
from chainrule.plots import (
    KINDS,
    Asked,
    activations,
    check,
    confusion,
    curves,
    features,
    saliency,
    seeing,
    surface,
    weights,
)
from chainrule.viz.plots.activations import broken
from chainrule.viz.plots.common import tiled
from tests.chainrule.plotnets import (
    CONVOLUTION,
    NUMBERS,
    PICTURES,
    arrays,
    check_type,
    files,
    model_of,
    run,
)


@pytest.fixture(scope="module")
def dense() -> chainrule.Model:
    return model_of(PICTURES, arrays((36,)))


@pytest.fixture(scope="module")
def convolution() -> chainrule.Model:
    return model_of(CONVOLUTION, arrays((3, 6, 6)))


# ---------------------------------------------------------------- activations


@pytest.fixture(scope="module")
def functions() -> dict[str, Any]:
    return {c.name: c for c in activations.curves("plain", points=4000)}


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_the_derivative_is_that_of_finite_differences(functions: dict[str, Any], name: str) -> None:
    curve = functions[name]
    h = curve.x[1] - curve.x[0]
    slope = (curve.value[2:] - curve.value[:-2]) / (2 * h)
    found = curve.derivative
    # Not where it jumps between the two points, or the function itself does, or bends (elu at 0).
    smooth = (np.abs(found[2:] - found[:-2]) < 0.01) & (np.abs(slope) < 5)
    smooth &= np.abs(curve.x[1:-1]) > 2 * h
    assert smooth.mean() > 0.99
    assert np.allclose(found[1:-1][smooth], slope[smooth], atol=1e-5)


def test_the_functions_are_those_of_the_textbook(functions: dict[str, Any]) -> None:
    x = functions["relu"].x
    assert np.allclose(functions["relu"].value, np.maximum(x, 0))
    assert np.allclose(functions["sigmoid"].value, 1 / (1 + np.exp(-x)))
    assert np.allclose(functions["softmax"].value, np.exp(x) / (np.exp(x) + 1 + np.e))
    assert np.allclose(functions["leaky_relu"].derivative, np.where(x > 0, 1, 0.01))
    lines = np.array(activations.LEARNED["maxout_of.W"]) @ x[None]
    lines += np.array(activations.LEARNED["maxout_of.b"])[:, None]
    assert np.allclose(functions["maxout"].value, lines.max(axis=0))


def test_step_has_no_slope_and_says_so(functions: dict[str, Any]) -> None:
    assert not functions["step"].derivative.any()
    assert "gradient" in functions["step"].remark


def test_every_activation_block_of_the_library_is_shown() -> None:
    from chainrule.compiler.elaborate.module import _library_file

    blocks = set(_library_file("activations.net")) - {"log_softmax"}
    assert blocks <= set(activations.ACTIVATIONS)


def test_a_line_is_broken_where_it_jumps() -> None:
    x = np.linspace(-1, 1, 100)
    y = (x > 0).astype(float)
    assert np.isnan(broken(x, y)).sum() == 1
    assert not np.isnan(broken(x, np.tanh(x))).any()


# ---------------------------------------------------------------- confusion


def test_a_confusion_matrix_counts_true_against_predicted(dense: chainrule.Model) -> None:
    given = arrays((36,))
    predicted = dense.predict({"image": given["image"]}).argmax(axis=1)
    counts = np.zeros((3, 3), int)
    for true, told in zip(given["kind"], predicted, strict=True):
        counts[true, told] += 1
    assert (confusion.report(dense, "train").matrix == counts).all()


def test_rates_are_shares_of_the_true_class() -> None:
    from chainrule.viz.plots.confusion import rates

    found = rates(np.array([[3, 1], [0, 0]]))
    assert found.tolist() == [[0.75, 0.25], [0, 0]]


@pytest.mark.parametrize("classes", [2, 16, 30])
def test_a_matrix_of_any_size_is_drawn(tmp_path: Path, classes: int) -> None:
    from chainrule.viz.plots.confusion import confusion as drawn

    names = [f"class {k}" for k in range(classes)]
    svg, png = drawn(np.eye(classes, dtype=int) * 7, names, tmp_path / "c.png")
    assert svg.name == "c.svg" and (">7<" in svg.read_text()) == (classes <= 20)
    assert png.read_bytes()[:4] == b"\x89PNG"


def test_a_net_of_numbers_has_no_confusion() -> None:
    x = np.ones((4, 1))
    model = model_of(NUMBERS, {"x": x, "y": x})
    with pytest.raises(Failure, match="E623"):
        confusion.report(model, None)


# ---------------------------------------------------------------- weights


def test_the_rows_of_a_dense_layer_are_pictures(dense: chainrule.Model) -> None:
    name, found = weights.first_layer(dense)
    assert name == "h.W" and found.shape == (5, 1, 6, 6)
    assert (found[2, 0] == dense.session.values["h.W"][2].reshape(6, 6)).all()


def test_kernels_that_see_colours_keep_them(convolution: chainrule.Model) -> None:
    name, found = weights.first_layer(convolution)
    assert name == "h.W" and found.shape == (4, 3, 3, 3)


def test_a_net_that_sees_no_picture_has_no_pictures_of_weights() -> None:
    x = np.ones((4, 1))
    model = model_of(NUMBERS, {"x": x, "y": x})
    with pytest.raises(Failure, match="E621"):
        weights.first_layer(model)


def test_tiles_keep_their_pixels() -> None:
    tiles = np.arange(2 * 20 * 30, dtype=float).reshape(2, 20, 30)
    whole = tiled(tiles, 2)
    assert whole.shape == (20, 61) and np.isnan(whole[:, 30]).all()
    assert (whole[:, :30] == tiles[0]).all() and (whole[:, 31:] == tiles[1]).all()


# ---------------------------------------------------------------- features


def test_layers_are_those_that_the_net_names(convolution: chainrule.Model) -> None:
    named = CONVOLUTION.replace("-> relu -> flat", "-> relu").replace(
        "h -> dense", "h -> flat -> dense"
    )
    model = model_of(named, arrays((3, 6, 6)))
    assert features.layer_names(model, "output") == ["h"]
    assert features.layer_names(model) == ["h", "scores", "output"]


def test_a_layer_has_the_numbers_that_the_net_computes(dense: chainrule.Model) -> None:
    given = arrays((36,))
    examples = seeing.chosen(dense, (4,), "train")
    (h,) = features.layers(dense, examples, ["h"])
    values = dense.session.values
    assert np.allclose(h.values, np.tanh(values["h.W"] @ given["image"][4] + values["h.b"]))
    assert examples.true is not None and examples.true[0] == given["kind"][4]


def test_an_example_that_there_is_not(dense: chainrule.Model) -> None:
    with pytest.raises(Failure, match="E625"):
        seeing.chosen(dense, (12,), "train")


# ---------------------------------------------------------------- saliency


@pytest.mark.parametrize("which", ["dense", "convolution"])
def test_saliency_is_the_slope_of_the_score(which: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(which)
    found = seeing.seen(model, "this")
    examples = seeing.chosen(model, (1, 5), "train")
    maps, name = saliency.maps(model, found, examples)
    assert name == "scores" and maps.shape == (2, 6, 6)
    image = examples.fields["image"]
    near = 1e-5
    slopes = np.zeros_like(image)
    for place in np.ndindex(image.shape[1:]):
        sides = []
        for sign in (1, -1):
            moved = image.copy()
            moved[(slice(None), *place)] += sign * near
            scores = model.predict({"image": moved}, nodes=["scores"])
            sides.append(scores[[0, 1], examples.predicted])
        slopes[(slice(None), *place)] = (sides[0] - sides[1]) / (2 * near)
    expected = np.abs(slopes.reshape(2, -1, 6, 6)).max(axis=1)
    assert np.allclose(maps, expected, atol=1e-7)


def test_saliency_needs_a_score() -> None:
    given = {"image": np.ones((4, 36)), "y": np.ones((4, 2))}
    text = (
        "net n {\n  input image: [36]\n  input y: [2]\n  z = image -> dense(2)\n"
        "  output z\n  output first = z[0]\n  loss mse(z, y)\n}\n"
        'data none = csv("none.csv", target = y)\ntrain n on none {\n  optimizer sgd()\n'
        "  epochs 1\n}\n"
    )
    model = model_of(text, given)
    found = seeing.seen(model, "this")
    examples = seeing.chosen(model, (0,), "train")
    for node in (None, "z"):
        with pytest.raises(Failure, match="E623"):
            saliency.maps(model, found, examples, node)
    maps, _ = saliency.maps(model, found, examples, "first")
    assert np.allclose(maps[0].ravel(), np.abs(model.session.values["z.W"][0]))


# ---------------------------------------------------------------- curves


def test_gradient_norms_are_those_of_the_gradients(dense: chainrule.Model) -> None:
    given = arrays((36,))
    found = dense.gradients(given)
    norms = {n.layer: n.value for n in curves.gradient_norms(dense)}
    assert list(norms) == ["h", "scores"]
    for layer, value in norms.items():
        both = [found[f"{layer}.W"].ravel(), found[f"{layer}.b"].ravel()]
        assert np.isclose(value, np.linalg.norm(np.concatenate(both)))


def test_layers_are_in_the_order_in_which_examples_meet_them() -> None:
    text = PICTURES.replace("dense(5) -> tanh", "dense(5) -> batchnorm -> tanh").replace(
        "scores = h", "scores = h -> dense(4) -> batchnorm -> relu"
    )
    model = model_of(text, arrays((36,)))
    found = [n.layer for n in curves.gradient_norms(model)]
    assert found == ["h", "h_2", "scores", "scores_2", "scores_3"]


def test_the_learning_rate_is_the_factor_times_that_of_the_optimizer(
    dense: chainrule.Model,
) -> None:
    assert curves.rate(dense) == (0.1, "learning rate")
    text = NUMBERS.replace("sgd()", "adam(1e-2)")
    assert curves.rate(chainrule.loads(text)) == (0.01, "learning rate")
    assert curves.rate(chainrule.loads(NUMBERS)) == (0.01, "learning rate")


def test_curves_need_a_history(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="E620"):
        curves.rows(tmp_path, "n.net")


# ---------------------------------------------------------------- files, command


@pytest.mark.parametrize(
    "kind", ["activations", "confusion", "weights", "features", "saliency", "surface"]
)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_same_plot_has_the_same_bytes(
    tmp_path: Path,
    convolution: chainrule.Model,
    kind: str,
    theme: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(surface, "FINE", 5)
    first = files(tmp_path / "a", convolution, kind, theme=theme, device="plain")
    check_type(first[0].decode())
    assert first == files(tmp_path / "b", convolution, kind, theme=theme, device="plain")
    assert len(first) == 2


def test_an_option_of_another_kind_is_refused() -> None:
    with pytest.raises(Failure, match="--example"):
        check("confusion", Asked(examples=(1,)))
    with pytest.raises(Failure, match="did you mean `curves`"):
        check("curve", Asked())
    with pytest.raises(Failure, match="--over-training"):
        check("boundary", Asked(epochs=3))


def test_the_command_plots_what_a_run_left(tmp_path: Path) -> None:
    net = tmp_path / "points.net"
    net.write_text(
        "net points {\n  input x: [2]\n  input y: class[2]\n  s = x -> dense(2)\n"
        "  output softmax(s)\n  loss cross_entropy(s, y)\n}\n"
        "data d = moons(n = 60) -> split(test = 0.3, seed = 1)\n"
        "train points on d with x = point, y = label {\n  optimizer sgd()\n  epochs 2\n}\n"
    )
    out = tmp_path / "out"
    fails = run("plot", net, "confusion", "--out", out, "--device", "plain")
    assert fails.exit_code == 2 and "E540" in fails.stderr
    run("train", net, "--device", "plain", "--out", out, "--quiet")
    for kind in ("curves", "confusion", "boundary"):
        result = run("plot", net, kind, "--out", out, "--device", "plain")
        assert result.exit_code == 0, result.stderr
        assert (out / f"{kind}.svg").is_file() and (out / f"{kind}.png").is_file()
    wrong = run("plot", net, "weights", "--out", out, "--device", "plain")
    assert wrong.exit_code == 2 and "E621" in wrong.stderr


def test_activations_need_no_file(tmp_path: Path) -> None:
    result = run("plot", "activations", "-o", tmp_path / "a.png", "--device", "plain")
    assert result.exit_code == 0 and (tmp_path / "a.svg").is_file()


def test_help_names_every_kind() -> None:
    shown = run("plot", "--help").output
    assert all(kind in shown for kind in KINDS)


def test_layers_that_do_not_fit_a_slide_leave_out_maps_evenly() -> None:
    from chainrule.viz.plots.features import GAP, Layer, _fitting, _widths

    layers = [Layer(f"c{k}", np.zeros((8, 6, 6))) for k in range(9)] + [Layer("h", np.zeros(20))]
    kept = _fitting(layers, 8.0)
    names = [layer.name for layer in kept]
    assert names[0] == "c0" and names[-2:] == ["c8", "h"] and len(names) < 10
    assert sum(_widths(kept, 8.0)) + GAP * len(kept) <= 8.0 + 1e-9
