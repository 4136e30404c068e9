"""Literal arguments of the lines of a `train` block.

In: expressions of the syntax tree. Out: Python numbers, words and flags, checked against a table of
what a line takes. Every mistake is a `Failure` E276 at the argument to blame.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...dsl import syntax as ast
from ...dsl.diagnostics import did_you_mean, fail
from ...dsl.source import Span

_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": operator.pow,
}


@dataclass(frozen=True)
class Taken:
    """One argument of a call: `kind` is count, number, share or word."""

    name: str
    kind: str
    default: Any = ...
    low: float = 0.0
    high: float = math.inf

    def __str__(self) -> str:
        if self.default is ...:
            return self.name
        return f"{self.name} = {'…' if self.default in (None, '') else self.default}"


@dataclass(frozen=True)
class Signature:
    """What `name(…)` takes."""

    name: str
    taken: tuple[Taken, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.taken))})"

    def bind(
        self, span: Span, arguments: tuple[ast.Argument, ...], consts: Mapping[str, object]
    ) -> dict[str, Any]:
        """Values by name; what is not given has its default."""
        values: dict[str, Any] = {}
        known = {t.name: t for t in self.taken}
        for position, argument in enumerate(arguments):
            taken = self._taken(position, argument, known)
            if taken.name in values:
                message = f"`{taken.name}` is given twice"
                raise fail("E276", message, argument.span, help="remove one of them")
            values[taken.name] = checked(taken, argument.value, consts, f"of `{self.name}`")
        for taken in self.taken:
            if taken.name in values:
                continue
            if taken.default is ...:
                message = f"`{self.name}` needs `{taken.name}`"
                raise fail("E276", message, span, help=f"write `{self}`")
            values[taken.name] = taken.default
        return values

    def _taken(self, position: int, argument: ast.Argument, known: Mapping[str, Taken]) -> Taken:
        way_out = f"write `{self}`"
        if argument.name is None and position < len(self.taken):
            return self.taken[position]
        if argument.name is None:
            message = f"`{self.name}` takes {len(self.taken)} arguments at most"
            raise fail("E276", message, argument.span, help=way_out)
        if argument.name not in known:
            near = did_you_mean(argument.name, known)
            message = f"`{self.name}` takes no `{argument.name}`"
            raise fail("E276", message, argument.span, help=near or way_out)
        return known[argument.name]


def call_of(
    expr: ast.Expr, example: str = "`cosine(warmup = 2)`"
) -> tuple[str, Span, tuple[ast.Argument, ...]]:
    """`cosine` and `cosine(…)` alike, as a name and its arguments."""
    if isinstance(expr, ast.Name):
        return expr.id, expr.span, ()
    if isinstance(expr, ast.Call) and isinstance(expr.function, ast.Name):
        return expr.function.id, expr.span, expr.arguments
    raise fail("E276", f"expected a name with settings, such as {example}", expr.span)


_KINDS = {
    "count": "a whole number",
    "number": "a number",
    "share": "a number from 0 to 1",
    "word": "a name",
    "flag": "`true` or `false`",
}


def checked(taken: Taken, expr: ast.Expr, consts: Mapping[str, object], where: str = "") -> Any:
    """The value of an argument, if it is of the kind that is taken."""
    value: Any = literal(expr, consts)
    name = " ".join(filter(None, (f"`{taken.name}`", where)))
    if taken.kind == "word":
        good = isinstance(value, str)
    elif taken.kind == "flag":
        good = isinstance(value, bool)
    else:
        good = isinstance(value, int | float) and not isinstance(value, bool)
    if good and taken.kind == "count":
        good = float(value).is_integer()
        value = int(value) if good else value
    if good and taken.kind == "share":
        good = 0 <= value <= 1
    if not good:
        shown = expr.span.text
        raise fail("E276", f"{name} is {_KINDS[taken.kind]}, not `{shown}`", expr.span)
    if taken.kind in ("count", "number") and not value >= taken.low:
        raise fail("E276", f"{name} must be at least {taken.low:g}, got {value:g}", expr.span)
    if taken.kind in ("count", "number") and value > taken.high:
        raise fail("E276", f"{name} must be at most {taken.high:g}, got {value:g}", expr.span)
    return value


def literal(expr: ast.Expr, consts: Mapping[str, object]) -> object:
    """A number, flag or text; a name that is no constant is a word."""
    match expr:
        case ast.Number() | ast.Bool() | ast.String():
            return expr.value
        case ast.Name():
            return consts.get(expr.id, expr.id)
        case ast.Unary(op="-"):
            return -_number(expr.operand, consts)
        case ast.Binary() if expr.op in _ARITHMETIC:
            left, right = _number(expr.left, consts), _number(expr.right, consts)
            try:
                return _ARITHMETIC[expr.op](left, right)
            except (ArithmeticError, ValueError) as error:
                raise fail("E276", f"this has no value: {error}", expr.span) from error
    raise fail("E276", "expected a number or a name here", expr.span)


def _number(expr: ast.Expr, consts: Mapping[str, object]) -> float:
    value = literal(expr, consts)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fail("E276", f"arithmetic needs numbers, and `{expr.span.text}` is none", expr.span)
    return value
