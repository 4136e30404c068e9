"""Where the weights of a trained net are found when none are named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .dsl.diagnostics import fail
from .project import output_folder
from .runtime.train.store import CHECKPOINT, MODEL

if TYPE_CHECKING:
    from .model import Model


def find_weights(file: Path, net: str, weights: Path | None, out: Path | None = None) -> Path:
    """The file named, else the finished model, else the checkpoint of the file's last run."""
    if weights is not None:
        return weights / MODEL if weights.is_dir() else weights
    folder = output_folder(file, out)
    for place in (folder, folder / net):
        for name in (MODEL, CHECKPOINT):
            if (place / name).is_file():
                return place / name
    message = f"there are no weights for `{net}` in `{folder}`"
    raise fail("E540", message, help=f"train first (`chainrule train {file}`), or give --weights")


def trained(model: Model, file: Path, weights: Path | None, out: Path | None = None) -> Path:
    """Load the weights into the model, and say which file they are from."""
    path = find_weights(file, model.name, weights, out)
    model.load_weights(path)
    return path
