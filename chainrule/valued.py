"""Pictures with numbers in them: where a net's examples and weights meet the views that show them.

In: a model and what is wanted. Out: DOT text. The numbers are `numbers`', the drawing is `viz`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .compiler.graph import Graph, Output
from .compiler.pipeline import forward
from .dsl.diagnostics import Failure

if TYPE_CHECKING:
    from .model import Model
    from .numbers import Given
    from .viz.neurons import Neurons

VIEWS = ("circuit", "neurons", "shapes", "flow")


def draw(
    model: Model,
    view: str,
    *,
    theme: str = "light",
    loss: str | None = None,
    example: int = 0,
    integers: bool = False,
    local: bool = False,
    weights: str = "",
) -> str:
    """DOT text of one of `VIEWS`. `weights` says in words which ones the model has. Raises Failure
    E564 for a loss, E580 for an example, E581 to E583 for a net that has no such picture."""
    if view == "shapes":
        from .viz.shapes import shapes

        return shapes(forward(model.module, model.name, sizes=model.sizes), theme)
    if view == "flow":
        return _flow(model, loss, theme, weights)
    graph = forward(model.module, model.name, dtype="f64", sizes=model.sizes)
    if view == "neurons":
        return _neurons(model, graph, theme, example, integers, weights)
    return _circuit(model, graph, loss, theme, example, integers, local, weights)


def _flow(model: Model, loss: str | None, theme: str, weights: str) -> str:
    """The net as it trains, at a batch of its data, or of random numbers where they are not
    here."""
    from . import numbers as n
    from .gradient_flow import EXACT, batch_for, norms, strips, work
    from .pictures import loss_of
    from .viz.flow import flow, flow_of

    module, name, sizes = model.module, model.name, model.sizes
    graph = forward(module, name, dtype="f64", sizes=sizes, training=True)
    if work(graph) > EXACT:
        graph = forward(module, name, dtype="f32", sizes=sizes, training=True)
    of = flow_of(graph, loss_of(graph, loss))
    batch = batch_for(of.graph)
    try:
        given = n.of_data(model, of.graph, range(batch), weights, exact=False)
    except Failure as failure:
        if failure.diagnostics[0].code != "E580":
            raise
        given = n.at_random(model, of.graph, batch, weights)
    found = norms(of.loss, of.values, given)
    return flow(of, found, strips(of.graph, loss_of(graph, loss).name, given), given.words, theme)


def _circuit(
    model: Model, graph: Graph, loss: str | None, theme: str, example: int, integers: bool,
    local: bool, weights: str,
) -> str:  # fmt: skip
    from . import numbers as n
    from .pictures import loss_of
    from .viz.circuit import circuit, circuit_of

    end = loss_of(graph, loss) if loss is not None or graph.of_kind("loss") else None
    of = circuit_of(graph, end)
    given = _given(model, of.graph, example, integers, weights, end)
    slopes = n.local(of.slopes, given) if local else None
    return circuit(of, n.numbers(of.loss, of.values, given), given.words, theme, slopes=slopes)


def _neurons(
    model: Model, graph: Graph, theme: str, example: int, integers: bool, weights: str
) -> str:
    from . import numbers as n
    from .viz.neurons import neurons, neurons_of

    of = neurons_of(graph)
    shown = model.dataset is not None or integers
    given = (_given(model, of.equations.graph, example, integers, weights, None) if shown
             else n.at_random(model, of.equations.graph, 1, weights))  # fmt: skip
    words = given.words if shown else weights
    inputs, outputs = _unit_names(model, of)
    return neurons(of, n.numbers(None, of.values, given), words, theme, activations=shown,
                   inputs=inputs, outputs=outputs)  # fmt: skip


def _given(
    model: Model, graph: Graph, example: int, integers: bool, weights: str, loss: Output | None
) -> Given:
    from . import numbers as n

    if integers:
        end = graph.loss(loss.name).value if loss is not None else None
        return n.integers(graph, end, model.settings.seed)
    return n.of_data(model, graph, [example], weights)


def _unit_names(model: Model, of: Neurons) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of the data at the first units, the names of classes at the last."""
    from .project import bind_inputs

    try:
        known = model.dataset
    except Failure:
        return (), ()
    graph = of.equations.graph
    first, last = of.layers[0].value, of.layers[-1].value
    fields = {}
    if known is not None:
        bound = bind_inputs(graph, known, model.declaration)
        fields = {name: known.fields[field] for name, field in bound.items()}
    ours = fields.get(str(first.attrs.get("name", "")))
    inputs = ours.columns if ours is not None and len(ours.columns) == first.type.size else ()
    for leaf in graph.inputs:
        if leaf.value.type.classes == last.type.size:
            labels = fields[leaf.name].labels if leaf.name in fields else ()
            every = tuple(str(k) for k in range(last.type.size))
            return tuple(inputs), tuple(labels) if len(labels) == len(every) else every
    return tuple(inputs), ()
