"""`chainrule train FILE`: learn, show how it goes, leave the model and its curves."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..console import say, say_error
from ..options import (
    data_option,
    device_options,
    file_argument,
    out_option,
    set_option,
    train_option,
)

if TYPE_CHECKING:
    from ..live import LivePage
    from ..model import Model
    from ..runtime.train.job import Outcome
    from ..runtime.train.observer import Observer


@click.command("train")
@file_argument
@train_option
@set_option
@click.option("--epochs", type=float, metavar="N", help="Instead of the file's `epochs`.")
@click.option("--steps", type=int, metavar="N", help="Instead of the file's `steps` or `epochs`.")
@click.option(
    "--batch", metavar="N", help="Instead of the file's `batch`; `all` is the full batch."
)
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Instead of the file's `seed`."
)
@device_options
@data_option
@out_option
@click.option("--resume", is_flag=True, help="Go on from the checkpoint of an earlier run.")
@click.option("--live", is_flag=True, help="Show the run in a local page that updates by itself.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing unless something is wrong.")
def command(
    file: Path,
    train_name: str | None,
    settings: tuple[str, ...],
    epochs: float | None,
    steps: int | None,
    batch: str | None,
    seed: int | None,
    device: str,
    threads: int | None,
    data_root: Path | None,
    out: Path | None,
    resume: bool,
    live: bool,
    quiet: bool,
) -> None:
    """Train each net as its `train` declaration says, in the order written.

    Writes to the output folder (where there are several declarations, to a folder
    for each in it): model.safetensors (the trained net), checkpoint.safetensors
    (for --resume), history.csv and history.jsonl, and the loss curve as loss.svg.
    A `sample` line adds what the net makes, in samples/ and, with the curves, as
    progress.svg. --live writes live.html, a page to open in a browser meanwhile.
    Ctrl-C saves and leaves.
    """
    from ..cli import Interrupted
    from ..model import Model
    from ..project import choose_train, open_module, run_names, settings_given
    from ..weights import run_folder, standing

    module = open_module(file, settings_given(settings))
    runs = list(run_names(module)) if train_name is None else [train_name]
    overrides = {"epochs": epochs, "steps": steps, "batch": _batch(batch)}
    given = {
        "--train": train_name, "--epochs": epochs, "--steps": steps, "--batch": batch,
        "--seed": seed, "--threads": threads, "--data": data_root, "--out": out,
        "--device": device if device != "cpu" else None,
    }  # fmt: skip
    again = f"go on with: {_again(file, given, settings)}{' --live' if live else ''}"

    def model_of(name: str) -> Model:
        declared = choose_train(module, name) if runs else None
        net = None if declared is not None else module.net().name.id
        return Model(
            module, net=net, train=declared, device=device, threads=threads, seed=seed,
            data_root=data_root,
        )  # fmt: skip

    folders = {name: run_folder(file, module, name, out) for name in runs or [""]}
    stands = standing(folders, model_of, overrides) if resume and len(runs) > 1 else {}
    for number, (name, folder) in enumerate(folders.items(), 1):
        if len(folders) > 1 and not quiet:
            done = ": trained already" if stands.get(name) == "done" else ""
            say(f"train {name} ({number} of {len(folders)}){done}")
        if stands.get(name) == "done":
            continue
        going_on = stands.get(name, "begun") == "begun" and resume
        try:
            outcome = _run(model_of(name), overrides, folder, going_on, quiet, live)
        except KeyboardInterrupt:
            if len(folders) == 1:
                raise
            raise Interrupted(f"interrupted in `train {name}`\n{again}") from None
        if outcome.interrupted:
            saved = f"interrupted after step {outcome.step:,}; saved in {outcome.checkpoint}"
            raise Interrupted(f"{saved}\n{again}")


def _run(
    model: Model, overrides: Mapping[str, Any], folder: Path, resume: bool, quiet: bool, live: bool
) -> Outcome:
    """One training, its scores and its curves."""
    from ..progress import Bar, observer

    watcher = observer(quiet)
    shown = _live(model, folder, watcher) if live else None
    ended = "ended by a mistake"
    try:
        outcome = model.run(
            overrides=overrides, out=folder, resume=resume, observer=shown or watcher
        )
        ended = "interrupted" if outcome.interrupted else "finished"
    finally:
        if shown is not None:
            shown.ended(ended)
        if isinstance(watcher, Bar):
            watcher.close()
    if outcome.interrupted:
        return outcome
    curves = _curves(model, outcome, folder)
    if not quiet:
        _scores(model)
        for path in (outcome.model, outcome.history.csv_path, *curves):
            say(f"wrote {path}")
    return outcome


def _live(model: Model, folder: Path, watcher: Observer) -> LivePage:
    from ..live import LivePage

    return LivePage(model, folder, watcher)


def _again(file: Path, given: Mapping[str, object], settings: tuple[str, ...]) -> str:
    """The command that goes on where this one stopped."""
    words = ["chainrule", "train", str(file)]
    for option, value in given.items():
        words += [option, f"{value:g}" if isinstance(value, float) else str(value)] * (
            value is not None
        )
    for pair in settings:
        words += ["--set", pair]
    return shlex.join([*words, "--resume"])


def _batch(text: str | None) -> int | str | None:
    """`64` or `all`."""
    from ..dsl.diagnostics import fail

    if text is None or text == "all":
        return text
    if not text.isdecimal():
        raise fail("E603", f"`--batch {text}` is neither a number nor `all`")
    return int(text)


def _scores(model: Model) -> None:
    """What the net reaches on examples that training did not see."""
    from ..progress import values

    dataset = model.dataset
    if dataset is None or model.part(None) == "train":
        return
    part = model.part(None)
    count = len(dataset.parts[part])
    say(f"{part}: {values(model.evaluate(part=part), 4)}  ({count:,} examples)")


def _curves(model: Model, outcome: Outcome, folder: Path) -> list[Path]:
    """The loss curve, and with it what a `sample` line has shown; without matplotlib the run is as
    good, and a line says what is missing."""
    from ..dsl.diagnostics import Failure
    from ..pictures import curves
    from ..showing import losses, progress

    names = losses(model)
    try:
        found = curves(outcome.history, folder, names)
        if model.settings.sample is not None:
            found += progress([row.as_dict() for row in outcome.history.rows], folder, names)
        return found
    except Failure as failure:
        first = failure.diagnostics[0]
        if first.code != "E566":
            raise
        say_error(f"no loss curve: {first.message}; {first.help}")
        return []
