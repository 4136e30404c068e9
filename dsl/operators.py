"""Operators and how tightly they bind: the one table for the parser and the formatter.

In: a flat run of operands and operators. Out: the tree. Loops only, so that a sum of ten thousand
terms is no deeper for Python than one of two.
"""

from __future__ import annotations

from dataclasses import dataclass

from .diagnostics import Diagnostic, Failure
from .source import Span
from .syntax import Attribute, Binary, Call, Expr, Name, Pipe, Unary

PIPE, OR, AND, NOT, COMPARE, ADD, MULTIPLY, MATMUL, NEGATE, POWER, POSTFIX = range(11)

BINARY: dict[str, int] = {
    "->": PIPE,
    "or": OR,
    "and": AND,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), COMPARE),
    **dict.fromkeys(("+", "-"), ADD),
    **dict.fromkeys(("*", "/"), MULTIPLY),
    "@": MATMUL,
    "^": POWER,
}
PREFIX: dict[str, int] = {"not": NOT, "-": NEGATE}


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator in a run: its text and place, and whether it stands before its one operand."""

    text: str
    span: Span
    prefix: bool

    @property
    def binding(self) -> int:
        return (PREFIX if self.prefix else BINARY)[self.text]


def fold(run: list[Expr | Operator]) -> Expr:
    """The tree of a run, by operator precedence (Dijkstra's two stacks)."""
    operands: list[Expr] = []
    waiting: list[Operator] = []
    for item in run:
        if not isinstance(item, Operator):
            operands.append(item)
            continue
        while waiting and not item.prefix and _binds_first(waiting[-1], item):
            _reduce(operands, waiting.pop())
        waiting.append(item)
    while waiting:
        _reduce(operands, waiting.pop())
    return operands[0]


def _binds_first(left: Operator, right: Operator) -> bool:
    if left.binding == right.binding == COMPARE:
        raise _chained(left, right)
    if left.binding == POWER:  # 2^3^2 is 2^(3^2)
        return right.binding < POWER
    return left.binding >= right.binding


def _reduce(operands: list[Expr], operator: Operator) -> None:
    right = operands.pop()
    if operator.prefix:
        operands.append(Unary(operator.span.to(right.span), operator.text, right))
        return
    left = operands.pop()
    span = left.span.to(right.span)
    if operator.text == "->":
        operands.append(Pipe(span, left, _stage(operator, right)))
    else:
        operands.append(Binary(span, operator.text, left, right, operator.span))


def _stage(arrow: Operator, stage: Expr) -> Expr:
    if isinstance(stage, Name | Attribute | Call):
        return stage
    what = "only a layer or a function can stand after `->`"
    if isinstance(stage, Binary):
        hint = "`->` binds loosest: put the piped part in parentheses, as in `(x -> f) + b`"
    else:
        hint = "write the name of a layer or function, with its settings: `x -> dense(128)`"
    raise Failure([Diagnostic("E118", what, stage.span, "this is a value", help=hint)])


def _chained(left: Operator, right: Operator) -> Failure:
    hint = f"compare twice: `a {left.text} b and b {right.text} c`"
    note = "a second comparison of the same value"
    message = "comparisons cannot be chained"
    return Failure([Diagnostic("E119", message, right.span, note, help=hint)])
