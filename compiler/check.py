"""Everything that can be known of a file without data: every net, both ways, and every train.

In: a module. Out: all diagnostics, each once. What needs the data (fields, sizes that only they
fix) is checked where data are bound.
"""

from __future__ import annotations

from collections.abc import Callable

from ..dsl import syntax as s
from ..dsl.diagnostics import Diagnostic, Failure, did_you_mean, fail
from .elaborate import Module, forward
from .elaborate.limits import bounded
from .elaborate.scope import Collected
from .step import minimized, resolve_optimizer, training_step


def check(module: Module) -> list[Diagnostic]:
    """The mistakes of a module, in the order of their places."""
    found: list[Diagnostic] = []
    broken: set[str] = set()
    for name in module.nets:
        before = len(found)
        for training in (True, False):
            _try(lambda n=name, t=training: forward(module, n, training=t), found)  # type: ignore[misc]
            if any(d.code == "E251" for d in found[before:]):
                break  # the limit takes seconds to reach: once is enough
        if len(found) > before:
            broken.add(name)
    for train in module.trains:
        if not _try(lambda t=train: names(module, t), found):  # type: ignore[misc]
            continue
        if train.name.id in broken:
            _try(lambda t=train: _optimizers(module, t), found)  # type: ignore[misc]
        else:
            _try(lambda t=train: _steps(module, t), found)  # type: ignore[misc]
    found += [_later(g) for g in module.generates]
    for name in module.unused_overrides():
        found.append(_unused(module, name))
    return sorted(_distinct(found), key=place)


def names(module: Module, train: s.Train) -> None:
    """The net and the data a `train` speaks of. Raises Failure E210, E271."""
    if train.name.id not in module.nets:
        raise fail(
            "E210",
            f"there is no net `{train.name.id}`",
            train.name.span,
            help=did_you_mean(train.name.id, module.nets),
        )
    if isinstance(train.data, s.Name) and train.data.id not in module.data:
        raise fail(
            "E271",
            f"there is no data `{train.data.id}`",
            train.data.span,
            help=did_you_mean(train.data.id, module.data)
            or f"declare it: `data {train.data.id} = digits()`",
        )


def _steps(module: Module, train: s.Train) -> None:
    graph = forward(module, train.name.id, training=True)
    for minimize, _ in minimized(train):
        training_step(graph, module, minimize)


def _optimizers(module: Module, train: s.Train) -> None:
    """The optimizers alone, where the net cannot be built: their mistakes are independent."""
    for minimize, _ in minimized(train):
        for rule in minimize.rules:
            resolve_optimizer(rule.optimizer, module, Collected(module, True, "f32"))


def _later(generate: s.Generate) -> Diagnostic:
    return Diagnostic(
        "E250",
        "`generate` is understood but cannot be run yet",
        generate.name.span,
        help="this version trains dense networks; remove the `generate` block for now",
    )


def _try(action: Callable[[], object], found: list[Diagnostic]) -> bool:
    try:
        with bounded():
            action()
    except Failure as failure:
        found += failure.diagnostics
        return False
    return True


def _unused(module: Module, name: str) -> Diagnostic:
    known = [x.name.id for n in module.nets.values() for x in n.settings] + list(module.consts)
    near = did_you_mean(name, known)
    return Diagnostic(
        "E272",
        f"`--set {name}=…` sets nothing: no net has that setting, and it is no constant",
        help=near or (f"there are {', '.join(known)}" if known else "the file has no settings"),
    )


def _distinct(found: list[Diagnostic]) -> list[Diagnostic]:
    unique = {(d.code, d.message, str(d.span)): d for d in found}
    return list(unique.values())


def place(d: Diagnostic) -> tuple[str, int]:
    """By which diagnostics are put in order."""
    return (d.span.source.name, d.span.start) if d.span else ("", 0)
