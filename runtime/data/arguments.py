"""The arguments of a data source or step: literals, checked against what is taken.

In: a `Call` of the syntax tree. Out: a `Given` with a value of the right kind for every
parameter, and the place of each, so that later complaints point at the argument. Which
sources and steps there are is the registry's business.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...dsl import syntax as ast
from ...dsl.diagnostics import Failure, Label, did_you_mean, fail
from ...dsl.source import Span


class _Required:
    def __repr__(self) -> str:
        return "…"


REQUIRED = _Required()
_DEPTH = 32  # literals nest no deeper; a stranger's file must not exhaust the stack


@dataclass(frozen=True)
class Parameter:
    """One argument that a source or step takes."""

    name: str
    kind: str  # a key of `_KINDS`
    default: object = REQUIRED
    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if self.default is REQUIRED:
            return self.name
        return f"{self.name} = {_written(self.default)}"


@dataclass(frozen=True)
class Bare:
    """A word without quotes that is not a constant: the name of a field."""

    id: str


@dataclass(frozen=True)
class Scope:
    """What a data declaration is evaluated in."""

    base: Path
    constants: Mapping[str, object] = field(default_factory=dict)
    override_root: Path | None = None
    progress: Callable[[str, int, int], None] | None = None  # told of what takes long


@dataclass(frozen=True)
class Given:
    """The checked arguments of one call."""

    name: str
    span: Span
    scope: Scope
    values: Mapping[str, object]
    places: Mapping[str, Span]

    def integer(self, name: str) -> int:
        value = self.values[name]
        assert isinstance(value, int)
        return value

    def number(self, name: str) -> float:
        value = self.values[name]
        assert isinstance(value, int | float)
        return float(value)

    def share(self, name: str) -> int | float | None:
        value = self.values[name]
        assert value is None or isinstance(value, int | float)
        return value

    def text(self, name: str) -> str:
        value = self.values[name]
        assert isinstance(value, str)
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self.values[name] is None else self.text(name)

    def flag(self, name: str) -> bool:
        return self.values[name] is True

    def names(self, name: str) -> tuple[str, ...] | None:
        value = self.values[name]
        assert value is None or isinstance(value, tuple)
        return value

    def sizes(self, name: str) -> tuple[int, ...]:
        value = self.values[name]
        assert isinstance(value, tuple)
        return value

    def place(self, name: str) -> Span:
        return self.places.get(name, self.span)

    def fail(
        self, code: str, message: str, at: str = "", help: str = "", note: str = ""
    ) -> Failure:
        """A failure that points at the argument `at`, else at the call."""
        return fail(code, message, self.place(at), help=help, note=note)


@dataclass(frozen=True)
class Signature:
    """The parameters of a source or step; `extra` tells what else it takes.

    `"names"`: any number of words, as `select(image, digit)`;
    `"pairs"`: any named arguments, as `rename(image = pixels)`.
    """

    name: str
    parameters: tuple[Parameter, ...]
    extra: str = ""

    def __str__(self) -> str:
        shown = [str(p) for p in self.parameters]
        shown += {"names": ["name, …"], "pairs": ["name = …"]}.get(self.extra, [])
        return f"{self.name}({', '.join(shown)})"

    def bind(self, span: Span, arguments: tuple[ast.Argument, ...], scope: Scope) -> Given:
        """Check the arguments; every mistake of the call in one `Failure` E409."""
        known = {p.name: p for p in self.parameters}
        values: dict[str, object] = {}
        places: dict[str, Span] = {}
        failures = Failure()
        for position, argument in enumerate(arguments):
            try:
                parameter = self._parameter(position, argument, known, places)
                if parameter.name in places:
                    raise self._twice(argument, parameter, places)
                places[parameter.name] = argument.span
                value = literal(argument.value, scope.constants)
                values[parameter.name] = self._checked(parameter, value, argument)
            except Failure as failure:
                failures.diagnostics += failure.diagnostics
        if failures.diagnostics:
            raise Failure(failures.diagnostics)
        for parameter in self.parameters:
            if parameter.name in values:
                continue
            if parameter.default is REQUIRED:
                message = f"`{self.name}` needs `{parameter.name}`"
                raise fail("E409", message, span, help=f"write `{self}`")
            values[parameter.name] = parameter.default
        return Given(self.name, span, scope, values, places)

    def _parameter(
        self,
        position: int,
        argument: ast.Argument,
        known: Mapping[str, Parameter],
        seen: Mapping[str, Span],
    ) -> Parameter:
        if argument.name is None:
            if position < len(self.parameters):
                return self.parameters[position]
            if self.extra == "names":
                return Parameter(str(position), "name")
            message = f"`{self.name}` takes {len(self.parameters)} arguments by position"
            raise fail("E409", message, argument.span, help=f"write `{self}`")
        if argument.name in known:
            return known[argument.name]
        if self.extra == "pairs":
            return Parameter(argument.name, "word")
        near = did_you_mean(argument.name, known)
        message = f"`{self.name}` takes no `{argument.name}`"
        raise fail("E409", message, argument.span, help=near or f"write `{self}`")

    def _twice(
        self, argument: ast.Argument, parameter: Parameter, places: Mapping[str, Span]
    ) -> Failure:
        first = (Label(places[parameter.name], "first given here"),)
        message = f"`{parameter.name}` is given twice"
        return fail("E409", message, argument.span, labels=first, help="remove one of them")

    def _checked(self, parameter: Parameter, value: object, argument: ast.Argument) -> object:
        what, convert = _KINDS[parameter.kind]
        converted = convert(value)
        if converted is _WRONG:
            message = f"`{parameter.name}` of `{self.name}` is {what}, not {_written(value)}"
            raise fail("E409", message, argument.value.span, help=f"write `{self}`")
        if isinstance(converted, int | float) and not isinstance(converted, bool):
            self._check_range(parameter, converted, argument)
        return converted

    def _check_range(self, parameter: Parameter, value: float, argument: ast.Argument) -> None:
        if parameter.low <= value <= parameter.high:
            return
        bounds = f"at least {parameter.low:g}"
        if parameter.high < math.inf:
            bounds = f"from {parameter.low:g} to {parameter.high:g}"
        message = f"`{parameter.name}` of `{self.name}` must be {bounds}, got {value:g}"
        raise fail("E409", message, argument.value.span)


def literal(value: ast.Expr, constants: Mapping[str, object], depth: int = 0) -> object:
    """The value of an argument: a number, text, flag, word, or a tuple of these."""
    if depth > _DEPTH:
        raise fail("E409", "this argument is nested too deeply", value.span)
    match value:
        case ast.Number() | ast.String() | ast.Bool():
            return value.value
        case ast.Name():
            return constants.get(value.id, Bare(value.id))
        case ast.Tuple() | ast.List():
            return tuple(literal(item, constants, depth + 1) for item in value.items)
        case ast.Unary(op="-"):
            return _arithmetic(value, operator.sub, 0, literal(value.operand, constants, depth + 1))
        case ast.Binary() if value.op in _ARITHMETIC:
            left = literal(value.left, constants, depth + 1)
            right = literal(value.right, constants, depth + 1)
            return _arithmetic(value, _ARITHMETIC[value.op], left, right)
    raise fail(
        "E409",
        "an argument of a data source or step is a number, a text, a name or a list of these",
        value.span,
    )


_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def _arithmetic(
    at: ast.Expr, operation: Callable[[float, float], float], left: object, right: object
) -> object:
    if not _is_number(left) or not _is_number(right):
        raise fail("E409", "arithmetic needs numbers on both sides", at.span)
    assert isinstance(left, int | float) and isinstance(right, int | float)
    try:
        return operation(left, right)
    except (ZeroDivisionError, OverflowError) as error:
        raise fail("E409", f"this has no value: {error}", at.span) from error


# ---------------------------------------------------------------- kinds of argument

_WRONG = object()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _integer(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else _WRONG


def _number(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return _WRONG
    return value if _is_number(value) else _WRONG


def _text(value: object) -> object:
    return value if isinstance(value, str) else _WRONG


def _word(value: object) -> object:
    if isinstance(value, Bare):
        return value.id
    return value if isinstance(value, str) else _WRONG


def _flag(value: object) -> object:
    return value if isinstance(value, bool) else _WRONG


def _words(value: object) -> object:
    items = value if isinstance(value, tuple) else (value,)
    words = [_word(item) for item in items]
    return _WRONG if _WRONG in words else tuple(words)


def _sizes(value: object) -> object:
    items = value if isinstance(value, tuple) else (value,)
    sizes = [_integer(item) for item in items]
    good = all(isinstance(size, int) and size > 0 for size in sizes)
    return tuple(sizes) if good else _WRONG


def _classes(value: object) -> object:
    return value if isinstance(value, bool) else _integer(value)


_KINDS: Mapping[str, tuple[str, Callable[[object], object]]] = {
    "integer": ("a whole number", _integer),
    "number": ("a number", _number),
    "share": ("a fraction such as 0.1, or a number of examples", _number),
    "text": ('a text in quotes, such as "data/file.csv"', _text),
    "word": ("a name", _word),
    "name": ("the name of a field", _word),
    "names": ("a name or a list of names", _words),
    "flag": ("`true` or `false`", _flag),
    "sizes": ("a list of sizes, such as [28, 28]", _sizes),
    "classes": ("a number of classes, or `true`", _classes),
}


def _written(value: object) -> str:
    """A value as it would be typed in a `.net` file."""
    match value:
        case None:
            return "…"
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case Bare():
            return f"`{value.id}`"
        case tuple():
            return f"[{', '.join(map(_written, value))}]"
    return f"{value}"
