"""The compiled grammar is kept between runs, and never trusted from a place others can write to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chainrule.dsl.lexer import GRAMMAR, TERMINALS, WORDS, Lexeme, grammar
from chainrule.dsl.source import Source, Span
from chainrule.dsl.syntax import Const

compile_grammar = grammar.__wrapped__


def value(parser: object) -> object:
    """What a freshly made parser makes of a number."""
    words = [("CONSTANT", "const"), ("NAME", "a"), ("_EQ", "="), ("NUMBER", "7"), ("_NL", "\n")]
    span = Span(Source("t", "const a = 7\n"), 0, 1)
    state = parser.parse_interactive("", start="file").parser_state  # type: ignore[attr-defined]
    for kind, text in words:
        state.feed_token(Lexeme(kind, text, span))
    (const,) = state.feed_token(Lexeme("$END", "", span), is_end=True)
    assert isinstance(const, Const)
    return const.value.value  # type: ignore[attr-defined]


def test_the_tables_are_kept_and_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    assert value(compile_grammar()) == 7
    (kept,) = tmp_path.iterdir()
    stamp = kept.stat().st_mtime_ns
    assert value(compile_grammar()) == 7
    assert kept.stat().st_mtime_ns == stamp


def test_spoilt_tables_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    compile_grammar()
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    for spoilt in (b"", b"nonsense", whole[: len(whole) // 2]):
        kept.write_bytes(spoilt)
        assert value(compile_grammar()) == 7
        assert len(kept.read_bytes()) > len(whole) // 2


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX systems")
def test_a_folder_that_others_can_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    tmp_path.chmod(0o777)
    assert value(compile_grammar()) == 7
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_to_keep_them_the_tables_are_made_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", str(GRAMMAR / "inside-a-file"))
    assert value(compile_grammar()) == 7


def test_every_word_of_the_tables_is_a_terminal_of_the_grammar() -> None:
    parser = grammar()
    states = parser.parse_interactive("", start="file").parser_state.parse_conf.states
    terminals = {kind for state in states.values() for kind in state}
    for kinds in (*WORDS.values(), *TERMINALS.values()):
        assert terminals.issuperset(kinds)


def test_no_state_has_two_readings_of_a_word() -> None:
    parser = grammar()
    states = parser.parse_interactive("", start="file").parser_state.parse_conf.states
    for kinds in (*WORDS.values(), *TERMINALS.values()):
        for state in states.values():
            assert len([kind for kind in kinds if kind in state]) <= 1
