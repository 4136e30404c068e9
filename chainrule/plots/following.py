"""A net trained afresh, with its numbers after every epoch.

In: a model with a `train` declaration, perhaps another optimizer and another number of epochs. Out:
moments: the epoch and the net's numbers, from the first draw (epoch 0) on. Nothing is written, and
the model keeps its own numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.pipeline import step
from ..dsl import syntax as ast
from ..dsl.diagnostics import fail
from ..dsl.parse import parse
from ..dsl.source import Source
from ..project import bind_inputs
from ..runtime.session import initial_values
from ..runtime.train.job import Job
from ..runtime.train.loop import train
from ..runtime.train.observer import Observer
from ..runtime.train.settings import Sample, require_end, with_overrides

if TYPE_CHECKING:
    from ..model import Model

Array = NDArray[Any]
STEP_LINES = ("optimizer", "minimize")


@dataclass(frozen=True)
class Moment:
    """The numbers of a net after an epoch."""

    epoch: int
    values: Mapping[str, Array]


class _Keeping(Observer):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def sample(self, epoch: int, values: Mapping[str, Array]) -> None:
        self.moments.append(Moment(epoch, {n: a.copy() for n, a in values.items()}))


def followed(
    model: Model,
    *,
    optimizer: str | None = None,
    epochs: float | None = None,
    seed: int | None = None,
) -> list[Moment]:
    """Train as the file says, but for these. Raises Failure E608 for a net without a `train`, and
    what training raises."""
    declaration = model.declaration
    if declaration is None:
        raise fail(
            "E608",
            f"`{model.name}` has no `train` declaration",
            model.net.name.span,
            help=f"add `train {model.name} on data {{ optimizer adam()  epochs 10 }}`",
        )
    if optimizer is not None:
        declaration = with_optimizer(declaration, optimizer)
    settings = with_overrides(model.settings, {"epochs": epochs, "seed": seed})
    require_end(settings, declaration)
    settings = replace(settings, sample=Sample(every=1), loads=())
    dataset = model.dataset
    assert dataset is not None  # a declaration names its data
    bound = bind_inputs(model.evaluation, dataset, declaration)
    graph = step(model.module, declaration, dtype=model.dtype, sizes=model.sizes)
    first = initial_values(model.evaluation, settings.seed, model.module.folder)
    keeping = _Keeping()
    job = Job(graph, model.evaluation, dataset, bound, settings, model.device,
              base=model.module.folder, span=declaration.span, start=dict(first))  # fmt: skip
    if train(job, keeping).interrupted:
        raise KeyboardInterrupt
    return [Moment(0, first), *keeping.moments]


def with_optimizer(declaration: ast.Train, text: str) -> ast.Train:
    """The declaration with another optimizer in the place of its own. Raises Failure E1xx."""
    words = f"train {declaration.name.id} on data {{\n  optimizer {text}\n}}\n"
    file = parse(Source("--optimizers", words))
    (line,) = (d.body[0] for d in file.declarations if isinstance(d, ast.Train))
    kept = [d for d in declaration.body if d.keyword.id not in STEP_LINES]
    return replace(declaration, body=(*kept, line))


def several(text: str) -> list[str]:
    """`sgd(lr = 0.1), adam` as its items: commas inside brackets do not part them."""
    items, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            items.append("")
        else:
            items[-1] += letter
    return [item.strip() for item in items if item.strip()]


def chosen(moments: Sequence[Moment], most: int) -> list[Moment]:
    """At most so many, the first and the last among them, denser at the beginning, where a net
    changes fastest."""
    if len(moments) <= most:
        return list(moments)
    last = len(moments) - 1
    at = {0, *np.rint(np.geomspace(1, last, most - 1)).astype(int).tolist()}
    left = [k for k in range(last) if k not in at]
    at |= set(left[: most - len(at)])
    return [moments[k] for k in sorted(at)]
