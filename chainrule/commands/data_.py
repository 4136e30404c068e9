"""`chainrule data FILE`: what the data of a train declaration are, and how they look."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..console import say
from ..options import data_option, file_argument, set_option, train_option

if TYPE_CHECKING:
    from ..runtime.data import Dataset


SHOWN = 3  # examples printed as text


@click.command("data")
@file_argument
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write a PNG: examples, each as it is and as training changes it.",
)  # fmt: skip
@click.option(
    "--rows", type=click.IntRange(1, 100), default=8, show_default=True, metavar="N",
    help="Examples on the picture.",
)  # fmt: skip
@click.option(
    "--columns", type=click.IntRange(1, 100), default=8, show_default=True, metavar="N",
    help="How often each is shown.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
    help="For the choice of examples and what is drawn.",
)  # fmt: skip
@train_option
@set_option
@data_option
def command(
    file: Path,
    output: Path | None,
    rows: int,
    columns: int,
    seed: int,
    train_name: str | None,
    settings: tuple[str, ...],
    data_root: Path | None,
) -> None:
    """Tell parts, fields and sizes of the data that FILE trains on.

    Of texts the first examples are printed, as the vocabulary has them.

    With --output, draw examples of the train part: the first of each row as
    measuring sees it, the others as the epochs of training do.
    """
    from ..dsl.diagnostics import fail
    from ..project import choose_train, dataset_of, open_module, settings_given
    from ..runtime.data.showing import shown_examples

    module = open_module(file, settings_given(settings))
    train = choose_train(module, train_name)
    if train is None:
        raise fail("E608", f"{file} has no `train` declaration", help="`train net on data { … }`")
    dataset = dataset_of(module, train, data_root)
    say(dataset.describe())
    for line in shown_examples(dataset, SHOWN):
        say(line)
    if output is not None:
        _draw(output, dataset, rows, columns, seed)


def _draw(output: Path, dataset: Dataset, rows: int, columns: int, seed: int) -> None:
    from PIL import Image

    from ..runtime.data.contact_sheet import contact_sheet
    from ..runtime.files import write_bytes

    buffer = io.BytesIO()
    Image.fromarray(contact_sheet(dataset, rows, columns, seed)).save(buffer, "PNG")
    write_bytes(output, buffer.getvalue())
    say(f"wrote {output}")
