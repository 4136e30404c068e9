"""Reports on predictions against scikit-learn's definitions worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.runtime import metrics

SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.4, 0.5, 0.1]])
LABELS = np.array([1, 2, 2, 0])


def test_accuracy_is_the_share_of_right_classes() -> None:
    assert metrics.accuracy(SCORES, LABELS) == 0.5


def test_one_number_says_yes_from_a_half_on() -> None:
    assert metrics.classes_of(np.array([0.2, 0.5, 0.9])).tolist() == [0, 1, 1]


def test_top_k_counts_labels_among_the_k_greatest() -> None:
    assert metrics.top_k(SCORES, LABELS, 1) == 0.5
    assert metrics.top_k(SCORES, LABELS, 2) == 0.75
    assert metrics.top_k(SCORES, LABELS, 3) == 1


def test_the_confusion_matrix_has_the_truth_in_rows() -> None:
    report = metrics.class_report(SCORES, LABELS, 3, tops=(2, 3))
    assert report.matrix.tolist() == [[0, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert report.top == {2: 0.75}


def test_precision_recall_and_f1_of_each_class() -> None:
    report = metrics.class_report(SCORES, LABELS, 3)
    np.testing.assert_allclose(report.precision, [0, 0.5, 1])
    np.testing.assert_allclose(report.recall, [0, 1, 0.5])
    np.testing.assert_allclose(report.f1, [0, 2 / 3, 2 / 3])


def test_a_class_that_was_never_said_has_no_precision() -> None:
    report = metrics.class_report(SCORES[:1], LABELS[:1], 3)
    assert np.isnan(report.precision[0]) and report.as_json()["precision"][0] is None


def test_r_squared_of_the_mean_is_zero_and_of_the_truth_is_one() -> None:
    y = np.array([1.0, 2.0, 4.0])
    assert metrics.r_squared(y, y) == 1
    assert metrics.r_squared(np.full(3, y.mean()), y) == pytest.approx(0)
    assert metrics.r_squared(np.array([1.0, 2.0, 3.0]), y) == pytest.approx(1 - 1 / (14 / 3))


def test_regression_errors() -> None:
    report = metrics.regression_report(np.array([1.0, 4.0]), np.array([[1.0], [2.0]]))
    assert report.rmse == pytest.approx(np.sqrt(2)) and report.mae == 1
