"""Handouts: one document of a net with its source, picture, layers, derivation and exercises.

In: a model and what is wanted. Out: files in a folder. How each format is written is left to
`viz.handout`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .compiler.pipeline import forward
from .deriving import of_model, sheet_of
from .dsl.diagnostics import did_you_mean, fail
from .pictures import draw
from .runtime.files import write_bytes, write_text
from .summary import layers_of, work

if TYPE_CHECKING:
    from .model import Model

SUFFIX = {"html": ".html", "markdown": ".md", "latex": ".tex"}


@dataclass(frozen=True)
class Wanted:
    """What a handout holds: `index` formulas, the `answers`; `seed` of its exercises."""

    format: str = "html"
    index: bool = False
    answers: bool = False
    seed: int = 1
    depth: int = 1
    loss: str | None = None


def handout(model: Model, folder: Path, stem: str, wanted: Wanted | None = None) -> list[Path]:
    """Write the document; HTML is one file, the others have their picture beside them. Gives the
    files written. Raises Failure E603 for a format that there is not."""
    from .viz import handout as writers
    from .viz.render import layout, svg

    asked = wanted or Wanted()
    if asked.format not in SUFFIX:
        near = did_you_mean(asked.format, SUFFIX) or f"formats are {', '.join(SUFFIX)}"
        raise fail("E603", f"there is no format `{asked.format}`", help=near)
    picture = draw(model, "layers", depth=asked.depth)
    files: list[Path] = []
    shown = ""
    if asked.format == "html":
        shown = svg(picture.dot)
    else:
        kind = "svg" if asked.format == "markdown" else "pdf"
        files = [folder / f"{stem}-layers.{kind}"]
        write_bytes(files[0], layout(picture.dot, kind))
        shown = files[0].name
    graph = forward(model.module, model.name, dtype=model.dtype, sizes=model.sizes)
    layers = layers_of(graph, asked.depth)
    numbers = sum(p.value.type.size for p in graph.params)
    made = writers.Handout(
        model.name,
        Path(model.module.source.name).name,
        model.module.source.text,
        shown,
        tuple(
            (x.name, x.block, x.shape, f"{x.parameters:,}" if x.parameters else "", work(x.flops))
            for x in layers
        ),
        f"{numbers:,} parameters; {work(sum(x.flops for x in layers))} an example forward.",
        tuple(of_model(model, None, asked.index, asked.loss)),
        sheet_of(model, asked.seed, loss=asked.loss),
        asked.answers,
    )
    write = {"html": writers.html, "markdown": writers.markdown, "latex": writers.latex}
    path = folder / f"{stem}{SUFFIX[asked.format]}"
    write_text(path, write[asked.format](made))
    return [path, *files]
