"""From the text of a `data` declaration to a data set.

In: the expression of `data name = source(…) -> step(…) -> …`. Out: a `Dataset`, or a `Failure`
with an E4xx code at the argument to blame. No expression is executed: sources and steps are
looked up by name in the registry, and their arguments are literals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ...dsl import syntax as ast
from ...dsl.diagnostics import Failure, did_you_mean, fail
from . import (  # noqa: F401  (they declare)
    arrays,
    bits,
    embedded_sets,
    idx,
    images,
    pairs,
    resizing,
    scenes,
    sequence_steps,
    steps,
    synthetic,
    table_source,
    tasks,
    texts,
)
from .arguments import Scope
from .dataset import Dataset
from .registry import SOURCES, STEPS
from .settling import settle_vocabularies
from .statistics import settle
from .vocabulary import Vocabulary


def build_dataset(
    value: ast.Expr,
    *,
    base: Path,
    constants: Mapping[str, object] | None = None,
    override_root: Path | None = None,
    name: str = "",
    progress: Callable[[str, int, int], None] | None = None,
    vocabularies: Mapping[str, Vocabulary] | None = None,
) -> Dataset:
    """Evaluate a data expression.

    `base` is the folder of the `.net` file. `constants` gives the values of names: numbers and
    texts for arguments, and the `Expr` or `Dataset` of other `data` declarations as sources.
    `progress` is told what takes long, how much of it is done, and how much there is.
    `vocabularies`: those of a trained net, by field, in place of the train part's own.
    """
    scope = Scope(base, constants or {}, override_root, progress)
    unsettled = _evaluate(value, scope, ())
    if len(unsettled.train) == 0:
        raise fail("E412", f"`{unsettled.name}` holds no examples to train on", value.span)
    for field in unsettled.fields.values():
        if field.size == 0:
            raise fail("E412", f"an example of `{field}` holds no numbers", value.span)
    dataset = settle(settle_vocabularies(unsettled, vocabularies or {}, value.span))
    return replace(dataset, name=name) if name else dataset


def _evaluate(value: ast.Expr, scope: Scope, busy: tuple[str, ...]) -> Dataset:
    stages: list[ast.Expr] = []
    while isinstance(value, ast.Pipe):
        stages.append(value.stage)
        value = value.value
    dataset = _source(value, scope, busy)
    for stage in reversed(stages):
        dataset = _step(dataset, stage, scope)
    return dataset


def _source(value: ast.Expr, scope: Scope, busy: tuple[str, ...]) -> Dataset:
    name, arguments = _call(value, 'a source of data, such as `digits()` or `csv("file.csv")`')
    known = scope.constants.get(name.id)
    if isinstance(known, Dataset) and not arguments:
        return known
    if isinstance(known, ast.Expr) and not arguments:
        if name.id in busy:
            raise fail("E416", f"`{name.id}` is made from itself", name.span)
        return _evaluate(known, scope, (*busy, name.id))
    if name.id in SOURCES:
        found = SOURCES[name.id]
        return found.make(found.signature.bind(value.span, arguments, scope))
    raise _unknown_source(name, scope)


def _unknown_source(name: ast.Name, scope: Scope) -> Failure:
    if name.id in STEPS:
        way_out = f"a source comes first: `digits() -> {name.id}(…)`"
        return fail("E401", f"`{name.id}` is a step, not a source", name.span, help=way_out)
    declared = [n for n, v in scope.constants.items() if isinstance(v, ast.Expr | Dataset)]
    near = did_you_mean(name.id, [*SOURCES, *declared])
    way_out = near or f"sources are {', '.join(f'`{s}`' for s in sorted(SOURCES))}"
    return fail("E401", f"no data source is called `{name.id}`", name.span, help=way_out)


def _step(dataset: Dataset, stage: ast.Expr, scope: Scope) -> Dataset:
    name, arguments = _call(stage, "a step, such as `normalize` or `split(valid = 0.1)`")
    if name.id in STEPS:
        found = STEPS[name.id]
        return found.apply(dataset, found.signature.bind(stage.span, arguments, scope))
    if name.id in SOURCES:
        message = f"`{name.id}` is a source, and a source stands first"
        raise fail("E402", message, name.span, help=f"write `{name.id}(…) -> …`")
    near = did_you_mean(name.id, STEPS)
    way_out = near or f"steps are {', '.join(f'`{s}`' for s in sorted(STEPS))}"
    raise fail("E402", f"no data step is called `{name.id}`", name.span, help=way_out)


def _call(value: ast.Expr, what: str) -> tuple[ast.Name, tuple[ast.Argument, ...]]:
    """`split` and `split(…)` alike, as a name and its arguments."""
    if isinstance(value, ast.Name):
        return value, ()
    if isinstance(value, ast.Call) and isinstance(value.function, ast.Name):
        return value.function, value.arguments
    raise fail("E416", f"expected {what}", value.span)
