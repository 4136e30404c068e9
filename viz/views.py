"""The views by name.

In: a graph and the name of a view. Out: DOT text. `render` makes pictures of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..compiler.elaborate.unfinished import Unfinished
from ..compiler.graph import Graph, Output
from ..dsl.diagnostics import did_you_mean, fail
from .backward import backward as backward_picture
from .backward import backward_pages
from .cell import cell_picture
from .gradient_paths import Line
from .layers import layers
from .operations import operation_pages, operations
from .rows import chosen
from .through_time import through_time
from .training import training
from .unrolled import folded_picture, unrolled_picture

VIEWS = ("layers", "operations", "backward", "training", "recurrence")
FORMS = ("unrolled", "folded", "cell")  # of the recurrence view


def draw(
    graph: Graph,
    view: str = "layers",
    *,
    gradients: Graph | None = None,
    depth: int | None = None,
    theme: str = "light",
    loss: str | None = None,
    form: str = "unrolled",
    steps: int | None = None,
    scan: str | None = None,
    backward: bool = False,
    lines: Sequence[Line] = (),
    fit: bool = True,
    unfinished: Sequence[Unfinished] = (),
) -> str:
    """DOT text of a view of a forward graph, laid out so that it can be read on a slide.

    Without `fit` nothing is measured: the first layout is taken.

    The backward view shows each gradient in closed form; with `gradients` (the graph that has them
    as outputs) it shows every operation of it instead.

    The recurrence view has forms: the net unrolled over its `steps` (five, or two and the last,
    unless told otherwise), folded into loops, or the inside of the cell of one `scan`; `backward`
    adds the gradient that flows back through the steps.

    The training view draws the path of the gradient of each of the `lines` of `train`; without any,
    that of the first loss by all parameters. The backward view takes from them which parameters
    belong to a loss. The views of layers and of operations show the `unfinished` lines of a net
    with mistakes. Raises Failure.
    """
    if view not in VIEWS:
        hint = did_you_mean(view, VIEWS) or f"views: {', '.join(VIEWS)}"
        raise fail("E563", f"there is no view `{view}`", help=hint)
    if view == "layers":
        return layers(graph, depth, theme, fit=fit, unfinished=unfinished)
    if view == "operations":
        return operations(graph, depth, theme, fit=fit, unfinished=unfinished)
    if view == "recurrence" and form not in FORMS:
        hint = did_you_mean(form, FORMS) or f"forms: {', '.join(FORMS)}"
        raise fail("E563", f"there is no form `{form}` of a recurrence", help=hint)
    if view == "recurrence" and not backward:
        if form == "cell":
            cell, note = chosen(graph, scan)
            return cell_picture(cell, theme, note, fit=fit)
        return folded_picture(graph, theme) if form == "folded" else (
            unrolled_picture(graph, theme, steps, fit=fit))  # fmt: skip
    if not graph.of_kind("loss"):
        raise fail("E564", f"`{graph.name}` has no loss, so there is no backward pass",
                   help="add a line `loss …` to the net")  # fmt: skip
    if view == "training":
        known = lines or [Line(1, graph.loss(loss).name, ("*",), (), 1)]
        return training(graph, known, depth, theme, fit=fit)
    if gradients is not None:
        return operations(gradients, depth, theme, fit=fit)
    if view == "recurrence":
        return through_time(graph, graph.loss(loss), theme, steps, fit=fit)
    output = graph.loss(loss)
    return backward_picture(graph, output, theme, over=_over(lines, output), fit=fit)


def pages(
    graph: Graph,
    view: str,
    *,
    gradients: Graph | None = None,
    depth: int | None = None,
    theme: str = "light",
    loss: str | None = None,
    lines: Sequence[Line] = (),
) -> list[str]:
    """The view cut into pages that can each be read on a slide, as DOT texts; empty for a view that
    has no pages, or where they would be too many. Arguments as of `draw`."""
    if view == "operations" or (view == "backward" and gradients is not None):
        return operation_pages(gradients if gradients is not None else graph, depth, theme)
    if view != "backward":
        return []
    output = graph.loss(loss)
    return backward_pages(graph, output, theme, over=_over(lines, output))


def _over(lines: Sequence[Line], loss: Output) -> tuple[str, ...]:
    """The parameters that the line of a loss changes; all where there is none."""
    return next((tuple(line.over) for line in lines if line.loss == loss.name), ("*",))
