"""Expressions to values, or to plain numbers where everything is known at compile time.

Numbers stay Python numbers until they meet a value, so sizes and settings are exact. Long chains
(`a + b + …`, `x -> f -> g …`) are walked with a loop along their left spine; brackets nest at most
as deep as the parser allows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from ...dsl import syntax as s
from ...dsl.diagnostics import Failure, Label, did_you_mean, fail
from ...dsl.source import Span
from ..op import apply
from ..types import ShapeError
from ..value import Origin, Value, origin
from . import functions, indexing, instances
from .advice import for_shapes, where
from .numbers import INFIX, NUMERIC, is_number, number_call
from .scope import (
    LIBRARY,
    POISON,
    BlockRef,
    Function,
    Layer,
    Meaning,
    Named,
    Poisoned,
    Record,
    Scope,
)


def evaluate(e: s.Expr, scope: Scope) -> Meaning:
    """What an expression means in a scope. Raises Failure, or Poisoned."""
    if isinstance(e, s.Binary | s.Pipe):
        return _spine(e, scope)
    return _EVALUATE[type(e)](e, scope)


def _spine(e: s.Expr, scope: Scope) -> Meaning:
    chain: list[s.Binary | s.Pipe] = []
    while isinstance(e, s.Binary | s.Pipe):
        chain.append(e)
        e = e.left if isinstance(e, s.Binary) else e.value
    try:
        result = evaluate(e, scope)
    except Poisoned:
        # What comes of the rest is not known, but a mistake in it is another mistake.
        for link in reversed(chain):
            _look(link.stage if isinstance(link, s.Pipe) else link.right, scope)
        raise
    for link in reversed(chain):
        if isinstance(link, s.Pipe):
            result = _pipe(result, link, scope)
        else:
            result = _binary(result, link, scope)
    return result


def _look(e: s.Expr, scope: Scope) -> None:
    """Evaluate for the mistakes alone. Raises Failure."""
    with suppress(Poisoned):
        if isinstance(e, s.Call):
            evaluate(e.function, scope)
            arguments(e, scope)
        else:
            evaluate(e, scope)


def _pipe(given: Meaning, e: s.Pipe, scope: Scope) -> Meaning:
    items = given if isinstance(given, tuple) else (given,)
    span, places = e.span, _places(e.value)
    if isinstance(e.stage, s.Call):
        function = evaluate(e.stage.function, scope)
        if isinstance(function, Function):
            positional, named = arguments(e.stage, scope)
            return functions.call(function.name, [*items, *positional], named, e.stage.span, scope)
        stage = evaluate(e.stage, scope)
        return instances.apply_layer(stage, list(items), {}, span, e.stage.span, scope, places)
    stage = evaluate(e.stage, scope)
    if isinstance(stage, Function):
        return functions.call(stage.name, list(items), {}, e.stage.span, scope)
    return instances.apply_layer(stage, list(items), {}, span, e.stage.span, scope, places)


def _places(e: s.Expr) -> tuple[Span, ...]:
    """Where the values that flow into `->` were written; of a chain, its last stage."""
    if isinstance(e, s.Tuple):
        return tuple(place for item in e.items for place in _places(item))
    return (e.stage.span if isinstance(e, s.Pipe) else e.span,)


def _binary(left: Meaning, e: s.Binary, scope: Scope) -> Meaning:
    right = evaluate(e.right, scope)
    sides = (left, right)
    known = all(isinstance(m, tuple) or is_number(m) for m in sides)
    if known and e.op in ("==", "!=") and any(isinstance(m, tuple) for m in sides):
        return (left == right) == (e.op == "==")  # is the padding (1, 2), or `same`?
    if is_number(left) and is_number(right) and INFIX[e.op] in NUMERIC:
        return number_call(INFIX[e.op], [left, right], e.span)
    a, b = operand(left, e.left.span, scope), operand(right, e.right.span, scope)
    return build(INFIX[e.op], (a, b), {}, e.span, scope)


def operand(meaning: Meaning, span: Span, scope: Scope) -> Value | float:
    """A value or number to compute with; a one-output record is its output. Raises Failure E220."""
    if isinstance(meaning, Value):
        return meaning
    if is_number(meaning) and not isinstance(meaning, str):
        return cast(float, meaning)
    if isinstance(meaning, Record):
        names = ", ".join(f".{n}" for n in meaning.fields)
        raise fail(
            "E221", "several outputs where one value is needed", span, help=f"choose one: {names}"
        )
    raise not_a_value(meaning, span)


def not_a_value(meaning: Meaning, span: Span) -> Failure:
    """E220, with what to write instead."""
    shown = span.text if len(span.text) <= 30 else "layer"
    advice = ""
    if isinstance(meaning, BlockRef | Layer):
        advice = f"apply it to a value: `x -> {shown}`"
    elif isinstance(meaning, Function):
        advice = f"call it: `{meaning.name}(x)`"
    elif isinstance(meaning, str):
        advice = "numbers and names are written without quotes"
    elif isinstance(meaning, tuple):
        advice = "choose one of its items with `[0]`, or join them with `concat(a, b)`"
    return fail("E220", f"{describe(meaning)} is not a value to compute with", span, help=advice)


def build(
    name: str,
    args: tuple[Value | float, ...],
    attrs: dict[str, Any],
    span: Span,
    scope: Scope,
) -> Value:
    """One operation; its shape errors are told at the user's line."""
    scope.net.budget.spend(span)
    with origin(Origin(span, scope.path, scope.block)):
        try:
            return apply(name, *args, **attrs)
        except ShapeError as error:
            raise shape_failure(error, args, span, scope) from None
        except (TypeError, ValueError, KeyError, OverflowError):
            if not attrs:
                raise
            given = ", ".join(f"{k} = {v}" for k, v in attrs.items())
            raise fail(
                "E231",
                f"`{name}` cannot be used with {given}",
                span,
                help=f"`chainrule doc {name}` tells its options",
            ) from None


def shape_failure(
    error: ShapeError, args: tuple[Value | float, ...], span: Span, scope: Scope
) -> Failure:
    """A shape error as a diagnostic: the operands' shapes, and where the named ones were fixed."""
    labels: list[Label] = []
    for a in args:
        label = made_at(a, span, scope) if isinstance(a, Value) else None
        if label is not None and not any(label.span == other.span for other in labels):
            labels.append(label)
    shown = " and ".join(str(a.type) if isinstance(a, Value) else f"{a:g}" for a in args)
    note = getattr(error, "note", "") or shown
    advice = for_shapes(error.code, args, error.help)
    return fail(error.code, error.message, span, note=note, labels=tuple(labels), help=advice)


def made_at(a: Value, span: Span, scope: Scope) -> Label | None:
    """The second place of a mistake at `span`: where a value that it uses got its name and type."""
    name = a.origin.name
    own = scope.names.get(name) is a
    place = scope.defined.get(name, a.origin.span) if own else a.origin.span
    if not name or place is None or _inside(place, span):
        return None
    if place.source.name.startswith(LIBRARY) and not own:
        foreign = place.source is not span.source or a.op.family != "leaf"
        if foreign:  # a line of the library says nothing about the user's name
            return None
    return Label(place, f"`{name}` is {a.type} here")


def _inside(a: Span, b: Span) -> bool:
    return a.source is b.source and b.start <= a.start and a.end <= b.end


def describe(meaning: Meaning) -> str:
    """A meaning in words, for messages."""
    if isinstance(meaning, BlockRef):
        return f"the block `{meaning.block.name.id}`"
    if isinstance(meaning, Layer):
        return f"the layer `{meaning.ref.block.name.id}`"
    if isinstance(meaning, Function):
        return f"the function `{meaning.name}`"
    if isinstance(meaning, Value):
        return f"a value of type {meaning.type}"
    if isinstance(meaning, tuple):
        return f"a tuple of {len(meaning)}"
    if isinstance(meaning, str):
        return f'the word "{meaning}"'
    if isinstance(meaning, bool):
        return "true" if meaning else "false"
    return str(meaning)


# ---------------------------------------------------------------- one kind of expression each


def _name(e: s.Name, scope: Scope) -> Meaning:
    meaning = scope.lookup(e.id)
    if meaning is None:
        raise unknown_name(e.id, e.span, scope)
    if meaning is POISON:
        raise Poisoned
    return meaning


def unknown_name(name: str, span: Span, scope: Scope) -> Failure:
    skipped = scope.skipped.get(name)
    if skipped is not None:
        scope.names[name] = POISON  # said once
        return fail(
            "E212",
            f"`{name}` has no value here: none of its conditions holds",
            span,
            note="needed here",
            labels=(Label(skipped, f"does not hold{where(skipped.text, scope)}"),),
            help=f"say what it is in this case too: `{name} = … otherwise`",
        )
    inside = scope.of_steps.get(name)
    if inside is not None:
        return fail(
            "E212",
            f"`{name}` is not defined after the scan"
            if name != "yielded"
            else "nothing is yielded by the scan above",
            span,
            note="needed here",
            labels=(Label(inside, "a value of one step" if name != "yielded" else "no `yield`"),),
            help=f"`yield {name}` in the scan, and use `yielded` after it"
            if name != "yielded"
            else "give a value of each step away: `yield h`",
        )
    near = did_you_mean(name, scope.known())
    return fail(
        "E220" if not name else "E212",
        f"`{name}` is not defined",
        span,
        note="not known here",
        help=near or "define it above: `name = …`",
    )


def _transpose(e: s.Transpose, scope: Scope) -> Meaning:
    x = operand(evaluate(e.operand, scope), e.operand.span, scope)
    if not isinstance(x, Value):
        return x
    if len(x.shape) == 1:  # a vector is a column, so its transpose is a row
        return build("reshape", (x,), {"shape": (1, *x.shape)}, e.span, scope)
    rank = len(x.shape)
    perm = (*range(rank - 2), rank - 1, rank - 2) if rank else ()
    return build("transpose", (x,), {"perm": perm}, e.span, scope) if rank else x


def _unary(e: s.Unary, scope: Scope) -> Meaning:
    x = evaluate(e.operand, scope)
    word = "neg" if e.op == "-" else "not"
    if is_number(x):
        return number_call(word, [x], e.span)
    return build(word, (operand(x, e.operand.span, scope),), {}, e.span, scope)


def _index(e: s.Index, scope: Scope) -> Meaning:
    base = evaluate(e.base, scope)
    if isinstance(base, tuple):
        (item,) = e.items if len(e.items) == 1 else (None,)
        position = evaluate(item, scope) if item is not None else None
        if not isinstance(position, int) or not -len(base) <= position < len(base):
            raise fail(
                "E306",
                f"a tuple of {len(base)} has no item there",
                e.span,
                help=f"items count from 0 to {len(base) - 1}" if base else "the tuple is empty",
            )
        return base[position]
    x = operand(base, e.base.span, scope)
    if not isinstance(x, Value):
        raise fail(
            "E306",
            "a number cannot be indexed",
            e.base.span,
            note=f"this is {describe(x)}",
            help="index a value: `x[0]`",
        )
    return indexing.index(x, e, scope)


def _call(e: s.Call, scope: Scope) -> Meaning:
    function = evaluate(e.function, scope)
    positional, named = arguments(e, scope)
    if isinstance(function, Function):
        return functions.call(function.name, positional, named, e.span, scope)
    if isinstance(function, BlockRef):
        # Values are inputs by position, or by the name of one; `mask = mask(text)` is a setting.
        ports = {n.id for n, _ in instances.inputs_of(function.block)}
        applied = any(map(_is_tensor, positional)) or any(
            _is_tensor(v) for k, v in named.items() if k in ports
        )
        if applied or instances.takes_nothing(function):
            places = tuple(a.span for a in e.arguments if a.name is None)
            return instances.apply_block(function, positional, named, e.span, scope, places)
        return instances.make_layer(function, positional, named, e.span, scope)
    if isinstance(function, Layer):
        places = tuple(a.span for a in e.arguments if a.name is None)
        return instances.apply_layer(
            function, positional, named, e.span, e.function.span, scope, places
        )
    raise fail(
        "E222",
        f"{describe(function)} cannot be called",
        e.function.span,
        help=f"write `{e.function.span.text} * (…)` for a product"
        if isinstance(function, Value | int | float)
        else "",
    )


def _is_tensor(meaning: Meaning) -> bool:
    return isinstance(meaning, Value | Record)


def arguments(e: s.Call, scope: Scope) -> tuple[list[Meaning], Named]:
    """Positional and named arguments of a call. Raises Failure E223 for a name given twice."""
    positional: list[Meaning] = []
    named = Named()
    poisoned = False
    for argument in e.arguments:
        if argument.name is None:
            try:
                positional.append(evaluate(argument.value, scope))
            except Poisoned:  # the others may hold a mistake of their own
                poisoned = True
            continue
        if argument.name in named:
            raise fail(
                "E223",
                f"`{argument.name}` is given twice",
                argument.span,
                note="again here",
                labels=(Label(named.places[argument.name], "first given here"),),
                help="keep one of them",
            )
        named.places[argument.name] = argument.span
        word = argument.value.id if isinstance(argument.value, s.Name) else ""
        if argument.name == "padding" and word and scope.lookup(word) is None:
            named["padding"] = word  # which words there are, the layer will tell
            continue
        # `over = (batch, space)`: some axes have a name and no number.
        value = argument.value
        named[argument.name] = (
            _axes(value, scope) if argument.name == "over" else evaluate(value, scope)
        )
    if poisoned:
        raise Poisoned
    return positional, named


def _axes(e: s.Expr, scope: Scope) -> Meaning:
    items = e.items if isinstance(e, s.Tuple | s.List) else (e,)
    return tuple(
        i.id if isinstance(i, s.Name) and i.id in ("batch", "space") else evaluate(i, scope)
        for i in items
    )


def _attribute(e: s.Attribute, scope: Scope) -> Meaning:
    base = evaluate(e.base, scope)
    if isinstance(base, Record):
        fields: dict[str, Any] = dict(base.fields)
        what = "outputs"
    elif isinstance(base, Layer):
        if base.applied_at is None:
            raise fail(
                "E224",
                f"`{s_text(e.base)}` has no parameters yet: sizes are fixed when it is"
                " first applied",
                e.span,
                help="apply the layer above this line",
            )
        fields, what = base.names, "parameters"
    else:
        raise fail(
            "E225",
            f"{describe(base)} has no `.{e.name}`",
            e.span,
            help="name the layer first: `D = dense(10)`, `D(x)`, then `D.W`"
            if isinstance(base, Value | BlockRef)
            else "",
        )
    if e.name not in fields:
        near = did_you_mean(e.name, fields)
        raise fail(
            "E225",
            f"there is no `.{e.name}` among the {what}: {', '.join(fields)}",
            e.span,
            help=near,
        )
    found: Meaning = fields[e.name]
    return found


def s_text(e: s.Expr) -> str:
    return e.span.text


def _sequence(e: s.Expr, scope: Scope) -> Meaning:
    items = cast(s.Tuple | s.List, e).items
    return tuple(evaluate(i, scope) for i in items)


def _misplaced(e: s.Expr, scope: Scope) -> Meaning:
    raise fail(
        "E226",
        f"`{e.span.text}` has a meaning only inside an index",
        e.span,
        help="for example `x[..., 0]` or `x[2:5]`",
    )


_EVALUATE: dict[type, Callable[[Any, Scope], Meaning]] = {
    s.Number: lambda e, scope: e.value,
    s.String: lambda e, scope: e.value,
    s.Bool: lambda e, scope: e.value,
    s.Name: _name,
    s.Unary: _unary,
    s.Transpose: _transpose,
    s.Index: _index,
    s.Call: _call,
    s.Attribute: _attribute,
    s.Tuple: _sequence,
    s.List: _sequence,
    s.Slice: _misplaced,
    s.Ellipsis_: _misplaced,
}
