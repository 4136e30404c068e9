"""`chainrule handout FILE`: one document of a net, for a lecture."""

from __future__ import annotations

from pathlib import Path

import click

from ..console import say
from ..handouts import SUFFIX
from ..options import data_option, file_argument, net_option, set_option, short_out_option


@click.command("handout")
@file_argument
@net_option
@set_option
@click.option(
    "--format", "kind", type=click.Choice(list(SUFFIX)), default="html", show_default=True
)
@click.option("--index", is_flag=True, help="Also the formulas of single elements, with indices.")
@click.option("--answers", is_flag=True, help="With the answers to the exercises, at the end.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, metavar="N",
    help="Which exercises and numbers.",
)  # fmt: skip
@click.option(
    "--depth", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
    help="Levels of blocks to open in the diagram and the table.",
)  # fmt: skip
@click.option("--loss", metavar="NAME", help="Which loss, where there are several.")
@data_option
@short_out_option
def command(
    file: Path,
    net: str | None,
    settings: tuple[str, ...],
    kind: str,
    index: bool,
    answers: bool,
    seed: int,
    depth: int,
    loss: str | None,
    data_root: Path | None,
    out: Path | None,
) -> None:
    """Write one document of a net: its source, a diagram, the layers, the
    derivation of every gradient with shapes and a numeric check, and exercises.

    HTML is one offline file; LaTeX compiles by itself beside its picture.
    """
    from ..handouts import Wanted, handout
    from ..model import Model
    from ..project import open_module, output_folder, settings_given

    model = Model(open_module(file, settings_given(settings)), net=net, data_root=data_root)
    stem = "handout" if len(model.module.nets) == 1 else f"{model.name}-handout"
    wanted = Wanted(kind, index, answers, seed, depth, loss)
    for path in handout(model, output_folder(file, out), stem, wanted):
        say(f"wrote {path}")
