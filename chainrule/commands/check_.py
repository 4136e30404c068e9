"""`chainrule check FILE…`: everything that can be known of a file before it runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..console import complain, say
from ..options import data_option, json_option, set_option

if TYPE_CHECKING:
    from ..dsl.diagnostics import Diagnostic


@click.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@set_option
@data_option
@click.option("--no-data", is_flag=True, help="Do not read the data files.")
@json_option
def command(
    files: tuple[Path, ...],
    settings: tuple[str, ...],
    data_root: Path | None,
    no_data: bool,
    as_json: bool,
) -> None:
    """Check .net files: syntax, names, shapes, training, and that the data fit.

    Says what each file defines. Exit code 2 if there is a mistake in any of them.
    """
    from ..dsl.diagnostics import Failure
    from ..project import settings_given

    given = settings_given(settings)
    every: list[Diagnostic] = []
    facts: list[dict[str, Any]] = []
    for path in files:
        found, fact = _check(path, given, data_root, not no_data)
        every += found
        facts.append(fact)
        if not as_json and fact["ok"]:
            say(_line(fact))
    if as_json:
        say(json.dumps({"files": facts, "diagnostics": [d.as_json() for d in every]}))
    elif every:
        complain(Failure(every))
    if any(d.severity == "error" for d in every):
        raise SystemExit(2)


def _check(
    path: Path, given: dict[str, str], data_root: Path | None, with_data: bool
) -> tuple[list[Diagnostic], dict[str, Any]]:
    """The mistakes of one file, and what it holds."""
    from ..compiler.check import check, place, stand_ins
    from ..dsl.diagnostics import Failure
    from ..project import open_module, run_names

    fact: dict[str, Any] = {"file": str(path)}
    try:
        module = open_module(path, given)
    except Failure as failure:
        return failure.diagnostics, {**fact, "ok": False}
    found = list(check(module)) if not _needs_data(module) else []
    trains = _trains(module, data_root, with_data)
    absent = not with_data or not module.trains or any(d.code == "E403" for d in trains)
    if absent and _needs_data(module) and (sizes := stand_ins(module)) is not None:
        found = check(module, sizes)
    seen = {d.render() for d in found}
    for diagnostic in [*_generates(module), *trains]:
        if diagnostic.render() not in seen:
            seen.add(diagnostic.render())
            found.append(diagnostic)
    found.sort(key=place)
    errors = [d for d in found if d.severity == "error"]
    fact |= {
        "ok": not errors,
        "nets": _nets(module),
        "blocks": [n for n in module.blocks if n not in module.nets],
        "optimizers": list(module.optimizers),
        "data": list(module.data),
        "trains": list(run_names(module)),
        "generates": [g.name.id for g in module.generates],
    }
    return found, fact


def _needs_data(module: Any) -> bool:
    """Is there a net whose input sizes only the data fix? Then it is checked with them."""
    from ..project import open_sizes

    return any(open_sizes(net, module) for net in module.nets.values())


def _trains(module: Any, data_root: Path | None, with_data: bool) -> list[Diagnostic]:
    """What only the run of a `train` would show: its settings, its data, its sizes."""
    from .. import project
    from ..compiler.check import names
    from ..compiler.elaborate.limits import bounded
    from ..compiler.pipeline import step
    from ..dsl.diagnostics import Failure
    from ..model import Model
    from ..runtime.train.settings import read_settings, require_end
    from ..transfer import check_loads

    found: list[Diagnostic] = []
    for train in module.trains:
        try:
            with bounded(train.name.span):
                require_end(read_settings(train, project.plain_consts(module)), train)
                if train.name.id in module.nets:
                    _shown(Model(module, train=train))
        except Failure as failure:
            found += failure.diagnostics
        try:
            with bounded(train.name.span):
                names(module, train)
                if not with_data:
                    continue
                dataset = project.dataset_of(module, train, data_root)
                model = Model(module, train=train, data_root=data_root)
                model.__dict__["_declared_data"] = dataset
                project.bind_inputs(model.evaluation, dataset, train)
                step(model.module, train, sizes=model.sizes)
                check_loads(model)
                _shown(model, dataset)
                _taken_apart(model)
        except Failure as failure:
            found += [_softened(d) for d in failure.diagnostics]
    return found + (_other_data(module, data_root) if with_data else [])


def _shown(model: Any, dataset: Any = None) -> None:
    """Raise Failure E293, E294 where a `sample` line asks for what its net does not make. Without
    data only the names can be looked up, and those only where the sizes are known."""
    from ..exhibits import check_names, exhibits
    from ..project import open_sizes

    wanted = model.settings.sample
    if wanted is None:
        return
    if dataset is not None:
        exhibits(model, wanted)
    elif not open_sizes(model.net, model.module):
        check_names(model.evaluation, model.module, wanted)


def _generates(module: Any) -> list[Diagnostic]:
    """What `generate` declarations say of themselves."""
    from .. import project
    from ..compiler.generate.choice import generated_net
    from ..dsl.diagnostics import Failure
    from ..runtime.generate.settings import read_generation

    found: list[Diagnostic] = []
    for declared in module.generates:
        for check in (
            lambda d=declared: generated_net(module, d),
            lambda d=declared: read_generation(d, project.plain_consts(module)),
        ):
            try:
                check()
            except Failure as failure:
                found += failure.diagnostics
    return found


def _taken_apart(model: Any) -> None:
    """Raise Failure E286, E287 where a `generate` declaration asks what its net cannot do."""
    from .. import project
    from ..compiler.generate.split import stepwise
    from ..dsl import syntax as ast
    from ..dsl.diagnostics import Failure
    from ..runtime.generate.settings import read_generation

    for declared in model.module.generates:
        if not isinstance(declared.net, ast.Name) or declared.net.id != model.name:
            continue
        try:
            how = read_generation(declared, project.plain_consts(model.module))
        except Failure:
            continue  # said already
        stepwise(model.module, model.name, dtype=model.dtype, sizes=model.sizes, feed=how.feed,
                 scores=how.scores, span=declared.name.span)  # fmt: skip


def _other_data(module: Any, data_root: Path | None) -> list[Diagnostic]:
    """The mistakes of data declarations that no `train` uses."""
    from ..compiler.elaborate.limits import bounded
    from ..dsl import syntax as ast
    from ..dsl.diagnostics import Failure
    from ..project import build_data

    used = {t.data.id for t in module.trains if isinstance(t.data, ast.Name)}
    found: list[Diagnostic] = []
    for name, declared in module.data.items():
        if name in used:
            continue
        try:
            with bounded(declared.name.span):
                build_data(module, declared.value, name, data_root)
        except Failure as failure:
            found += [_softened(d) for d in failure.diagnostics]
    return found


def _softened(diagnostic: Diagnostic) -> Diagnostic:
    """Data files may come later: that they are not there yet is worth a warning here."""
    return replace(diagnostic, severity="warning") if diagnostic.code == "E403" else diagnostic


def _nets(module: Any) -> list[dict[str, Any]]:
    """Each net with its parameters, where its sizes are known without data."""
    from ..compiler.pipeline import forward
    from ..dsl.diagnostics import Failure

    nets = []
    for name in module.nets:
        fact: dict[str, Any] = {"name": name}
        try:
            graph = forward(module, name)
            fact["parameters"] = sum(p.value.type.size for p in graph.params)
            fact["inputs"] = {i.name: str(i.value.type) for i in graph.inputs}
        except Failure:
            pass  # reported above, or fixed by the data
        nets.append(fact)
    return nets


def _line(fact: dict[str, Any]) -> str:
    """`digits.net: ok: net digits (4,810 parameters), data images, train digits`."""
    parts = []
    for net in fact["nets"]:
        count = f" ({net['parameters']:,} parameters)" if "parameters" in net else ""
        parts.append(f"net {net['name']}{count}")
    for kind, names in (
        ("block", fact["blocks"]),
        ("optimizer", fact["optimizers"]),
        ("data", fact["data"]),
        ("train", fact["trains"]),
        ("generate", fact["generates"]),
    ):
        parts += [f"{kind} {name}" for name in names]
    return f"{fact['file']}: ok: {', '.join(parts) or 'nothing declared'}"
