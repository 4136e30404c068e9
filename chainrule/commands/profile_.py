"""`chainrule profile FILE`: where the time of a step goes, kernel by kernel."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..console import say, say_error
from ..options import (
    data_option,
    device_options,
    file_argument,
    json_option,
    net_option,
    set_option,
    train_option,
)
from ..pictures import THEMES

BY = ("launch", "kernel", "layer", "line")


@click.command("profile")
@file_argument
@net_option
@train_option
@set_option
@click.option(
    "--batch", type=click.IntRange(min=1), metavar="N", help="Examples of a step, not the file's."
)
@click.option("--forward", is_flag=True, help="Time a prediction, not a training step.")
@click.option(
    "--by", type=click.Choice(BY), default="launch", show_default=True,
    help="A row for each launch, or one for equal kernels, a layer or a line of the file.",
)  # fmt: skip
@click.option(
    "--top", type=click.IntRange(min=1), default=20, show_default=True, metavar="N",
    help="Rows to show; the others are summed up.",
)  # fmt: skip
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True,
    metavar="S", help="How long to measure.",
)  # fmt: skip
@click.option(
    "--diagram", type=click.Path(path_type=Path, dir_okay=False), metavar="PICTURE",
    help="Also draw the layers in colours of their share: .svg, .png, .pdf or .dot.",
)  # fmt: skip
@click.option("--depth", type=click.IntRange(min=1), metavar="N", help="Diagram: levels to open.")
@click.option("--theme", type=click.Choice(THEMES), default="light", show_default=True)
@device_options
@data_option
@json_option
def command(
    file: Path,
    net: str | None,
    train_name: str | None,
    settings: tuple[str, ...],
    batch: int | None,
    forward: bool,
    by: str,
    top: int,
    seconds: float,
    diagram: Path | None,
    depth: int | None,
    theme: str,
    device: str,
    threads: int | None,
    data_root: Path | None,
    as_json: bool,
) -> None:
    """Time every kernel of a training step, within whole steps.

    Runs on random examples, so no data are needed. Each row is compared with what
    this machine was just seen to reach: arithmetic or memory, whichever bounds it.
    A net without `train` is timed as it predicts.
    """
    from .. import profiles
    from ..model import Model
    from ..pictures import heated
    from ..project import choose_train, open_module, settings_given

    module = open_module(file, settings_given(settings))
    if train_name is None and net is None and module.trains:
        chosen = choose_train(module, None)
        train_name = chosen.name.id if chosen is not None else None
    elif train_name is None and net in {t.name.id for t in module.trains}:
        train_name = net
    model = Model(
        module, net=net, train=train_name, device=device, threads=threads, data_root=data_root
    )
    if profiles.means_nothing(model):
        say_error("note: this is Numba's simulator of CUDA; its times say nothing about a GPU")
    found = profiles.profile_model(model, batch=batch, forward=forward, seconds=seconds)
    if as_json:
        say(json.dumps(profiles.as_json(found, model.name, by)))
    else:
        say(profiles.as_text(found, model.name, by, top))
    if diagram is None:
        return
    picture = heated(model, found, depth=depth, theme=theme)
    for path in picture.save(diagram):
        (say_error if as_json else say)(f"wrote {path}")
    if picture.warning:
        say_error(f"warning: {picture.warning}")
