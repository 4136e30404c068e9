"""Where a run of `train` leaves its files, how far it has come, and where its weights are found
when none are named."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .dsl.diagnostics import Failure, fail
from .project import output_folder, run_name, run_names
from .runtime.checkpoint import Checkpoint, load
from .runtime.train.settings import with_overrides
from .runtime.train.store import CHECKPOINT, MODEL

if TYPE_CHECKING:
    from .compiler.elaborate import Module
    from .model import Model


def run_folder(file: Path, module: Module, name: str, out: Path | None) -> Path:
    """The folder of a run: `out/FILE`, and in it `NET` where the file has several runs."""
    folder = output_folder(file, out)
    return folder / name if len(run_names(module)) > 1 else folder


def standing(
    folders: Mapping[str, Path],
    model_of: Callable[[str], Model],
    overrides: Mapping[str, Any],
) -> dict[str, str]:
    """Where each of several runs stands, in the order written: `done`, `begun` or `new`.

    What is older than the run before it may build on what that one was earlier: it is new. So is
    whatever follows a run that is not done. Raises Failure E540 where there is no run to go on
    with, and E547 for a run that is done and of another seed or other settings.
    """
    if not any((folder / CHECKPOINT).is_file() for folder in folders.values()):
        shown = ", ".join(f"`{folder}`" for folder in folders.values())
        raise fail("E540", f"there is no checkpoint to resume from in {shown}",
                   help="train without `--resume`, or name the folder with `--out`")  # fmt: skip
    found: dict[str, str] = {}
    before = 0.0
    for name, folder in folders.items():
        path = folder / CHECKPOINT
        written = path.stat().st_mtime if path.is_file() else -1.0
        if written < before:
            found[name], before = "new", math.inf
            continue
        is_done = (folder / MODEL).is_file() and _is_done(load(path), model_of(name), overrides)
        found[name], before = ("done", written) if is_done else ("begun", math.inf)
    return found


def _is_done(found: Checkpoint, model: Model, overrides: Mapping[str, Any]) -> bool:
    """Has the run reached its end, as the file and the command line now have it?"""
    state = found.meta.get("state")
    if not isinstance(state, dict) or not state.get("finished"):
        return False
    settings = with_overrides(model.settings, overrides)
    ours = {
        "net": model.name, "seed": settings.seed,
        "settings": {n: repr(v) for n, v in sorted(model.module.overrides.items())},
    }  # fmt: skip
    for key, value in ours.items():
        if found.meta.get(key) != value:
            message = f"`{found.path}` belongs to another run: its {key} was " \
                      f"{found.meta.get(key)}, and is {value} now"  # fmt: skip
            raise fail("E547", message, help="resume with the same settings, or train afresh")
    if state.get("stopped_early"):
        return True
    if settings.steps is not None:
        return int(state.get("step", 0)) >= settings.steps
    return int(state.get("epoch", 1)) - 1 >= (settings.epochs or 0) - 1e-9


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
