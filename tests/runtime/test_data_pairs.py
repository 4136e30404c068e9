"""Pairs and made tasks: layout, lengths, held-out answers; against expectations made by hand."""

from __future__ import annotations

import datetime
import gzip
from pathlib import Path

import numpy as np
import pytest

from chainrule.runtime.data import Dataset
from tests.runtime.test_data_texts import build, refusal

MNIST = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist"


def said(dataset: Dataset, field: str, part: str = "train") -> list[str]:
    vocabulary = dataset.vocabularies[field]
    return [vocabulary.text(row) for row in dataset.parts[part].array(field)]


def two_files(folder: Path, first: str, second: str, name: str = "t") -> None:
    (folder / f"{name}.en").write_text(first, encoding="utf-8")
    (folder / f"{name}.fr").write_text(second, encoding="utf-8")


# ---------------------------------------------------------------- pairs


def test_pairs_are_laid_out_for_an_encoder_and_a_decoder(tmp_path: Path) -> None:
    two_files(tmp_path, "a cat\na dog sat\n", "un chat\nle chien\n")
    data = build('pairs("t.en", "t.fr")', tmp_path)
    special = ("<pad>", "<unk>", "<start>", "<end>")
    assert data.vocabularies["source"].words == (*special, "a", "cat", "dog", "sat")
    assert data.vocabularies["target"].words == (*special, "chat", "chien", "le", "un")
    assert data.vocabularies["next"] == data.vocabularies["target"]
    assert data.train.array("source").tolist() == [[4, 5, 0], [4, 6, 7]]
    assert data.train.array("target").tolist() == [[2, 7, 4], [2, 6, 5]]  # <start> un chat
    assert data.train.array("next").tolist() == [[7, 4, 3], [6, 5, 3]]  # un chat <end>
    assert data.train.array("source.length").tolist() == [2, 3]
    assert data.train.lengths("next").tolist() == [3, 3]
    assert (data.inputs, data.targets) == (("source", "target"), ("next",))
    assert str(data.fields["source"]) == "source: tokens[3, 8]"


def test_one_file_with_tabs_and_two_files_are_the_same_pairs(tmp_path: Path) -> None:
    two_files(tmp_path, "a\nb b\n", "c d\ne\n")
    with gzip.open(tmp_path / "both.gz", "wb") as file:
        file.write(b"a\tc d\tCC-BY\r\nb b\te\r\n")
    apart, both = build('pairs("t.en", "t.fr")', tmp_path), build('pairs("both.gz")', tmp_path)
    for name in ("source", "target", "next"):
        np.testing.assert_array_equal(apart.train.array(name), both.train.array(name))
        assert apart.vocabularies[name] == both.vocabularies[name]


def test_long_and_empty_pairs_are_left_out_and_counted(tmp_path: Path) -> None:
    two_files(tmp_path, "a b\na b c\n\nd\nd\n", "x\nx\nx\nx y z\nx y\n")
    data = build('pairs("t.en", "t.fr", max_length = 2)', tmp_path)
    assert said(data, "source") == ["a b", "d"]
    assert said(data, "next") == ["x", "x y"]
    assert "3 of 5 pairs of train left out" in data.note


def test_other_parts_come_from_their_own_files_and_know_only_trains_words(tmp_path: Path) -> None:
    two_files(tmp_path, "a b\n", "x y\n")
    two_files(tmp_path, "a c b a\n", "y z\n", "test")
    data = build('pairs("t.en", "t.fr", test = ["test.en", "test.fr"])', tmp_path)
    assert said(data, "source", "test") == ["a <unk> b a"]
    assert said(data, "next", "test") == ["y <unk>"]
    assert data.fields["source"].shape == (4,)  # room for the longest of all parts
    assert data.train.array("source").shape == (1, 4)
    assert data.own_test and data.test.lengths("source").tolist() == [4]


def test_each_side_has_its_own_limit(tmp_path: Path) -> None:
    two_files(tmp_path, "a a b c\n", "x x y z\n")
    data = build('pairs("t.en", "t.fr", vocabulary = [5, 6])', tmp_path)
    assert said(data, "source") == ["a a <unk> <unk>"]
    assert said(data, "next") == ["x x y <unk>"]
    assert (data.fields["source"].classes, data.fields["next"].classes) == (5, 6)


def test_characters_can_be_the_tokens_of_pairs(tmp_path: Path) -> None:
    two_files(tmp_path, "ab c\n", "é!\n")
    data = build('pairs("t.en", "t.fr", unit = "char")', tmp_path)
    assert said(data, "source") == ["ab c"] and said(data, "target") == ["é!"]
    assert data.train.lengths("source").tolist() == [4]


def test_a_split_of_pairs_is_drawn_and_its_vocabulary_is_the_train_parts(tmp_path: Path) -> None:
    two_files(tmp_path, "".join(f"w{i}\n" for i in range(9)), "".join(f"v{i}\n" for i in range(9)))
    data = build('pairs("t.en", "t.fr") -> split(valid = 3, seed = 1)', tmp_path)
    assert sorted(data.vocabularies["source"].words[4:]) == sorted(said(data, "source"))
    assert said(data, "source", "valid") == ["<unk>"] * 3


@pytest.mark.parametrize(
    ("first", "second", "text", "code", "says"),
    [
        ("a\nb\n", "c\n", 'pairs("t.en", "t.fr")', "E429", "has 2 lines, and `t.fr` has 1"),
        ("a\tb\nc\n", "", 'pairs("t.en")', "E429", "line 2"),
        ("", "a\n", 'pairs("t.en", "t.fr")', "E427", "empty"),
        ("a b\n", "c\n", 'pairs("t.en", "t.fr", max_length = 1)', "E412", "no pair is left"),
        ("a\n", "b\n", 'pairs("t.en", "t.fr", vocabulary = 4)', "E409", "special"),
        ("a\n", "b\n", 'pairs("t.en", "t.fr", vocabulary = [5, 5, 5])', "E409", "two"),
        ("a\n", "b\n", 'pairs("t.en", "t.fr", test = [a, b, c])', "E409", "two files"),
        ("a\n", "b\n", 'pairs("t.en", "t.fr", valid = ["v.en", "v.fr"])', "E403", "v.en"),
        (
            "a\n" + "x" * 1_100_000,
            "b\nc\n",
            'pairs("t.en", "t.fr")',
            "E427",
            "line 2 has 1,100,000",
        ),
    ],
)
def test_a_mistake_about_pairs_is_told_with_its_place(
    tmp_path: Path, first: str, second: str, text: str, code: str, says: str
) -> None:
    two_files(tmp_path, first, second)
    found = refusal(text, tmp_path)
    assert found.code == code and says in found.message + found.help


# ---------------------------------------------------------------- dates and sums


def test_dates_are_written_in_many_forms_and_all_mean_the_iso_date() -> None:
    data = build("dates(n = 400, seed = 3)", Path())
    forms = ("%d %B %Y", "%B %d, %Y", "%d %b %Y", "%b %d %Y", "%A, %d %B %Y", "%A, %B %d, %Y",
             "%dth of %B %Y", "%dst of %B %Y", "%dnd of %B %Y", "%drd of %B %Y", "%d/%m/%Y",
             "%d.%m.%Y", "%Y, %B %d")  # fmt: skip
    used = set()
    for written, meant in zip(said(data, "source"), said(data, "next"), strict=True):
        for form in forms:
            try:
                found = datetime.datetime.strptime(written, form).date()
            except ValueError:
                continue
            assert found.isoformat() == meant, written
            used.add(form)
            break
        else:
            pytest.fail(f"{written} has no known form")
    assert len(used) == len(forms)
    assert data.train.array("target").shape == (400, 11)


def test_sums_are_right() -> None:
    data = build("addition(n = 300, digits = 3, seed = 1)", Path())
    for asked, answer in zip(said(data, "source"), said(data, "next"), strict=True):
        first, second = map(int, asked.split("+"))
        assert first + second == int(answer) and max(first, second) < 1000
    assert len(data.test) == 30


@pytest.mark.parametrize("text", ["dates(n = 3000)", "addition(n = 3000, digits = 2)"])
def test_no_answer_of_the_test_part_is_in_the_train_part(text: str) -> None:
    data = build(text, Path())
    field = "next" if text.startswith("dates") else "source"
    assert not set(said(data, field)) & set(said(data, field, "test"))


@pytest.mark.parametrize("text", ["dates(n = 50, seed = {})", "addition(n = 50, seed = {})",
                                  "copy(n = 50, length = 3, seed = {})"])  # fmt: skip
def test_a_made_task_depends_on_its_seed_and_nothing_else(text: str) -> None:
    first, again, other = (build(text.format(seed), Path()) for seed in (1, 1, 2))
    for name in first.fields:
        np.testing.assert_array_equal(first.train.array(name), again.train.array(name))
    name = first.inputs[0]
    assert not np.array_equal(first.train.array(name), other.train.array(name))


def test_the_first_date_of_a_seed_stays_what_it_is() -> None:
    """The numbers are part of what results are compared by: they must not change unnoticed."""
    data = build("dates(n = 2, seed = 0)", Path())
    assert list(zip(said(data, "source"), said(data, "next"), strict=True)) == [
        ("May 23 1932", "1932-05-23"),
        ("13/04/2028", "2028-04-13"),
    ]


# ---------------------------------------------------------------- copy


def test_copy_says_bits_then_asks_for_them() -> None:
    data = build("copy(n = 200, length = 4, width = 3, seed = 2)", Path())
    inputs, targets = data.train.array("inputs"), data.train.array("targets")
    weight, lengths = data.train.array("weight"), data.train.lengths("inputs")
    assert inputs.shape == (200, 10, 5) and targets.shape == (200, 10, 3)
    assert set(lengths.tolist()) == {4, 6, 8, 10}  # 2·L + 2
    for row in range(200):
        size = (lengths[row] - 2) // 2
        start, end = [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]
        bits = inputs[row, 1 : size + 1, :3]
        assert inputs[row, 0].tolist() == start and inputs[row, size + 1].tolist() == end
        assert not inputs[row, size + 2 :].any() and not inputs[row, 1 : size + 1, 3:].any()
        np.testing.assert_array_equal(targets[row, size + 2 : 2 * size + 2], bits)
        assert not targets[row, : size + 2].any()
        assert weight[row].tolist() == [0] * (size + 2) + [1] * size + [0] * (8 - 2 * size)
    assert 0.45 < inputs[:, 1, :3].mean() < 0.55


def test_copys_lengths_can_begin_higher() -> None:
    data = build("copy(n = 50, length = 6, least = 6)", Path())
    assert set(data.train.lengths("targets").tolist()) == {14}
    assert refusal("copy(length = 3, least = 4)", Path()).code == "E409"


# ---------------------------------------------------------------- scenes


@pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST is not in ../shared/data")
def test_scenes_show_what_their_captions_say() -> None:
    data = build(f'scenes("{MNIST}", n = 300, seed = 1)', Path())
    images, captions = data.train.array("image"), said(data, "next")
    assert images.shape == (300, 1, 56, 56) and 0.99 < images.max() <= 1
    assert data.test.array("image").shape == (30, 1, 56, 56)
    for image, caption in zip(images[:, 0], captions, strict=True):
        words = caption.split()
        assert words[0] == ("an" if words[1] == "eight" else "a")
        if "left" in words:
            assert words[2:4] == ["left", "of"] and len(words) == 6
            assert image[:, :28].sum() > 10 and image[:, 28:].sum() > 10
        elif "above" in words:
            assert words[2] == "above" and len(words) == 5
            assert image[:28].sum() > 10 and image[28:].sum() > 10
        else:
            assert len(words) == 2
    assert {len(c.split()) for c in captions} == {2, 5, 6}
    again = build(f'scenes("{MNIST}", n = 300, seed = 1)', Path())
    np.testing.assert_array_equal(again.train.array("image"), data.train.array("image"))
    assert said(again, "next") == captions
