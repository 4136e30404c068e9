"""The formatter's layout, and the comments that it must not lose."""

from __future__ import annotations

import pytest

from .test_parse import DIGITS
from .texts import file, formatted


def body(text: str) -> str:
    """A block's formatted body, without its indent."""
    lines = formatted(f"block b {{\n{text}\n}}\n").splitlines()[1:-1]
    return "\n".join(line.removeprefix("  ") for line in lines)


def test_the_first_example_of_the_language_page_is_already_formatted() -> None:
    assert formatted(DIGITS) == DIGITS


def test_spaces_and_brackets_are_made_uniform() -> None:
    assert body("y=f( x ,n=3)+(a*b)-(c^2)\toutput_=[ 1,2 ]".replace("\t", "\n")) == (
        "y       = f(x, n = 3) + a * b - c^2\noutput_ = [1, 2]"
    )


def test_needed_brackets_stay_and_others_go() -> None:
    assert (
        body("y = ((a + b)) * (c) - (d - e) + (x -> f)") == "y = (a + b) * c - (d - e) + (x -> f)"
    )


def test_columns_line_up_within_neighbouring_lines_only() -> None:
    text = "param W: [n] ~ glorot\nparam bias: [n] = 0\n\nparam x: [n] = 1"
    assert body(text) == "param W: [n]    ~ glorot\nparam bias: [n] = 0\n\nparam x: [n] = 1"


def test_columns_that_would_leave_a_wide_gap_stay_ragged() -> None:
    text = "param Wf, Wi, Wo, Wc: [units, units + n] ~ glorot\nparam bf: [units] = 1"
    assert body(text) == text


def test_guards_stand_in_a_column() -> None:
    text = "output W @ x + b when bias\noutput W otherwise"
    assert body(text) == "output W @ x + b    when bias\noutput W            otherwise"


@pytest.mark.parametrize(
    "text",
    [
        "# top\n\nconst a = 1  # side\n# below\n",
        "net a {  # opening\n  # first\n\n  x = 1  # one\n  # last\n}  # closing\n",
        "net a {\n  when c {  # if\n    x = 1\n    # in\n  } otherwise {  # else\n    x = 2\n"
        "  }\n}\n",
        "train a on b {\n  batch 1  # few\n  # end\n}\n",
        "#!bang\n## two\n#\n# ascii:   art\nconst a = 1\n",
        "block a {\n  # only a comment\n}\n",
        "net a {\n  repeat 3 {\n    x = 1\n  } when deep  # after\n}\n",
    ],
)
def test_comments_and_blank_lines_stay_where_they_are(text: str) -> None:
    assert formatted(text) == text


def test_comments_inside_a_statement_move_to_its_end() -> None:
    text = "net a {\n  x = f(1,  # one\n    # two\n    2)  # three\n}\n"
    assert formatted(text) == "net a {\n  x = f(1, 2)  # one  # two  # three\n}\n"


def test_no_comment_is_lost_wherever_it_stands() -> None:
    words = DIGITS.split()
    for at in range(len(words)):
        line = DIGITS.split("\n")
        if at >= len(line):
            break
        line[at] += "  # found" if "#" not in line[at] else " found"
        text = formatted("\n".join(line))
        assert text.count("found") == 1, text
        assert formatted(text) == text


def test_several_blank_lines_become_one() -> None:
    assert formatted("\n\nconst a = 1\n\n\n\nconst b = 2\n\n") == "const a = 1\n\nconst b = 2\n"


def test_a_blank_line_parts_declarations_with_bodies() -> None:
    text = "const a = 1\n# doc\nblock b {\n\n  output 1\n\n}\nconst c = 1\n"
    assert formatted(text) == ("const a = 1\n\n# doc\nblock b {\n  output 1\n}\n\nconst c = 1\n")


def test_long_pipes_break_before_each_stage() -> None:
    stages = [f"dense(units = {n}, activation = relu)" for n in range(5)]
    text = formatted(f"data d = source -> {' -> '.join(stages)}\n")
    assert text.splitlines() == ["data d = source", *(f"    -> {stage}" for stage in stages)]


def test_long_sums_and_calls_break_and_settle() -> None:
    terms = " + ".join(f"some_long_name_{n} * other" for n in range(9))
    arguments = ", ".join(f"argument_{n} = value_{n} + f(x)" for n in range(9))
    text = formatted(f"net n {{\n  y = {terms}\n  z = call({arguments}) when bias\n}}\n")
    assert all(len(line) <= 100 for line in text.splitlines())
    assert len(text.splitlines()) > 10
    assert formatted(text) == text
    assert len(file(text).declarations[0].body) == 2  # type: ignore[attr-defined]


def test_an_empty_file_is_empty() -> None:
    assert formatted("") == ""
    assert formatted("\n \n") == ""
    assert formatted("# only this") == "# only this\n"
