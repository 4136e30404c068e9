"""Weights from elsewhere for a model: of a file, of another model, of a net trained before.

In: a model and what to load. Out: the model's new values and a report. Which array becomes which is
`runtime.train.loading`'s; where the weights of a trained net lie is `weights`'.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .dsl.diagnostics import Failure, did_you_mean, fail
from .project import output_folder, run_name, run_names
from .runtime.checkpoint import load_weights
from .runtime.train.loading import Load, Rename, Report, load_into, part_of
from .runtime.train.store import CHECKPOINT, MODEL
from .weights import net_of

if TYPE_CHECKING:
    from .compiler.elaborate import Module
    from .dsl import syntax as ast
    from .model import Model

Array = NDArray[Any]
BEST = "best/"


def load(
    model: Model,
    source: str | Path | Model | Mapping[str, Array],
    into: str = "",
    names: Mapping[str, str | None] | None = None,
) -> Report:
    """`Model.load`."""
    renames = tuple(Rename(theirs, ours) for theirs, ours in (names or {}).items())
    for rename in renames:
        if rename.ours is not None and rename.ours.count("*") != rename.theirs.count("*"):
            raise fail("E291", f"`{rename.text}`: different numbers of `*`")
    asked = Load(into=into.removesuffix(".*"), renames=renames)
    if isinstance(source, str | Path):
        theirs, shown = held(load_weights(Path(source))), str(source)
    elif isinstance(source, Mapping):
        theirs, shown = dict(source), "the arrays"
    else:
        theirs, shown = source.session.values, source.name
    return _take(model, theirs, asked, shown)


def load_declared(model: Model, loads: tuple[Load, ...], out: Path | None) -> list[Report]:
    """What the `load` lines of `train` ask for, in the order written. `out`: the run's folder."""
    reports = []
    before = dict(model.session.values)
    try:
        for each in loads:
            path = _file(model, each, out)
            reports.append(_take(model, _read(path, each), each, _shown(path, each)))
    except Failure:
        model.session.values = before
        raise
    return reports


def check_loads(model: Model) -> None:
    """Raise Failure E291 for lines that no file could put right: parts and runs of no such name."""
    loads = model.settings.loads
    if not loads:
        return
    leaves = (*model.evaluation.params, *model.evaluation.states)
    names = {leaf.name: np.empty(0) for leaf in leaves}  # which arrays does not matter
    wrong = Failure()
    for each in loads:
        try:
            if each.net:
                _trained_before(model.module, model.declaration, each)
            part_of(names, each)
        except Failure as failure:
            wrong.diagnostics += failure.diagnostics
    if wrong.diagnostics:
        raise wrong


def _take(model: Model, theirs: Mapping[str, Array], asked: Load, shown: str) -> Report:
    values, report = load_into(theirs, model.session.values, asked, shown)
    model.session.values = {**model.session.values, **values}
    return report


def _read(path: Path, asked: Load) -> dict[str, Array]:
    try:
        return held(load_weights(path))
    except Failure as failure:
        first = failure.diagnostics[0]
        way_out = _other_file(path) if asked.file else first.help
        raise fail(first.code, first.message, asked.source_span, help=way_out) from failure


def _other_file(path: Path) -> str:
    """What to do where a file that `load` names cannot be used."""
    if path.is_file():
        return "it was cut short or is of another kind: `load` takes safetensors files"
    others = sorted(p.name for p in path.parent.glob("*.safetensors") if p.is_file())
    there = f", where there are {', '.join(f'`{n}`' for n in others[:6])}" if others else ""
    return f"it is looked for beside the `.net` file{there}"


def _shown(path: Path, asked: Load) -> str:
    return f"{path}" if not asked.part else f"{asked.part} of {path}"


def held(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """A net's own arrays: of a checkpoint the best ones, without the optimizer's."""
    own = {n: a for n, a in arrays.items() if not n.startswith(BEST)}
    params = set(own)
    kept = {n: a for n, a in own.items() if not any(p in params for p in _above(n))}
    return {n: arrays.get(BEST + n, a) for n, a in kept.items()}


def _above(name: str) -> list[str]:
    """`a`, `a.W` and `a.W.adam` for `a.W.adam.m`, which belongs to the array `a.W`."""
    pieces = name.split(".")
    return [".".join(pieces[:k]) for k in range(1, len(pieces))]


# ---------------------------------------------------------------- which file


def _file(model: Model, asked: Load, out: Path | None) -> Path:
    """Where the weights lie. Raises Failure E291 and E540."""
    module = model.module
    if asked.file:
        return module.folder / asked.file
    origin = _trained_before(module, model.declaration, asked)
    if origin is None:
        base = out.parent if out is not None else output_folder(module.path, None)
        folders, file = [base / asked.net], module.path
    else:
        base = output_folder(origin, None)
        folders, file = [base / asked.net, base], origin
    for folder in folders:
        path = folder / MODEL
        if path.is_file() and net_of(path) in ("", _net(module, asked.net)):
            return path
    command = f"chainrule train {file}" + (f" --train {asked.net}" if origin is None else "")
    if any((folder / CHECKPOINT).is_file() for folder in folders):
        command += " --resume"
    raise fail("E540", f"there are no weights of `{asked.net}` in `{folders[0]}`",
               asked.source_span, help=f"train it first: `{command}`")  # fmt: skip


def _net(module: Module, name: str) -> str:
    found = run_names(module).get(name)
    return found.name.id if found is not None else name


def _trained_before(module: Module, train: ast.Train | None, asked: Load) -> Path | None:
    """None where this file trains it, else the imported file that it is from. Raises E291."""
    runs = run_names(module)
    name = asked.net
    if name in runs:
        own = run_name(module, train) if train is not None else ""
        order = list(runs)
        if own in runs and order.index(name) >= order.index(own):
            if name == own:
                message = f"`train {name}` would load its own weights"
                way_out = "name a net that is trained above, or go on with `--resume`"
                raise fail("E291", message, asked.source_span, help=way_out)
            message = f"`train {name}` comes after this one, so its weights are not there yet"
            way_out = "move it above: trainings run in the order written"
            raise fail("E291", message, asked.source_span, help=way_out)
        return None
    net = module.nets.get(name)
    if net is not None and net.name.span.source is not module.source:
        return Path(net.name.span.source.name)
    known = [*runs, *(n for n in module.nets if n not in runs)]
    if net is not None:
        message, way_out = f"nothing here trains `{name}`", "name its file of weights in quotes"
    else:
        message = f"there is no `train {name}` in {module.source.name}"
        near = did_you_mean(name, known)
        way_out = near or f'for a file write its name in quotes: `load "{name}.safetensors"`'
    raise fail("E291", message, asked.source_span, help=way_out)
