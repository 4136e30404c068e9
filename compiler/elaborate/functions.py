"""The words of the language that are not blocks: operations, and what is made of them at once.

`FUNCTIONS` are the words with a meaning of their own here; every operation of the registry can be
called too, operands by position, options by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ...dsl.diagnostics import did_you_mean, fail
from ...dsl.source import Span
from ..autodiff import gradient
from ..graph import topological
from ..op import apply, registry
from ..scans.retype import retyped
from ..types import ShapeError, axis_index
from ..value import Origin, Value, origin
from .calls import Options, made, only, operation_call, value_of
from .clocks import CLOCK_FUNCTIONS
from .draws import DRAW_FUNCTIONS
from .images import IMAGE_FUNCTIONS
from .numbers import NUMERIC, is_number, number_call
from .scope import Meaning, Scope

# Operations that a user names otherwise, or not at all.
INTERNAL = {"input", "param", "state", "scalar", "constant", "batch_size", "bound", "scan", "part"}
ALIASES = {"maximum": "maximum", "minimum": "minimum", "select": "where"}


def call(name: str, positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """A function or operation on evaluated arguments. Raises Failure."""
    numbers = positional and all(is_number(a) for a in positional)
    if (
        numbers
        and not named
        and name in NUMERIC
        and not (name in ("max", "min") and len(positional) < 2)
    ):
        return number_call(name, positional, span)
    if name in FUNCTIONS:
        return FUNCTIONS[name](positional, named, span, scope)
    name = ALIASES.get(name, name)
    op = registry().get(name)
    if op is None or op.lowered or name in INTERNAL:
        raise fail(
            "E212", f"`{name}` is not a function", span, help=did_you_mean(name, scope.known())
        )
    return operation_call(op, positional, named, span, scope)


def _extreme(word: str, elementwise: str) -> Callable[..., Meaning]:
    def run(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
        if len(positional) == 2 and not named:
            return operation_call(registry()[elementwise], positional, {}, span, scope)
        return operation_call(registry()[word], positional, named, span, scope)

    return run


def _mean(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """Sum over the axes divided by how many elements that is; over the batch, by m."""
    total = operation_call(registry()["sum"], positional, named, span, scope)
    x, attrs = total.args[0], total.attrs
    count = 1
    for axis in attrs["axes"]:
        count *= x.shape[axis]
    with origin(Origin(span, scope.path, scope.block)):
        if not attrs["batch"]:
            return total / float(count)
        m = apply("batch_size", dtype=total.type.dtype)
        return total / (m * float(count)) if count != 1 else total / m


def _flatten(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    only("flatten", positional, named, span, 1, 1)
    x = value_of(positional[0], span, scope)
    if len(x.shape) == 1:
        return x
    from .expressions import build

    return build("reshape", (x,), {"shape": (x.type.size,)}, span, scope)


def _grad(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """∂y/∂x as an expression. Where y is per example and x is not, there is one gradient for each
    example: x is repeated along the batch first, so that nothing is summed."""
    only("grad", positional, named, span, 2, 2)
    y, x = (value_of(a, span, scope) for a in positional)
    from .expressions import shape_failure

    with origin(Origin(span, scope.path, scope.block)):
        try:
            # A derivative is a few times as large as what it is the derivative of.
            scope.net.budget.spend(span, 4 * len(topological([y])))
            if y.type.batched and not x.type.batched:
                repeated = apply("broadcast", x, shape=x.shape, batch=True)
                (y,), x = retyped([y], {x: repeated}), repeated
            return gradient(y, [x])[0]
        except ShapeError as error:
            raise shape_failure(error, (y, x), span, scope) from None


def _is_label(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """Is this an integer label (`class[k]`), and not a vector of targets?"""
    only("is_label", positional, named, span, 1, 1)
    return value_of(positional[0], span, scope).type.dtype == "i32"


def _is_value(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """Is this computed when the net runs, and not a number or word known before? A setting such as
    `mask = false` may be given either."""
    only("is_value", positional, named, span, 1, 1)
    return isinstance(positional[0], Value)


def _size(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """Elements of one example, or along one axis: `size(x, axis = 0)`."""
    only("size", positional, named, span, 1, 2, ("axis",))
    x = value_of(positional[0], span, scope)
    axis = named.get("axis", positional[1] if len(positional) > 1 else None)
    if axis is None:
        return x.type.size
    try:
        return x.shape[axis_index(cast(int, axis), len(x.shape))]
    except ShapeError as error:
        raise fail(error.code, error.message, span, note=str(x.type), help=error.help) from None


def _rank(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """Number of axes of one example, or of items of a list."""
    only("rank", positional, named, span, 1, 1)
    if isinstance(positional[0], tuple):
        return len(positional[0])
    return len(value_of(positional[0], span, scope).shape)


def _one_hot(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """1 at the label's place, 0 elsewhere: class[k] → [k]."""
    only("one_hot", positional, named, span, 1, 2, ("classes",))
    x = value_of(positional[0], span, scope)
    classes = named.get("classes", positional[1] if len(positional) > 1 else x.type.classes)
    if not isinstance(classes, int):
        raise fail(
            "E308",
            f"`one_hot` needs a label of `class[k]`, got {x.type}",
            span,
            labels=made(x, span, scope),
            help="declare `input label: class[10]`, or give `classes = 10`",
        )
    if x.type.classes is not None and x.type.classes > classes:
        raise fail(
            "E309",
            f"labels of class[{x.type.classes}] do not fit into {classes} classes",
            span,
            labels=made(x, span, scope),
            help=f"give one score for each class: {x.type.classes} in all",
        )
    from .expressions import build

    return build("one_hot", (x,), {"classes": classes, "dtype": scope.net.dtype}, span, scope)


FUNCTIONS: dict[str, Callable[[list[Meaning], Options, Span, Scope], Meaning]] = {
    "max": _extreme("max", "maximum"),
    "min": _extreme("min", "minimum"),
    "mean": _mean,
    "flatten": _flatten,
    "grad": _grad,
    "is_label": _is_label,
    "is_value": _is_value,
    "size": _size,
    "rank": _rank,
    "one_hot": _one_hot,
    **IMAGE_FUNCTIONS,
    **CLOCK_FUNCTIONS,
    **DRAW_FUNCTIONS,
}


def documentation(word: str) -> str:
    """What a function of this page does, for `chainrule doc`; empty for others."""
    return (FUNCTIONS[word].__doc__ or "").strip() if word in FUNCTIONS else ""
