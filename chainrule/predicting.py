"""Predictions, and what a net computes on the way to them.

In: a model, examples as arrays or a part of its data, names of nodes (`compiler/nodes.py` says
which there are). Out: arrays `[n, *shape]`. How the net's numbers run is left to the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .arrays import declared_inputs, named
from .compiler.graph import Graph
from .compiler.nodes import find, only
from .compiler.pipeline import forward, stabilise
from .dsl.diagnostics import fail
from .project import bind_inputs
from .runtime.data import Dataset, Field, undo_statistics
from .runtime.data.dataset import LENGTH, Part
from .sequences import has_steps, is_single

if TYPE_CHECKING:
    from .model import Model

Array = NDArray[Any]
MOST = 2048  # numbers of an example, or examples, whose products are decomposed


def predict(model: Model, inputs: Any, batch: int | None, nodes: Sequence[str] | None) -> Any:
    """`Model.predict`."""
    graph = model.evaluation if nodes is None else node_graph(model, nodes)
    needed = {leaf.name for leaf in graph.inputs}
    aside = model.session.targets if nodes is None else ()
    order = [n for n in declared_inputs(model.net) if n not in aside and n in needed]
    arrays = _given(inputs, order)
    missing = [n for n in order if n not in arrays]
    if missing:
        raise fail("E610", f"the input `{missing[0]}` is not given")
    single = all(is_single(graph.leaves[n], a) for n, a in arrays.items())
    ready = model.examples(arrays)
    if len({len(a) for a in ready.values()}) > 1:
        raise fail("E610", "the inputs hold different numbers of examples")
    if nodes is None:
        found = _restored(model, model.session.predict(ready, batch))
    else:
        found = _computed(model, graph, ready, batch)
    if single:
        per_example = {o.name: o.value.type.batched for o in graph.outputs}
        found = {n: a[0] if per_example[n] else a for n, a in found.items()}
    return next(iter(found.values())) if len(found) == 1 else found


def _given(inputs: Any, wanted: list[str]) -> dict[str, Any]:
    """Arrays by input name; one without a name is that of the only input."""
    if not isinstance(inputs, Mapping):
        if len(wanted) != 1:
            shown = ", ".join(f"`{n}`" for n in wanted)
            raise fail(
                "E610",
                f"the net predicts from several inputs: {shown}",
                help=f'give a dictionary: {{"{wanted[0]}": …}}' if wanted else "",
            )
        inputs = {wanted[0]: inputs}
    return named(inputs, wanted)


def _restored(model: Model, outputs: dict[str, Array]) -> dict[str, Array]:
    """A prediction of a normalised target, back in the target's units."""
    known = [n for n in model.session.targets if n in model.statistics]
    if len(known) != 1 or len(outputs) != 1:
        return outputs
    (output,) = outputs
    target = model.evaluation.leaves[known[0]].value.type
    if outputs[output][0].size != target.size or target.classes is not None:
        return outputs
    return undo_statistics(outputs, {output: model.statistics[known[0]]})


# ---------------------------------------------------------------- nodes


def node_graph(model: Model, nodes: Iterable[str]) -> Graph:
    """The net in use, with these nodes as its outputs. Raises Failure E617."""
    whole = forward(model.module, model.name, dtype=model.dtype, sizes=model.sizes)
    return stabilise(only(whole, {name: find(whole, name) for name in nodes}))


def embed(
    model: Model, data: Any, nodes: Sequence[str], part: str | None = None
) -> dict[str, Array]:
    """The numbers of some nodes for every example of a part of the data, or of arrays."""
    if data is not None and not isinstance(data, Dataset):
        found = predict(model, data, None, nodes)
        return found if isinstance(found, dict) else {nodes[0]: found}
    graph = node_graph(model, nodes)
    arrays = model.feeder(part, data).arrays
    names = {leaf.name for leaf in graph.inputs}
    return _computed(model, graph, {n: a for n, a in arrays.items() if n in names}, None)


def _computed(
    model: Model, graph: Graph, fields: Mapping[str, Array], batch: int | None
) -> dict[str, Array]:
    key = "nodes " + " ".join(o.name for o in graph.outputs)
    count = next((len(a) for n, a in fields.items() if not n.endswith(LENGTH)), 1)
    found = model.session.compute(key, lambda: graph, fields, batch=batch, count=count)
    return {  # what is the same for all examples stands beside each of them
        o.name: found[o.name] if o.value.type.batched else _repeated(found[o.name], count)
        for o in graph.outputs
    }


def _repeated(array: Array, count: int) -> Array:
    return np.repeat(array[None], count, axis=0)


def example_fields(model: Model, nodes: Sequence[str] = ()) -> list[Field]:
    """What a file of examples must hold: the inputs that predictions, or these nodes, are made
    from."""
    graph = node_graph(model, nodes) if nodes else model.evaluation
    aside = () if nodes else model.session.targets
    known = {}
    if model.dataset is not None:
        bound = bind_inputs(model.evaluation, model.dataset, model.declaration)
        fields_of = model.dataset.fields
        known = {name: fields_of[field] for name, field in bound.items() if field in fields_of}
    fields = []
    for leaf in graph.inputs:
        if leaf.name in aside or leaf.name.endswith(LENGTH):
            continue
        type, data = leaf.value.type, known.get(leaf.name)
        columns = data.columns if data is not None and data.size == type.size else ()
        steps = has_steps(leaf)
        words = model.vocabularies.get(leaf.name) if steps and type.classes else None
        fields.append(
            Field(
                leaf.name, type.shape, type.dtype, type.classes, columns=columns,
                sequence=steps, vocabulary=words,
            )
        )  # fmt: skip
    return fields


def labels_of(part: Part) -> dict[str, Array]:
    """The classes of a part's examples, by field: their names where the data have some."""
    found: dict[str, Array] = {}
    for name, column in part.columns.items():
        field = column.field
        if field.classes is None or field.shape or not field.target:
            continue
        numbers = part.array(name)
        named = len(field.labels) == field.classes
        found[name] = np.array(field.labels)[numbers] if named else numbers
    return found


def principal(array: Array) -> Array:
    """[n, 2]: each example in the plane of the two directions of greatest variance.

    Of examples of many numbers, some evenly chosen ones tell the directions. A direction points to
    where its greatest number is positive, so that the same numbers give the same plane.
    """
    rows = array.reshape(len(array), -1).astype(np.float64)
    rows = rows - rows.mean(axis=0)
    axes = _directions(rows)
    signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0))
    plane = rows @ (axes * np.where(signs == 0, 1, signs))
    return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1]))).astype(np.float32)


def _directions(rows: Array) -> Array:
    """[d, ≤ 2] of unit length: eigenvectors of XᵀX, or Xᵀu of those of XXᵀ where that is less."""
    if rows.shape[1] <= MOST:
        _, vectors = np.linalg.eigh(rows.T @ rows)
        return np.asarray(vectors[:, ::-1][:, :2])
    few = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST)).round().astype(np.int64)]
    _, vectors = np.linalg.eigh(few @ few.T)
    axes = few.T @ vectors[:, ::-1][:, :2]
    return np.asarray(axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-12))
