"""Pictures, derivations and curves of a model: where the compiler's graphs meet `viz`.

In: a model and what is wanted. Out: a `Picture` that notebooks show and `save` writes; derivations
as text; the files of the loss curve. Layout and formulas are `viz`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import compiled
from .compiler.graph import Graph, Output
from .compiler.minimize import frozen_by, minimized
from .compiler.pipeline import forward, gradients
from .compiler.step import trainable
from .dsl.diagnostics import did_you_mean, fail
from .dsl.syntax import Train
from .runtime.files import write_text
from .runtime.gradcheck import random_inputs
from .runtime.plain import run_graph

if TYPE_CHECKING:
    from .model import Model
    from .runtime.history import History
    from .runtime.profile import Profile
    from .viz.derivation import Derivation

VIEWS = ("layers", "operations", "backward", "training", "recurrence", *compiled.VIEWS)
FORMS = ("unrolled", "folded", "cell")
FORMATS = ("svg", "png", "pdf", "dot")
THEMES = ("light", "dark")
SUFFIX = {"text": ".txt", "markdown": ".md", "latex": ".tex", "html": ".html"}


@dataclass(frozen=True)
class Picture:
    """A diagram as DOT text; it lays itself out when it is shown or saved."""

    dot: str
    view: str = ""

    @property
    def warning(self) -> str:
        """What is wrong with its size, if its type would be too small on a slide; else empty."""
        from .viz.fit import warning

        return warning(self.dot, self.view)

    def save(self, path: str | Path) -> list[Path]:
        """Write it; the ending says how: .svg, .png, .pdf or .dot. Gives the files written."""
        from .viz.render import render

        return render(self.dot, Path(path))

    def _repr_svg_(self) -> str:
        from .viz.render import svg

        return svg(self.dot)


def draw(
    model: Model,
    view: str = "layers",
    *,
    depth: int | None = None,
    theme: str = "light",
    loss: str | None = None,
    expand: bool = False,
    form: str = "unrolled",
    steps: int | None = None,
    scan: str | None = None,
    backward: bool = False,
    stage: str | None = None,
    rule: str | None = None,
    number: int | None = None,
) -> Picture:
    """One view of a net. `expand` shows every operation of the backward pass, not closed forms.

    The recurrence view: `form` unrolled (over `steps`), folded, or cell (of one `scan`), `backward`
    with the gradient through time. The views of the compiler: one change of a pass (`stage`) or
    `rule`, or one kernel, by its `number`. Raises Failure E563 for a view that there is not, E564
    for a loss, E567 for a recurrence.
    """
    if view in compiled.VIEWS:
        return Picture(
            compiled.draw(
                model, view, theme=theme, depth=depth, stage=stage, rule=rule, number=number
            ),
            view,
        )
    from .viz import views
    from .viz.gradient_paths import told

    # The backward pass belongs to training: batch statistics, dropout.
    learning = view in ("backward", "training") or (view == "recurrence" and backward)
    train = _train(model)
    told_of = view in ("training", "backward")
    asked = minimized(train) if train is not None and told_of else ()
    graph = forward(
        model.module, model.name, training=learning, dtype=model.dtype, sizes=model.sizes,
        frozen=frozen_parameters(train),
    )  # fmt: skip
    whole = None
    if view == "backward":
        chosen = loss_of(graph, loss).name
        whole = gradients(graph, chosen) if expand else None
        loss = chosen
    dot = views.draw(
        graph, view, gradients=whole, depth=depth, theme=theme, loss=loss, form=form, steps=steps,
        scan=scan, backward=backward, lines=told(asked, graph) if asked else (),
    )  # fmt: skip
    return Picture(dot, view)


def _train(model: Model) -> Train | None:
    """The first `train` declaration of the net; None where it has none."""
    return next((t for t in model.module.trains if t.name.id == model.name), None)


def frozen_parameters(train: Train | None) -> tuple[str, ...]:
    """What the lines `freeze …` name."""
    return tuple(e.span.text for e in frozen_by(train)) if train is not None else ()


def heated(
    model: Model, found: Profile, *, depth: int | None = None, theme: str = "light"
) -> Picture:
    """The layers, coloured by their share of a step's time."""
    from .viz.heat import Heat, duration
    from .viz.layers import layers

    graph = forward(model.module, model.name, dtype=model.dtype, sizes=model.sizes)
    batch = found.times.batch
    of = f"a step of {batch:,} examples, {duration(found.total)}"
    heat = Heat(found.by_place(), found.total, of)
    return Picture(layers(graph, depth, theme, heat=heat), "layers")


def loss_of(graph: Graph, name: str | None) -> Output:
    """The loss of that name, or the first. Raises Failure E564."""
    known = [o.name for o in graph.of_kind("loss")]
    if not known:
        raise fail("E564", f"`{graph.name}` has no loss, so there is no backward pass",
                   help="add a line `loss …` to the net")  # fmt: skip
    if name is not None and name not in known:
        near = did_you_mean(name, known) or f"losses: {', '.join(known)}"
        raise fail("E564", f"`{graph.name}` has no loss `{name}`", help=near)
    return graph.loss(name)


def derive(
    model: Model,
    format: str = "text",
    param: str | None = None,
    index: bool = False,
    loss: str | None = None,
) -> str:
    """The derivation of a net's gradients, its closed forms checked against the compiler's. Where
    `train` minimises several losses, one for each line, by the parameters that it changes."""
    train = _train(model)
    graph = forward(
        model.module, model.name, training=True, dtype="f64", sizes=model.sizes,
        frozen=frozen_parameters(train),
    )  # fmt: skip
    found = _derivations(graph, train, param, index, loss)
    if format == "text":
        from .viz.derive_text import text

        return "\n\n".join(map(text, found))
    if format == "markdown":
        from .viz.derive_markdown import markdown

        return "\n".join(map(markdown, found))
    if format == "latex":
        from .viz.derive_latex import latex

        return latex(*found)
    if format == "html":
        from .viz.derive_html import html

        return html(*found)
    near = did_you_mean(format, SUFFIX)
    shown = near or f"formats are {', '.join(SUFFIX)}"
    raise fail("E603", f"there is no format `{format}`", help=shown)


def _derivations(
    graph: Graph, train: Train | None, param: str | None, index: bool, loss: str | None
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
                derived(
                    graph,
                    line.loss,
                    names,
                    index=index,
                    check=_at_random,
                    nudge=_nudged,
                    title=title,
                )
            )
    wanted = [param] if param else None
    return found or [derived(graph, loss, wanted, index=index, check=_at_random, nudge=_nudged)]


def _nudged(graph: Graph, name: str, place: int, by: float) -> dict[str, NDArray[Any]]:
    """The same with one element of a parameter moved."""
    return _at_random(graph, (name, place, by))


def _at_random(
    graph: Graph, moved: tuple[str, int, float] | None = None
) -> dict[str, NDArray[Any]]:
    """The outputs at a random point, by the plain interpreter."""
    batch = 3
    draw = np.random.default_rng(7)
    given: dict[str, Any] = random_inputs(graph, batch, 7)
    for leaf in graph.inputs:  # lengths of sequences are from 1 to the longest
        of = graph.leaves.get(leaf.name.removesuffix(".length"))
        if leaf.name.endswith(".length"):
            steps = of.value.shape[0] if of is not None else 1
            given[leaf.name] = draw.integers(1, steps + 1, batch).astype(leaf.value.type.numpy)
    for leaf in (*graph.params, *graph.states):
        shape = leaf.value.shape
        given[leaf.name] = draw.standard_normal(shape) * _spread(shape)
    for leaf in graph.states:  # running variances are not negative
        given[leaf.name] = np.abs(given[leaf.name])
    if moved is not None:
        name, place, by = moved
        given[name].reshape(-1)[place] += by
    found = run_graph(graph, given, batch=batch)
    return {name: array for (_, name), array in found.items()}


def _spread(shape: tuple[int, ...]) -> float:
    """How large parameters are drawn, so that values stay about 1 through a deep net."""
    return float(min(0.5, np.prod(shape[1:]) ** -0.5))


def write_derivation(text: str, format: str, folder: Path, stem: str) -> Path:
    """Put a derivation into a folder."""
    path = folder / f"{stem}{SUFFIX[format]}"
    write_text(path, text if text.endswith("\n") else text + "\n")
    return path


def curves(history: History, folder: Path, losses: Sequence[str] | None = None) -> list[Path]:
    """Draw the curves of a run: `loss.svg` and `loss.png`. `losses`: which values are losses, by
    default those called so. Raises Failure E566 without matplotlib."""
    from .viz.curves import curves as draw_curves

    rows = [row.as_dict() for row in history.rows]
    return draw_curves(rows, folder, losses=losses)
