"""Plots of what happens in training and of what a net has learned.

In: a model and a kind of plot. Out: files. A module of this package computes the numbers of one
kind; how they look is left to `viz.plots`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .asked import KINDS, Asked, check

if TYPE_CHECKING:
    from ..model import Model


def plot(
    model: Model | None, kind: str, path: str | Path, asked: Asked | None = None
) -> list[Path]:
    """Draw one of `KINDS` as `path` with the endings .svg and .png (and .gif, where it moves);
    returns the files. `activations` needs no model. Raises Failure."""
    wanted = asked or Asked()
    check(kind, wanted)
    module = importlib.import_module(f".{kind}", __package__)
    draw: Callable[[Model | None, Path, Asked], list[Path]] = module.draw
    return draw(model, Path(path), wanted)


__all__ = ["KINDS", "Asked", "check", "plot"]
