"""`chainrule walk FILE`: one training step, operation by operation, as a page of its own."""

from __future__ import annotations

from pathlib import Path

import click

from ..console import say
from ..options import (
    data_option,
    file_argument,
    net_option,
    out_option,
    set_option,
    train_option,
    weights_option,
)


@click.command("walk")
@file_argument
@net_option
@train_option
@set_option
@click.option("--example", type=click.IntRange(min=0), default=0, show_default=True, metavar="I",
              help="Which example of the part, from 0.")  # fmt: skip
@click.option("--batch", type=click.IntRange(min=1, max=64), default=1, show_default=True,
              metavar="M", help="How many examples, from that one.")  # fmt: skip
@click.option("--part", type=click.Choice(("train", "valid", "test")),
              help="Which part of the data.  [default: that for testing]")  # fmt: skip
@click.option("--random", is_flag=True, help="An example made of random numbers: needs no data.")
@click.option("--loss", metavar="NAME", help="Which loss, where there are several.")
@weights_option
@data_option
@out_option
def command(
    file: Path,
    net: str | None,
    train_name: str | None,
    settings: tuple[str, ...],
    example: int,
    batch: int,
    part: str | None,
    random: bool,
    loss: str | None,
    weights: Path | None,
    data_root: Path | None,
    out: Path | None,
) -> None:
    """Write a page that walks through one training step, one operation at a time.

    Source, diagram, formulas, kernels and numbers light up together. The page is one file that
    needs no network: open it in a browser.
    """
    from ..model import Model
    from ..project import choose_train, open_module, output_folder, settings_given
    from ..runtime.files import write_text
    from ..walking import Asked, load_if_trained, walk

    module = open_module(file, settings_given(settings))
    train = choose_train(module, train_name) if train_name or net is None else None
    model = Model(module, net=net, train=train, device="plain", data_root=data_root)
    which = load_if_trained(model, file, weights, out)
    text = walk(model, Asked(example, batch, part, loss, random), which)
    stem = "walk" if len(module.nets) == 1 else f"{model.name}-walk"
    path = output_folder(file, out) / f"{stem}.html"
    write_text(path, text)
    say(f"wrote {path}")
