"""Steps and binding: parts, statistics, shapes, and what a net's inputs are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.dsl.diagnostics import Diagnostic, Failure
from chainrule.dsl.parse import parse_expression
from chainrule.dsl.source import Source, Span
from chainrule.runtime.data import Dataset, Field, InputSpec, apply_statistics, bind, build_dataset
from chainrule.runtime.data.statistics import undo_statistics


def build(text: str, base: Path = Path()) -> Dataset:
    return build_dataset(parse_expression(Source("test.net", text)), base=base)


# ---------------------------------------------------------------- split, shuffle, take


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(4, 300),
    valid=st.floats(0.2, 0.45),
    test=st.floats(0.2, 0.45),
    seed=st.integers(0, 2**63 - 1),
)
def test_split_parts_are_disjoint_complete_and_of_the_size_asked(
    n: int, valid: float, test: float, seed: int
) -> None:
    if round(valid * n) == 0 or round(test * n) == 0 or round(valid * n) + round(test * n) >= n:
        return
    text = f"moons(n = {n}) -> split(valid = {valid!r}, test = {test!r}, seed = {seed})"
    first, again = build(text), build(text)
    parts = [first.train.indices, first.valid.indices, first.test.indices]
    assert sorted(np.concatenate(parts).tolist()) == list(range(n))
    assert [len(parts[1]), len(parts[2])] == [round(valid * n), round(test * n)]
    np.testing.assert_array_equal(first.train.indices, again.train.indices)


def test_another_seed_splits_otherwise() -> None:
    first, other = (build(f"iris -> split(test = 0.2, seed = {s})") for s in (1, 2))
    assert first.test.indices.tolist() != other.test.indices.tolist()


def test_a_count_holds_out_that_many() -> None:
    parts = build("iris -> split(valid = 20, test = 30)")
    assert [len(p) for p in (parts.train, parts.valid, parts.test)] == [100, 20, 30]


def test_valid_leaves_the_own_test_part_alone_and_test_draws_anew() -> None:
    own, kept = build("digits()"), build("digits() -> split(valid = 0.1)")
    np.testing.assert_array_equal(own.test.indices, kept.test.indices)
    drawn = build("digits() -> split(test = 0.5)")
    assert len(drawn.test) == round(1797 * 0.5) and len(drawn.train) + len(drawn.test) == 1797


def test_a_test_part_from_other_files_cannot_be_drawn_anew(tmp_path: Path) -> None:
    arrays = {"x_train": np.ones((5, 1)), "x_test": np.ones((4, 1))}
    np.savez(tmp_path / "d.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(Failure) as caught:
        build('npz("d.npz") -> split(test = 0.5)', tmp_path)
    assert caught.value.diagnostics[0].code == "E412"


def test_shuffle_then_take_draws_from_everywhere() -> None:
    drawn = build("iris -> shuffle(seed = 3) -> take(60)")
    assert np.unique(drawn.train.array("species")).tolist() == [0, 1, 2]
    assert np.unique(build("iris -> take(40)").train.array("species")).tolist() == [0]
    assert len(build("digits() -> take(10, test = 5)").test) == 5


# ---------------------------------------------------------------- normalize


@pytest.mark.parametrize(
    "order", ["split(test = 0.3) -> normalize", "normalize -> split(test = 0.3)"]
)
def test_statistics_come_from_the_train_part_whatever_the_order(order: str) -> None:
    plain, scaled = build("wine -> split(test = 0.3)"), build(f"wine -> {order}")
    raw = plain.train.array("features", "f64")
    np.testing.assert_allclose(scaled.statistics["features"]["mean"], raw.mean(axis=0), rtol=1e-12)
    expected = (plain.test.array("features", "f64") - raw.mean(axis=0)) / raw.std(axis=0)
    np.testing.assert_allclose(
        scaled.test.array("features", "f64"), expected, rtol=1e-9, atol=1e-12
    )


def test_statistics_of_many_blocks_equal_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = build("blobs(n = 501, features = 3) -> normalize").statistics["features"]
    monkeypatch.setattr("chainrule.runtime.data.statistics._BLOCK", 7 * 24)
    pieces = build("blobs(n = 501, features = 3) -> normalize").statistics["features"]
    np.testing.assert_allclose(pieces["std"], whole["std"], rtol=1e-12)
    np.testing.assert_allclose(pieces["mean"], whole["mean"], rtol=1e-12)


def test_a_feature_that_never_varies_becomes_zero(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n5.3,1\n5.3,2\n5.3,4\n")
    values = build('csv("t.csv") -> normalize(fields = features)', tmp_path).train.array("features")
    assert values[:, 0].tolist() == [0, 0, 0] and values[:, 1].std() == pytest.approx(1)


def test_images_share_one_mean_unless_asked_otherwise() -> None:
    assert len(build("digits() -> normalize").statistics["image"]["mean"]) == 1
    per = build('digits() -> normalize(per = "feature")')
    assert len(per.statistics["image"]["mean"]) == 64
    assert np.isfinite(per.test.array("image")).all()


def test_scale_divides_and_targets_change_only_when_named() -> None:
    diabetes = build("diabetes -> normalize")
    assert diabetes.train.array("target")[0] == 151
    scaled = build("diabetes -> normalize(fields = target, scale = 100)")
    assert scaled.train.array("target")[0] == np.float32(1.51)
    both = build("diabetes -> normalize(fields = [features, target])")
    assert abs(float(both.train.array("target", "f64").mean())) < 1e-12


def test_a_users_examples_are_normalised_like_the_training_data() -> None:
    plain = build("wine").train.array("features")
    scaled = build("wine -> normalize")
    applied = apply_statistics({"features": plain}, scaled.statistics)
    np.testing.assert_allclose(
        applied["features"], scaled.train.array("features"), rtol=1e-5, atol=1e-6
    )
    back = undo_statistics(applied, scaled.statistics)["features"]
    np.testing.assert_allclose(back, plain, rtol=1e-5)


# ---------------------------------------------------------------- fields


def test_one_hot_puts_a_one_at_the_class() -> None:
    dataset = build("iris -> one_hot")
    vectors = dataset.train.array("species")
    assert vectors.shape == (150, 3) and vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors.argmax(axis=1), build("iris").train.array("species"))
    assert vectors.sum() == 150


def test_rename_select_reshape_and_flatten_change_the_fields() -> None:
    dataset = build("digits() -> rename(picture = image) -> reshape(picture, [1, 8, 8])")
    assert dataset.fields["picture"].shape == (1, 8, 8)
    assert dataset.test.array("picture").shape == (355, 1, 8, 8)
    assert list(build("digits() -> select(digit)").fields) == ["digit"]
    flat = build("digits() -> reshape(image, [8, 8]) -> flatten")
    assert flat.fields["image"].shape == (64,)


def test_names_can_be_exchanged() -> None:
    dataset = build("diabetes -> rename(target = features, features = target)")
    assert dataset.fields["target"].shape == (10,) and dataset.fields["features"].shape == ()


def test_normalize_then_reshape_keeps_each_features_own_statistics() -> None:
    plain = build("wine -> normalize").train.array("features")
    shaped = build("wine -> normalize -> reshape(features, [13, 1])").train.array("features")
    np.testing.assert_array_equal(shaped[:, :, 0], plain)


def test_a_description_names_parts_fields_and_roles() -> None:
    text = build("digits() -> split(valid = 0.1, seed = 1)").describe()
    assert "1,298 train, 144 valid, 355 test" in text
    assert "image: [64]  (input" in text and "digit: class[10]  (target" in text


def test_a_field_survives_its_json() -> None:
    for field in build("iris").fields.values():
        assert Field.from_json(field.as_json()) == field


# ---------------------------------------------------------------- binding


def spec(name: str, shape: tuple[int, ...] = (), classes: int | None = None) -> InputSpec:
    text = f"  input {name}"
    return InputSpec(name, shape, "f32", classes, Span(Source("n.net", text), 8, len(text)))


def bound(dataset: Dataset, *inputs: InputSpec, **renames: str) -> dict[str, str]:
    return bind(dataset, {i.name: i for i in inputs}, renames)


def refused(dataset: Dataset, *inputs: InputSpec, **renames: str) -> list[Diagnostic]:
    with pytest.raises(Failure) as caught:
        bound(dataset, *inputs, **renames)
    return caught.value.diagnostics


def test_inputs_bind_by_name_by_renaming_and_as_x_and_y() -> None:
    digits = build("digits()")
    image, digit = spec("image", (64,)), spec("digit", (), 10)
    assert bound(digits, image, digit) == {"image": "image", "digit": "digit"}
    assert bound(digits, spec("x", (64,)), spec("y", (), 10)) == {"x": "image", "y": "digit"}
    assert bound(digits, spec("pixels", (64,)), pixels="image") == {"pixels": "image"}


def test_equal_sizes_bind_whatever_the_shape() -> None:
    assert bound(build("digits()"), spec("image", (1, 8, 8))) == {"image": "image"}


def test_two_classes_also_bind_to_a_number() -> None:
    cancer = build("breast_cancer")
    assert bound(cancer, spec("malignant")) == {"malignant": "malignant"}
    assert bound(cancer, spec("malignant", (1,))) == {"malignant": "malignant"}


@pytest.mark.parametrize(
    ("wanted", "code", "hint"),
    [
        (spec("imag", (64,)), "E413", "with imag = image"),
        (spec("picture", (64,)), "E413", "with picture = image"),
        (spec("image", (784,)), "E414", "input image: [64]"),
        (spec("digit", (), 9), "E415", "class[10]"),
        (spec("digit", (10,)), "E415", "one_hot(digit)"),
        (spec("digit", ()), "E415", "class[10]"),
        (spec("image", (), 10), "E415", "input image: [64]"),
    ],
)
def test_a_disagreement_gives_both_facts_and_the_way_out(
    wanted: InputSpec, code: str, hint: str
) -> None:
    (found,) = refused(build("digits()"), wanted)
    assert found.code == code and hint in found.help
    assert found.span is wanted.span


def test_all_disagreements_are_reported_together() -> None:
    found = refused(build("digits()"), spec("image", (3,)), spec("digit", (), 3), other="image")
    assert [d.code for d in found] == ["E413", "E414", "E415"]
    assert "did you mean" in refused(build("digits()"), spec("image", (64,)), imag="digit")[0].help


def test_a_net_may_have_more_classes_than_the_data() -> None:
    assert bound(build("iris"), spec("species", (), 5)) == {"species": "species"}


def test_a_one_hot_field_does_not_feed_a_class_input() -> None:
    (found,) = refused(build("iris -> one_hot"), spec("species", (), 3))
    assert found.code == "E415" and "one_hot" in found.help
    assert bound(build("iris -> one_hot"), spec("species", (3,))) == {"species": "species"}
