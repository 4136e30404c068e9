"""Derivations of a model: the compiler's graphs, the random point, the writers of `viz`.

In: a model and what is wanted. Out: text in one of the `SUFFIX` formats. Formulas are `viz`'s
business; the numbers at a random point come from the plain interpreter.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .compiler.graph import Graph
from .compiler.minimize import minimized
from .compiler.pipeline import forward
from .compiler.step import trainable
from .dsl.diagnostics import did_you_mean, fail
from .dsl.syntax import Train
from .pictures import frozen_parameters, train_of
from .runtime.files import write_text
from .runtime.gradcheck import random_inputs
from .runtime.plain import run_graph

if TYPE_CHECKING:
    from .model import Model
    from .viz.derivation import Derivation
    from .viz.worksheet import Worksheet

SUFFIX = {"text": ".txt", "markdown": ".md", "latex": ".tex", "html": ".html"}
BATCH = 3  # examples at the random point


def derive(
    model: Model,
    format: str = "text",
    param: str | None = None,
    index: bool = False,
    loss: str | None = None,
) -> str:
    """The derivation of a net's gradients, its closed forms checked against the compiler's. Where
    `train` minimises several losses, one for each line, by the parameters that it changes."""
    check_format(format)
    found = of_model(model, param, index, loss)
    if format == "text":
        from .viz.derive_text import text

        return "\n\n".join(map(text, found))
    if format == "markdown":
        from .viz.derive_markdown import markdown

        return "\n".join(map(markdown, found))
    if format == "latex":
        from .viz.derive_latex import latex

        return latex(*found)
    from .viz.derive_html import html

    return html(*found)


def worksheet(
    model: Model,
    format: str = "text",
    *,
    seed: int = 1,
    answers: bool = False,
    param: str | None = None,
    loss: str | None = None,
) -> str:
    """A worksheet of the derivation: exercises with gaps, the same for the same seed; `answers`
    adds their key. Raises Failure E585 where the derivation has nothing to ask."""
    check_format(format)
    made = sheet_of(model, seed, param, loss)
    if format == "text":
        from .viz.worksheet_text import text

        return text(made, answers)
    if format == "markdown":
        from .viz.worksheet_text import markdown

        return markdown(made, answers)
    if format == "latex":
        from .viz.worksheet_latex import latex

        return latex(made, answers)
    from .viz.worksheet_html import html

    return html(made, answers)


def sheet_of(
    model: Model, seed: int = 1, param: str | None = None, loss: str | None = None
) -> Worksheet:
    """The worksheet as data."""
    from .viz.worksheet import worksheet as made

    found = made(of_model(model, param, loss=loss)[0], seed)
    if not found.exercises:
        raise fail("E585", f"the derivation of `{model.name}` has nothing to ask",
                   help="take a net with more than one step, or leave `--param` out")  # fmt: skip
    return found


def check_format(format: str) -> None:
    """Raise Failure E603 for a format that there is not."""
    if format not in SUFFIX:
        near = did_you_mean(format, SUFFIX)
        shown = near or f"formats are {', '.join(SUFFIX)}"
        raise fail("E603", f"there is no format `{format}`", help=shown)


def of_model(
    model: Model, param: str | None = None, index: bool = False, loss: str | None = None
) -> list[Derivation]:
    """The derivations as data."""
    train = train_of(model)
    graph = forward(
        model.module, model.name, training=True, dtype="f64", sizes=model.sizes,
        frozen=frozen_parameters(train),
    )  # fmt: skip
    return derivations(graph, train, param, index, loss)


def derivations(
    graph: Graph,
    train: Train | None,
    param: str | None = None,
    index: bool = False,
    loss: str | None = None,
) -> list[Derivation]:
    """One for each line of `train` with a loss of its own, else one of the loss."""
    from .viz.derive import derive as derived
    from .viz.gradient_paths import told

    found = []
    asked = minimized(train) if train is not None and len(graph.of_kind("loss")) > 1 else ()
    for line in told(asked, graph):
        names = [p.name for p in trainable(graph, line.over) if param in (None, p.name)]
        if loss in (None, line.loss) and names:
            title = f"{line.number}. {line.words}"
            found.append(
                derived(graph, line.loss, names, index=index, check=at_random, nudge=nudged,
                        title=title)
            )  # fmt: skip
    wanted = [param] if param else None
    return found or [derived(graph, loss, wanted, index=index, check=at_random, nudge=nudged)]


def nudged(graph: Graph, name: str, place: int, by: float) -> dict[str, NDArray[Any]]:
    """The outputs at the random point with one element of a parameter moved."""
    given = _point(graph)
    given[name].reshape(-1)[place] += by
    return _run(graph, given)


def at_random(graph: Graph) -> dict[str, NDArray[Any]]:
    """The outputs at a random point, by the plain interpreter."""
    return _run(graph, _point(graph))


def _run(graph: Graph, given: dict[str, Any]) -> dict[str, NDArray[Any]]:
    found = run_graph(graph, given, batch=BATCH)
    return {name: array for (_, name), array in found.items()}


def _point(graph: Graph) -> dict[str, Any]:
    """Examples, parameters and running statistics."""
    draw = np.random.default_rng(7)
    given: dict[str, Any] = random_inputs(graph, BATCH, 7)
    for leaf in (*graph.params, *graph.states):
        shape = leaf.value.shape
        given[leaf.name] = draw.standard_normal(shape) * _spread(shape)
    for leaf in graph.states:  # running variances are not negative
        given[leaf.name] = np.abs(given[leaf.name])
    return given


def _spread(shape: tuple[int, ...]) -> float:
    """How large parameters are drawn, so that values stay about 1 through a deep net."""
    return float(min(0.5, np.prod(shape[1:]) ** -0.5))


def write_derivation(text: str, format: str, folder: Path, stem: str) -> Path:
    """Put a derivation into a folder."""
    path = folder / f"{stem}{SUFFIX[format]}"
    write_text(path, text if text.endswith("\n") else text + "\n")
    return path
