"""The numbers of a net at some examples: what every value is, and ∂L/∂value.

In: a model, a graph of it, examples of its data or small integers. Out: arrays by value, from the
plain interpreter, for the pictures that show numbers. What is drawn is left to `viz`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .compiler.autodiff import gradient
from .compiler.graph import Graph
from .compiler.value import Value
from .dsl.diagnostics import Failure, fail
from .runtime.data.dataset import LENGTH
from .runtime.gradcheck import random_inputs
from .runtime.plain import evaluate
from .runtime.session import requests_for
from .viz.amounts import Amount
from .weights import trained

if TYPE_CHECKING:
    from .model import Model

Array = NDArray[Any]
MOST = 3  # of the small integers
TRIES = 24  # drawings of integers, of which the evenest is taken


@dataclass(frozen=True)
class Given:
    """Numbers for the leaves of a graph. `words` tell where they are from."""

    leaves: Mapping[str, Array]
    batch: int
    words: str


def with_weights(model: Model, file: Path, weights: Path | None, out: Path | None = None) -> str:
    """Load the trained weights if there are any; which ones the model has now."""
    try:
        trained(model, file, weights, out)
    except Failure as failure:
        if weights is not None or failure.diagnostics[0].code != "E540":
            raise
        return "initial weights"
    return "trained weights"


def of_data(
    model: Model, graph: Graph, rows: Sequence[int], weights: str = "", *, exact: bool = True
) -> Given:
    """Some examples of the training data, counted from 0; unless `exact`, as many of them as there
    are. Raises Failure E580."""
    from .project import bind_inputs

    try:
        known, why = model.dataset, ""
    except Failure as failure:
        known, why = None, f": {failure.diagnostics[0].message}"
    if known is None:
        raise fail("E580", f"`{model.name}` has no data to take an example from{why}",
                   help="draw it with small numbers: `--integers`")  # fmt: skip
    name = "train" if "train" in known.parts else next(iter(known.parts))
    part = known.parts[name]
    rows = rows if exact else [r for r in rows if r < len(part)]
    outside = [r for r in rows if not 0 <= r < len(part)]
    if outside:
        raise fail("E580", f"there is no example {outside[0]} in the {name} part of the data",
                   help=f"examples are numbered 0 to {len(part) - 1}")  # fmt: skip
    requests = requests_for(graph, bind_inputs(graph, known, model.declaration))
    places = np.asarray(rows, np.int64)
    leaves = {n: part.rows(r.field, places, r.dtype, r.shape) for n, r in requests.items()}
    shown = f"example {rows[0]}" if len(rows) == 1 else f"{len(rows)} examples"
    words = f"{shown} of {known.name}" + (f", {weights}" if weights else "")
    return Given({**leaves, **model.session.values}, len(rows), words)


def at_random(model: Model, graph: Graph, count: int, weights: str = "") -> Given:
    """Normal numbers and any labels, for nets whose data are not here."""
    leaves = random_inputs(graph, count, model.settings.seed)
    words = f"{count} random inputs" if count > 1 else "a random input"
    return Given({**leaves, **model.session.values}, count,
                 words + (f", {weights}" if weights else ""))  # fmt: skip


def integers(graph: Graph, loss: Value | None, seed: int = 0) -> Given:
    """One example and parameters of small integers: of several drawings the one that comes out
    evenest, with a gradient that reaches most values."""
    return max((_drawn(graph, seed + k) for k in range(TRIES)),
               key=lambda given: _evenness(graph, loss, given))  # fmt: skip


def _drawn(graph: Graph, seed: int) -> Given:
    draw = np.random.default_rng(seed)
    leaves: dict[str, Array] = {}
    for leaf in graph.leaves.values():
        t = leaf.value.type
        shape = (1, *t.shape) if t.batched else t.shape
        if leaf.name.endswith(LENGTH) and t.batched:
            of = graph.leaves.get(leaf.name.removesuffix(LENGTH))
            numbers = np.full(shape, of.value.shape[0] if of is not None else 1)
        elif t.classes is not None:
            numbers = draw.integers(0, t.classes, shape)
        elif leaf.kind == "state":  # statistics that change nothing
            numbers = np.full(shape, 1 if "var" in leaf.name else 0)
        elif leaf.kind == "input" and not t.shape:
            numbers = draw.integers(0, 2, shape)
        else:
            numbers = draw.integers(-MOST + 1, MOST, shape)
        leaves[leaf.name] = numbers.astype(t.numpy)
    return Given(leaves, 1, "small integers")


def _evenness(graph: Graph, loss: Value | None, given: Given) -> float:
    roots = [loss] if loss is not None else [o.value for o in graph.outputs]
    shown = [v for v in graph.with_outputs(
        o for o in graph.outputs if o.value in roots).nodes if is_shown(v)]  # fmt: skip
    score = 0.0
    for found in numbers(loss, shown, given).values():
        if not np.all(np.isfinite(found.value)):
            return -1.0
        score += float(np.mean(found.value == np.round(found.value)))
        if found.gradient is not None:
            score += 2 * float(np.mean(found.gradient != 0))
            score += float(np.mean(found.gradient == np.round(found.gradient)))
    return score


def is_shown(v: Value) -> bool:
    """Numbers a reader can look at: not a scan as a whole."""
    return v.op.family != "scan"


def local(slopes: Mapping[Value, list[Value]], given: Given) -> dict[Value, list[Amount]]:
    """The numbers of some derivatives, by the value that they are derivatives of."""
    flat = [p for parts in slopes.values() for p in parts]
    found = dict(zip(flat, evaluate(flat, given.leaves, batch=given.batch), strict=True))
    return {v: [Amount(found[p], None) for p in parts] for v, parts in slopes.items()}


def numbers(loss: Value | None, values: Iterable[Value], given: Given) -> dict[Value, Amount]:
    """What the values are at one example, and the gradient of the loss by those that it can be
    moved by."""
    wanted = list(dict.fromkeys(values))
    moved = [v for v in wanted if v.type.is_float and not v.is_constant] if loss is not None else []
    slopes = gradient(loss, moved) if loss is not None else []
    found = evaluate([*wanted, *slopes], given.leaves, batch=given.batch)
    first = [a[0] if v.type.batched else a for v, a in zip([*wanted, *moved], found, strict=True)]
    by_value = dict(zip(moved, first[len(wanted) :], strict=True))
    return {v: Amount(a, by_value.get(v)) for v, a in zip(wanted, first, strict=False)}
