"""`chainrule plot FILE KIND`: what happened in training, and what the net has learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..console import say
from ..options import (
    data_option,
    device_options,
    file_argument,
    run_option,
    set_option,
    train_option,
    weights_option,
)
from ..pictures import THEMES
from ..plots.asked import KINDS

ALONE = "activations"  # the kind that is about no file


@click.command("plot", epilog="Kinds: " + "; ".join(f"{k}, {w}" for k, (w, _) in KINDS.items()))
@file_argument
@click.argument("kind", required=False, metavar="KIND")
@click.option("--theme", type=click.Choice(THEMES), default="light", show_default=True)
@click.option("--part", type=click.Choice(("train", "valid", "test")), help="Which examples.")
@click.option("--example", "examples", type=click.IntRange(min=0), multiple=True, metavar="I",
              help="An example of the part, from 0; may be given several times.")  # fmt: skip
@click.option("--node", "nodes", multiple=True, metavar="NAME",
              help="What to show, as `embed` names it; may be given several times.")  # fmt: skip
@click.option("--over-training", "moving", is_flag=True,
              help="Train afresh and show every moment, as .gif too.")  # fmt: skip
@click.option("--optimizers", metavar="LIST",
              help='Train afresh with each and show its way: "sgd(lr = 0.1), adam".')  # fmt: skip
@click.option("--epochs", type=click.FloatRange(min=0, min_open=True), metavar="N",
              help="How long to train afresh.  [default: as the file says]")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), metavar="N",
              help="Of a training afresh, and of random directions.")  # fmt: skip
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Where to draw.  [default: KIND in the folder of the run]")  # fmt: skip
@train_option
@set_option
@weights_option
@device_options
@data_option
@run_option
def command(
    file: Path,
    kind: str | None,
    theme: str,
    part: str | None,
    examples: tuple[int, ...],
    nodes: tuple[str, ...],
    moving: bool,
    optimizers: str | None,
    epochs: float | None,
    seed: int | None,
    output: Path | None,
    train_name: str | None,
    settings: tuple[str, ...],
    weights: Path | None,
    device: str,
    threads: int | None,
    data_root: Path | None,
    out: Path | None,
) -> None:
    """Plot what happened in training and what the net has learned, as .svg and .png.

    `chainrule plot activations` needs no file.
    """
    from ..opening import open_model
    from ..plots import Asked, check, plot
    from ..project import output_folder, run_name
    from ..weights import run_folder, trained

    if kind is None and str(file) == ALONE:
        kind = ALONE
    asked = Asked(
        theme=theme,
        part=part,
        examples=examples or None,
        nodes=nodes or None,
        moving=moving or None,
        optimizers=optimizers,
        epochs=epochs,
        seed=seed,
        device=device,
    )
    kind = kind or next(iter(KINDS))
    check(kind, asked)
    model: Any = None
    folder = output_folder(None, out or Path("out"))
    if kind != ALONE:
        model = open_model(
            file, settings, train_name, device=device, threads=threads, data_root=data_root
        )
        if not asked.afresh:
            trained(model, file, weights, out)
        run = run_name(model.module, model.declaration) or model.name
        folder = run_folder(file, model.module, run, out)
    asked = replace(asked, folder=folder)
    for path in plot(model, kind, output or folder / kind, asked):
        say(f"wrote {path}")
