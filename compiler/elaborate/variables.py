"""What a block instance holds: names, parameters and states, with their types and initial values.

In: `param` and `state` statements and the scope they stand in. Out: leaves of the net's graph, each
made once for a layer and found again where the layer is applied again.
"""

from __future__ import annotations

from ...dsl import syntax as s
from ...dsl.diagnostics import Label, did_you_mean, fail
from ...dsl.source import Span
from ..graph import Leaf, leaf
from ..types import DTYPES, Type
from ..value import Value
from .expressions import describe, evaluate, operand
from .initial import initial_value
from .ports import whole
from .scope import Meaning, Scope


def bind(name: s.Ident, meaning: Meaning, scope: Scope) -> None:
    """Give a name its one meaning; in a later turn of `repeat` it may get another."""
    before = scope.defined.get(name.id)
    if before is not None and scope.bound_in.get(name.id) == scope.turn:
        raise fail(
            "E206",
            f"`{name.id}` is defined twice",
            name.span,
            note="again here",
            labels=(Label(before, "first defined here"),),
            help="every name has one value: choose another name",
        )
    scope.names[name.id] = meaning
    scope.defined[name.id] = name.span
    scope.bound_in[name.id] = scope.turn


def declared_type(t: s.TypeExpr, scope: Scope, batched: bool) -> Type:
    """A type with all its sizes known. Raises Failure E307, E212, E314."""
    if isinstance(t, s.ClassType):
        return Type((), "i32", batched, whole(t.count, scope))
    if isinstance(t, s.TokensType):
        return Type((whole(t.length, scope),), "i32", batched, whole(t.count, scope))
    dots = [e for e in t.sizes if isinstance(e, s.Ellipsis_)]
    if dots:
        raise fail(
            "E307",
            "`...` is a shape taken from elsewhere; here sizes must be given",
            dots[0].span,
            help="write the sizes: `[784]`, or a name that an input binds: `[n]`",
        )
    dtype = t.dtype or scope.net.dtype
    if dtype not in DTYPES:
        later = dtype == "bf16"
        raise fail(
            "E314",
            "elements of `bf16` are not supported yet"
            if later
            else f"`{dtype}` is no element type",
            t.span,
            help=("" if later else did_you_mean(dtype, DTYPES)) or "use f32 or f64",
        )
    return Type(tuple(whole(e, scope) for e in t.sizes), dtype, batched)


def new_leaf(new: Leaf, span: Span, scope: Scope) -> None:
    other = scope.net.leaves.get(new.name)
    if other is not None:
        labels = (Label(other.span, "first defined here"),) if other.span else ()
        raise fail(
            "E206",
            f"`{new.name}` is defined twice",
            span,
            note="again here",
            labels=labels,
            help="every name has one value: choose another name",
        )
    scope.net.leaves[new.name] = new


def run_param(statement: s.Param, scope: Scope, top: bool) -> None:
    for name in statement.names:
        bind(name, _one_param(statement, name, scope), scope)


def _one_param(statement: s.Param, name: s.Ident, scope: Scope) -> Value:
    if scope.net.initialising:
        raise fail(
            "E242",
            "an initialiser cannot have parameters",
            statement.span,
            help="compute the initial value from `shape`, `fan_in` and draws: `normal(shape)`",
        )
    if statement.tied_to is not None:
        return _tied(statement, name, scope)
    if statement.type is None:
        raise fail(
            "E243", f"`{name.id}` needs a shape", name.span, help=f"`param {name.id}: [n] ~ glorot`"
        )
    type = declared_type(statement.type, scope, batched=False)
    shared = scope.layer.names.get(name.id) if scope.layer is not None else None
    if isinstance(shared, Value):
        _same_sizes(shared, type, statement, scope)
        return shared
    path = f"{scope.path}.{name.id}" if scope.path else name.id
    value = leaf("param", path, type, name.span, instance=scope.path, block=scope.block)
    decay = _decay(statement.decay, scope) if statement.decay is not None else 0.0
    file = _file(statement.from_file, scope) if statement.from_file is not None else ""
    initial, text = initial_value(statement.initialiser, statement.value, type, scope, path)
    new = Leaf(
        value,
        "param",
        initial,
        text,
        statement.frozen or scope.is_frozen(path),
        decay,
        file,
        name.span,
    )
    new_leaf(new, name.span, scope)
    _remember(name.id, value, scope)
    return value


def _decay(e: s.Expr, scope: Scope) -> float:
    """λ of `decay λ`: a number from 0 known at compile time."""
    value = evaluate(e, scope)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise fail(
            "E248",
            f"`decay` is followed by a number from 0, got {describe(value)}",
            e.span,
            help="for example `decay 1e-4`",
        )
    return float(value)


def _file(e: s.Expr, scope: Scope) -> str:
    value = evaluate(e, scope)
    if not isinstance(value, str):
        raise fail(
            "E248",
            f"`from` is followed by the name of a file, got {describe(value)}",
            e.span,
            help='for example `from "weights.safetensors"`',
        )
    return value


def _remember(name: str, value: Value, scope: Scope) -> None:
    if scope.layer is not None:
        scope.layer.names[name] = value


def _tied(statement: s.Param, name: s.Ident, scope: Scope) -> Value:
    assert statement.tied_to is not None
    value = operand(evaluate(statement.tied_to, scope), statement.tied_to.span, scope)
    if not isinstance(value, Value):
        raise fail(
            "E244",
            f"a parameter is tied to another parameter, not to {describe(value)}",
            statement.tied_to.span,
            help="name a layer's weight, or its transpose: `tied to encoder.W'`",
        )
    if statement.type is not None:
        type = declared_type(statement.type, scope, batched=False)
        if type.shape != value.shape:
            raise fail(
                "E312",
                f"`{name.id}` is {type} but what it is tied to is {value.type}",
                statement.type.span,
                labels=(Label(statement.tied_to.span, str(value.type)),),
                help=f"tie it to the transpose: `tied to {_transposed(statement.tied_to)}`"
                if type.shape == value.shape[::-1]
                else "",
            )
    return value


def _transposed(e: s.Expr) -> str:
    return e.span.text.removesuffix("'") if isinstance(e, s.Transpose) else f"{e.span.text}'"


def _same_sizes(shared: Value, type: Type, statement: s.Param, scope: Scope) -> None:
    if shared.shape == type.shape:
        return
    assert scope.layer is not None
    first = scope.layer.applied_at or scope.layer.span
    raise fail(
        "E315",
        f"this layer's weights are {shared.type}, but here they would have to be {type}",
        scope.layer.span,
        labels=(Label(first, "sizes were fixed when it was applied here"),),
        help="make a second layer for inputs of another size",
    )


def run_state(statement: s.State, scope: Scope, top: bool) -> None:
    for name in statement.names:
        if statement.type is None:
            raise fail(
                "E243", f"`{name.id}` needs a shape", name.span, help=f"`state {name.id}: [n] = 0`"
            )
        type = declared_type(statement.type, scope, batched=False)
        shared = scope.layer.names.get(name.id) if scope.layer is not None else None
        if isinstance(shared, Value):
            bind(name, shared, scope)
            continue
        path = f"{scope.path}.{name.id}" if scope.path else name.id
        value = leaf("state", path, type, name.span, instance=scope.path, block=scope.block)
        initial, text = initial_value(statement.initialiser, statement.value, type, scope, path)
        new_leaf(Leaf(value, "state", initial, text, span=name.span), name.span, scope)
        _remember(name.id, value, scope)
        bind(name, value, scope)
