"""A net as one flat forward graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from ...dsl import syntax as s
from ...dsl.diagnostics import Diagnostic, Failure, did_you_mean, fail
from ...dsl.source import Span
from ..graph import Graph
from .body import run_body
from .limits import OutOfWork, bounded
from .module import Module
from .scope import Collected, Meaning, Scope
from .unfinished import Partial, partial_graph


def forward(
    module: Module,
    net: str | None = None,
    *,
    training: bool = False,
    dtype: str = "f32",
    settings: Mapping[str, Meaning] | None = None,
    sizes: Mapping[str, int] | None = None,
    frozen: Sequence[str] = (),
) -> Graph:
    """The forward graph of a net: outputs, losses and metrics per example, state updates.

    `training` decides the `when training` branches; `dtype` is the element type where the file
    names none; `settings` override the net's own; `sizes` are sizes that the data fixes (`[n]`).
    Instances and parameters that match a pattern of `frozen` are as in use, and learn nothing.
    Raises Failure with every mistake found.
    """
    scope = _run(module, net, training, dtype, settings, sizes, frozen)
    collected = scope.net
    if collected.diagnostics:
        raise Failure(_once(collected.diagnostics))
    return Graph(scope.block, tuple(collected.outputs), collected.leaves, training,
                 collected.places)  # fmt: skip


def partial_forward(
    module: Module,
    net: str | None = None,
    *,
    dtype: str = "f32",
    sizes: Mapping[str, int] | None = None,
) -> Partial:
    """What is known of a net in use, though it has mistakes, and where these are. Raises Failure
    where nothing is."""
    scope = _run(module, net, False, dtype, None, sizes, ())
    found = scope.net
    return Partial(
        partial_graph(scope.block, scope), tuple(found.unfinished), tuple(_once(found.diagnostics))
    )


def _run(
    module: Module,
    net: str | None,
    training: bool,
    dtype: str,
    settings: Mapping[str, Meaning] | None,
    sizes: Mapping[str, int] | None,
    frozen: Sequence[str],
) -> Scope:
    """The scope of a net after its last statement."""
    from .instances import complete_settings

    declaration = module.net(net)
    collected = Collected(module, training, _dtype(declaration, dtype), frozen=tuple(frozen))
    scope = Scope(collected, "", declaration.name.id, {}, dict(sizes or {}))
    given = dict(settings or {})
    known = [x.name.id for x in declaration.settings]
    for name in given:
        if name not in known:
            raise fail(
                "E233",
                f"the net `{declaration.name.id}` has no setting `{name}`",
                declaration.name.span,
                help=did_you_mean(name, known),
            )
    for name, value in module.overrides.items():
        if name in known:
            module.used_overrides.add(name)
            # `--set head=softplus`: a word that names a block means the block.
            named = module.lookup(value) if isinstance(value, str) else None
            given[name] = value if named is None else named
    scope.names = complete_settings(declaration, given, declaration.name.span, scope)
    with bounded(declaration.name.span), suppress(OutOfWork):
        run_body(declaration.body, scope, top=True)
    return scope


def _dtype(net: s.Net, default: str) -> str:
    """A net whose inputs are declared f64 computes in f64."""
    declared = {
        i.type.dtype
        for i in net.body
        if isinstance(i, s.Input) and isinstance(i.type, s.TensorType) and i.type.dtype
    }
    return "f64" if "f64" in declared else default


def _once(found: list[Diagnostic]) -> list[Diagnostic]:
    """A mistake in a block applied three times is one mistake."""
    seen: set[tuple[str, str, Span | None]] = set()
    result = []
    for d in found:
        key = (d.code, d.message, d.span)
        if key not in seen:
            seen.add(key)
            result.append(d)
    return result
