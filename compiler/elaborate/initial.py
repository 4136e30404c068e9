"""Initial values: `~ glorot`, `~ normal(std = 0.1)`, `= 0`, as small graphs without inputs.

An initialiser is a block with a setting `shape` and, if it wants them, `fan_in` and `fan_out`. Its
draws are made once by the reference interpreter, keyed by the seed and the parameter's place.
"""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

from ...dsl import syntax as s
from ...dsl.diagnostics import Label, did_you_mean, fail
from ..op import apply, cast, constant
from ..types import ShapeError, Type
from ..value import Value
from .scope import BlockRef, Collected, Function, Meaning, Poisoned, Scope, written_at

IMPLICIT = ("shape", "fan_in", "fan_out")


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight [out, in, receptive field …] (Glorot & Bengio, 2010)."""
    if len(shape) < 2:
        n = shape[0] if shape else 1
        return n, n
    field = 1
    for n in shape[2:]:
        field *= n
    return shape[1] * field, shape[0] * field


def initial_value(
    initialiser: s.Expr | None, value: s.Expr | None, type: Type, scope: Scope, path: str
) -> tuple[Value, str]:
    """(initial value, how the user wrote it) of a param or state. Raises Failure E248, E312.

    `path` is its full name: the draws of a parameter depend on its name and the seed alone, so they
    are the same whatever else the file holds.
    """
    if initialiser is not None:
        return _drawn(initialiser, type, scope, path), f"~ {_spelt(initialiser, scope)}"
    if value is None:
        return constant(0.0, type.dtype, type.shape), "= 0"
    from .expressions import describe, evaluate, operand

    x = operand(evaluate(value, scope), value.span, scope)
    if not isinstance(x, Value):
        return constant(x, type.dtype, type.shape), f"= {value.span.text}"
    raise fail(
        "E248",
        f"an initial value is a number known at compile time, got {describe(x)}",
        value.span,
        help="use an initialiser: `~ normal(std = 0.1)`",
    )


def _drawn(e: s.Expr, type: Type, scope: Scope, path: str) -> Value:
    from .body import run_body
    from .expressions import arguments
    from .instances import at_the_call, complete_settings

    function = e.function if isinstance(e, s.Call) else e
    if not isinstance(function, s.Name):
        raise fail(
            "E248",
            "an initialiser is called by its name",
            e.span,
            help="write `~ glorot` or `~ normal(std = 0.1)`; a plain number follows `=`",
        )
    word = _meant(function, scope)
    ref = scope.net.module.lookup(f"{word}_init", scope.library)
    if not isinstance(ref, BlockRef):
        ref = scope.lookup(function.id)
    if not isinstance(ref, BlockRef) or not _initialises(ref.block):
        raise fail(
            "E248",
            f"`{word}` is not an initialiser",
            function.span,
            help=did_you_mean(word, initialisers(scope))
            or "for example `~ glorot`, `~ he`, `~ normal(std = 0.1)`",
        )
    positional, named = arguments(e, scope) if isinstance(e, s.Call) else ([], {})
    own = [x.name.id for x in ref.block.settings if x.name.id not in IMPLICIT]
    if len(positional) > len(own):
        shown = ", ".join(own) or "none"
        raise fail(
            "E234",
            f"`{function.id}` has {len(own)} setting{'s' * (len(own) != 1)} ({shown}),"
            f" got {len(positional)}",
            e.span,
            labels=(Label(ref.block.name.span, "declared here"),),
            help=f"write `~ {function.id}({shown})`" if own else f"write `~ {function.id}`",
        )
    given: dict[str, Meaning] = dict(zip(own, positional, strict=False))
    for key, setting in named.items():
        if key not in own:
            raise fail(
                "E233",
                f"`{function.id}` has no setting `{key}`",
                written_at(named, key, e.span),
                labels=(Label(ref.block.name.span, f"its settings: {', '.join(own) or 'none'}"),),
                help=did_you_mean(key, own)
                or (f"its settings are {', '.join(own)}" if own else "it has no settings"),
            )
        given[key] = setting
    fan_in, fan_out = fans(type.shape)
    given |= {"shape": type.shape, "fan_in": fan_in, "fan_out": fan_out}
    words = {x.name.id for x in ref.block.settings}
    net = Collected(
        scope.net.module,
        scope.net.training,
        type.dtype,
        budget=scope.net.budget,
        initialising=True,
        streams=crc32(path.encode()) >> 1,
    )
    inner = Scope(net, "", ref.block.name.id, {}, {}, ref.library)
    inner.names = complete_settings(
        ref.block, {k: v for k, v in given.items() if k in words}, e.span, inner
    )
    try:
        run_body(ref.block.body, inner, top=False)
    finally:
        if ref.library:
            at_the_call(net.diagnostics, 0, e.span, function.id, inner)
        scope.net.diagnostics.extend(net.diagnostics)
    if net.diagnostics:
        raise Poisoned
    return _fitted(inner.results, type, ref.block, e)


def _meant(name: s.Name, scope: Scope) -> str:
    """The word of an initialiser; `~ init` means what the setting `init` names."""
    found = scope.names.get(name.id)
    if isinstance(found, Function):
        return found.name
    return found.block.name.id if isinstance(found, BlockRef) else name.id


def _spelt(e: s.Expr, scope: Scope) -> str:
    """An initialiser as a summary shows it."""
    return _meant(e, scope).removesuffix("_init") if isinstance(e, s.Name) else e.span.text


def _fitted(results: Mapping[str, Value], type: Type, block: s.Block, e: s.Expr) -> Value:
    """The one output of an initialiser, in the shape of its parameter."""
    if len(results) != 1:
        raise fail(
            "E236",
            f"the initialiser `{block.name.id}` has {len(results)} outputs",
            e.span,
            labels=(Label(block.name.span, "declared here"),),
            help="give it one: `output normal(shape)`",
        )
    result = next(iter(results.values()))
    try:
        if result.shape != type.shape:
            result = apply("broadcast", result, shape=type.shape, batch=False)
        return cast(result, type.dtype)
    except ShapeError as error:
        raise fail(
            "E312",
            f"the initialiser `{block.name.id}` gives {result.type}, but {type} is needed",
            e.span,
            note=error.message,
            labels=(Label(block.name.span, "declared here"),),
            help="make the draw with the setting `shape`: `normal(shape)`",
        ) from None


def _initialises(block: s.Block) -> bool:
    return any(x.name.id == "shape" for x in block.settings)


def initialisers(scope: Scope) -> list[str]:
    """The words that may follow `~`."""
    from .module import library_block, library_names

    blocks = [*scope.net.module.blocks.values(), *(library_block(n) for n in library_names())]
    found = [b.name.id for b in blocks if isinstance(b, s.Block) and _initialises(b)]
    return [n.removesuffix("_init") for n in found]
