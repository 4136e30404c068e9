"""Texts in windows: vocabularies, blocks, streams; against expectations made by hand."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from chainrule.dsl.diagnostics import Diagnostic, Failure
from chainrule.dsl.parse import parse_expression
from chainrule.dsl.source import Source
from chainrule.runtime.data import Dataset, Field, Vocabulary, build_dataset
from chainrule.runtime.data.orders import streams
from chainrule.runtime.data.vocabulary import join_tokens, split_tokens


def build(text: str, base: Path, **options: object) -> Dataset:
    expression = parse_expression(Source("test.net", text))
    return build_dataset(expression, base=base, **options)  # type: ignore[arg-type]


def refusal(text: str, base: Path, **options: object) -> Diagnostic:
    with pytest.raises(Failure) as caught:
        build(text, base, **options)
    return caught.value.diagnostics[0]


def words_of(dataset: Dataset, field: str) -> list[str]:
    """Each example of the train part as text."""
    vocabulary = dataset.vocabularies[field]
    return [vocabulary.text(row) for row in dataset.train.array(field)]


# ---------------------------------------------------------------- windows


def test_windows_follow_one_another_and_next_is_one_character_further_on(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcabdabe")
    data = build('text("a.txt", window = 4)', tmp_path)
    assert words_of(data, "text") == ["abca", "bdab"]
    assert words_of(data, "next") == ["bcab", "dabe"]
    assert data.vocabularies["text"].words == ("<unk>", "a", "b", "c", "d", "e")
    assert data.train.array("text").tolist() == [[1, 2, 3, 1], [2, 4, 1, 2]]
    assert str(data.fields["text"]) == "text: tokens[4, 6]"
    assert (data.inputs, data.targets) == (("text",), ("next",))
    assert data.train.array("text").dtype == np.int32


def test_a_stride_below_the_window_makes_windows_overlap(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcdefg")
    data = build('text("a.txt", window = 3, stride = 2)', tmp_path)
    assert words_of(data, "text") == ["abc", "cde"]
    assert words_of(data, "next") == ["bcd", "def"]


def test_rows_drawn_from_windows_are_those_of_the_whole_array(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the quick brown fox jumps over the lazy dog" * 5)
    data = build('text("a.txt", window = 7, stride = 3) -> shuffle(seed = 1)', tmp_path)
    at = np.array([5, 0, 3, 3], np.int64)
    np.testing.assert_array_equal(data.train.rows("next", at), data.train.array("next")[at])


def test_line_ends_byte_order_marks_and_accents_have_one_form(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffe\u0301t\r\nx\ry".encode())
    data = build('text("a.txt", window = 5)', tmp_path)
    assert words_of(data, "text") == ["ét\nx\n"]
    assert data.vocabularies["text"].words == ("<unk>", "\n", "t", "x", "y", "é")


def test_packed_and_plain_files_are_the_same_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ein Text, zweimal", encoding="utf-8")
    with gzip.open(tmp_path / "a.txt.gz", "wb") as file:
        file.write(b"ein Text, zweimal")
    plain, packed = (build(f'text("{n}", window = 3)', tmp_path) for n in ("a.txt", "a.txt.gz"))
    np.testing.assert_array_equal(plain.train.array("text"), packed.train.array("text"))


def test_lower_makes_small_letters(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("AbaB")
    data = build('text("a.txt", window = 3, lower = true)', tmp_path)
    assert words_of(data, "text") == ["aba"]


# ---------------------------------------------------------------- vocabularies


def test_words_are_numbered_by_frequency_and_then_by_the_alphabet(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("b a b c a b , d .")
    data = build('text("a.txt", window = 2, unit = "word")', tmp_path)
    # b three times, a twice; the rest once, in the order of their characters.
    assert data.vocabularies["text"].words == ("<unk>", "b", "a", ",", ".", "c", "d")


def test_a_limit_keeps_the_most_frequent_and_the_rest_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("b a b c a b d")
    data = build('text("a.txt", window = 6, unit = "word", vocabulary = 3)', tmp_path)
    assert data.vocabularies["text"].words == ("<unk>", "b", "a")
    assert data.train.array("text").tolist() == [[1, 2, 1, 0, 2, 1]]
    assert words_of(data, "text") == ["b a b <unk> a b"]


def test_the_vocabulary_is_the_train_parts_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("aabbaabbabab" + "xyzx")
    data = build('text("a.txt", window = 2) -> split(valid = 2)', tmp_path)
    vocabulary = data.vocabularies["text"]
    assert vocabulary.words == ("<unk>", "a", "b")
    # The windows of the end hold x, y and z: nothing that training has seen.
    assert data.valid.array("text").tolist() == [[1, 2], [0, 0]]
    assert vocabulary.text([1, 0, 2]) == "a�b"


def test_a_trained_nets_vocabulary_takes_the_place_of_the_datas(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcabca")
    known = Vocabulary(("<unk>", "c", "a"), "char")
    data = build('text("a.txt", window = 6)', tmp_path, vocabularies={"text": known})
    assert data.train.array("text").tolist() == [[2, 0, 1, 2, 0, 1]]
    assert data.train.array("next").tolist() == [[0, 1, 2, 0, 1, 2]]
    assert data.fields["next"].classes == 3


@pytest.mark.parametrize(
    ("words", "unit", "lower"),
    [(("<unk>", "a"), "word", False), (("a", "b"), "char", False), (("<unk>", "a"), "char", True)],
)
def test_a_vocabulary_of_another_kind_is_refused(
    tmp_path: Path, words: tuple[str, ...], unit: str, lower: bool
) -> None:
    (tmp_path / "a.txt").write_text("abab")
    known = {"text": Vocabulary(words, unit, lower)}
    assert refusal('text("a.txt", window = 2)', tmp_path, vocabularies=known).code == "E432"


def test_a_field_keeps_its_vocabulary_in_a_checkpoints_json() -> None:
    field = Field("text", (4,), "i32", 3, sequence=True,
                  vocabulary=Vocabulary(("<unk>", "a", "é"), "char", True))  # fmt: skip
    assert Field.from_json(field.as_json()) == field


@pytest.mark.parametrize(
    "text",
    [
        "Two young, White males are outside near many bushes.",
        "He doesn't know: it's 3.5 (or 1,000) T-shirts!",
        "L'homme qu'il a vu, c'est moi; aujourd'hui.",
        'She said "no" and left.',
        "Ça coûte 12 € – peut-être?",
        "one line\nanother line",
    ],
)
def test_words_join_to_the_text_they_were_split_from(text: str) -> None:
    assert join_tokens(split_tokens(text, "word"), "word") == text


def test_words_and_signs_are_tokens_of_their_own() -> None:
    assert split_tokens("L'homme dit: \"don't!\" 1,5 t-shirt", "word") == [
        "L'", "homme", "dit", ":", '"', "don't", "!", '"', "1,5", "t", "@-@", "shirt",
    ]  # fmt: skip


def test_a_text_ends_before_its_end_and_says_nothing_of_padding() -> None:
    words = Vocabulary(("<pad>", "<unk>", "<start>", "<end>", "a", "cat"), "word")
    assert words.text([2, 4, 5, 3, 4, 0]) == "a cat"
    assert words.text([1, 9]) == "<unk> �"
    assert words.encode("A cat, a dog").tolist() == [1, 5, 1, 4, 1]


# ---------------------------------------------------------------- parts and streams


def test_a_text_is_split_into_blocks_in_its_order(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcdefghijk")
    data = build('text("a.txt", window = 1) -> split(valid = 2, test = 3, seed = 5)', tmp_path)
    parts = {name: part.indices.tolist() for name, part in data.parts.items()}
    assert parts == {"train": [0, 1, 2, 3, 4], "valid": [5, 6], "test": [7, 8, 9]}


def test_overlapping_windows_share_no_predicted_token_between_parts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcdefghijklmnopqrstuvwxyz" * 2)
    data = build('text("a.txt", window = 6, stride = 2) -> split(valid = 4, test = 0.2)', tmp_path)
    predicted = {
        name: {2 * int(i) + 1 + k for i in part.indices for k in range(6)}
        for name, part in data.parts.items()
    }
    assert not predicted["train"] & predicted["valid"]
    assert not predicted["valid"] & predicted["test"]
    assert len(data.valid) == 4


def test_streams_go_on_row_by_row() -> None:
    order = streams(10, 3).reshape(-1, 3)
    assert order.tolist() == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    assert (np.diff(order, axis=0) == 1).all()
    assert len(streams(2, 3)) == 0


def test_only_windows_side_by_side_in_their_order_are_continuous(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcdefghijklmnopqrstuvwxyz")
    ways = {
        'text("a.txt", window = 3)': True,
        'text("a.txt", window = 3) -> split(valid = 2)': True,
        'text("a.txt", window = 3, stride = 2)': False,
        'text("a.txt", window = 3) -> shuffle': False,
        "xor()": False,
    }
    for way, continuous in ways.items():
        assert build(way, tmp_path).train.is_continuous is continuous, way


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("content", "text", "code", "says"),
    [
        (b"abc", 'text("b.txt")', "E403", "no file"),
        (b"", 'text("a.txt")', "E427", "empty"),
        (b" \n\n ", 'text("a.txt", window = 1)', "E427", "empty"),
        (b"abc", 'text("a.txt", window = 3)', "E430", "3 chars"),
        (b"a b c", 'text("a.txt", window = 3, unit = "word")', "E430", "3 words"),
        (b"ab\ncd\xff\xfe", 'text("a.txt", window = 1)', "E427", "line 2"),
        (b"ab\ncd\n\0", 'text("a.txt", window = 1)', "E427", "line 3"),
        (b"\x1f\x8b\x08garbage", 'text("a.txt", window = 1)', "E405", "damaged"),
        (b"abc", 'text("a.txt", window = 0)', "E409", "window"),
        (b"abc", 'text("a.txt", window = 1, unit = "line")', "E409", "word"),
        (b"abc", 'text("a.txt", window = 1) -> normalize(text)', "E409", "class"),
        (b"abcdefgh", 'text("a.txt", window = 1) -> split(valid = 7)', "E412", "nothing is left"),
        (b"abc", 'text("a.txt", window = 1) -> bucket', "E434", "differ in length"),
    ],
)
def test_a_mistake_about_a_text_is_told_with_its_place(
    tmp_path: Path, content: bytes, text: str, code: str, says: str
) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    found = refusal(text, tmp_path)
    assert found.code == code and says in found.message + found.help


def test_a_gzip_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bomb.gz", "wb") as file:
        for _ in range(40):
            file.write(b"a" * (1 << 20))
    found = refusal('text("bomb.gz")', tmp_path)
    assert found.code == "E428"
    assert "unpacks to more than 17" in found.message  # MB: stopped as soon as it was clear


def test_a_cut_gzip_file_is_damaged(tmp_path: Path) -> None:
    whole = gzip.compress(bytes(range(32, 127)) * 100, mtime=0)
    (tmp_path / "cut.gz").write_bytes(whole[:-20])
    assert refusal('text("cut.gz")', tmp_path).code == "E405"
