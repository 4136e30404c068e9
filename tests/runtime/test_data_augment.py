"""Every transform against NumPy and Pillow, and draws that depend on nothing but their key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chainrule.compiler.random import threefry2x32
from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.parse import parse_expression
from chainrule.dsl.source import Source
from chainrule.runtime.data import (
    Augment,
    Column,
    Dataset,
    Draws,
    Field,
    Part,
    Request,
    Transform,
    augmented,
    build_dataset,
    gather,
)
from chainrule.runtime.data import pixels as loop
from chainrule.runtime.data.transforms import STREAM, Drawn, draw
from chainrule.runtime.feeding import Feeder

DEFAULTS: dict[str, dict[str, Any]] = {
    "crop": {"width": None, "pad": 0}, "flip": {"axis": "horizontal"},
}  # fmt: skip


def transform(name: str, **values: Any) -> Transform:
    return Transform(name, {**DEFAULTS.get(name, {}), **values})


ROTATE = transform("rotate", degrees=30)
SCALE = transform("scale", low=0.8, high=1.3)
SHIFT = transform("shift", pixels=2)
FRACTION = transform("shift", pixels=1.5)
CROP = transform("crop", height=5, width=4)
PADDED = transform("crop", height=9, pad=2)
FLIP = transform("flip")
OVER = transform("flip", axis="vertical")
BRIGHT = transform("brightness", strength=0.4)
CONTRAST = transform("contrast", strength=0.5)
CUTOUT = transform("cutout", size=3)
EVERY = (ROTATE, SCALE, FRACTION, PADDED, FLIP, BRIGHT, CONTRAST, CUTOUT)


def pictures(n: int = 7, channels: int = 3, height: int = 8, width: int = 9) -> np.ndarray:
    shape = (n, channels, height, width)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def dataset(raw: np.ndarray, unit: float = 1.0) -> Dataset:
    field = Field("image", raw.shape[1:])
    columns = {"image": Column(field, raw, unit=unit, pooled=True)}
    every = np.arange(len(raw), dtype=np.int64)
    return Dataset("d", Part(columns, every), Part(columns, every[:0]), Part(columns, every[:0]))


def seen(raw: np.ndarray, *transforms: Transform, epoch: int = 1, **options: Any) -> np.ndarray:
    """All pictures as training sees them, in the units of the raw numbers."""
    data = augmented(dataset(raw, **options), Augment(transforms))
    return data.train.rows("image", np.arange(len(raw)), draws=Draws(3, epoch))


def drawn(raw: np.ndarray, *transforms: Transform, epoch: int = 1) -> Drawn:
    numbers = np.arange(len(raw), dtype=np.int64)
    return draw(Augment(transforms), Draws(3, epoch), numbers, *raw.shape[2:])


def sampled(raw: np.ndarray, found: Drawn) -> np.ndarray:
    """Bilinear reading of `maps` in float64, one pixel after another, 0 outside."""
    h, w = found.extent
    n, channels, height, width = raw.shape
    out = np.zeros((n, channels, h, w))
    for i in range(n):
        a, b, c, d, e, f = found.maps[i]
        for y in range(h):
            for x in range(w):
                sy, sx = a * y + b * x + c, d * y + e * x + f
                for iy in (int(np.floor(sy)), int(np.floor(sy)) + 1):
                    for ix in (int(np.floor(sx)), int(np.floor(sx)) + 1):
                        if 0 <= iy < height and 0 <= ix < width:
                            share = (1 - abs(sy - iy)) * (1 - abs(sx - ix))
                            out[i, :, y, x] += share * raw[i, :, iy, ix]
    return out


# ---------------------------------------------------------------- where pixels come from


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    "transforms",
    [(ROTATE,), (SCALE,), (FRACTION,), (ROTATE, FLIP), (ROTATE, SCALE, FRACTION, PADDED, OVER)],
    ids=lambda ts: "+".join(t.name for t in ts),
)
def test_maps_are_read_bilinearly(transforms: tuple[Transform, ...], channels: int) -> None:
    raw = pictures(channels=channels)
    wanted = sampled(raw, drawn(raw, *transforms))
    np.testing.assert_allclose(seen(raw, *transforms), wanted, atol=2e-3)
    as_floats = raw.astype(np.float32)
    np.testing.assert_allclose(seen(as_floats, *transforms), wanted, atol=2e-3)


def test_a_rotation_is_pillows() -> None:
    raw = pictures(n=20, height=21, width=21)
    turn = transform("rotate", degrees=25)
    found, maps = seen(raw, turn), drawn(raw, turn).maps
    for picture, new, m in zip(raw, found, maps, strict=True):
        angle = np.rad2deg(np.arctan2(m[1], m[0]))
        assert abs(angle) <= 25 and np.hypot(m[0], m[1]) == pytest.approx(1)
        for channel, got in zip(picture.astype(np.float32), new, strict=True):
            # Pillow turns about the same centre, anticlockwise; its border differs.
            image = Image.fromarray(channel).rotate(angle, Image.Resampling.BILINEAR)
            inner = (slice(4, -4), slice(4, -4))
            np.testing.assert_allclose(got[inner], np.asarray(image)[inner], atol=0.1)


def test_a_scale_is_about_the_middle() -> None:
    raw = pictures(n=50, height=9, width=9)
    zoom = transform("scale", low=2.0, high=2.0)
    found = seen(raw, zoom)
    np.testing.assert_allclose(found[:, :, 4, 4], raw[:, :, 4, 4])
    np.testing.assert_allclose(found[:, :, ::2, ::2], raw[:, :, 2:7, 2:7])
    factors = 1 / drawn(raw, SCALE).maps[:, 0]
    assert 0.8 <= factors.min() < 0.9 and 1.2 < factors.max() <= 1.3


def test_whole_moves_copy_pixels_and_interpolate_nothing() -> None:
    raw = pictures(n=60)
    padded = np.pad(raw, ((0, 0), (0, 0), (2, 2), (2, 2)))
    windows = {"shift": (8, 9), "crop": (9, 9)}
    for one, extent in ((SHIFT, windows["shift"]), (PADDED, windows["crop"])):
        found = seen(raw, one)
        assert found.shape[2:] == extent
        places = set()
        for k in range(len(raw)):
            fits = [
                (y, x)
                for y in range(13 - extent[0])
                for x in range(14 - extent[1])
                if np.array_equal(padded[k, :, y : y + extent[0], x : x + extent[1]], found[k])
            ]
            assert len(fits) == 1
            places |= set(fits)
        rows, columns = 13 - extent[0], 14 - extent[1]
        assert {y for y, _ in places} == set(range(rows))
        assert {x for _, x in places} == set(range(columns))


@pytest.mark.parametrize(("flip", "axis"), [(FLIP, 3), (OVER, 2)])
def test_a_flip_turns_half_of_the_pictures_over(flip: Transform, axis: int) -> None:
    raw = pictures(n=200)
    found, other = seen(raw, flip), np.flip(raw, axis)
    turned = [np.array_equal(a, b) for a, b in zip(found, other, strict=True)]
    kept = [np.array_equal(a, b) for a, b in zip(found, raw, strict=True)]
    assert 70 < sum(turned) < 130 and sum(turned) + sum(kept) == 200


def test_transforms_follow_one_another_in_the_order_written() -> None:
    raw = pictures(n=40)
    found = seen(raw, CROP, FLIP)
    first, both = seen(raw, CROP), drawn(raw, CROP, FLIP)
    turned = both.maps[:, 4] < 0
    assert 0 < turned.sum() < 40
    np.testing.assert_array_equal(found[~turned], first[~turned])
    np.testing.assert_array_equal(found[turned], first[turned][:, :, :, ::-1])


# ---------------------------------------------------------------- light and holes


def test_brightness_and_contrast_are_torchvisions() -> None:
    """`adjust_brightness` and `adjust_contrast` of torchvision, for bytes held as floats."""
    for channels, weights in ((3, [0.299, 0.587, 0.114]), (1, [1.0]), (2, [0.5, 0.5])):
        raw = pictures(n=40, channels=channels)
        light = drawn(raw, BRIGHT, CONTRAST).light
        assert light is not None and len(np.unique(light)) > 70
        wanted = np.clip(raw * light[:, 0, None, None, None].astype(np.float64), 0, 255)
        grey = np.einsum("c,nchw->n", weights, wanted) / 72
        mean = grey[:, None, None, None]
        wanted = np.clip(mean + light[:, 1, None, None, None] * (wanted - mean), 0, 255)
        np.testing.assert_allclose(seen(raw, BRIGHT, CONTRAST), wanted, atol=1e-2)
    assert light[:, 0].min() >= 0.6 and light[:, 0].max() <= 1.4
    assert light[:, 1].min() >= 0.5 and light[:, 1].max() <= 1.5


def test_numbers_that_are_no_bytes_are_not_clipped() -> None:
    raw = pictures().astype(np.float32) - 128
    light = drawn(raw, BRIGHT).light
    assert light is not None
    wanted = raw * light[:, 0, None, None, None]
    np.testing.assert_allclose(seen(raw, BRIGHT), wanted, rtol=1e-6)


def test_a_hole_is_a_square_of_zeros_after_normalisation(tmp_path: Path) -> None:
    raw = pictures(n=80)
    np.savez(tmp_path / "a.npz", image=raw)
    text = 'npz("a.npz") -> normalize(per = "channel")'
    data = build_dataset(parse_expression(Source("t", text)), base=tmp_path)
    whole = data.train.array("image")
    found = augmented(data, Augment((CUTOUT,))).train.rows(
        "image", np.arange(80), draws=Draws(3, 1)
    )
    sizes = set()
    for k in range(80):
        hole = (found[k] == 0).all(axis=0)
        (top, bottom), (left, right) = (
            (np.flatnonzero(hole.any(axis)).min(), np.flatnonzero(hole.any(axis)).max() + 1)
            for axis in (1, 0)
        )
        assert hole[top:bottom, left:right].all()
        np.testing.assert_array_equal(found[k][:, ~hole], whole[k][:, ~hole])
        sizes.add((bottom - top, right - left))
    assert (3, 3) in sizes and (2, 3) in sizes and max(s for pair in sizes for s in pair) == 3


# ---------------------------------------------------------------- normalisation


@pytest.mark.parametrize("per", ["channel", "field", "feature"])
def test_what_is_not_changed_is_normalised_as_in_evaluation(per: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=pictures(n=30))
    text = f'npz("a.npz") -> normalize(image, per = "{per}")'
    data = build_dataset(parse_expression(Source("t", text)), base=tmp_path)
    still = augmented(data, Augment((transform("shift", pixels=0),)))
    rows = np.array([3, 29, 0])
    np.testing.assert_array_equal(
        still.train.rows("image", rows, draws=Draws(0, 1)), data.train.rows("image", rows)
    )


def test_evaluation_sees_the_middle_of_what_training_crops() -> None:
    raw = pictures()
    data = augmented(dataset(raw, unit=255.0), Augment((CROP, ROTATE)))
    assert str(data.fields["image"]) == "image: [3, 5, 4]"
    middle = raw[:, :, 1:6, 2:6].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(data.train.array("image"), middle)
    larger = augmented(dataset(raw), Augment((transform("crop", height=12, width=11, pad=2),)))
    padded = np.pad(raw, ((0, 0), (0, 0), (2, 2), (1, 1)))
    np.testing.assert_array_equal(larger.train.array("image"), padded)


def test_means_of_single_pixels_are_cropped_with_the_pictures(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=pictures(n=30))
    data = build_dataset(parse_expression(Source("t", 'npz("a.npz") -> normalize')), base=tmp_path)
    whole = data.train.array("image")
    cropped = augmented(data, Augment((CROP,)))
    np.testing.assert_array_equal(cropped.train.array("image"), whole[:, :, 1:6, 2:6])
    assert len(cropped.statistics["image"]["mean"]) == 3 * 5 * 4
    wider = augmented(data, Augment((transform("crop", height=10, pad=1),)))
    border = wider.train.array("image")[:, :, 0]
    np.testing.assert_array_equal(border, 0)
    assert augmented(cropped, Augment((CROP,))).fields == cropped.fields


def test_flat_pictures_of_mnists_form_are_changed_too() -> None:
    digits = build_dataset(parse_expression(Source("t", "digits()")), base=Path())
    data = augmented(digits, Augment((transform("crop", height=6),)))
    assert data.fields["image"].shape == (36,)
    grids = digits.train.array("image").reshape(-1, 8, 8)
    np.testing.assert_allclose(data.train.array("image").reshape(-1, 6, 6), grids[:, 1:7, 1:7])
    turned = data.train.rows("image", np.arange(5), shape=(1, 6, 6), draws=Draws(0, 1))
    assert turned.shape == (5, 1, 6, 6) and turned.max() <= 1


# ---------------------------------------------------------------- draws


def test_draws_depend_on_seed_epoch_example_and_place_alone() -> None:
    numbers = np.array([5, 2**31, 7], np.int64)
    for draws, place in ((Draws(3, 1), 0), (Draws(3, 2), 0), (Draws(2**40 + 3, 1), 4)):
        first, second = draws.words(place, numbers)
        key = ((draws.seed ^ (draws.seed >> 32)) & 0xFFFFFFFF, STREAM + place)
        for k, number in enumerate(numbers):
            one = threefry2x32(
                key, np.array([number], np.uint32), np.array([draws.epoch], np.uint32)
            )
            assert (first[k], second[k]) == (one[0][0], one[1][0])
    raw = pictures(n=30)
    assert not np.array_equal(seen(raw, SHIFT), seen(raw, SHIFT, epoch=2))


def test_the_order_and_the_company_of_an_example_do_not_matter() -> None:
    data = augmented(dataset(pictures(n=30)), Augment(EVERY))
    together = data.train.rows("image", np.arange(30), draws=Draws(1, 4))
    some = Part(data.train.columns, np.array([20, 3, 11]))
    apart = gather(some, {"x": Request("image")}, np.array([2, 0]), Draws(1, 4))["x"]
    np.testing.assert_array_equal(apart, together[[11, 20]])


@pytest.mark.parametrize("batch", [1, 4, 30])
def test_feeds_give_the_same_epoch_from_any_step_on(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chainrule.runtime import feeding

    data = augmented(dataset(pictures(n=30)), Augment(EVERY))
    order = np.random.default_rng(0).permutation(30).astype(np.int64)
    whole = data.train.rows("image", order, draws=Draws(9, 2))
    monkeypatch.setattr(feeding, "PIECE", 5 * whole[:1].nbytes)
    feeder = Feeder(data.train, {"x": Request("image")}, seed=9)
    assert feeder.streams
    for start in range(-(-30 // batch)):
        found = []
        with feeder.epoch(order, batch, start, 2) as feed:
            while sum(map(len, found)) < 30 - start * batch:
                fields, rows, _ = feed.take(3)
                found.append(fields["x"][rows])
        np.testing.assert_array_equal(np.concatenate(found), whole[start * batch :])


def test_measuring_draws_nothing() -> None:
    data = augmented(dataset(pictures()), Augment((SHIFT,)))
    feeder = Feeder(data.train, {"x": Request("image")})
    assert not feeder.streams
    np.testing.assert_array_equal(feeder.arrays["x"], pictures())


def test_many_bytes_stay_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    from chainrule.runtime import feeding

    monkeypatch.setattr(feeding, "AS_BYTES", 1000)
    assert Feeder(dataset(pictures()).train, {"x": Request("image")}).streams
    floats = pictures().astype(np.float32)
    assert not Feeder(dataset(floats).train, {"x": Request("image")}).streams


def test_the_loop_comes_from_the_disk_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = seen(pictures(), *EVERY)
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    for define in (loop._define, None):
        loop._kernel.cache_clear()
        monkeypatch.setattr(loop, "_define", define)
        np.testing.assert_array_equal(seen(pictures(), *EVERY), wanted)
    loop._kernel.cache_clear()
    assert len(list(tmp_path.rglob("pixels_*.o"))) == 1


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (transform("crop", height=9), "E422"),
        (transform("crop", height=8, width=10), "E422"),
        (transform("crop", height=13, pad=2), "E422"),
        (transform("cutout", size=10), "E422"),
    ],
)
def test_what_is_larger_than_the_picture_is_refused(one: Transform, code: str) -> None:
    with pytest.raises(Failure) as caught:
        augmented(dataset(pictures()), Augment((one,)))
    assert caught.value.diagnostics[0].code == code and caught.value.diagnostics[0].help


def test_data_without_pictures_are_refused() -> None:
    iris = build_dataset(parse_expression(Source("t", "iris()")), base=Path())
    with pytest.raises(Failure) as caught:
        augmented(iris, Augment((FLIP,)))
    assert caught.value.diagnostics[0].code == "E421"


def test_pictures_that_are_not_there_are_not_read() -> None:
    with pytest.raises(IndexError):
        loop.render(pictures(), np.array([7]), drawn(pictures(n=1), FLIP), np.zeros(1), np.ones(1))
