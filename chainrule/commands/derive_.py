"""`chainrule derive FILE`: each parameter's gradient, the way a textbook derives it."""

from __future__ import annotations

from pathlib import Path

import click

from ..console import say
from ..deriving import SUFFIX
from ..options import data_option, file_argument, net_option, out_option, set_option


@click.command("derive")
@file_argument
@net_option
@set_option
@click.option(
    "--format", "kind", type=click.Choice(list(SUFFIX)), default="text", show_default=True
)
@click.option("--param", metavar="NAME", help="Only this parameter, such as h.W.")
@click.option("--index", is_flag=True, help="Also the formulas of single elements, with indices.")
@click.option("--loss", metavar="NAME", help="Which loss, where there are several.")
@data_option
@out_option
def command(
    file: Path,
    net: str | None,
    settings: tuple[str, ...],
    kind: str,
    param: str | None,
    index: bool,
    loss: str | None,
    data_root: Path | None,
    out: Path | None,
) -> None:
    """Derive each parameter's gradient: the chain of derivatives, every
    simplification with its name, then the closed form.

    Prints it, or writes it to the folder given with --out.
    """
    from ..deriving import derive, write_derivation
    from ..model import Model
    from ..project import open_module, settings_given

    model = Model(open_module(file, settings_given(settings)), net=net, data_root=data_root)
    text = derive(model, kind, param, index, loss)
    if out is None:
        say(text.rstrip("\n"))
        return
    stem = "derivation" if len(model.module.nets) == 1 else f"{model.name}-derivation"
    say(f"wrote {write_derivation(text, kind, out, stem)}")
