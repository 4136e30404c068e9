"""Grammar rules to syntax nodes: what the parser calls each time it completes a rule.

In: the children of a rule, already built (so there is no tree to walk afterwards, and no depth
that could be too deep). Out: the nodes of `syntax`. A method bears the name of its rule.
A mistake that the grammar lets through to be told better (two losses in one statement, a call of
a number) is raised here as a `Failure`; the parser reports it and goes on.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import syntax as s
from .diagnostics import Label, fail
from .operators import Operator, fold
from .source import Span

if TYPE_CHECKING:
    from .lexer import Lexeme

Children = list[Any]

_DEFINITIONS = {"block": s.Block, "net": s.Net, "optimizer": s.Optimizer}
_CONSTANTS: dict[str, type[s.Data] | type[s.Const]] = {"data": s.Data, "const": s.Const}
_PYTHON = {
    "True": "write `true`",
    "False": "write `false`",
    "None": "leave the setting out, or give it a value such as `0` or `false`",
}
MODIFIERS = {"frozen": "frozen", "tied": "tied_to", "decay": "decay", "from": "from_file"}


def _ident(word: Lexeme) -> s.Ident:
    return s.Ident(word.span, word.text)


def _around(children: Children) -> Span:
    """From the first child that is there to the last."""
    there = [child for child in children if child is not None]
    first: Span = there[0].span
    return first.to(there[-1].span)


class Builder:
    """One method per rule of `grammar.lark`."""

    # ------------------------------------------------------------ declarations

    def file(self, c: Children) -> tuple[s.Declaration, ...]:
        return tuple(c)

    def expression(self, c: Children) -> s.Expr:
        tree: s.Expr = c[0]
        return tree

    def definition(self, c: Children) -> s.Block:
        word, name, settings, (body, end) = c
        kind = _DEFINITIONS[word.text]
        return kind(word.span.to(end), _ident(name), "", settings or (), body)

    def constant(self, c: Children) -> s.Declaration:
        word, name, value = c
        return _CONSTANTS[word.text](word.span.to(value.span), _ident(name), "", value)

    def import_(self, c: Children) -> s.Import:
        word, path = c
        return s.Import(word.span.to(path.span), s.Ident(path.span, path.value), "", path)

    def train(self, c: Children) -> s.Train:
        word, name, settings, data, bindings, (body, end) = c
        given = settings[0] if settings else ()
        span = word.span.to(end)
        return s.Train(span, _ident(name), "", given, data, bindings or (), body)

    def generate(self, c: Children) -> s.Generate:
        word, name, net, (body, end) = c
        return s.Generate(word.span.to(end), _ident(name), "", net, body)

    def settings(self, c: Children) -> tuple[s.Setting, ...]:
        return tuple(item for item in c[1:-1] if item is not None)

    def setting(self, c: Children) -> s.Setting:
        return s.Setting(_around(c), _ident(c[0]), c[1])

    def bindings(self, c: Children) -> tuple[s.Binding, ...]:
        return tuple(c)

    def binding(self, c: Children) -> s.Binding:
        return s.Binding(_around(c), _ident(c[0]), _ident(c[1]))

    # ------------------------------------------------------------ statements

    def body(self, c: Children) -> tuple[tuple[s.Statement, ...], Span]:
        return tuple(c[1:-1]), c[-1].span

    directives = body

    def guarded(self, c: Children) -> s.Statement:
        statement: s.Statement
        guard: s.Guard | None
        statement, guard = c
        if guard is None:
            return statement
        return replace(statement, span=statement.span.to(guard.span), guard=guard)

    def guard(self, c: Children) -> s.Guard:
        return s.Guard(_around(c), c[1] if len(c) > 1 else None)

    def names(self, c: Children) -> tuple[s.Ident, ...]:
        return tuple(_ident(word) for word in c)

    def input(self, c: Children) -> s.Input:
        word, names, type_ = c
        return s.Input(word.span.to(type_.span), None, names, type_)

    def variable(self, c: Children) -> s.Statement:
        word, names, type_, start, *modifiers = c
        last = next(part for part in (*reversed(modifiers), start, type_, names[-1]) if part)
        span = word.span.to(last[-1] if isinstance(last, tuple) else last.span)
        value = start[1] if start and start[0] == "=" else None
        initialiser = start[1] if start and start[0] == "~" else None
        given = _modifiers(modifiers)
        if word.text == "param":
            return s.Param(
                span,
                None,
                names,
                type_,
                initialiser,
                value,
                given.get("frozen", False),
                given.get("tied_to"),
                given.get("decay"),
                given.get("from_file"),
            )
        if modifiers:
            keyword, _, place = modifiers[0]
            raise fail(
                "E123",
                f"`{keyword}` is for parameters, and this is a state",
                place,
                labels=(Label(word.span, "a state is never learned"),),
                help=f"remove `{keyword}`, or declare it with `param`",
            )
        return s.State(span, None, names, type_, value, initialiser)

    def start(self, c: Children) -> tuple[str, s.Expr, Span]:
        return "=", c[0], c[0].span

    def initialiser(self, c: Children) -> tuple[str, s.Expr, Span]:
        return "~", c[1], c[1].span

    def modifier(self, c: Children) -> tuple[str, Any, Span]:
        return c[0].text, c[1] if len(c) > 1 else True, _around(c)

    def update(self, c: Children) -> s.Update:
        return s.Update(_around(c), None, _ident(c[1]), c[2])

    def equation(self, c: Children) -> s.Equation:
        return s.Equation(c[0][0].span.to(c[1].span), None, c[0], c[1])

    def result(self, c: Children) -> s.Statement:
        word, items = c
        span = word.span.to(items[-1].span)
        if word.text == "output":
            return s.Output(span, None, items)
        if word.text == "yield":
            return s.Yield(span, None, items)
        if len(items) > 1:
            raise fail(
                "E114",
                f"`{word.text}` takes one expression",
                items[1].span,
                note="a second one",
                help=f"give it a `{word.text}` statement of its own",
            )
        kind = s.Loss if word.text == "loss" else s.Metric
        return kind(span, None, items[0].name, items[0].value)

    def items(self, c: Children) -> tuple[s.OutputItem, ...]:
        return tuple(s.OutputItem(a.span, _named(a.name, a.span), a.value) for a in c)

    def when(self, c: Children) -> s.When:
        word, condition, (body, end), _, rest = c
        if rest is None:
            otherwise: tuple[s.Statement, ...] = ()
        elif isinstance(rest, s.When):
            otherwise, end = (rest,), rest.span
        else:
            otherwise, end = rest
        return s.When(word.span.to(end), None, condition, body, otherwise)

    def repeat(self, c: Children) -> s.Repeat:
        word, count, (body, end) = c
        return s.Repeat(word.span.to(end), None, count, body)

    def for_(self, c: Children) -> s.For:
        word, variable, items, (body, end) = c
        return s.For(word.span.to(end), None, _ident(variable), items, body)

    def scan(self, c: Children) -> s.Scan:
        word, inputs, carries, options, (body, end) = c
        return s.Scan(word.span.to(end), None, inputs, carries or (), options or (), body)

    def scan_inputs(self, c: Children) -> tuple[s.ScanInput, ...]:
        return tuple(c)

    def scan_input(self, c: Children) -> s.ScanInput:
        return s.ScanInput(_around(c), _ident(c[0]), c[1])

    def carries(self, c: Children) -> tuple[s.Carry, ...]:
        return tuple(c)

    def carry(self, c: Children) -> s.Carry:
        return s.Carry(_around(c), _ident(c[0]), c[1], c[2])

    def options(self, c: Children) -> tuple[s.Argument, ...]:
        return tuple(c[1:-1])

    # ------------------------------------------------------------ train and generate

    def directive(self, c: Children) -> s.Directive:
        keyword, values, target = c
        last = target or (values[-1] if values else keyword)
        return s.Directive(keyword.span.to(last.span), _ident(keyword), values or (), target)

    def call_directive(self, c: Children) -> s.Directive:
        keyword, arguments = c
        call = self.call([self.name([keyword]), arguments])
        return s.Directive(call.span, _ident(keyword), (call,))

    def minimize(self, c: Children) -> s.Minimize:
        turns, word, loss, over, optimizer = c
        last = optimizer or (over[-1] if over else loss)
        first = turns[1] if turns else word.span
        return s.Minimize(
            first.to(last.span),
            _ident(word),
            (),
            loss=_ident(loss),
            over=over or (),
            optimizer=optimizer,
            turns=turns[0] if turns else None,
        )

    def turns(self, c: Children) -> tuple[s.Expr, Span]:
        return c[1], c[0].span

    def over(self, c: Children) -> tuple[s.Expr, ...]:
        return tuple(c[0])

    def load(self, c: Children) -> s.LoadInto:
        word, source, into, pairs = c
        last = pairs[-1] if pairs else (into or source)
        span = word.span.to(last.span)
        return s.LoadInto(span, _ident(word), pairs or (), source=source, into=into)

    def path(self, c: Children) -> s.Expr:
        found: s.Expr = self.name(c[:1])
        for part in c[1:]:
            found = s.Attribute(c[0].span.to(part.span), found, part.text)
        return found

    def pairs(self, c: Children) -> tuple[s.Expr, ...]:
        return tuple(c)

    def pair(self, c: Children) -> s.Tuple:
        return s.Tuple(_around(c), tuple(c))

    def expressions(self, c: Children) -> tuple[s.Expr, ...]:
        return tuple(c)

    # ------------------------------------------------------------ types

    def tensor(self, c: Children) -> s.TensorType:
        *sizes, close, dtype = c[1:]
        there = tuple(size for size in sizes if size is not None)
        end = (dtype or close).span
        return s.TensorType(c[0].span.to(end), there, dtype.text if dtype else None)

    def class_(self, c: Children) -> s.ClassType:
        return s.ClassType(_around(c), c[2])

    def tokens(self, c: Children) -> s.TokensType:
        return s.TokensType(_around(c), c[2], c[3])

    # ------------------------------------------------------------ expressions

    def expr(self, c: Children) -> s.Expr:
        if len(c) == 1:
            only: s.Expr = c[0]
            return only
        run: list[s.Expr | Operator] = []
        for item in c:
            if isinstance(item, s.Expr):
                run.append(item)
            else:
                prefix = not run or isinstance(run[-1], Operator)
                run.append(Operator(item.text, item.span, prefix))
        return fold(run)

    def name(self, c: Children) -> s.Name:
        word = c[0]
        if word.text in _PYTHON:
            raise fail(
                "E109",
                f"there is no `{word.text}` in this language",
                word.span,
                note="from another language",
                help=_PYTHON[word.text],
            )
        return s.Name(word.span, word.text)

    def number(self, c: Children) -> s.Number:
        return s.Number(c[0].span, number_value(c[0].text, c[0].span), c[0].text)

    def boolean(self, c: Children) -> s.Bool:
        return s.Bool(c[0].span, c[0].text == "true")

    def string(self, c: Children) -> s.String:
        text = c[0].text[1:-1]
        if "\\" in text:
            text = text.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\")
        return s.String(c[0].span, text)

    def paren(self, c: Children) -> s.Expr:
        inner: s.Expr = c[1]
        return replace(inner, span=c[0].span.to(c[2].span))

    def single(self, c: Children) -> s.Tuple:
        return s.Tuple(_around(c), (c[1],))

    def tuple_(self, c: Children) -> s.Tuple:
        return s.Tuple(_around(c), (c[1], *c[2]))

    def list_(self, c: Children) -> s.List:
        return s.List(_around(c), c[1] or ())

    def transpose(self, c: Children) -> s.Transpose:
        return s.Transpose(_around(c), c[0])

    def attribute(self, c: Children) -> s.Attribute:
        return s.Attribute(_around(c), c[0], c[1].text)

    def index(self, c: Children) -> s.Index:
        return s.Index(_around(c), c[0], tuple(c[2:-1]))

    def slice_(self, c: Children) -> s.Slice:
        start, colon, stop = c
        span = (start or colon).span.to((stop or colon).span)
        return s.Slice(span, start, stop)

    def ellipsis(self, c: Children) -> s.Ellipsis_:
        return s.Ellipsis_(c[0].span)

    def call(self, c: Children) -> s.Call:
        function, (arguments, end) = c
        span = function.span.to(end)
        if not isinstance(function, s.Name | s.Attribute | s.Call):
            raise fail(
                "E118",
                "only a name can be called",
                span,
                note="this calls a value",
                help="write `*` if you mean a product",
            )
        return s.Call(span, function, arguments)

    def arguments(self, c: Children) -> tuple[tuple[s.Argument, ...], Span]:
        given = tuple(item for item in c[1:-1] if item is not None)
        _check_order(given)
        return given, c[-1].span

    def argument(self, c: Children) -> s.Argument:
        name, value = c
        return s.Argument(_around(c), name.text if name else None, value)


def number_value(text: str, span: Span) -> int | float:
    """The value of a number as written; refuses what no 64-bit float can hold."""
    digits = text.replace("_", "")
    whole = digits.isdecimal()
    if len(digits) > 400 or not math.isfinite(value := float(digits)):
        raise fail(
            "E122",
            "this number is too large",
            span,
            note="more than a 64-bit float can hold",
            help="the largest is about 1.8e308",
        )
    return int(digits) if whole else value


def _named(name: str | None, span: Span) -> s.Ident | None:
    if name is None:
        return None
    return s.Ident(Span(span.source, span.start, span.start + len(name)), name)


def _modifiers(given: Children) -> dict[str, Any]:
    found: dict[str, Any] = {}
    places: dict[str, Span] = {}
    for keyword, value, place in given:
        if keyword in places:
            raise fail(
                "E123",
                f"`{keyword}` is written twice",
                place,
                note="the second time",
                labels=(Label(places[keyword], "the first time"),),
                help="keep one of them",
            )
        places[keyword] = place
        found[MODIFIERS[keyword]] = value
    return found


def _check_order(arguments: tuple[s.Argument, ...]) -> None:
    named: s.Argument | None = None
    for argument in arguments:
        if argument.name is not None:
            named = argument
        elif named is not None:
            raise fail(
                "E124",
                "an argument without a name follows a named one",
                argument.span,
                note="which setting is this?",
                labels=(Label(named.span, "named here"),),
                help="name it too, or move it before the named ones",
            )
