"""Statements that parse, but stand where they can mean nothing.

In: declarations. Out: diagnostics. Only what shows without knowing any name or shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .diagnostics import Diagnostic, Label
from .syntax import (
    Block,
    Call,
    Declaration,
    Expr,
    For,
    Input,
    Loss,
    Metric,
    Name,
    Net,
    Optimizer,
    Param,
    Repeat,
    Scan,
    Statement,
    When,
    Yield,
)

# Names that only draw first values. As a value they are a `~` typed wrong.
INITIALISERS = {"glorot", "xavier", "he", "kaiming", "lecun", "orthogonal"}


def misplaced(declarations: Iterable[Declaration]) -> list[Diagnostic]:
    """One diagnostic for each statement that stands in the wrong place."""
    found: list[Diagnostic] = []
    for declaration in declarations:
        if isinstance(declaration, Block):
            for statement, scan in _all(declaration.body):
                diagnostic = _check(declaration, statement, scan)
                if diagnostic is not None:
                    found.append(diagnostic)
    return found


def _all(body: tuple[Statement, ...]) -> Iterator[tuple[Statement, Scan | None]]:
    """Every statement with the innermost scan around it."""
    waiting: list[tuple[Statement, Scan | None]] = [(s, None) for s in reversed(body)]
    while waiting:
        statement, scan = waiting.pop()
        yield statement, scan
        inner: tuple[Statement, ...] = ()
        if isinstance(statement, When):
            inner = statement.body + statement.otherwise
        elif isinstance(statement, Repeat | For | Scan):
            inner = statement.body
            scan = statement if isinstance(statement, Scan) else scan
        waiting += [(s, scan) for s in reversed(inner)]


def _check(block: Block, statement: Statement, scan: Scan | None) -> Diagnostic | None:
    if isinstance(statement, Loss | Metric) and not isinstance(block, Net):
        return _loss_outside_net(block, statement)
    if isinstance(statement, Yield) and scan is None:
        return Diagnostic(
            "E116",
            "`yield` stands inside `scan`",
            statement.span,
            "no scan around this",
            help="write `output` to give a value out of a block",
        )
    if isinstance(statement, Input | Param) and scan is not None:
        word = "input" if isinstance(statement, Input) else "param"
        return Diagnostic(
            "E116",
            f"`{word}` stands outside `scan`: every step shares it",
            statement.span,
            "inside a scan",
            (Label(scan.span, "this scan"),),
            f"move the `{word}` above the scan",
        )
    if isinstance(statement, Param):
        return _initialiser_as_value(statement)
    return None


def _loss_outside_net(block: Block, statement: Loss | Metric) -> Diagnostic:
    word = "loss" if isinstance(statement, Loss) else "metric"
    kind = "an optimizer" if isinstance(block, Optimizer) else "a block"
    return Diagnostic(
        "E116",
        f"only a net has a `{word}`, and `{block.name.id}` is {kind}",
        statement.span,
        "not here",
        (Label(block.name.span, f"{kind}, not a net"),),
        f"write `net {block.name.id}`, or move the `{word}` into the net that uses it",
    )


def _initialiser_as_value(param: Param) -> Diagnostic | None:
    value: Expr | None = param.value
    name = value.function if isinstance(value, Call) else value
    if value is None or not isinstance(name, Name) or name.id not in INITIALISERS:
        return None
    return Diagnostic(
        "E115",
        f"`{name.id}` is an initialiser, not a value",
        value.span,
        "drawn at random, so it follows `~`",
        help=f"write `~ {value.span.text}` instead of `= {value.span.text}`",
    )
