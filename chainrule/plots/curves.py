"""Learning curves of a run, its learning rate, and the gradients at its weights.

In: a model with its weights, the folder of its run. Out: the norm of the gradient of each layer,
and the plot. Norms are those of the mean loss over a batch of training examples.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.minimize import minimized
from ..compiler.value import Value
from ..differentiating import of_fields
from ..dsl import syntax as ast
from ..dsl.diagnostics import fail
from ..runtime.history import read
from ..runtime.session import with_lengths
from ..viz.plots.curves import Norm, curves
from .asked import Asked

if TYPE_CHECKING:
    from ..model import Model

BATCH = 256  # examples at most
HISTORY = "history.jsonl"


def rows(folder: Path, file: str) -> list[dict[str, Any]]:
    """The history of the run in a folder. Raises Failure E620 where there is none."""
    found = [row.as_dict() for row in read(folder / HISTORY)]
    if not found:
        raise fail(
            "E620",
            f"there is no training history in `{folder}`",
            help=f"train first (`chainrule train {file}`), or name the folder with `--out`",
        )
    return found


def gradient_norms(model: Model, batch: int = BATCH) -> list[Norm]:
    """‖∂L/∂θ‖ of each layer with parameters that learn, in the order in which they are used."""
    feeder = model.feeder("train")
    at = np.arange(min(batch, len(feeder)))
    fields = {
        n: feeder.part.rows(r.field, at, r.dtype, r.shape) for n, r in feeder.requests.items()
    }
    squares: dict[str, float] = {}
    for name, numbers in of_fields(model, with_lengths(model.evaluation, fields)).items():
        layer = name.rpartition(".")[0] or name
        squares[layer] = squares.get(layer, 0.0) + float(np.sum(numbers.astype(np.float64) ** 2))
    order = _order(model.evaluation.nodes)
    return [Norm(n, float(np.sqrt(s))) for n, s in sorted(squares.items(),
            key=lambda item: order.get(item[0], len(order)))]  # fmt: skip


def _order(nodes: tuple[Value, ...]) -> dict[str, int]:
    """When each layer's parameters first meet an example: a leaf, and what is computed from leaves
    alone, may stand anywhere before that."""
    made_of: dict[Value, set[str]] = {}
    found: dict[str, int] = {}
    for place, v in enumerate(nodes):
        known = set().union(*(made_of[a] for a in v.args if not a.type.batched))
        if v.op.name == "param":
            name = str(v.attrs["name"])
            known = {name.rpartition(".")[0] or name}
        made_of[v] = known
        for layer in known if v.type.batched else ():
            found.setdefault(layer, place)
    return found


def rate(model: Model) -> tuple[float, str]:
    """What the schedule's factor is multiplied by, and what the product is called: the optimizer's
    learning rate where it is a plain number, else the factor stands alone."""
    share = 1.0, "share of the learning rate"
    if model.declaration is None:
        return share
    rules = minimized(model.declaration)[0][0].rules
    if len(rules) != 1:
        return share
    given = rules[0].optimizer
    named = given.function if isinstance(given, ast.Call) else given
    optimizer = model.module.optimizer(named.id) if isinstance(named, ast.Name) else None
    if optimizer is None:
        return share
    values = {s.name.id: s.default for s in optimizer.settings}
    for k, argument in enumerate(given.arguments if isinstance(given, ast.Call) else ()):
        values[argument.name or list(values)[k]] = argument.value
    lr = values.get("lr")
    if isinstance(lr, ast.Number):
        return float(lr.value), "learning rate"
    return share


def draw(model: Model | None, path: Path, asked: Asked) -> list[Path]:
    assert model is not None and asked.folder is not None
    found = rows(asked.folder, model.module.source.name)
    times, name = rate(model)
    for row in found:
        if row.get("lr") is not None:
            row["lr"] = float(row["lr"]) * times
    losses = [o.name for o in model.evaluation.of_kind("loss")]
    norms = gradient_norms(model) if losses and model.evaluation.params else []
    return curves(found, norms, path, losses=losses, rate=name, theme=asked.theme)
