"""`chainrule predict FILE EXAMPLES`: a trained net on examples from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ..console import say
from ..options import (
    data_option,
    device_options,
    file_argument,
    out_option,
    set_option,
    train_option,
    weights_option,
)

if TYPE_CHECKING:
    from ..model import Model


@click.command("predict")
@file_argument
@click.argument("examples", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write .csv, .npz or .json; without it CSV goes to standard output.",
)  # fmt: skip
@click.option(
    "--node", "nodes", multiple=True, metavar="NAME",
    help="This value instead of the outputs; may be given several times.",
)  # fmt: skip
@train_option
@set_option
@weights_option
@device_options
@data_option
@out_option
def command(
    file: Path,
    examples: Path,
    output: Path | None,
    nodes: tuple[str, ...],
    train_name: str | None,
    settings: tuple[str, ...],
    weights: Path | None,
    device: str,
    threads: int | None,
    data_root: Path | None,
    out: Path | None,
) -> None:
    """Run a trained net on EXAMPLES (.csv, .npz, .json, or .txt).

    A classifier's predictions carry the most likely class beside the scores.
    Texts stand in a column, in a list, or in a .txt file, one on each line.
    """
    from ..opening import open_model
    from ..predicting import embed, example_fields
    from ..runtime.data import read_examples, write_predictions
    from ..weights import trained

    model = open_model(
        file, settings, train_name, device=device, threads=threads, data_root=data_root
    )
    trained(model, file, weights, out)
    arrays = read_examples(examples, example_fields(model, nodes))
    if nodes:
        results = embed(model, arrays, nodes)
    else:
        found = model.predict(arrays)
        results = dict(found) if isinstance(found, dict) else {_only_output(model): found}
        results = {**_labelled(model, results), **_spoken(model, results, arrays), **results}
    if output is None:
        say(_csv(results))
        return
    write_predictions(output, results)
    count = len(next(iter(results.values())))
    say(f"wrote {count:,} predictions to {output}")


def _only_output(model: Model) -> str:
    return model.session.output_names[0]


def _labelled(model: Model, results: dict[str, Any]) -> dict[str, Any]:
    """The name or number of the most likely class, for each class target that an output answers."""
    from ..runtime.metrics import classes_of

    found: dict[str, Any] = {}
    fields = model.dataset.fields if model.dataset is not None else {}
    for target in model.session.targets:
        classes = model.evaluation.leaves[target].value.type.classes
        for scores in results.values():
            if classes is None or scores.ndim != 2 or scores.shape[1] != classes:
                continue
            kinds = classes_of(scores)
            labels = fields[target].labels if target in fields else ()
            found[target] = np.array(labels)[kinds] if len(labels) == classes else kinds
            break
    return found


def _spoken(model: Model, results: dict[str, Any], arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The most likely token at each step as text, for each target of tokens that an output
    answers; as many steps as the input of the same clock has."""
    from ..runtime.data.dataset import LENGTH
    from ..runtime.data.showing import texts_of
    from ..sequences import batches

    found: dict[str, Any] = {}
    leaves = model.evaluation.leaves
    for target in model.session.targets:
        type, clock = leaves[target].value.type, leaves[target].value.attrs.get("clock")
        words = model.vocabularies.get(target) if len(type.shape) == 1 and type.classes else None
        for scores in results.values():
            if words is not None and scores.shape[1:] == (*type.shape, type.classes):
                given = batches(leaves, arrays, lambda: model.vocabularies)
                beside = [n for n in arrays if leaves[n].value.attrs.get("clock") == clock]
                lengths = given.get(beside[0] + LENGTH) if clock and beside else None
                found[target] = np.array(texts_of(scores.argmax(axis=2), words, lengths))
                break
    return found


def _csv(results: dict[str, Any]) -> str:
    from ..runtime.data.examples import csv_text

    return csv_text(results).rstrip("\n")
