"""The words of the language that are not blocks: operations, and what is made of them at once.

`FUNCTIONS` are the words with a meaning of their own here; every operation of the registry can be
called too, operands by position, options by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from ...dsl import syntax as s
from ...dsl.diagnostics import Failure, Label, did_you_mean, fail
from ...dsl.source import Span
from ..autodiff import gradient
from ..graph import topological
from ..op import REQUIRED, Op, apply, constant, registry
from ..types import ShapeError, axis_index
from ..value import Origin, Value, origin
from .numbers import NUMERIC, is_number, number_call
from .scope import Meaning, Record, Scope, written_at

# Operations that a user names otherwise, or not at all.
INTERNAL = {"input", "param", "state", "scalar", "constant", "batch_size"}
ALIASES = {"maximum": "maximum", "minimum": "minimum", "select": "where"}
Options = dict[str, Meaning]


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
    if op is None or name in INTERNAL:
        raise fail(
            "E212", f"`{name}` is not a function", span, help=did_you_mean(name, scope.known())
        )
    return operation_call(op, positional, named, span, scope)


def operation_call(
    op: Op, positional: list[Meaning], named: Options, span: Span, scope: Scope
) -> Value:
    """Operands first, then options by position or name. Raises Failure E230, E231."""
    from .expressions import build, describe

    count = _operand_count(op, positional)
    if len(positional) < count:
        wanted = ", ".join(op.parameters)
        raise fail(
            "E230",
            f"`{op.name}` takes {count} operand{'s' * (count != 1)} ({wanted}),"
            f" got {len(positional)}",
            span,
            help=f"write `{op.name}({wanted})`",
        )
    operands, rest = positional[:count], positional[count:]
    options = dict(zip(op.options, rest, strict=False))
    if len(rest) > len(op.options):
        own = f"{count} operand{'s' * (count != 1)}"
        if op.options:
            own += f" and {len(op.options)} option{'s' * (len(op.options) != 1)}"
        signature = ", ".join([*op.parameters, *(f"{o} = …" for o in op.options)])
        raise fail(
            "E230",
            f"`{op.name}` takes {own}, got {len(positional)} arguments",
            span,
            help=f"write `{op.name}({signature})`",
        )
    for key, value in named.items():
        if key not in op.options:
            raise _no_option(op.name, key, tuple(op.options), written_at(named, key, span))
        options[key] = value
    for key, value in options.items():
        if not _known_now(value):
            raise fail(
                "E231",
                f"the option `{key}` of `{op.name}` must be known at compile time,"
                f" got {describe(value)}",
                written_at(named, key, span),
                help="write a number, a word, a list, or a setting of the block",
            )
    missing = [o for o, default in op.options.items() if default is REQUIRED and o not in options]
    if missing:
        raise fail(
            "E231",
            f"`{op.name}` needs its option `{missing[0]}`",
            span,
            help=f"`chainrule doc {op.name}` shows how it is used",
        )
    values = tuple(_operand(a, span, scope) for a in operands)
    return build(op.name, values, options, span, scope)


def _no_option(name: str, key: str, known: tuple[str, ...], span: Span) -> Failure:
    shown = ", ".join(f"`{o}`" for o in known)
    return fail(
        "E231",
        f"`{name}` has no option `{key}`",
        span,
        help=did_you_mean(key, known) or (f"its options are {shown}" if known else "it has none"),
    )


def _operand_count(op: Op, positional: list[Meaning]) -> int:
    """How many of the arguments are operands; `concat` takes any number of values."""
    if not op.variadic:
        return len(op.parameters)
    values = [k for k, a in enumerate(positional) if isinstance(a, Value | Record)]
    return max(len(op.parameters), len(values))


def _known_now(meaning: Meaning) -> bool:
    if isinstance(meaning, tuple):
        return all(map(_known_now, meaning))
    return isinstance(meaning, int | float | str)


def _operand(meaning: Meaning, span: Span, scope: Scope) -> Value | float:
    from .expressions import operand

    return operand(meaning, span, scope)


def _value(meaning: Meaning, span: Span, scope: Scope) -> Value:
    from .expressions import operand

    x = operand(meaning, span, scope)
    if isinstance(x, Value):
        return x
    with origin(Origin(span, scope.path, scope.block)):
        return constant(x, scope.net.dtype)


def _only(
    name: str,
    positional: list[Meaning],
    named: Options,
    span: Span,
    low: int,
    high: int,
    options: tuple[str, ...] = (),
) -> None:
    if not low <= len(positional) <= high:
        count = str(low) if low == high else f"{low} to {high}"
        raise fail(
            "E230",
            f"`{name}` takes {count} argument{'s' * (high != 1)}, got {len(positional)}",
            span,
            help=f"`chainrule doc {name}` shows how it is used",
        )
    for key in named:
        if key not in options:
            raise _no_option(name, key, options, written_at(named, key, span))


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
    _only("flatten", positional, named, span, 1, 1)
    x = _value(positional[0], span, scope)
    from .expressions import build

    return build("reshape", (x,), {"shape": (x.type.size,)}, span, scope)


def _draw(kind: str) -> Callable[..., Meaning]:
    """`normal([100])`, `uniform(like = x)`: one draw per example; `low`/`high`, `mean`/`std`."""
    scale = {"uniform": ("low", "high"), "normal": ("mean", "std")}[kind]

    def run(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
        _only(kind, positional, named, span, 0, 3, ("like", "shape", *scale))
        first = positional[0] if positional else None
        shape: Meaning = named.get("shape", ())
        rest = positional
        if isinstance(first, tuple):
            shape, rest = first, positional[1:]
        parameters = dict(zip(scale, rest, strict=False)) | {
            k: v for k, v in named.items() if k in scale
        }
        like = named.get("like")
        batched = not scope.net.initialising
        if isinstance(like, Value):
            shape = like.shape
        with origin(Origin(span, scope.path, scope.block)):
            draw = apply(
                kind,
                shape=_sizes(shape, span),
                stream=scope.net.next_stream(),
                batched=batched,
                dtype=scope.net.dtype,
            )
            a = _operand(parameters.get(scale[0], 0), span, scope)
            b = _operand(parameters.get(scale[1], 1), span, scope)
            if (a, b) == (0, 1):
                return draw
            if kind == "uniform":
                return draw * (b - a) + a
            return draw * b + a

    return run


def _bernoulli(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """1 with probability p, else 0."""
    _only("bernoulli", positional, named, span, 1, 2, ("like", "shape"))
    p = _operand(positional[0], span, scope)
    more: list[Meaning] = list(positional[1:])
    u = cast(Value, _draw("uniform")(more, named, span, scope))
    with origin(Origin(span, scope.path, scope.block)):
        return apply("cast", apply("lt", u, p), dtype=u.type.dtype)


def _sizes(shape: Meaning, span: Span) -> tuple[int, ...]:
    items = shape if isinstance(shape, tuple) else (shape,)
    for n in items:
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            from .expressions import describe

            raise fail(
                "E307",
                f"a shape is made of whole numbers from 1, got {describe(n)}",
                span,
                help="for example `normal([100])`",
            )
    return cast(tuple[int, ...], items)


def _grad(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """∂y/∂x as an expression. Where y is per example and x is not, there is one gradient for each
    example: x is repeated along the batch first, so that nothing is summed."""
    _only("grad", positional, named, span, 2, 2)
    y, x = (_value(a, span, scope) for a in positional)
    from .expressions import shape_failure

    with origin(Origin(span, scope.path, scope.block)):
        try:
            # A derivative is a few times as large as what it is the derivative of.
            scope.net.budget.spend(span, 4 * len(topological([y])))
            if y.type.batched and not x.type.batched:
                repeated = apply("broadcast", x, shape=x.shape, batch=True)
                y, x = _substitute(y, x, repeated), repeated
            return gradient(y, [x])[0]
        except ShapeError as error:
            raise shape_failure(error, (y, x), span, scope) from None


def _substitute(y: Value, old: Value, new: Value) -> Value:
    fresh: dict[Value, Value] = {}
    for v in topological([y]):
        args = tuple(fresh[a] for a in v.args)
        same = all(a is b for a, b in zip(args, v.args, strict=True))
        fresh[v] = new if v is old else v if same else v.with_args(args)
    return fresh[y]


def _is_label(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """Is this an integer label (`class[k]`), and not a vector of targets?"""
    _only("is_label", positional, named, span, 1, 1)
    return _value(positional[0], span, scope).type.dtype == "i32"


def _size(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """Elements of one example, or along one axis: `size(x, axis = 0)`."""
    _only("size", positional, named, span, 1, 2, ("axis",))
    x = _value(positional[0], span, scope)
    axis = named.get("axis", positional[1] if len(positional) > 1 else None)
    if axis is None:
        return x.type.size
    try:
        return x.shape[axis_index(cast(int, axis), len(x.shape))]
    except ShapeError as error:
        raise fail(error.code, error.message, span, note=str(x.type), help=error.help) from None


def _rank(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """Number of axes of one example."""
    _only("rank", positional, named, span, 1, 1)
    return len(_value(positional[0], span, scope).shape)


def _one_hot(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """1 at the label's place, 0 elsewhere: class[k] → [k]."""
    _only("one_hot", positional, named, span, 1, 2, ("classes",))
    x = _value(positional[0], span, scope)
    classes = named.get("classes", positional[1] if len(positional) > 1 else x.type.classes)
    if not isinstance(classes, int):
        raise fail(
            "E308",
            f"`one_hot` needs a label of `class[k]`, got {x.type}",
            span,
            labels=_made(x, span, scope),
            help="declare `input label: class[10]`, or give `classes = 10`",
        )
    if x.type.classes is not None and x.type.classes > classes:
        raise fail(
            "E309",
            f"labels of class[{x.type.classes}] do not fit into {classes} classes",
            span,
            labels=_made(x, span, scope),
            help=f"give one score for each class: {x.type.classes} in all",
        )
    from .expressions import build

    return build("one_hot", (x,), {"classes": classes, "dtype": scope.net.dtype}, span, scope)


def _made(x: Value, span: Span, scope: Scope) -> tuple[Label, ...]:
    from .expressions import made_at

    label = made_at(x, span, scope)
    return (label,) if label is not None else ()


FUNCTIONS: dict[str, Callable[[list[Meaning], Options, Span, Scope], Meaning]] = {
    "max": _extreme("max", "maximum"),
    "min": _extreme("min", "minimum"),
    "mean": _mean,
    "flatten": _flatten,
    "uniform": _draw("uniform"),
    "normal": _draw("normal"),
    "bernoulli": _bernoulli,
    "grad": _grad,
    "is_label": _is_label,
    "size": _size,
    "rank": _rank,
    "one_hot": _one_hot,
}


def documentation(word: str) -> str:
    """What a function of this page does, for `chainrule doc`; empty for others."""
    return (FUNCTIONS[word].__doc__ or "").strip() if word in FUNCTIONS else ""


# ---------------------------------------------------------------- indexing


def index(x: Value, e: s.Index, scope: Scope) -> Value:
    """`x[i]`, `x[a:b]`, `x[..., 0]`: a slice, and the axes of single indices dropped."""
    from .expressions import build

    items = _expanded(x, e, scope)
    start: list[int] = []
    size: list[int] = []
    kept: list[int] = []
    for axis, (item, n) in enumerate(zip(items, x.shape, strict=True)):
        if isinstance(item, s.Slice):
            low, high = (_bound(item.start, 0, n, scope), _bound(item.stop, n, n, scope))
            if not 0 <= low < high <= n:
                raise fail(
                    "E306",
                    f"{low}:{high} is empty or outside axis {axis} of size {n}",
                    item.span,
                    labels=_made(x, item.span, scope),
                    help=f"`a:b` goes from a up to, not including, b, within 0:{n}",
                )
            start.append(low)
            size.append(high - low)
            kept.append(high - low)
            continue
        position = _position(item, n, axis, x, scope)
        start.append(position)
        size.append(1)
    attrs: dict[str, Any] = {"start": tuple(start), "size": tuple(size)}
    result = build("slice", (x,), attrs, e.span, scope)
    if tuple(kept) == tuple(size):
        return result
    return build("reshape", (result,), {"shape": tuple(kept)}, e.span, scope)


def _expanded(x: Value, e: s.Index, scope: Scope) -> list[s.Expr]:
    whole = s.Slice(e.span, None, None)
    items: list[s.Expr] = list(e.items)
    dots = [k for k, item in enumerate(items) if isinstance(item, s.Ellipsis_)]
    if len(dots) > 1:
        raise fail(
            "E306",
            "`...` may stand once in an index",
            items[dots[1]].span,
            note="a second one",
            labels=(Label(items[dots[0]].span, "the first one"),),
            help="write `:` for a whole axis",
        )
    missing = len(x.shape) - len(items) + len(dots)
    if missing < 0:
        given, rank = len(items) - len(dots), len(x.shape)
        raise fail(
            "E306",
            f"{given} {'indices' if given != 1 else 'index'} for a value of type {x.type}",
            e.span,
            labels=_made(x, e.span, scope),
            help=f"it has {rank} {'axes' if rank != 1 else 'axis'}"
            if rank
            else "it is a scalar: use it without an index",
        )
    place = dots[0] if dots else len(items)
    return [*items[:place], *[whole] * missing, *items[place + len(dots) :]]


def _bound(e: s.Expr | None, default: int, n: int, scope: Scope) -> int:
    if e is None:
        return default
    value = _whole(e, scope)
    return value + n if value < 0 else value


def _position(e: s.Expr, n: int, axis: int, x: Value, scope: Scope) -> int:
    value = _whole(e, scope)
    if not -n <= value < n:
        raise fail(
            "E306",
            f"index {value} is outside axis {axis} of size {n}",
            e.span,
            labels=_made(x, e.span, scope),
            help=f"indices count from 0 to {n - 1}; -1 is the last",
        )
    return value % n


def _whole(e: s.Expr, scope: Scope) -> int:
    from .expressions import evaluate

    value = evaluate(e, scope)
    if not isinstance(value, int) or isinstance(value, bool):
        from .expressions import describe

        raise fail(
            "E306",
            f"an index is a whole number known at compile time, got {describe(value)}",
            e.span,
            help="to select by data, multiply with `one_hot(label)` and `sum`",
        )
    return value
