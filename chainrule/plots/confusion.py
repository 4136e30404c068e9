"""The confusion matrix of a classifier on a part of its data.

In: a model with its weights. Out: counts `[true, predicted]`, and the plot.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..dsl.diagnostics import fail
from ..runtime.metrics import ClassReport
from ..viz.plots.confusion import confusion
from .asked import Asked

if TYPE_CHECKING:
    from ..model import Model


def report(model: Model, part: str | None) -> ClassReport:
    """Raises Failure E623 where the net tells no classes."""
    found = model.report(part=part)
    if not isinstance(found, ClassReport):
        raise fail(
            "E623",
            f"`{model.name}` is no classifier: no output tells the class of a target",
            model.net.name.span,
            help="a classifier has a target `class[k]` and an output of k scores",
        )
    return found


def draw(model: Model | None, path: Path, asked: Asked) -> list[Path]:
    assert model is not None
    found = report(model, asked.part)
    total, part = int(found.matrix.sum()), model.part(asked.part)
    title = f"{model.name}, {part}: {100 * found.accuracy:.1f}% of {total:,} examples right"
    return confusion(found.matrix, found.labels, path, theme=asked.theme, title=title)
