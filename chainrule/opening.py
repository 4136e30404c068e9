"""A file as the commands that use a trained net open it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .model import Model
from .project import choose_train, open_module, settings_given


def open_model(
    file: Path,
    settings: Iterable[str],
    train_name: str | None,
    *,
    device: str,
    threads: int | None,
    data_root: Path | None,
) -> Model:
    """The net that the `train` declaration of that name, or the only one, is about.

    `settings`: `--set` pairs. Its weights are the initial ones. Raises Failure, E608 where the file
    has several `train` declarations to choose from.
    """
    module = open_module(file, settings_given(settings))
    train = choose_train(module, train_name)
    return Model(module, train=train, device=device, threads=threads, data_root=data_root)
