"""The statements of one block instance, run in order.

A statement that fails is reported, what it would have defined is poisoned, and the next one is
tried: a user sees all independent mistakes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from ...dsl import syntax as s
from ...dsl.diagnostics import Diagnostic, Failure, Label, fail
from ...dsl.source import Span
from ..graph import Leaf, Output, leaf
from ..op import cast as convert
from ..op import constant
from ..value import Value
from .clocks import clock_declared
from .expressions import describe, evaluate, operand
from .recurrence import run_scan, run_yield
from .scope import POISON, Meaning, Poisoned, Record, Scope
from .unfinished import unfinished
from .variables import bind, declared_type, new_leaf, run_param, run_state

MAX_TURNS = 100_000


def run_body(body: tuple[s.Statement, ...], scope: Scope, top: bool) -> None:
    """Run statements. `top`: this is the net itself, whose inputs are data."""
    for statement in body:
        before = len(scope.net.diagnostics)
        try:
            scope.net.budget.spend(statement.span)
            if _chosen(statement, scope):
                scope.target = ""
                _RUN[type(statement)](statement, scope, top)
        except Failure as failure:
            _leave(statement, scope, top, [*scope.net.diagnostics[before:], *failure.diagnostics])
            scope.report(failure)
        except Poisoned:
            _leave(statement, scope, top, scope.net.diagnostics[before:])


def _leave(statement: s.Statement, scope: Scope, top: bool, found: Sequence[Diagnostic]) -> None:
    """Give a statement up: what it would have defined means nothing from here on."""
    if top:
        known = unfinished(statement, scope, found, defined_by(statement))
        scope.net.unfinished.append(known)
    _poison(statement, scope)


def _chosen(statement: s.Statement, scope: Scope) -> bool:
    """Is the guard of a statement true? `otherwise` is what the guarded statements directly above
    leave over: those about the same name where there are any, else all of them."""
    guard = statement.guard
    if guard is None:
        scope.chain.clear()
        return True
    subjects = _subjects(statement)
    if guard.condition is not None:
        chosen = condition(guard.condition, scope)
        scope.chain.append((subjects, chosen))
        if not chosen:
            scope.skipped |= dict.fromkeys(defined_by(statement), guard.condition.span)
        return chosen
    if not scope.chain:
        raise fail(
            "E240",
            "`otherwise` without a `when` just before it",
            guard.span,
            help="put it directly below the statement with `when`",
        )
    same = [taken for other, taken in scope.chain if other & subjects]
    return not any(same or [taken for _, taken in scope.chain])


def _subjects(statement: s.Statement) -> frozenset[str]:
    """The names that a statement defines, or what kind of statement it is."""
    return frozenset(defined_by(statement)) or frozenset({type(statement).__name__})


def condition(e: s.Expr, scope: Scope) -> bool:
    """A truth value known at compile time; `training` is one. Raises Failure E241."""
    if isinstance(e, s.Name) and e.id == "training" and "training" not in scope.names:
        return scope.training
    if isinstance(e, s.Unary) and e.op == "not":
        return not condition(e.operand, scope)
    if isinstance(e, s.Binary) and e.op in ("and", "or"):
        left, right = condition(e.left, scope), condition(e.right, scope)
        return (left and right) if e.op == "and" else (left or right)
    value = evaluate(e, scope)
    if isinstance(value, Value):
        raise fail(
            "E241",
            "`when` chooses at compile time, but this depends on the data",
            e.span,
            help="use `where(condition, a, b)` to choose for each element",
        )
    if not isinstance(value, bool | int):
        raise fail(
            "E241",
            f"a condition is true or false, got {describe(value)}",
            e.span,
            help="compare it: `when units > 1`",
        )
    return bool(value)


def _poison(statement: s.Statement, scope: Scope) -> None:
    for name in defined_by(statement):
        scope.names.setdefault(name, POISON)
    if isinstance(statement, s.Output):
        for item in statement.items:
            scope.results.setdefault(item.name.id if item.name else "output", cast(Value, POISON))


def defined_by(statement: s.Statement) -> list[str]:
    """The names that a statement gives a meaning to, whatever its guard."""
    if isinstance(statement, s.Equation):
        return [t.id for t in statement.targets]
    if isinstance(statement, s.Param | s.State | s.Input):
        return [n.id for n in statement.names]
    if isinstance(statement, s.Output):
        return [i.name.id for i in statement.items if i.name]
    if isinstance(statement, s.Scan):
        return ["yielded", *(c.name.id for c in statement.carries)]
    inner = [*getattr(statement, "body", ()), *getattr(statement, "otherwise", ())]
    return [name for each in inner for name in defined_by(each)]


# ---------------------------------------------------------------- one kind of statement each


def _input(statement: s.Input, scope: Scope, top: bool) -> None:
    if not top:
        return  # bound by the application
    type = declared_type(statement.type, scope, batched=True)
    clock = clock_declared(statement.type, scope)
    for name in statement.names:
        value = leaf("input", name.id, type, name.span)
        if clock:
            value = Value(value.op, (), {**value.attrs, "clock": clock}, type, value.origin)
        new_leaf(Leaf(value, "input", span=name.span), name.span, scope)
        bind(name, value, scope)


def _update(statement: s.Update, scope: Scope, top: bool) -> None:
    target = scope.lookup(statement.name.id)
    if not isinstance(target, Value) or target.op.name != "state":
        learned = isinstance(target, Value) and target.op.name == "param"
        word = statement.name.id
        raise fail(
            "E245",
            f"`{word}` is not a state, so it cannot be updated",
            statement.name.span,
            note="a parameter" if learned else "not a state",
            labels=(Label(scope.defined[word], "defined here"),) if word in scope.defined else (),
            help="parameters are changed by the optimizer that `train` names"
            if learned
            else f"declare it above: `state {word}: [n] = 0`",
        )
    if scope.net.recurrences:
        raise fail(
            "E284",
            "a state is updated once for each batch, not at every step of a scan",
            statement.span,
            labels=(Label(scope.net.recurrences[-1].span, "this scan"),),
            help="normalise with `layernorm` in a scan, or update a state outside of it",
        )
    value = _tensor(statement.value, scope)
    if not scope.training:
        return
    if value.shape != target.shape or value.type.batched:
        raise fail(
            "E312",
            f"`{statement.name.id}` is {target.type}, its update"
            f" {value.type}{' for every example' if value.type.batched else ''}",
            statement.value.span,
            labels=(Label(target.origin.span, f"`{statement.name.id}` is declared here"),)
            if target.origin.span
            else (),
            help="a state is shared by the batch: reduce it, as in `mean(x, over = batch)`"
            if value.type.batched
            else "",
        )
    name = str(target.attrs["name"])
    outputs = scope.net.outputs
    outputs.append(
        Output("update", name, convert(value, target.type.dtype), target, statement.span)
    )


def _tensor(e: s.Expr, scope: Scope) -> Value:
    x = operand(evaluate(e, scope), e.span, scope)
    return x if isinstance(x, Value) else constant(x, scope.net.dtype)


def _equation(statement: s.Equation, scope: Scope, top: bool) -> None:
    targets = statement.targets
    scope.target = targets[0].id if len(targets) == 1 else ""
    meaning = evaluate(statement.value, scope)
    scope.target = ""
    if len(targets) == 1:
        bind(targets[0], _named(meaning, targets[0].id, statement.value, scope), scope)
        return
    parts: tuple[Meaning, ...] = meaning if isinstance(meaning, tuple) else ()
    if isinstance(meaning, Record):
        parts = tuple(meaning.fields.values())
    if len(parts) != len(targets):
        raise fail(
            "E246",
            f"{len(targets)} names on the left, {len(parts) or 1} on the right",
            targets[0].span.to(targets[-1].span),
            note=f"{len(targets)} names",
            labels=(Label(statement.value.span, _several(meaning)),),
            help="give as many names as the block has outputs",
        )
    for name, part in zip(targets, parts, strict=True):
        bind(name, _named(part, name.id, statement.value, scope), scope)


def _several(meaning: Meaning) -> str:
    if isinstance(meaning, Record):
        return f"{len(meaning.fields)} outputs: {', '.join(meaning.fields)}"
    return describe(meaning)


def _named(meaning: Meaning, name: str, e: s.Expr, scope: Scope) -> Meaning:
    """A computed value takes the name of its equation; a second name for a value does not rename
    it.
    """
    computed = isinstance(meaning, Value) and meaning.op.family != "leaf"
    if isinstance(meaning, Value) and computed and not isinstance(e, s.Name | s.Attribute):
        return meaning.named(name, f"{scope.path}.{name}" if scope.path else name)
    return meaning


def _output(statement: s.Output, scope: Scope, top: bool) -> None:
    for item in statement.items:
        value = _tensor(item.value, scope)
        word = item.name.id if item.name else "output"
        if word in scope.results:
            raise fail(
                "E206",
                f"the output `{word}` is given twice",
                item.span,
                note="again here",
                labels=(Label(scope.given_at[word], "first given here"),)
                if word in scope.given_at
                else (),
                help="name them: `output mean = …, spread = …`",
            )
        scope.given_at[word] = item.span
        if item.name is not None and not _says_itself(item.name, item.value):
            named = _named(value, word, item.value, scope)
            bind(item.name, named, scope)
            value = cast(Value, named)
        scope.results[word] = value
        if top:
            scope.net.outputs.append(Output("output", word, value, span=item.span))


def _figure(kind: str) -> Callable[[Any, Scope, bool], None]:
    """`loss` and `metric`: one number for each example."""

    def run(statement: s.Loss | s.Metric, scope: Scope, top: bool) -> None:
        if not top:
            return  # a net used as a block keeps its outputs only
        value = _tensor(statement.value, scope)
        word = statement.name.id if statement.name else _own_word(kind, statement.value)
        if value.shape != ():
            raise fail(
                "E316",
                f"a {kind} is one number for each example, got {value.type}",
                statement.value.span,
                note=str(value.type),
                help=f"reduce it: `{kind} sum({_short(statement.value)})`"
                f" or `{kind} mean({_short(statement.value)})`",
            )
        before = [o for o in scope.net.outputs if o.kind in _FIGURES and o.name == word]
        if before:
            place = before[0].span
            raise fail(
                "E206",
                f"there are two results called `{word}`",
                statement.span,
                note="again here",
                labels=(Label(place, "the first one"),) if place else (),
                help=f"name them: `{kind} other_name = …`",
            )
        value = convert(value, scope.net.dtype)
        scope.net.outputs.append(Output(kind, word, value, span=statement.span))
        if statement.name is not None and not _says_itself(statement.name, statement.value):
            bind(statement.name, value, scope)

    return run


def _says_itself(name: s.Ident, value: s.Expr) -> bool:
    """`output scores = scores` gives the value away under its own name."""
    return isinstance(value, s.Name) and value.id == name.id


_FIGURES = ("loss", "metric")


def _short(e: s.Expr) -> str:
    text = e.span.text
    return text if len(text) <= 30 and "\n" not in text else "…"


def _own_word(kind: str, e: s.Expr) -> str:
    if kind == "metric" and isinstance(e, s.Call) and isinstance(e.function, s.Name):
        return e.function.id
    return kind


def _when(statement: s.When, scope: Scope, top: bool) -> None:
    chosen = statement.body if condition(statement.condition, scope) else statement.otherwise
    run_body(chosen, scope, top)
    scope.chain.clear()


def _repeat(statement: s.Repeat, scope: Scope, top: bool) -> None:
    count = evaluate(statement.count, scope)
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MAX_TURNS:
        raise fail(
            "E247",
            f"`repeat` takes a whole number from 0 to {MAX_TURNS:,}, got {describe(count)}",
            statement.count.span,
            help="for example `repeat 3 { … }`; `for` walks a list",
        )
    for _ in range(count):
        if not _turn(statement.body, statement.count.span, scope, top):
            return


def _for(statement: s.For, scope: Scope, top: bool) -> None:
    items = evaluate(statement.items, scope)
    if not isinstance(items, tuple):
        raise fail(
            "E247",
            f"`for` walks a list, got {describe(items)}",
            statement.items.span,
            help="for example `for units in [64, 128] { … }`",
        )
    hidden = scope.names.get(statement.variable.id)
    for item in items:
        scope.names[statement.variable.id] = item
        if not _turn(statement.body, statement.items.span, scope, top):
            break
    scope.names.pop(statement.variable.id, None)
    if hidden is not None:
        scope.names[statement.variable.id] = hidden


def _turn(body: tuple[s.Statement, ...], place: Span, scope: Scope, top: bool) -> bool:
    """One turn of a repetition; false when it failed (the next turn would only fail again)."""
    before = len(scope.net.diagnostics)
    scope.net.budget.spend(place)
    scope.turn += 1
    run_body(body, scope, top)
    return len(scope.net.diagnostics) == before


_RUN: dict[type, Callable[[Any, Scope, bool], None]] = {
    s.Input: _input,
    s.Param: run_param,
    s.State: run_state,
    s.Update: _update,
    s.Equation: _equation,
    s.Output: _output,
    s.Loss: _figure("loss"),
    s.Metric: _figure("metric"),
    s.When: _when,
    s.Repeat: _repeat,
    s.For: _for,
    s.Scan: run_scan,
    s.Yield: run_yield,
}
