"""Pictures and curves of a model: where the compiler's graphs meet `viz`.

In: a model and what is wanted. Out: a `Picture` that notebooks show and `save` writes; the files of
the loss curve. Layout and formulas are `viz`'s business; derivations are made by `deriving`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import compiled, valued
from .compiler.elaborate import partial_forward
from .compiler.graph import Graph, Output
from .compiler.minimize import frozen_by, minimized
from .compiler.pipeline import forward, gradients
from .dsl.diagnostics import Diagnostic, Failure, did_you_mean, fail
from .dsl.syntax import Train

if TYPE_CHECKING:
    from .model import Model
    from .runtime.history import History
    from .runtime.profile import Profile

VIEWS = ("layers", "operations", "backward", "training", "recurrence", *valued.VIEWS,
         *compiled.VIEWS)  # fmt: skip
WITH_MISTAKES = ("layers", "operations")  # views that show the mistakes of a net
FORMS = ("unrolled", "folded", "cell")
FORMATS = ("svg", "png", "pdf", "dot")
THEMES = ("light", "dark")


@dataclass(frozen=True)
class Picture:
    """A diagram as DOT text; it lays itself out when it is shown or saved."""

    dot: str
    view: str = ""
    mistakes: tuple[Diagnostic, ...] = ()  # of the net, which are drawn
    paged: Callable[[], list[str]] | None = field(default=None, repr=False, compare=False)

    @cached_property
    def pages(self) -> list[str]:
        """DOT texts of pages that can each be read on a slide, if the whole cannot; else empty."""
        return self.paged() if self.paged is not None and self.warning else []

    @property
    def warning(self) -> str:
        """What is wrong with its size, if its type would be too small on a slide; else empty."""
        from .viz.fit import warning

        return warning(self.dot, self.view)

    def save(self, path: str | Path) -> list[Path]:
        """Write it; the ending says how: .svg, .png, .pdf or .dot. A picture too large for a slide
        is also written in pages, `-1`, `-2`, …. Gives the files written."""
        from .viz.render import render

        path = Path(path)
        files = render(self.dot, path)
        for k, dot in enumerate(self.pages):
            files += render(dot, path.with_stem(f"{path.stem}-{k + 1}"))
        return files

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
    example: int = 0,
    integers: bool = False,
    local: bool = False,
    weights: str = "",
) -> Picture:
    """One view of a net. `expand` shows every operation of the backward pass, not closed forms.

    The recurrence view: `form` unrolled (over `steps`), folded, or cell (of one `scan`), `backward`
    with the gradient through time. The views of the compiler: one change of a pass (`stage`) or
    `rule`, or one kernel, by its `number`. The views with numbers: those of an `example` of the
    data, or small `integers`; `local` derivatives; `weights` says in words which ones these are.
    Raises Failure E563 for a view that there is not, E564
    for a loss, E567 for a recurrence.
    """
    if view in compiled.VIEWS:
        return Picture(
            compiled.draw(
                model, view, theme=theme, depth=depth, stage=stage, rule=rule, number=number
            ),
            view,
        )
    if view in valued.VIEWS:
        return Picture(
            valued.draw(
                model, view, theme=theme, loss=loss, example=example, integers=integers,
                local=local, weights=weights,
            ),
            view,
        )  # fmt: skip
    from .viz import views
    from .viz.gradient_paths import told

    # The backward pass belongs to training: batch statistics, dropout.
    learning = view in ("backward", "training") or (view == "recurrence" and backward)
    train = train_of(model)
    told_of = view in ("training", "backward")
    asked = minimized(train) if train is not None and told_of else ()
    try:
        graph = forward(
            model.module, model.name, training=learning, dtype=model.dtype, sizes=model.sizes,
            frozen=frozen_parameters(train),
        )  # fmt: skip
    except Failure as failure:
        if view not in WITH_MISTAKES:
            raise
        return _mistaken(model, view, depth, theme, failure)
    whole = None
    if view == "backward":
        chosen = loss_of(graph, loss).name
        whole = gradients(graph, chosen) if expand else None
        loss = chosen
    dot = views.draw(
        graph, view, gradients=whole, depth=depth, theme=theme, loss=loss, form=form, steps=steps,
        scan=scan, backward=backward, lines=told(asked, graph) if asked else (),
    )  # fmt: skip
    paged = partial(
        views.pages, graph, view, gradients=whole, depth=depth, theme=theme, loss=loss,
        lines=told(asked, graph) if asked else (),
    )  # fmt: skip
    return Picture(dot, view, paged=paged)


def _mistaken(model: Model, view: str, depth: int | None, theme: str, failure: Failure) -> Picture:
    """What is known of a net with mistakes, and these; where there is nothing to draw, its
    failure."""
    from .viz import views

    try:
        known = partial_forward(model.module, model.name, dtype=model.dtype, sizes=model.sizes)
        dot = views.draw(known.graph, view, depth=depth, theme=theme, unfinished=known.unfinished)
    except Failure:
        raise failure from None
    return Picture(dot, view, tuple(failure.diagnostics))


def train_of(model: Model) -> Train | None:
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


def curves(history: History, folder: Path, losses: Sequence[str] | None = None) -> list[Path]:
    """Draw the curves of a run: `loss.svg` and `loss.png`. `losses`: which values are losses, by
    default those called so. Raises Failure E566 without matplotlib."""
    from .viz.curves import curves as draw_curves

    rows = [row.as_dict() for row in history.rows]
    return draw_curves(rows, folder, losses=losses)
