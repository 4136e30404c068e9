"""Calls of operations from the language: which arguments are operands, which options, and what is
wrong with them.

In: evaluated arguments with their places. Out: a value of the graph, or a Failure at the user's
text. The words that are more than one operation are `functions`' and `images`'.
"""

from __future__ import annotations

from ...dsl.diagnostics import Failure, Label, did_you_mean, fail
from ...dsl.source import Span
from ..op import REQUIRED, Op, constant
from ..value import Origin, Value, origin
from .scope import Meaning, Record, Scope, written_at

Options = dict[str, Meaning]
SHAPES = ("shape", "size", "start")  # options that are made of sizes


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
            raise no_option(op.name, key, tuple(op.options), written_at(named, key, span))
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
    for key in SHAPES:
        _whole_numbers(op.name, key, options.get(key), written_at(named, key, span))
    values = tuple(operand_of(a, span, scope) for a in operands)
    if "over" in options:
        options["over"] = _spatial(options["over"], values[0])
    return build(op.name, values, options, span, scope)


def no_option(name: str, key: str, known: tuple[str, ...], span: Span) -> Failure:
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


def operand_of(meaning: Meaning, span: Span, scope: Scope) -> Value | float:
    from .expressions import operand

    return operand(meaning, span, scope)


def value_of(meaning: Meaning, span: Span, scope: Scope) -> Value:
    from .expressions import operand

    x = operand(meaning, span, scope)
    if isinstance(x, Value):
        return x
    with origin(Origin(span, scope.path, scope.block)):
        return constant(x, scope.net.dtype)


def only(
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
            raise no_option(name, key, options, written_at(named, key, span))


def _whole_numbers(name: str, key: str, sizes: Meaning | None, span: Span) -> None:
    """A quotient may leave a fraction, a difference nothing. Raises Failure E307."""
    items = sizes if isinstance(sizes, tuple) else (sizes,)
    for n in items:
        if isinstance(n, float) and not n.is_integer():
            raise fail(
                "E307",
                f"a size is a whole number, `{name}` got {n:g}",
                span,
                help="choose sizes that divide without a remainder",
            )
        if key == "size" and isinstance(n, int) and n < 1:
            raise fail(
                "E307",
                f"a size is a whole number from 1, `{name}` got {n}",
                span,
                help="nothing is left: pad or cut away less",
            )


def _spatial(axes: Meaning, x: Value | float) -> Meaning:
    """`space` among the axes is every axis of an image but its channels."""
    if not isinstance(axes, tuple) or "space" not in axes:
        return axes
    rank = len(x.shape) if isinstance(x, Value) else 0
    return (*(a for a in axes if a != "space"), *range(1, rank))


def made(x: Value, span: Span, scope: Scope) -> tuple[Label, ...]:
    """Where an operand got its type, as the labels of a diagnostic."""
    from .expressions import made_at

    label = made_at(x, span, scope)
    return (label,) if label is not None else ()
