"""`chainrule compile FILE`: a net as a package that needs no chainrule."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..console import say
from ..dsl.diagnostics import fail
from ..options import (
    data_option,
    file_argument,
    set_option,
    short_out_option,
    train_option,
    weights_option,
)

if TYPE_CHECKING:
    from ..compiler.plan import Plan
    from ..model import Model


@click.command("compile")
@file_argument
@train_option
@set_option
@weights_option
@click.option(
    "--target", type=click.Choice(("cpu", "cuda")), default="cpu", show_default=True,
    help="A package for numpy and numba, or CUDA kernels with their PTX.",
)  # fmt: skip
@click.option("--step", is_flag=True, help="A training step, instead of prediction.")
@click.option(
    "--batch", type=click.IntRange(min=1), metavar="N", help="The most examples of one call."
)
@data_option
@short_out_option
def command(
    file: Path,
    train_name: str | None,
    settings: tuple[str, ...],
    weights: Path | None,
    target: str,
    step: bool,
    batch: int | None,
    data_root: Path | None,
    out: Path | None,
) -> None:
    """Compile a net into a package of its own.

    For cpu, a Python package that runs with numpy and numba alone: its predict()
    (or step()) takes and gives arrays. For cuda, the kernels as Python and PTX,
    and launches.json, which says what runs in which order.
    """
    from ..model import Model
    from ..project import choose_train, open_module, output_folder, settings_given

    module = open_module(file, settings_given(settings))
    model = Model(
        module, train=choose_train(module, train_name), device="plain", data_root=data_root
    )
    plan = _plan(model, step, batch)
    folder = output_folder(file, out)
    if target == "cuda":
        from ..runtime.cuda_modules import export as export_cuda

        written = export_cuda(plan, folder / f"{model.name}-cuda")
    else:
        from ..runtime.export import export

        written = export(plan, _weights(model, file, weights, out, step), folder)
    parents = {path.parent for path in written}
    top = min(parents, key=lambda p: len(p.parts))
    size = sum(path.stat().st_size for path in written)
    say(f"wrote {top}: {len(written)} files, {size / 1000:,.0f} kB")
    if target == "cpu":
        function = "step" if step else "predict"
        inputs = ", ".join(f"{b.name}=…" for b in plan.buffers if b.kind == "input") or "count=16"
        say(f"use it in {top.parent}: import {top.name}; {top.name}.{function}({inputs})")


def _plan(model: Model, step: bool, batch: int | None) -> Plan:
    from ..compiler.pipeline import compile_plan
    from ..compiler.pipeline import step as training_step
    from ..runtime.session import part_of

    if not step:
        graph = part_of(model.evaluation, "output")
        if not graph.outputs:
            raise fail(
                "E630",
                f"`{model.name}` has no output to compute",
                model.net.name.span,
                help="add `output …` to the net, or compile its training with --step",
            )
        return compile_plan(graph, batch or 64)
    if model.declaration is None:
        raise fail("E608", f"`{model.name}` has no `train` declaration", model.net.name.span)
    graph = training_step(model.module, model.declaration, dtype=model.dtype, sizes=model.sizes)
    return compile_plan(graph, batch or model.settings.batch or 64)


def _weights(
    model: Model, file: Path, weights: Path | None, out: Path | None, step: bool
) -> dict[str, Any]:
    """Trained weights where there are any, else the initial ones."""
    from ..dsl.diagnostics import Failure
    from ..runtime.session import initial_values
    from ..weights import trained

    for place in dict.fromkeys((out, None)):  # the package need not go where training wrote
        try:
            say(f"weights of {trained(model, file, weights, place)}")
            break
        except Failure as failure:
            if weights is not None or failure.diagnostics[0].code != "E540":
                raise
    else:
        say("no trained weights were found: the package holds the initial ones")
    values: dict[str, Any] = dict(model.session.values)
    if step and model.declaration is not None:
        from ..compiler.pipeline import step as training_step

        graph = training_step(model.module, model.declaration, dtype=model.dtype, sizes=model.sizes)
        fresh = initial_values(graph, model.settings.seed, model.module.folder)
        values |= {n: a for n, a in fresh.items() if n not in values}
    return values
