"""Sources: embedded sets, made sets, CSV, NPZ, NPY; values against independent readings."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from chainrule.dsl.diagnostics import Diagnostic, Failure
from chainrule.dsl.parse import parse_expression
from chainrule.dsl.source import Source
from chainrule.runtime.data import SOURCES, STEPS, Dataset, build_dataset, memory


def build(text: str, base: Path = Path(), **options: object) -> Dataset:
    expression = parse_expression(Source("test.net", text))
    return build_dataset(expression, base=base, **options)  # type: ignore[arg-type]


def refusal(text: str, base: Path = Path(), **options: object) -> Diagnostic:
    with pytest.raises(Failure) as caught:
        build(text, base, **options)
    return caught.value.diagnostics[0]


# ---------------------------------------------------------------- embedded sets


def test_digits_have_a_fixed_test_part_with_every_digit() -> None:
    digits = build("digits()")
    assert (len(digits.train), len(digits.valid), len(digits.test)) == (1442, 0, 355)
    assert not set(digits.train.indices) & set(digits.test.indices)
    counts = np.bincount(digits.test.array("digit"))
    assert counts.min() >= 34 and len(counts) == 10
    image = digits.train.array("image")
    assert image.shape == (1442, 64) and image.dtype == np.float32
    assert image.min() == 0 and image.max() == 1
    assert str(digits.fields["digit"]) == "digit: class[10]"


def test_iris_holds_fishers_first_and_last_flower() -> None:
    iris = build("iris")
    features = iris.train.array("features", "f64")
    assert features[0].tolist() == [5.1, 3.5, 1.4, 0.2]
    assert features[-1].tolist() == [5.9, 3.0, 5.1, 1.8]
    assert np.bincount(iris.train.array("species")).tolist() == [50, 50, 50]
    assert iris.vocabulary["species"] == ["setosa", "versicolor", "virginica"]


def test_the_other_embedded_sets_have_their_published_sizes() -> None:
    cancer, wine, diabetes = build("breast_cancer"), build("wine"), build("diabetes")
    assert np.bincount(cancer.train.array("malignant")).tolist() == [357, 212]
    assert cancer.fields["features"].shape == (30,)
    assert np.bincount(wine.train.array("grower")).tolist() == [59, 71, 48]
    x = diabetes.train.array("features", "f64")
    np.testing.assert_allclose((x**2).sum(axis=0), 1, rtol=1e-9)
    assert diabetes.train.array("target")[0] == 151 and diabetes.fields["target"].shape == ()


# ---------------------------------------------------------------- made sets


@pytest.mark.parametrize("name", ["moons", "circles", "spirals", "blobs", "linear"])
def test_a_made_set_depends_on_its_seed_and_nothing_else(name: str) -> None:
    first, again, other = (build(f"{name}(n = 50, seed = {s})") for s in (1, 1, 2))
    x = first.inputs[0]
    np.testing.assert_array_equal(first.train.array(x), again.train.array(x))
    assert not np.array_equal(first.train.array(x), other.train.array(x))


def test_circles_without_noise_lie_on_their_radii() -> None:
    circles = build("circles(n = 20, noise = 0, inner = 0.25)")
    radius = np.linalg.norm(circles.train.array("point", "f64"), axis=1)
    np.testing.assert_allclose(radius, np.where(circles.train.array("label") == 1, 0.25, 1.0))


def test_linear_without_noise_is_solved_exactly_by_least_squares() -> None:
    made = build("linear(n = 30, noise = 0, features = 3, seed = 4)")
    x, y = made.train.array("features", "f64"), made.train.array("target", "f64")
    solution, residual, *_ = np.linalg.lstsq(np.c_[x, np.ones(30)], y, rcond=None)
    assert residual[0] < 1e-20
    assert f"{solution[0]:.4f}" in made.note and f"b = {solution[3]:.4f}" in made.note


def test_xor_is_its_truth_table() -> None:
    xor = build("xor")
    assert xor.train.array("point").tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert xor.train.array("label").tolist() == [0, 1, 1, 0]


# ---------------------------------------------------------------- mistakes in the declaration


@pytest.mark.parametrize(
    ("text", "code", "underlined", "hint"),
    [
        ("digit()", "E401", "digit", "did you mean `digits`?"),
        ("normalize", "E401", "normalize", "a source comes first"),
        ("digits() -> normalise", "E402", "normalise", "did you mean `normalize`?"),
        ("digits() -> iris()", "E402", "iris", "iris"),
        ("digits() -> split(vaild = 0.1)", "E409", "vaild = 0.1", "did you mean `valid`?"),
        ("moons(noise = true)", "E409", "true", "moons("),
        ("moons(n = 1)", "E409", "1", ""),
        ("moons(n = 2.5)", "E409", "2.5", ""),
        ("moons(10, n = 20)", "E409", "n = 20", "remove"),
        ("moons(n = 1 / 0)", "E409", "1 / 0", ""),
        ("csv()", "E409", "csv()", "csv(file"),
        ("digits(3)", "E409", "3", "digits()"),
        ("1 + 2", "E416", "1 + 2", ""),
        ("digits() -> normalize(fields = pixels)", "E408", "fields = pixels", "`image`"),
        ("digits() -> select(imag)", "E408", "imag", "did you mean `image`?"),
        ("digits() -> one_hot(image)", "E409", "image", "class[k]"),
        ("digits() -> normalize(digit)", "E409", "digit", "one_hot"),
        ("digits() -> take(2000)", "E412", "2000", ""),
        ("digits() -> split(valid = 1500)", "E412", "split(valid = 1500)", ""),
        ("xor() -> split(valid = 0.01)", "E412", "valid = 0.01", "larger"),
        ("digits() -> split", "E409", "split", "split(valid"),
        ("digits() -> split(valid = 0.1) -> split(valid = 0.1)", "E412", "valid = 0.1", ""),
        ("digits() -> reshape(image, [8, 9])", "E414", "[8, 9]", ""),
        ("digits() -> rename(digit = image)", "E409", "digit = image", ""),
        ('csv("none.csv")', "E403", '"none.csv"', "absolute"),
    ],
)
def test_a_mistake_is_underlined_and_answered(
    text: str, code: str, underlined: str, hint: str, tmp_path: Path
) -> None:
    found = refusal(text, tmp_path)
    assert found.code == code
    assert found.span is not None and found.span.text == underlined
    assert hint in found.help


def test_two_mistakes_in_one_call_are_both_reported() -> None:
    with pytest.raises(Failure) as caught:
        build("moons(n = true, nois = 3)")
    assert [d.code for d in caught.value.diagnostics] == ["E409", "E409"]


def test_constants_and_other_data_declarations_are_known_by_name() -> None:
    other = parse_expression(Source("test.net", "moons(n = size)"))
    constants = {"size": 30, "half_moons": other}
    assert len(build("half_moons -> take(size - 10)", constants=constants).train) == 20


def test_data_made_from_itself_is_refused() -> None:
    loop = parse_expression(Source("test.net", "a -> shuffle"))
    assert refusal("a", constants={"a": loop}).code == "E416"


def test_every_source_and_step_has_a_docstring() -> None:
    assert all(entry.doc for entry in [*SOURCES.values(), *STEPS.values()])


# ---------------------------------------------------------------- CSV

TABLE = "length,colour,width,kind\n1.5,red,2,b\n2.5,blue,3,a\n\n3.5,red,4,b\n"


def written(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return folder


def test_a_csv_gives_features_labels_and_single_columns(tmp_path: Path) -> None:
    table = build('csv("t.csv", target = "kind")', written(tmp_path, TABLE))
    assert table.train.array("features").tolist() == [[1.5, 2], [2.5, 3], [3.5, 4]]
    assert table.train.array("width").tolist() == [2, 3, 4]
    assert table.train.array("kind").tolist() == [1, 0, 1]
    assert table.vocabulary == {"colour": ["blue", "red"], "kind": ["a", "b"]}
    assert table.targets == ("kind",) and table.inputs[0] == "features"


def test_a_numeric_target_is_a_number_a_class_or_labels_as_asked(tmp_path: Path) -> None:
    base = written(tmp_path, "x,y\n1,2\n3,0\n4,2\n")
    assert build('csv("t.csv", target = y)', base).fields["y"].classes is None
    assert build('csv("t.csv", target = y, classes = 3)', base).fields["y"].classes == 3
    labelled = build('csv("t.csv", target = y, classes = true)', base)
    assert labelled.vocabulary["y"] == ["0", "2"]
    assert labelled.train.array("y").tolist() == [1, 0, 1]
    assert refusal('csv("t.csv", target = y, classes = 2)', base).code == "E419"


def test_csv_without_header_and_with_another_delimiter(tmp_path: Path) -> None:
    base = written(tmp_path, "1;2\n3;4\n")
    table = build('csv("t.csv", header = false, delimiter = ";", target = c2)', base)
    assert table.train.array("features").tolist() == [[1], [3]]
    assert table.train.array("c2").tolist() == [2, 4]


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("", "E406", "is empty"),
        ("a,b\n", "E406", "no rows"),
        ("a,b\n1,2\n3\n", "E406", "line 3: 1 columns where the first line has 2"),
        ("a,b\n1,2\n3,4,5\n", "E406", "line 3: 3 columns"),
        ("a,a\n1,2\n", "E406", "two columns are called `a`"),
        ("a,\n1,2\n", "E406", "column 2 has no name"),
        ("1,2\n3,4\n", "E406", "only numbers"),
        ('a,b\n1,"2\n', "E406", "malformed"),
        ("a,b\n1,2\nx,4\n", "E407", "line 3: `x` in column `a` is not a number"),
        ("a,b\n1,2\n3,\n", "E407", "line 3: the value of `b` is missing"),
        ("a,b\n1,NA\n", "E407", "line 2: the value of `b` is missing"),
        ("a,b\n1,2\n3,inf\n", "E407", "`inf`"),
        ("a,b\n1,2\n1_000,3\n", "E407", "`1_000`"),
        ("a,b\n1,red\n2,\n", "E407", "line 3: the value of `b` is missing"),
    ],
)
def test_a_malformed_csv_is_refused_with_its_line(
    text: str, code: str, says: str, tmp_path: Path
) -> None:
    found = refusal('csv("t.csv")', written(tmp_path, text))
    assert found.code == code and says in found.message


def test_a_csv_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("a,b\n1,é\n".encode("latin-1"))
    assert "UTF-8" in refusal('csv("t.csv")', tmp_path).message


def test_an_unknown_column_suggests_the_nearest(tmp_path: Path) -> None:
    found = refusal('csv("t.csv", target = "knd")', written(tmp_path, TABLE))
    assert found.code == "E408" and found.help == "did you mean `kind`?"
    assert refusal('csv("t.csv", features = colour)', tmp_path).code == "E407"


def test_a_large_csv_agrees_with_a_plain_reading(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5000, 3))
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow("abc")
        writer.writerows(values.tolist())
    table = build('csv("t.csv")', tmp_path)
    np.testing.assert_array_equal(table.train.array("features", "f64"), values)


def test_a_csv_that_cannot_fit_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = written(tmp_path, "a\n" + "1\n" * 60_000)
    monkeypatch.setattr(memory, "available_memory", lambda: 100_000)
    assert refusal('csv("t.csv")', base).code == "E410"


# ---------------------------------------------------------------- NPZ and NPY


def test_an_npz_gives_its_arrays_with_the_usual_target(tmp_path: Path) -> None:
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.savez(tmp_path / "d.npz", x=x, y=np.array([0, 2, 1, 2]))
    dataset = build('npz("d.npz")', tmp_path)
    np.testing.assert_array_equal(dataset.train.array("x"), x)
    assert dataset.targets == ("y",) and dataset.fields["y"].classes == 3


def test_an_npz_with_parts_in_its_names_has_those_parts(tmp_path: Path) -> None:
    arrays = {f"{n}_{p}": np.ones((k, 2)) for n in "xy" for p, k in (("train", 5), ("test", 2))}
    np.savez(tmp_path / "d.npz", **arrays)  # type: ignore[arg-type]
    dataset = build('npz("d.npz")', tmp_path)
    assert (len(dataset.train), len(dataset.test)) == (5, 2) and dataset.own_test


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (pytest.fail, ("a pickle was executed",))

    np.savez(tmp_path / "d.npz", x=np.array([Bomb()], dtype=object))
    np.save(tmp_path / "d.npy", np.array([Bomb()], dtype=object))
    for text in ('npz("d.npz")', 'npy(x = "d.npy")'):
        found = refusal(text, tmp_path)
        assert found.code == "E411" and "pickle" in found.message


@pytest.mark.parametrize("cut", [0, 1, 5, 60, 100, 200])
def test_a_damaged_npz_or_npy_is_refused(cut: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", x=np.arange(30.0))
    np.save(tmp_path / "whole.npy", np.arange(30.0))
    for kind, text in (("npz", 'npz("d.npz")'), ("npy", 'npy(x = "d.npy")')):
        data = (tmp_path / f"whole.{kind}").read_bytes()
        (tmp_path / f"d.{kind}").write_bytes(data[:cut])
        assert refusal(text, tmp_path).code == "E411"


def test_arrays_of_different_length_or_with_nan_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((4, 2)), y=np.ones(3))
    np.savez(tmp_path / "b.npz", x=np.array([[1.0], [np.nan]]))
    assert refusal('npz("a.npz")', tmp_path).code == "E420"
    assert "example 1" in refusal('npz("b.npz")', tmp_path).message


def test_an_npy_stays_on_disk_until_rows_are_taken(tmp_path: Path) -> None:
    x = np.arange(20, dtype=np.float32).reshape(10, 2)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.arange(10) % 3)
    dataset = build('npy(features = "x.npy", kind = "y.npy")', tmp_path)
    assert isinstance(dataset.train.columns["features"].raw, np.memmap)
    passed = dataset.train.array("features")
    assert np.shares_memory(passed, dataset.train.columns["features"].raw)
    assert dataset.fields["kind"].classes == 3 and dataset.targets == ("kind",)
    np.testing.assert_array_equal(dataset.train.rows("features", np.array([7, 2])), x[[7, 2]])
