"""Layers: made from a block and its settings, applied to values, their weights shared when applied
again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from ...dsl import syntax as s
from ...dsl.diagnostics import Diagnostic, Failure, Label, did_you_mean, fail
from ...dsl.source import Span
from ..op import constant
from ..value import Value
from .advice import for_forms, where
from .numbers import is_number
from .ports import match_type
from .scope import (
    LIBRARY,
    BlockRef,
    Function,
    Layer,
    Meaning,
    Named,
    Poisoned,
    Record,
    Scope,
    written_at,
)

MAX_DEPTH = 64  # blocks inside blocks; a block that uses itself would never end


def inputs_of(block: s.Block) -> list[tuple[s.Ident, s.Input]]:
    """The input ports of a block, in order."""
    return [(n, i) for i in block.body if isinstance(i, s.Input) for n in i.names]


def takes_nothing(ref: BlockRef) -> bool:
    """Has the block no inputs? Then calling it applies it."""
    return not inputs_of(ref.block)


# ---------------------------------------------------------------- making


def make_layer(
    ref: BlockRef, positional: list[Meaning], named: dict[str, Meaning], span: Span, scope: Scope
) -> Layer:
    """An instance of `ref` with its settings. In a layer applied again, the one made before."""
    number = scope.layers_made
    scope.layers_made += 1
    if scope.layer is not None and number < len(scope.layer.inner):
        return scope.layer.inner[number]
    settings = bind_settings(ref.block, positional, named, span, scope)
    word = scope.target if scope.target and _learned(ref, settings, scope) else ref.block.name.id
    layer = Layer(ref, settings, scope.instance_path(word), span)
    scope.net.places[layer.path] = span
    if scope.layer is not None:
        scope.layer.inner.append(layer)
    return layer


def bind_settings(
    block: s.Block, positional: list[Meaning], named: dict[str, Meaning], span: Span, scope: Scope
) -> dict[str, Meaning]:
    """Settings by position and name, defaults for the rest. Raises Failure E232, E233, E234."""
    name = block.name.id
    known = [x.name.id for x in block.settings]
    if len(positional) > len(known):
        raise fail(
            "E234",
            f"`{name}` has {len(known)} setting{'s' * (len(known) != 1)}"
            f" ({', '.join(known) or 'none'}), got {len(positional)}",
            span,
            labels=(Label(block.name.span, "declared here"),),
            help=f"write `{name}({', '.join(known)})`" if known else f"write `{name}`",
        )
    given = dict(zip(known, positional, strict=False))
    for key, value in named.items():
        if key not in known:
            raise fail(
                "E233",
                f"`{name}` has no setting `{key}`",
                written_at(named, key, span),
                labels=(Label(block.name.span, f"its settings: {', '.join(known) or 'none'}"),),
                help=_meant(key, known) or _settings_list(known),
            )
        if key in given:
            raise fail(
                "E223",
                f"`{key}` is given twice",
                written_at(named, key, span),
                note="again here",
                labels=(Label(span, "first given by its position"),),
                help=f"`{name}` takes its settings in this order: {', '.join(known)}",
            )
        given[key] = value
    return complete_settings(block, given, span, scope)


# What other frameworks call a setting, and what it is called here.
SYNONYMS = {
    "lr": ("learning_rate", "alpha", "eta"),
    "kernel": ("kernel_size", "size", "window"),
    "size": ("kernel_size", "pool_size", "kernel", "window"),
    "units": ("units_out", "out_features", "features", "width", "size", "filters",
              "out_channels", "channels"),
    "stride": ("strides",),
    "padding": ("pad", "pads"),
    "dilation": ("dilation_rate",),
    "groups": ("num_groups", "group"),
    "factor": ("scale_factor", "scale"),
    "rate": ("p", "prob", "probability"),
    "axis": ("dim", "axes"),
    "bias": ("use_bias",),
    "eps": ("epsilon",),
    "decay": ("weight_decay",),
    "beta1": ("beta_1", "b1"),
    "beta2": ("beta_2", "b2"),
    "init": ("kernel_initializer", "initialiser", "initializer"),
}  # fmt: skip


def _meant(key: str, known: list[str]) -> str:
    meant = next((own for own in known if key in SYNONYMS.get(own, ())), "")
    return f"here it is called `{meant}`" if meant else did_you_mean(key, known)


def _settings_list(known: list[str]) -> str:
    return f"its settings are {', '.join(known)}" if known else "it has no settings"


def complete_settings(
    block: s.Block, given: dict[str, Meaning], span: Span, scope: Scope
) -> dict[str, Meaning]:
    """Defaults may use the settings before them."""
    from .expressions import evaluate

    settings: dict[str, Meaning] = {}
    inner = Scope(scope.net, scope.path, block.name.id, settings, {}, _is_library(block))
    for setting in block.settings:
        key = setting.name.id
        if key in given:
            settings[key] = given[key]
        elif setting.default is not None:
            settings[key] = evaluate(setting.default, inner)
        else:
            raise fail(
                "E232",
                f"`{block.name.id}` needs its setting `{key}`",
                span,
                labels=(Label(setting.span, "declared here without a default"),),
                help=f"write `{block.name.id}({key} = …)`",
            )
    return settings


def _is_library(block: s.Block) -> bool:
    return block.name.span.source.name.startswith(LIBRARY)


def _learned(ref: BlockRef, settings: dict[str, Meaning], scope: Scope) -> bool:
    """Does the block hold parameters, itself or in what it uses? Then its equation names it."""
    seen: set[str] = set()
    waiting = [ref, *(v for v in settings.values() if isinstance(v, BlockRef))]
    while waiting:
        found = waiting.pop()
        block, library = found.block, found.library
        if block.name.id in seen:
            continue
        seen.add(block.name.id)
        for statement in walk(block.body):
            if isinstance(statement, s.Param | s.State):
                return True
        for word in _words(block, scope):
            meaning = scope.net.module.lookup(word, library)
            if isinstance(meaning, BlockRef):
                waiting.append(meaning)
    return False


def walk(body: tuple[s.Statement, ...]) -> Iterator[s.Statement]:
    """Every statement, those inside braces too."""
    waiting = list(reversed(body))
    while waiting:
        statement = waiting.pop()
        yield statement
        for name in ("body", "otherwise"):
            waiting.extend(reversed(getattr(statement, name, ())))


def _words(block: s.Block, scope: Scope) -> frozenset[str]:
    """Every name in the equations of a block."""
    known = scope.net.words
    if id(block) not in known:
        known[id(block)] = frozenset(_names(block))
    return known[id(block)]


def _names(block: s.Block) -> Iterator[str]:
    for statement in walk(block.body):
        waiting: list[Any] = [
            getattr(statement, f) for f in ("value", "items") if hasattr(statement, f)
        ]
        while waiting:
            node = waiting.pop()
            if isinstance(node, s.Name):
                yield node.id
            elif isinstance(node, tuple):
                waiting.extend(node)
            elif isinstance(node, s.Expr | s.Argument | s.OutputItem):
                waiting.extend(getattr(node, f) for f in node.__slots__ if f != "span")


# ---------------------------------------------------------------- applying


def apply_block(
    ref: BlockRef,
    positional: list[Meaning],
    named: Named,
    span: Span,
    scope: Scope,
    places: tuple[Span, ...],
) -> Meaning:
    """`softmax(z, axis = 0)`: values are inputs, what is left over are settings."""
    ports = [n.id for n, _ in inputs_of(ref.block)]
    inputs = positional[: len(ports)]
    by_name, settings = named.split(ports)
    layer = make_layer(ref, positional[len(ports) :], settings, span, scope)
    return apply_layer(layer, inputs, by_name, span, span, scope, places)


def apply_layer(
    stage: Meaning,
    items: list[Meaning],
    named: dict[str, Meaning],
    span: Span,
    stage_span: Span,
    scope: Scope,
    places: tuple[Span, ...] = (),
) -> Meaning:
    """A layer, or a block without settings, on values. `places`: where each item was written."""
    from .body import run_body
    from .expressions import describe

    if isinstance(stage, BlockRef):
        stage = make_layer(stage, [], {}, stage_span, scope)
    if isinstance(stage, Function) or not isinstance(stage, Layer):
        raise fail(
            "E222",
            f"{describe(stage)} cannot be applied",
            stage_span,
            help="write a layer after `->`: `x -> dense(10)`",
        )
    if scope.depth >= MAX_DEPTH:
        raise fail(
            "E235",
            f"blocks are nested more than {MAX_DEPTH} deep at"
            f" `{stage.ref.block.name.id}`: does it use itself?",
            stage_span,
            labels=(Label(stage.ref.block.name.span, "declared here"),),
            help="use `repeat n { … }` to repeat a block",
        )
    block = stage.ref.block
    inner = Scope(
        scope.net,
        stage.path,
        block.name.id,
        dict(stage.settings),
        {},
        stage.ref.library,
        stage,
        depth=scope.depth + 1,
    )
    _bind_inputs(stage, inner, items, named, span, stage_span, scope, places)
    before = len(scope.net.diagnostics)
    run_body(block.body, inner, top=False)
    if len(scope.net.diagnostics) > before:
        if stage.ref.library:
            at_the_call(scope.net.diagnostics, before, stage_span, block.name.id, inner)
        raise Poisoned
    stage.applied_at = stage.applied_at or span
    if not inner.results:
        raise _without_output(stage, inner, stage_span, places or (span,))
    if len(inner.results) == 1:
        return next(iter(inner.results.values()))
    return Record(inner.results)


def _without_output(
    layer: Layer, inner: Scope, stage_span: Span, places: tuple[Span, ...]
) -> Failure:
    """E236 where the block has no output at all, E312 where none of its conditions holds."""
    block = layer.ref.block
    outputs = [x for x in walk(block.body) if isinstance(x, s.Output)]
    if not outputs:
        return fail(
            "E236",
            f"`{block.name.id}` has no output",
            block.name.span,
            labels=(Label(stage_span, "applied here"),),
            help="add `output …`",
        )
    given = [
        (n.id, v.type) for n, _ in inputs_of(block) if isinstance(v := inner.names[n.id], Value)
    ]
    return fail(
        "E312",
        f"`{block.name.id}` has no output for {' and '.join(f'{n}: {t}' for n, t in given)}",
        places[0],
        note=str(given[0][1]) if given else "",
        labels=(Label(block.name.span, "none of the conditions of its outputs holds"),),
        help=for_forms([t for _, t in given], places[0].text) or _forms(block),
    )


def _forms(block: s.Block) -> str:
    """The conditions under which a block has an output."""
    guards = []
    for x in walk(block.body):
        if isinstance(x, s.When) and any(isinstance(y, s.Output) for y in walk(x.body)):
            guards.append(x.condition.span.text)
        elif isinstance(x, s.Output) and x.guard is not None and x.guard.condition is not None:
            guards.append(x.guard.condition.span.text)
    return f"it has one when {', or when '.join(f'`{g}`' for g in guards)}" if guards else ""


def at_the_call(found: list[Diagnostic], start: int, span: Span, name: str, scope: Scope) -> None:
    """A mistake that shows inside the library is the caller's: point there first."""
    for k in range(start, len(found)):
        d = found[k]
        if d.span is not None and d.span.source.name.startswith(LIBRARY):
            inside = Label(d.span, d.note or f"in `{name}`{where(d.span.text, scope)}")
            found[k] = replace(d, span=span, note="this asks for it", labels=(*d.labels, inside))


def _bind_inputs(
    layer: Layer,
    inner: Scope,
    items: list[Meaning],
    named: dict[str, Meaning],
    span: Span,
    stage_span: Span,
    scope: Scope,
    places: tuple[Span, ...],
) -> None:
    from .expressions import made_at, not_a_value, operand

    ports = inputs_of(layer.ref.block)
    name = layer.ref.block.name.id
    flat: list[Meaning] = []
    at: dict[str, Span] = {}
    for k, item in enumerate(items):
        several = isinstance(item, Record) and len(items) == 1 and len(item.fields) == len(ports)
        flat += cast(Record, item).fields.values() if several else (item,)
        if len(places) == len(items) and k < len(ports):
            at[ports[k][0].id] = places[k]
    given = dict(zip((n.id for n, _ in ports), flat, strict=False))
    if len(flat) > len(ports) or any(k in given for k in named):
        raise _wrong_inputs(name, ports, len(flat) + len(named), stage_span)
    given |= named
    for ident, statement in ports:
        if ident.id not in given:
            raise _wrong_inputs(name, ports, len(given), stage_span)
        meaning = given[ident.id]
        place = at.get(ident.id, written_at(named, ident.id, span))
        if not isinstance(meaning, Value | Record) and not is_number(meaning):
            raise not_a_value(meaning, place)
        x = operand(meaning, place, scope)
        value = x if isinstance(x, Value) else constant(x, scope.net.dtype)
        made = made_at(value, place, scope)
        who = f"`{name}` takes {ident.id}"
        match_type(value.type, statement.type, inner, place, who, made)
        inner.names[ident.id] = value


def _wrong_inputs(name: str, ports: list[tuple[s.Ident, s.Input]], got: int, span: Span) -> Any:
    wanted = ", ".join(n.id for n, _ in ports) or "none"
    place = (Label(ports[0][1].span, "its inputs are declared here"),) if ports else ()
    return fail(
        "E237",
        f"`{name}` takes {len(ports)} input{'s' * (len(ports) != 1)} ({wanted}), got {got}",
        span,
        labels=place,
        help=f"write `{name}({wanted})`" if len(ports) > 1 else "",
    )
