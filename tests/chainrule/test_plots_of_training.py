"""Plots of what training does: decision boundaries and loss surfaces, their numbers and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chainrule
from chainrule.dsl.diagnostics import Failure
from chainrule.plots import (
    boundary,
    following,
    surface,
)
from tests.chainrule.plotnets import (
    PICTURES,
    arrays,
    check_type,
    files,
    model_of,
)


@pytest.fixture(scope="module")
def dense() -> chainrule.Model:
    return model_of(PICTURES, arrays((36,)))


# ---------------------------------------------------------------- boundary

POINTS = """\
net points {
  input x: [2]
  input y: class[2]
  s = x -> dense(4) -> tanh -> dense(2)
  output softmax(s)
  loss cross_entropy(s, y)
}
data d = moons(n = 40) -> normalize(point)
train points on d with x = point, y = label {
  optimizer sgd(lr = 0.5)
  batch 10
  epochs 4
}
"""


@pytest.fixture(scope="module")
def points() -> chainrule.Model:
    model = chainrule.loads(POINTS, device="plain", seed=1)
    model.fit()
    return model


def test_the_ground_is_what_the_net_predicts_in_the_units_of_the_data(
    points: chainrule.Model,
) -> None:
    what = boundary.flat(points)
    shown, grid = boundary.plane(points, what, fine=5)
    found = boundary.scores(points, what, grid).reshape(5, 5, 2)
    at = np.array([[shown.x[1], shown.y[3]]])
    assert np.allclose(found[3, 1], points.predict(at)[0], atol=1e-5)
    assert points.dataset is not None
    raw = points.dataset.train.columns["point"].raw[points.dataset.train.indices]
    assert np.allclose(shown.points, raw, atol=1e-5)


def test_a_single_number_tells_two_classes() -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "xor.net"
    model = chainrule.load(example, device="plain")
    what = boundary.flat(model)
    found = boundary.scores(model, what, np.array([[0.0, 1.0]]))
    told = model.predict(np.array([[0.0, 1.0]]))
    assert np.allclose(found, [[1 - told[0], told[0]]])
    assert what.names == ("0", "1")


def test_a_net_of_pictures_has_no_boundary(dense: chainrule.Model) -> None:
    with pytest.raises(Failure, match="E622"):
        boundary.flat(dense)


def test_followed_moments_end_where_training_does(points: chainrule.Model) -> None:
    before = {n: a.copy() for n, a in points.session.values.items()}
    moments = following.followed(points)
    assert [m.epoch for m in moments] == [0, 1, 2, 3, 4]
    for name, array in before.items():
        assert (points.session.values[name] == array).all()  # the model keeps its own
        assert (moments[-1].values[name] == array).all()  # and they are those of its training
        assert name.endswith("b") or (moments[0].values[name] != array).any()


def test_another_optimizer_takes_another_path_from_the_same_start(points: chainrule.Model) -> None:
    first = following.followed(points, optimizer="sgd(lr = 0.5)", epochs=1)
    other = following.followed(points, optimizer="adam", epochs=1)
    (name, *_) = points.session.values
    assert (first[0].values[name] == other[0].values[name]).all()
    assert (first[1].values[name] != other[1].values[name]).any()
    with pytest.raises(Failure, match="adm"):
        following.followed(points, optimizer="adm", epochs=1)


def test_optimizers_are_parted_at_their_commas() -> None:
    assert following.several("sgd(lr = 0.1, decay = 0), adam") == [
        "sgd(lr = 0.1, decay = 0)",
        "adam",
    ]


def test_moments_are_denser_at_the_beginning() -> None:
    every = [following.Moment(k, {}) for k in range(101)]
    found = [m.epoch for m in following.chosen(every, 10)]
    assert len(found) == 10 and found[0] == 0 and found[-1] == 100
    assert np.diff(found)[0] == 1 < np.diff(found)[-1]
    assert following.chosen(every[:4], 10) == every[:4]


def test_the_film_of_a_boundary_has_a_frame_for_each_moment(
    tmp_path: Path, points: chainrule.Model
) -> None:
    from PIL import Image

    first = files(tmp_path / "a", points, "boundary", moving=True, epochs=2)
    assert first == files(tmp_path / "b", points, "boundary", moving=True, epochs=2)
    check_type(first[0].decode())
    with Image.open(tmp_path / "a" / "boundary.gif") as film:
        assert film.n_frames == 3


# ---------------------------------------------------------------- surface


def test_each_row_of_a_direction_is_as_long_as_that_of_the_weights() -> None:
    draws = np.random.default_rng(0)
    for shape in ((4, 6), (3, 2, 5, 5)):
        w = draws.normal(size=shape)
        found = surface.normalised(draws.normal(size=shape), w)
        lengths = [np.linalg.norm(a.reshape(len(a), -1), axis=1) for a in (w, found)]
        assert np.allclose(*lengths)
    assert not surface.normalised(draws.normal(size=4), np.ones(4)).any()


def test_the_surface_is_the_loss_at_moved_weights(dense: chainrule.Model) -> None:
    given = arrays((36,))
    names = surface.learned(dense)
    before = {n: a.copy() for n, a in dense.session.values.items()}
    plane = surface.random_plane(dense.session.values, names, seed=2)
    x, y = np.array([-0.5, 0.0]), np.array([0.0, 0.7, 0.2])
    found = surface.losses(dense, plane, x, y)

    def loss(a: float, b: float) -> float:
        w = {n: before[n] + a * plane.first[n] + b * plane.second[n] for n in names}
        h = np.tanh(given["image"] @ w["h.W"].T + w["h.b"])
        z = h @ w["scores.W"].T + w["scores.b"]
        logs = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return float(-logs[np.arange(len(z)), given["kind"]].mean())

    expected = [[loss(a, b) for a in x] for b in y]
    assert np.allclose(found, expected)
    assert np.isclose(found[0, 1], dense.evaluate(part="train")["loss"])
    assert all((dense.session.values[n] == a).all() for n, a in before.items())


def test_the_plane_of_the_paths_holds_a_path_of_two_directions() -> None:
    draws = np.random.default_rng(1)
    u, v = np.linalg.qr(draws.normal(size=(6, 2)))[0].T
    steps = [(0.0, 0.0), (1.0, 2.0), (3.0, 2.5), (4.0, 3.0)]
    moments = [
        following.Moment(k, {"W": (a * u + b * v).reshape(2, 3), "state": np.ones(1)})
        for k, (a, b) in enumerate(steps)
    ]
    plane, (places,), shares = surface.path_plane([moments], ("W",))
    assert np.isclose(sum(shares), 1) and shares[0] > shares[1]
    assert np.allclose(places[-1], 0) and (places[0] <= 0).all()
    for moment, (a, b) in zip(moments, places, strict=True):
        there = plane.at(a, b)
        assert np.allclose(there["W"], moment.values["W"]) and "state" in there


def test_levels_are_spread_in_the_logarithm_over_decades() -> None:
    from chainrule.viz.plots.surface import levels_of

    levels, is_log = levels_of(np.array([0.01, 0.1, 1.0, 10.0]))
    assert is_log and np.allclose(np.diff(np.log(levels)), np.log(levels[1] / levels[0]))
    assert not levels_of(np.array([1.0, 2.0]))[1]
    assert (np.diff(levels_of(np.ones(4))[0]) > 0).all()


def test_a_net_without_a_loss_has_no_surface() -> None:
    model = chainrule.loads("net n {\n  input x: [2]\n  output x -> dense(2)\n}\n", device="plain")
    with pytest.raises(Failure, match="E626"):
        surface.learned(model)


def test_the_ways_of_optimizers_are_drawn(
    tmp_path: Path, points: chainrule.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surface, "FINE", 5)
    asked = {"optimizers": "sgd(lr = 0.1), adam", "epochs": 2}
    first = files(tmp_path / "a", points, "surface", **asked)
    assert first == files(tmp_path / "b", points, "surface", **asked)
    check_type(first[0].decode())
    assert b"sgd(lr = 0.1)" in first[0] and b"adam" in first[0]
    with pytest.raises(Failure, match="E624"):
        files(tmp_path, points, "surface", optimizers="sgd, sgd, sgd, sgd, sgd")
