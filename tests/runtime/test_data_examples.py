"""What a user brings to `predict`, and what is written for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from chainrule.dsl.diagnostics import Diagnostic, Failure
from chainrule.runtime.data import Field, read_examples, write_predictions

FEATURES = Field("features", (2,), columns=("length", "width"))
IMAGE = Field("image", (2, 2))
KIND = Field("kind", (), "i32", classes=2, labels=("no", "yes"), target=True)


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def refusal(path: Path, *fields: Field) -> Diagnostic:
    with pytest.raises(Failure) as caught:
        read_examples(path, fields)
    return caught.value.diagnostics[0]


@pytest.mark.parametrize(
    "text",
    [
        "width,other,length\n2,9,1\n4,9,3\n",  # by the features' names, in any order
        "features[0],features[1]\n1,2\n3,4\n",
        "features_0,features_1\n1,2\n3,4\n",
        "a,b\n1,2\n3,4\n",  # one field, as many columns: by position
        "1,2\n3,4\n",  # no header
    ],
)
def test_csv_columns_are_found_by_name_or_position(text: str, tmp_path: Path) -> None:
    found = read_examples(put(tmp_path, "e.csv", text), [FEATURES])["features"]
    assert found.tolist() == [[1, 2], [3, 4]] and found.dtype == np.float32


def test_labels_are_read_by_their_names(tmp_path: Path) -> None:
    path = put(tmp_path, "e.csv", "length,width,kind\n1,2,yes\n3,4,no\n")
    found = read_examples(path, [FEATURES, KIND])
    assert found["kind"].tolist() == [1, 0] and found["kind"].dtype == np.int32
    path = put(tmp_path, "f.csv", "length,width,kind\n1,2,yess\n")
    assert refusal(path, FEATURES, KIND).help == "did you mean `yes`?"


def test_npz_and_json_give_the_same_examples(tmp_path: Path) -> None:
    values = np.arange(8.0).reshape(2, 4)
    np.savez(tmp_path / "e.npz", image=values)
    np.savez(tmp_path / "any.npz", pictures=values.reshape(2, 2, 2))
    put(tmp_path, "e.json", json.dumps({"image": values.tolist()}))
    put(tmp_path, "rows.json", json.dumps([{"image": row} for row in values.tolist()]))
    put(tmp_path, "bare.json", json.dumps(values.tolist()))
    for name in ("e.npz", "any.npz", "e.json", "rows.json", "bare.json"):
        found = read_examples(tmp_path / name, [IMAGE])["image"]
        np.testing.assert_array_equal(found, values.reshape(2, 2, 2))


def test_one_lone_example_is_a_batch_of_one(tmp_path: Path) -> None:
    path = put(tmp_path, "e.json", '{"image": [[1, 2], [3, 4]]}')
    assert read_examples(path, [IMAGE])["image"].shape == (1, 2, 2)


@pytest.mark.parametrize(
    ("name", "text", "code", "says"),
    [
        ("e.csv", "length,wdth\n1,2\n", None, ""),  # two columns for two features: by position
        ("e.csv", "length,wdth,z\n1,2,3\n", "E418", "`width`"),
        ("e.csv", "length,width\n1,red\n", "E418", "`red`"),
        ("e.csv", "length,width\n1\n", "E406", "line 2"),
        ("e.json", "{", "E418", "not JSON"),
        ("e.json", "3", "E418", "neither"),
        ("e.json", '{"feature": [[1, 2]]}', "E418", "no `features`"),
        ("e.json", '{"features": [[1, 2], [3]]}', "E418", "even array"),
        ("e.json", '{"features": [[1, 2, 3]]}', "E418", "[3]"),
        ("e.json", '{"features": [[1, NaN]]}', "E419", "example 0"),
        ("e.json", '{"features": []}', "E418", "no examples"),
        ("e.json", '{"features": "abc"}', "E418", "even array"),
        ("e.txt", "1", "E418", "`.csv`"),
    ],
)
def test_wrong_examples_are_refused(
    name: str, text: str, code: str | None, says: str, tmp_path: Path
) -> None:
    path = put(tmp_path, name, text)
    if code is None:
        assert read_examples(path, [FEATURES])["features"].tolist() == [[1, 2]]
        return
    found = refusal(path, FEATURES)
    assert found.code == code and says in found.message


def test_labels_outside_their_classes_and_uneven_fields_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=np.ones((2, 2)), kind=np.array([0, 2]))
    assert refusal(tmp_path / "a.npz", FEATURES, KIND).code == "E419"
    np.savez(tmp_path / "b.npz", features=np.ones((2, 2)), kind=np.array([0, 1, 1]))
    assert refusal(tmp_path / "b.npz", FEATURES, KIND).code == "E420"
    assert refusal(tmp_path / "none.csv", FEATURES).code == "E403"
    assert refusal(tmp_path, FEATURES).code == "E403"


def test_predictions_are_read_back_from_every_format(tmp_path: Path) -> None:
    scores = np.array([[0.25, 0.75], [1.5, -2.0]], np.float32)
    labels = np.array(["a,b", 'c"'])
    for kind in ("csv", "npz", "json"):
        write_predictions(tmp_path / f"p.{kind}", {"scores": scores, "label": labels})
    rows = (tmp_path / "p.csv").read_text().splitlines()
    assert rows == ["scores[0],scores[1],label", '0.25,0.75,"a,b"', '1.5,-2.0,"c"""']
    with np.load(tmp_path / "p.npz") as archive:
        np.testing.assert_array_equal(archive["scores"], scores)
    facts = json.loads((tmp_path / "p.json").read_text())
    assert facts == {"scores": scores.tolist(), "label": ["a,b", 'c"']}


def test_json_holds_no_nan(tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.json", {"y": np.array([np.nan, 1.0])})
    assert json.loads((tmp_path / "p.json").read_text()) == {"y": [None, 1.0]}


def test_an_unknown_ending_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        write_predictions(tmp_path / "p.xlsx", {"y": np.ones(2)})
    assert caught.value.diagnostics[0].code == "E418" and not list(tmp_path.iterdir())
