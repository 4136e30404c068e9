"""`chainrule embed FILE`: what a node of a trained net computes for every example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

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


@click.command("embed")
@file_argument
@click.argument("examples", type=click.Path(path_type=Path), required=False)
@click.option(
    "--node", "nodes", multiple=True, required=True, metavar="NAME",
    help="An output, an equation (h, encoder.h), a layer (conv1), an input or a loss; "
    "may be given several times.",
)  # fmt: skip
@click.option("--part", type=click.Choice(("train", "valid", "test")), help="Which examples.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write .csv, .npz or .json; without it CSV goes to standard output.",
)  # fmt: skip
@click.option("--project", type=click.Choice(("pca",)),
              help="Of each node the two directions of greatest variance.")  # fmt: skip
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Draw a node in the plane, by class, as .svg and .png.")  # fmt: skip
@train_option
@set_option
@weights_option
@device_options
@data_option
@run_option
def command(
    file: Path,
    examples: Path | None,
    nodes: tuple[str, ...],
    part: str | None,
    output: Path | None,
    project: str | None,
    plot: Path | None,
    train_name: str | None,
    settings: tuple[str, ...],
    weights: Path | None,
    device: str,
    threads: int | None,
    data_root: Path | None,
    out: Path | None,
) -> None:
    """Write what nodes of a trained net compute, for a part of its data or EXAMPLES.

    The classes of the examples stand beside, where the data tell them.
    """
    from ..dsl.diagnostics import fail
    from ..opening import open_model
    from ..predicting import embed, example_fields, labels_of, principal
    from ..runtime.data import read_examples, write_predictions
    from ..weights import trained

    if examples is not None and part is not None:
        raise fail("E619", "`--part` takes its examples from the data, EXAMPLES from a file",
                   help="leave out one of them")  # fmt: skip
    if plot is not None and len(nodes) > 1:
        raise fail("E619", "`--plot` draws one node", help=f"leave all out but `--node {nodes[0]}`")
    model = open_model(
        file, settings, train_name, device=device, threads=threads, data_root=data_root
    )
    trained(model, file, weights, out)
    labels: dict[str, Any] = {}
    if examples is not None:
        found = embed(model, read_examples(examples, example_fields(model, nodes)), nodes)
    else:
        found = embed(model, None, nodes, part)
        assert model.dataset is not None  # `embed` took its examples from there
        labels = labels_of(model.dataset.parts[model.part(part)])
    if plot is not None:
        _plotted(plot, nodes[0], found[nodes[0]], next(iter(labels.values()), None))
    if project is not None:
        found = {f"{name}.pca": principal(array) for name, array in found.items()}
    _write(output, {**labels, **found}, plot is not None, write_predictions)


def _plotted(plot: Path, node: str, array: np.ndarray[Any, Any], classes: Any) -> None:
    from ..predicting import principal
    from ..viz.embedding import scatter_classes

    plane = array.reshape(len(array), -1)
    axes = [f"{node}[0]", f"{node}[1]"]
    if plane.shape[1] != 2:
        plane = principal(array)
        axes = [f"{node}, first component", f"{node}, second component"]
    for path in scatter_classes(plane, classes, plot, axes=axes):
        say(f"wrote {path}")


def _write(output: Path | None, results: dict[str, Any], drawn: bool, write: Any) -> None:
    from ..runtime.data.examples import csv_text

    if output is not None:
        write(output, results)
        count = len(next(iter(results.values())))
        say(f"wrote {count:,} examples to {output}")
    elif not drawn:
        say(csv_text(results).rstrip("\n"))
