"""Clouds of points over those of the data."""

from __future__ import annotations

import numpy as np

from chainrule.viz.scatter import scatter

DATA = np.array([[0.0, 0.0], [1.0, 0.5], [0.5, 1.0]])


def test_points_stand_in_the_frame_of_the_data_wherever_they_are() -> None:
    near, far = scatter(DATA, DATA[:1]), scatter(DATA, DATA[:1] + 100)
    assert near.shape == far.shape == (450, 450, 3)
    blue = near[..., 2].astype(int) - near[..., 0] > 60
    assert blue.any()
    down, right = np.argwhere(blue).mean(axis=0) / 450
    assert down > 0.7
    assert right < 0.3  # (0, 0) is at the bottom on the left
    assert not (far[..., 2].astype(int) - far[..., 0] > 60).any()


def test_points_that_are_no_numbers_are_left_out() -> None:
    made = np.array([[np.nan, 0.0], [np.inf, 1.0]])
    assert (scatter(DATA, made) == scatter(DATA, made[:0])).all()


def test_the_same_points_give_the_same_picture() -> None:
    assert (scatter(DATA, DATA) == scatter(DATA, DATA)).all()
    assert (scatter(DATA, DATA, "dark") != scatter(DATA, DATA)).any()
