"""The step `resize` against Pillow, on every form that a picture's field may have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chainrule.dsl.diagnostics import Failure
from tests.runtime.test_data_steps import build


def pillow(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    image = Image.fromarray(picture.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (8, 8), (5, 3), (16, 4)])
def test_pictures_are_resized_as_pillow_does(size: tuple[int, int]) -> None:
    before = build("digits()").train.array("image").reshape(-1, 8, 8)
    made = build(f"digits() -> resize{size}")
    assert made.fields["image"].shape == (size[0] * size[1],)  # a row of pixels stays one
    after = made.train.array("image").reshape(-1, *size)
    for k in (0, 7, 1000):
        np.testing.assert_allclose(after[k], pillow(before[k], *size), atol=2e-6)
    test = build("digits()").test.array("image").reshape(-1, 8, 8)
    found = made.test.array("image").reshape(-1, *size)
    np.testing.assert_allclose(found[3], pillow(test[3], *size), atol=2e-6)


def test_one_number_is_height_and_width() -> None:
    assert build("digits() -> resize(12)").fields["image"].shape == (144,)


def test_channels_stay_apart_and_rows_keep_their_form(tmp_path: Path) -> None:
    x = np.random.default_rng(1).integers(0, 255, (9, 3, 6, 5)).astype(np.uint8)
    np.savez(tmp_path / "p.npz", x=x, y=np.arange(9) % 3)
    made = build('npz("p.npz") -> resize(12, 10) -> split(test = 2)', tmp_path)
    assert made.fields["x"].shape == (3, 12, 10)
    found = made.train.array("x")
    for row, index in enumerate(made.train.indices):
        for c in range(3):
            np.testing.assert_allclose(found[row, c], pillow(x[index, c], 12, 10), rtol=1e-5)


def test_statistics_are_those_of_the_resized_pictures() -> None:
    made = build("digits() -> resize(16) -> normalize")
    values = made.train.array("image")
    assert abs(values.mean()) < 1e-4 and abs(values.std() - 1) < 1e-4


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("iris -> resize(8)", "E409", "is no picture"),
        ("digits() -> resize(8, fields = digit)", "E409", "is no picture"),
        ("digits() -> resize(8, fields = picture)", "E408", "no field `picture`"),
        ("digits() -> resize(0)", "E409", "height"),
        ("digits() -> resize(16384)", "E410", "of memory"),
    ],
)
def test_what_cannot_be_resized_is_told(text: str, code: str, message: str) -> None:
    with pytest.raises(Failure) as caught:
        build(text)
    (found,) = caught.value.diagnostics
    assert found.code == code and message in found.message
