"""What each layer makes of one example.

In: a model with its weights, the place of an example. Out: the numbers of its layers, and the plot.
Layers are what the net's own equations name (`c1`, `h`), or its blocks where it names nothing; what
an activation makes of a layer stands for both. `nodes` chooses others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..compiler.graph import Graph
from ..compiler.nodes import depends, find, names
from ..compiler.pipeline import forward
from ..compiler.value import Value
from ..dsl.diagnostics import Failure, fail
from ..predicting import node_graph
from ..viz.plots.features import Layer, Scores, features
from .asked import Asked
from .seeing import Examples, chosen, seen

if TYPE_CHECKING:
    from ..model import Model

MOST = 8  # layers on a slide
DEPTH = 4  # of blocks that are opened
FEW = 3  # maps below which they are


def layer_names(model: Model, output: str = "", most: int = MOST) -> list[str]:
    """The layers in order, at most so many, evenly from the first to the last."""
    graph = forward(model.module, model.name, dtype=model.dtype, sizes=model.sizes)
    found: dict[Value, str] = {}
    for depth in range(DEPTH):
        found = _candidates(graph, model.session.targets, output, depth)
        # A net that hides its maps inside of blocks is opened.
        if not _sees_maps(graph) or sum(len(v.shape) == 3 for v in found) >= FEW:
            break
    kept = [name for v, name in found.items() if not _goes_on(graph, v, set(found))]
    if output and kept and _is_before(find(graph, kept[-1]), find(graph, output)):
        kept.pop()  # the bars show it
    if len(kept) <= most:
        return kept
    last = len(kept) - 1
    return [kept[round(i * last / (most - 1))] for i in range(most)]


def _sees_maps(graph: Graph) -> bool:
    return any(len(f.value.shape) == 3 for f in graph.inputs)


def _candidates(graph: Graph, targets: Sequence[str], output: str, depth: int) -> dict[Value, str]:
    """The values of names, so deep inside of blocks, that are numbers of each example."""
    labels = [graph.leaves[t].value for t in targets if t in graph.leaves]
    inputs = {f.value for f in graph.inputs}
    figures = {o.value for o in graph.outputs if o.kind != "output"}
    order = {v: k for k, v in enumerate(graph.nodes)}
    found: dict[Value, str] = {}
    for name in names(graph):
        if name.count(".") > depth or name == output:
            continue
        for called, v in _every(graph, name):
            ours = v.type.batched and v.type.is_float and v.type.size > 1
            if ours and v not in inputs | figures | set(found) and not depends(v, labels):
                found[v] = called
    shown = graph.of_kind("output")
    end = {o.value for o in shown if o.name == output}
    kept = {v: name for v, name in found.items() if v in order and v not in end}
    return dict(sorted(kept.items(), key=lambda item: order[item[0]]))


def _every(graph: Graph, name: str) -> Iterator[tuple[str, Value]]:
    """The value of a name; of a block that is applied again the others: `h`, `h:2`."""
    yield name, find(graph, name)
    for k in count(2):
        try:
            value = find(graph, f"{name}:{k}")
        except Failure:
            return
        yield f"{name}:{k}", value


def _is_before(v: Value, output: Value) -> bool:
    """Is the output only the softmax of it?"""
    return v.shape == output.shape and output.origin.block == "softmax"


def _goes_on(graph: Graph, v: Value, layers: set[Value]) -> bool:
    """Is it only the argument of an activation, or another shape, that is a layer itself? Or is it
    a view: the same numbers as the layer before it?"""
    if v.op.family == "view":
        return True
    users = [u for u, _ in graph.users[v]]
    while len(users) == 1:
        (u,) = users
        if u.op.family != "elementwise" or u.shape != v.shape:
            return False
        if u in layers:
            return True
        users = [w for w, _ in graph.users[u]]
    return False


def layers(
    model: Model,
    examples: Examples,
    wanted: Sequence[str],
    shape: tuple[int, int, int] | None = None,
) -> list[Layer]:
    """Their numbers for the first of the examples. `shape`: of the picture that the net sees.
    Raises Failure E617 for a name that is none."""
    if not wanted:
        return []
    graph = node_graph(model, wanted)
    fields = {f.name: examples.fields[f.name] for f in graph.inputs if f.name in examples.fields}
    found = model.session.compute(f"layers {' '.join(wanted)}", lambda: graph, fields)
    outputs = {o.name for o in model.evaluation.of_kind("output")}
    shown = []
    for o in graph.outputs:
        values = found[o.name][0] if o.value.type.batched else found[o.name]
        if shape is not None and o.name in outputs and values.size == np.prod(shape):
            values = values.reshape(shape)  # a reconstruction is a picture too
        shown.append(Layer(o.name.rpartition(".")[2], values))
    return shown


def draw(model: Model | None, path: Path, asked: Asked) -> list[Path]:
    assert model is not None
    at = (asked.examples or (0,))[:1]
    examples = chosen(model, at, asked.part)
    wanted = asked.nodes or layer_names(model, examples.output)
    try:
        picture = seen(model, "a plot of features")
        pixels, shape = picture.pixels(examples.fields[picture.name])[0], picture.shape
    except Failure:
        pixels, shape = None, None  # an example that is no picture is not drawn, but its layers are
    scores = None
    if examples.scores is not None and examples.true is not None:
        scores = Scores(examples.output, examples.scores[0], examples.names, int(examples.true[0]))
    if scores is None and not wanted:
        raise fail("E625", f"`{model.name}` has no layers to show for an example",
                   model.net.name.span, help="name nodes with `--node`")  # fmt: skip
    title = f"{model.name}, example {at[0]:,} of {examples.part}"
    return features(pixels, layers(model, examples, wanted, shape), scores, path,
                    theme=asked.theme, title=title)  # fmt: skip
