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
@click.option("--worksheet", is_flag=True, help="Exercises with gaps instead of the derivation.")
@click.option("--answers", is_flag=True, help="Worksheet: with the answers on its last page.")
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N",
    help="Worksheet: which exercises and numbers.  [default: 1]",
)  # fmt: skip
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
    worksheet: bool,
    answers: bool,
    seed: int | None,
    data_root: Path | None,
    out: Path | None,
) -> None:
    """Derive each parameter's gradient: the chain of derivatives, every
    simplification with its name, the closed form, then shapes and a numeric
    check. With --worksheet: exercises about it.

    Prints it, or writes it to the folder given with --out.
    """
    from ..deriving import derive, write_derivation
    from ..deriving import worksheet as exercises
    from ..dsl.diagnostics import fail
    from ..model import Model
    from ..project import open_module, settings_given

    if not worksheet and (answers or seed is not None):
        said = "--answers" if answers else "--seed"
        raise fail("E586", f"`{said}` belongs to a worksheet", help="add `--worksheet`")
    if worksheet and index:
        raise fail("E586", "a worksheet has no index form", help="leave `--index` out")
    model = Model(open_module(file, settings_given(settings)), net=net, data_root=data_root)
    if worksheet:
        text = exercises(model, kind, seed=seed or 1, answers=answers, param=param, loss=loss)
    else:
        text = derive(model, kind, param, index, loss)
    if out is None:
        say(text.rstrip("\n"))
        return
    word = "worksheet" if worksheet else "derivation"
    stem = word if len(model.module.nets) == 1 else f"{model.name}-{word}"
    say(f"wrote {write_derivation(text, kind, out, stem)}")
