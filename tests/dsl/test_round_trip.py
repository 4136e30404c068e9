"""Formatting is the inverse of parsing, for files of every shape."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from chainrule.dsl import syntax as s
from chainrule.dsl.compare import same, same_syntax
from chainrule.dsl.format import format_expr, format_file, format_source
from chainrule.dsl.parse import parse, parse_expression
from chainrule.dsl.source import Source

from . import strategies

CALM = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@CALM
@given(strategies.expressions)
def test_a_formatted_expression_parses_to_the_same_tree(expr: s.Expr) -> None:
    text = format_expr(expr)
    assert same(parse_expression(Source("e", text)), expr), text


@CALM
@given(strategies.files())
def test_a_formatted_file_parses_to_the_same_tree_and_formats_to_itself(file: s.File) -> None:
    text = format_file(file)
    again = parse(Source("f", text))
    assert same_syntax(again, file), text
    assert format_source(Source("f", text)) == text


SAMPLES = [Path(__file__).with_name("sample.net")]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_written_file_keeps_its_meaning_and_settles_at_once(path: Path) -> None:
    source = Source(path.name, path.read_text(encoding="utf-8"))
    text = format_source(source)
    formatted = Source(path.name, text)
    assert same_syntax(parse(source), parse(formatted))
    assert format_source(formatted) == text
    assert all(len(line) <= 100 for line in text.splitlines() if "#" not in line)


def test_trees_that_differ_in_one_leaf_are_told_apart() -> None:
    one = parse(Source("a", "const a = f(1 + x)\n"))
    assert same_syntax(one, parse(Source("b", "const  a=f( 1+x )  # same\n")))
    for other in ("const a = f(1 + y)", "const a = f(1 - x)", "const b = f(1 + x)"):
        assert not same_syntax(one, parse(Source("c", other + "\n"))), other
