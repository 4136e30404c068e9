"""Short ways to parse in tests."""

from __future__ import annotations

from chainrule.dsl.diagnostics import Diagnostic
from chainrule.dsl.format import format_source
from chainrule.dsl.parse import parse, parse_partial
from chainrule.dsl.source import Source
from chainrule.dsl.syntax import File, Statement


def file(text: str) -> File:
    return parse(Source("test.net", text))


def statements(text: str) -> tuple[Statement, ...]:
    """The statements of a net with this body."""
    (net,) = file(f"net n {{\n{text}\n}}\n").declarations
    return net.body  # type: ignore[attr-defined, no-any-return]


def wrong(text: str) -> list[Diagnostic]:
    """The diagnostics of a whole file."""
    return parse_partial(Source("test.net", text))[1]


def formatted(text: str) -> str:
    return format_source(Source("test.net", text))
