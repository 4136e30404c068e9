"""`chainrule summary FILE`: layers, shapes, parameters, work, memory."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..console import say
from ..options import data_option, file_argument, json_option, net_option, set_option


@click.command("summary")
@file_argument
@net_option
@set_option
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Examples, for the memory.")
@click.option(
    "--depth", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
    help="Levels of blocks inside blocks to list.",
)  # fmt: skip
@data_option
@json_option
def command(
    file: Path,
    net: str | None,
    settings: tuple[str, ...],
    batch: int | None,
    depth: int,
    data_root: Path | None,
    as_json: bool,
) -> None:
    """List a net's layers with shapes, parameters and work, and its memory."""
    from ..model import Model
    from ..project import open_module, settings_given
    from ..summary import summarise

    model = Model(open_module(file, settings_given(settings)), net=net, data_root=data_root)
    summary = summarise(model, depth, batch)
    say(json.dumps(summary.as_json()) if as_json else str(summary))
