"""Where a run of `train` leaves its files, and where its weights are found when none are named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .dsl.diagnostics import Failure, fail
from .project import output_folder, run_name, run_names
from .runtime.checkpoint import load
from .runtime.train.store import CHECKPOINT, MODEL

if TYPE_CHECKING:
    from .compiler.elaborate import Module
    from .model import Model


def run_folder(file: Path, module: Module, name: str, out: Path | None) -> Path:
    """The folder of a run: `out/FILE`, and in it `NET` where the file has several runs."""
    folder = output_folder(file, out)
    return folder / name if len(run_names(module)) > 1 else folder


def find_weights(file: Path, net: str, weights: Path | None, out: Path | None = None) -> Path:
    """The file named, else the finished model, else the checkpoint of the file's last run.

    `net`: the run, where the file has several. Its own folder goes before the file's, where one may
    lie from when the file had a single run.
    """
    if weights is not None:
        return weights / MODEL if weights.is_dir() else weights
    folder = output_folder(file, out)
    for place in (folder / net, folder):
        for name in (MODEL, CHECKPOINT):
            if (place / name).is_file():
                return place / name
    message = f"there are no weights for `{net}` in `{folder}`"
    raise fail("E540", message, help=f"train first (`chainrule train {file}`), or give --weights")


def trained(model: Model, file: Path, weights: Path | None, out: Path | None = None) -> Path:
    """Load the weights into the model, and say which file they are from."""
    run = run_name(model.module, model.declaration) or model.name
    path = find_weights(file, run, weights, out)
    model.load_weights(path)
    return path


def net_of(path: Path) -> str:
    """The net that a file of weights says it is of; "" where it does not say."""
    try:
        return str(load(path).meta.get("net", ""))
    except Failure:
        return ""
