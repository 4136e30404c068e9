"""Saliency maps: how much the score of a class changes with each pixel.

In: a model with its weights, examples. Out: |∂ score / ∂ input| [n, h, w], of three channels the
greatest (Simonyan, Vedaldi & Zisserman, 2013), and the plot. The score is what goes into the
softmax, not the probability: that would grow, too, where the other scores sink.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..compiler.autodiff import gradient
from ..compiler.graph import Graph, Leaf, Output, leaf
from ..compiler.nodes import find
from ..compiler.op import apply
from ..compiler.pipeline import forward, stabilise
from ..compiler.value import Value
from ..dsl.diagnostics import Failure, fail
from ..runtime.session import part_of
from ..viz.plots.saliency import MOST, Looked, saliency
from .asked import Asked
from .seeing import Array, Examples, Seen, chosen, first_of_each, seen

if TYPE_CHECKING:
    from ..model import Model

SOFTMAX = "softmax"
CHOSEN = "chosen class"  # no name that a net could give


def maps(
    model: Model,
    found: Seen,
    examples: Examples,
    node: str | None = None,
) -> tuple[Array, str]:
    """[n, h, w], and the name of the score, of the class that the net tells of each example."""
    graph, name, size = _graph(model, found, examples, node)
    told = examples.predicted if size > 1 else None
    count = len(examples.positions)
    one_hot = np.zeros((count, size), np.float32)
    one_hot[np.arange(count), 0 if told is None else told] = 1
    fields = {f.name: examples.fields[f.name] for f in graph.inputs if f.name in examples.fields}
    slopes = model.session.compute(
        f"saliency {name}", lambda: graph, {**fields, CHOSEN: one_hot}, count=count
    )["slope"]
    return np.abs(found.pixels(slopes)).max(axis=1), name


def _graph(
    model: Model, found: Seen, examples: Examples, node: str | None
) -> tuple[Graph, str, int]:
    """The graph of ∂ (score · chosen) / ∂ input, the name of the score, and how many there are."""
    whole = stabilise(forward(model.module, model.name, dtype=model.dtype, sizes=model.sizes))
    if node is None and examples.predicted is None:
        raise _no_score(model, "")
    score, name = _score(whole, examples, node)
    size = score.type.size
    if size > 1 and (examples.predicted is None or size != len(examples.names)):
        raise _no_score(model, name)
    flat = apply("reshape", score, shape=(size,))
    mask = leaf("input", CHOSEN, flat.type)
    (slope,) = gradient(apply("sum", flat * mask), [whole.leaves[found.name].value])
    leaves = {**whole.leaves, CHOSEN: Leaf(mask, "input")}
    graph = Graph(whole.name, (Output("output", "slope", slope),), leaves, places=whole.places)
    return part_of(graph, "output"), name, size


def _no_score(model: Model, name: str) -> Failure:
    what = f"`{name}` is" if name else f"`{model.name}` tells"
    return fail(
        "E623",
        f"{what} no score of classes",
        model.net.name.span,
        help="saliency asks how a score changes: `--node` names a number, or the scores of classes",
    )


def _score(whole: Graph, examples: Examples, node: str | None) -> tuple[Value, str]:
    """The node asked for; else what goes into the softmax of the output, else the output."""
    if node is not None:
        return find(whole, node), node
    value = find(whole, examples.output)
    inside = {v for v in whole.nodes if v.origin.block == SOFTMAX
              and v.origin.instance == value.origin.instance}  # fmt: skip
    if value.origin.block == SOFTMAX:
        for v in whole.nodes:
            if v in inside:
                outside = [a for a in v.args if a not in inside and a.shape == value.shape]
                if outside:
                    return outside[0], outside[0].origin.name or examples.output
    return value, examples.output


def draw(model: Model | None, path: Path, asked: Asked) -> list[Path]:
    assert model is not None
    found = seen(model, "a saliency map")
    at: Sequence[int] = asked.examples or first_of_each(model, asked.part, MOST)
    if len(at) > MOST:
        raise fail("E625", f"{len(at)} examples do not fit side by side", help=f"take up to {MOST}")
    examples = chosen(model, at, asked.part)
    node = asked.nodes[0] if asked.nodes else None
    shown, _ = maps(model, found, examples, node)
    pixels = found.pixels(examples.fields[found.name])
    return saliency(
        [Looked(pixels[k], shown[k], examples.words(k), f"{examples.part} {at[k]}")
         for k in range(len(at))],
        path, theme=asked.theme,
    )  # fmt: skip
