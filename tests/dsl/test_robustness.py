"""Whatever the bytes, the parser answers with a tree or a `Failure`, and in linear time."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.format import format_expr, format_source
from chainrule.dsl.parse import MAX_CHARACTERS, parse, parse_expression, read
from chainrule.dsl.source import Source

from .test_parse import DIGITS, LSTM
from .texts import wrong

CALM = settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
SAMPLE = Path(__file__).with_name("sample.net").read_text(encoding="utf-8")
SIGNS = ("(", ")", "[", "]", "{", "}", "=", "~", ":", ",", "->", "'", '"', ";", "**", "#", "\n")
WORDS = sorted({*SAMPLE.split(), *SIGNS, "when", "otherwise"})


def answers(text: str) -> None:
    """A tree or a `Failure` that can be shown; and never the same place twice."""
    source = Source("t", text)
    try:
        parse(source)
    except Failure as failure:
        assert failure.diagnostics
        for diagnostic in failure.diagnostics:
            diagnostic.render()
            diagnostic.as_json()
    else:
        once = format_source(source)
        assert format_source(Source("t", once)) == once


@CALM
@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    answers(text)


@CALM
@given(st.lists(st.sampled_from(WORDS), max_size=40))
def test_any_row_of_words(words: list[str]) -> None:
    answers(" ".join(words))


@pytest.mark.parametrize("seed", range(120))
def test_a_file_with_pieces_lost_doubled_or_swapped(seed: int) -> None:
    chance = random.Random(seed)
    text = chance.choice([DIGITS, LSTM, SAMPLE])
    for _ in range(chance.randint(1, 4)):
        at, to = sorted(chance.choices(range(len(text) + 1), k=2))
        to = min(to, at + chance.choice([1, 1, 1, 5, 40]))
        kind = chance.randrange(4)
        if kind == 0:
            text = text[:at] + text[to:]
        elif kind == 1:
            text = text[:to] + text[at:]
        elif kind == 2:
            text = text[:at] + chance.choice(WORDS) + text[at:]
        else:
            text = text[:at] + chance.choice("(){}[]\"'=:,~\n#$→\t\r\x00é") + text[to:]
    answers(text)


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_any_bytes_in_a_file(data: bytes) -> None:
    path = Path(_FOLDER[0]) / "any.net"
    path.write_bytes(data)
    try:
        source = read(path)
    except Failure as failure:
        assert failure.diagnostics[0].code == "E120"
    else:
        answers(source.text)


_FOLDER: list[str] = [""]


@pytest.fixture(autouse=True, scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    _FOLDER[0] = str(tmp_path_factory.mktemp("bytes"))


def test_files_that_are_no_text_are_refused_with_the_reason(tmp_path: Path) -> None:
    cases = {"latin.net": b"# caf\xe9\n", "missing.net": None, "folder.net": None}
    (tmp_path / "folder.net").mkdir()
    for name, data in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(Failure) as caught:
            read(tmp_path / name)
        assert caught.value.diagnostics[0].code == "E120"
    (zero,) = wrong("const a = 1\nconst b = \0")
    assert zero.code == "E120" and zero.span and zero.span.line == 2
    (large,) = wrong("#" * (MAX_CHARACTERS + 1))
    assert large.code == "E120"


def test_nesting_has_a_limit_that_is_told() -> None:
    for sign, close in ("()", "[]"):
        deep = sign * 199 + "1" + close * 199
        assert wrong(f"const x = {deep}\n") == []
        (diagnostic,) = wrong(f"const x = {sign}{sign}{deep}{close}{close}\n")
        assert diagnostic.code == "E121"
    (diagnostic,) = wrong("(" * 100_000)
    assert diagnostic.code == "E121"
    assert {d.code for d in wrong("net n {\n" * 1000)} == {"E101"}


@pytest.mark.parametrize(
    "text",
    [
        " + ".join(["x"] * 10_000),
        "^".join(["2"] * 10_000),
        "-" * 10_000 + "x",
        "not " * 10_000 + "x",
        "x" + "'" * 10_000,
        "x" + " -> f" * 10_000,
        "f" + "(1)" * 10_000,
        "a" + ".b" * 10_000,
    ],
    ids=lambda text: text[:8],
)
def test_long_chains_are_no_deeper_than_short_ones(text: str) -> None:
    tree = parse_expression(Source("e", text))
    assert format_expr(tree) == text


def test_bodies_nest_to_the_limit_and_print() -> None:
    text = "net n {\n" + "when a {\n" * 150 + "x = 1\n" + "}\n" * 151
    once = format_source(Source("t", text))
    assert format_source(Source("t", once)) == once


@pytest.mark.parametrize(
    "text",
    [
        "x = a\n" + "\n" * 200_000 + "-> f\n",
        "net n {\n" + "a b c\n" * 40_000 + "}\n",
        "net n {\n scan x in " + "(x) + " * 20_000 + "x { yield x }\n}\n",
        "}" * 50_000,
        "net n { " * 5_000,
        '"' * 100_000,
        "# comment\n" * 50_000 + "const a = 1\n",
    ],
    ids=lambda text: text[:10],
)
def test_no_text_takes_more_than_linear_time(text: str) -> None:
    start = time.process_time()
    wrong(text)
    assert time.process_time() - start < 10


def test_a_long_file_parses_in_seconds() -> None:
    lines = [f"  h{n} = sigmoid(W{n} @ x + b{n})" for n in range(20_000)]
    text = "block b {\n" + "\n".join(lines) + "\n}\n"
    start = time.process_time()
    file = parse(Source("t", text))
    assert time.process_time() - start < 15
    assert len(file.declarations[0].body) == 20_000  # type: ignore[attr-defined]
