"""`chainrule draw FILE`: the net as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from ..console import say, say_error
from ..dsl.diagnostics import Failure
from ..options import (
    data_option,
    file_argument,
    net_option,
    out_option,
    set_option,
    weights_option,
)
from ..pictures import FORMATS, FORMS, THEMES, VIEWS
from ..valued import VIEWS as VALUED


@click.command("draw")
@file_argument
@net_option
@set_option
@click.option(
    "--view", type=click.Choice(VIEWS), default="layers", show_default=True, metavar="VIEW",
    help="Layers, operations (single ones), backward (the gradients), training (each loss's"
    " path), recurrence (the steps); with numbers: circuit, neurons, shapes (of images), flow (of"
    " the gradient); what the compiler makes of it: passes, kernels, memory.",
)  # fmt: skip
@click.option("--format", "kind", type=click.Choice(FORMATS), default="svg", show_default=True)
@click.option("--depth", type=click.IntRange(min=1), metavar="N", help="Levels of blocks to open.")
@click.option("--theme", type=click.Choice(THEMES), default="light", show_default=True)
@click.option("--loss", metavar="NAME", help="Which loss, for the backward view.")
@click.option("--expand", is_flag=True, help="Backward view: every operation, not closed forms.")
@click.option(
    "--form",
    type=click.Choice(FORMS),
    default="unrolled",
    show_default=True,
    help="Recurrence view: steps side by side, a loop, or the inside of a cell.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=2),
    metavar="N",
    help="Recurrence view: how many steps to draw.",
)
@click.option("--scan", metavar="NAME", help="Recurrence view, cell: which one, such as encoder.")
@click.option("--backward", is_flag=True, help="Recurrence view: backpropagation through time.")
@click.option("--pass", "stage", metavar="NAME", help="Passes view: a change of this pass.")
@click.option("--rule", metavar="NAME", help="Passes view: a change by this rule.")
@click.option(
    "--number",
    type=click.IntRange(min=1),
    metavar="N",
    help="Passes view: which change; kernels view: the kernel to open.",
)
@click.option(
    "--example", type=click.IntRange(min=0), default=0, metavar="I",
    help="Circuit, neurons: which example of the data, from 0.",
)  # fmt: skip
@click.option("--integers", is_flag=True, help="Circuit, neurons: small integers, without data.")
@click.option("--local", is_flag=True, help="Circuit: local derivatives on the nodes.")
@weights_option
@data_option
@out_option
def command(
    file: Path,
    net: str | None,
    settings: tuple[str, ...],
    view: str,
    kind: str,
    depth: int | None,
    theme: str,
    loss: str | None,
    expand: bool,
    form: str,
    steps: int | None,
    scan: str | None,
    backward: bool,
    stage: str | None,
    rule: str | None,
    number: int | None,
    example: int,
    integers: bool,
    local: bool,
    weights: Path | None,
    data_root: Path | None,
    out: Path | None,
) -> None:
    """Draw a net; the .dot text is written beside the picture. Of a net with mistakes
    the layers and the operations show what is known, and where it is wrong.
    """
    from ..model import Model
    from ..pictures import draw
    from ..project import open_module, output_folder, settings_given

    model = Model(open_module(file, settings_given(settings)), net=net, data_root=data_root)
    told = ""
    if view in VALUED and view != "shapes" and not integers:
        from ..numbers import with_weights

        told = with_weights(model, file, weights, out)
    picture = draw(
        model, view, depth=depth, theme=theme, loss=loss, expand=expand, form=form, steps=steps,
        scan=scan, backward=backward, stage=stage, rule=rule, number=number,
        example=example, integers=integers, local=local, weights=told,
    )  # fmt: skip
    name = view
    if view == "recurrence":
        name = "through-time" if backward else form
    for part in (stage, rule, number):
        name += f"-{'-'.join(str(part).split())}" if part is not None else ""
    stem = name if len(model.module.nets) == 1 else f"{model.name}-{name}"
    try:
        for path in picture.save(output_folder(file, out) / f"{stem}.{kind}"):
            say(f"wrote {path}")
    except Failure as failure:
        raise Failure([*picture.mistakes, *failure.diagnostics]) from None
    if picture.mistakes:
        raise Failure(list(picture.mistakes))
    if picture.pages:
        say(f"in {len(picture.pages)} pages, each for a slide: {stem}-1.{kind}, …")
    elif picture.warning:
        say_error(f"warning: {picture.warning}")
