"""The views by name.

In: a graph and the name of a view. Out: DOT text. `render` makes pictures of it.
"""

from __future__ import annotations

from ..compiler.graph import Graph
from ..dsl.diagnostics import did_you_mean, fail
from .backward import backward
from .layers import layers
from .operations import operations

VIEWS = ("layers", "operations", "backward")


def draw(
    graph: Graph,
    view: str = "layers",
    *,
    gradients: Graph | None = None,
    depth: int | None = None,
    theme: str = "light",
    loss: str | None = None,
    fit: bool = True,
) -> str:
    """DOT text of a view of a forward graph, laid out so that it can be read on a slide.

    Without `fit` nothing is measured: the first layout is taken.

    The backward view shows each gradient in closed form; with `gradients` (the graph that has them
    as outputs) it shows every operation of it instead. Raises Failure.
    """
    if view not in VIEWS:
        hint = did_you_mean(view, VIEWS) or f"views: {', '.join(VIEWS)}"
        raise fail("E563", f"there is no view `{view}`", help=hint)
    if view == "layers":
        return layers(graph, depth, theme, fit=fit)
    if view == "operations":
        return operations(graph, depth, theme, fit=fit)
    if not graph.of_kind("loss"):
        raise fail("E564", f"`{graph.name}` has no loss, so there is no backward pass",
                   help="add a line `loss …` to the net")  # fmt: skip
    if gradients is not None:
        return operations(gradients, depth, theme, fit=fit)
    return backward(graph, graph.loss(loss), theme, fit=fit)
