"""The layer view: one box an application of a block, with shapes, parameters and work.

In: a graph. Out: DOT. Nested blocks are drawn as boxes around boxes down to `depth`; equal
stretches of a chain are folded into one, "× 3". Long chains are broken into rows, to be read
like text, so that the picture fits a slide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ..compiler.elaborate.unfinished import Unfinished
from ..compiler.graph import Graph
from .applications import applied_once
from .blocks import Box, boxes, packed
from .equations import Equations, equations
from .fit import Draft, fitted, type_size
from .heat import Heat
from .layer_picture import LayerPicture
from .names import function_name
from .style import SMALLEST
from .wrap import EVEN, SLACK

CROWDED = 40  # boxes; beyond, blocks are drawn closed unless a depth is asked for


def layers(
    graph: Graph,
    depth: int | None = None,
    theme: str = "light",
    *,
    fit: bool = True,
    heat: Heat | None = None,
    unfinished: Sequence[Unfinished] = (),
) -> str:
    """DOT text of the layer view; with `heat`, boxes are coloured by their share of the time;
    with `unfinished`, the mistakes of the net are drawn.

    The most detailed of the pictures that can be read on a slide: all blocks open; functions in
    the boxes of their layers; blocks closed, the inmost first.
    """
    found = equations(graph)

    def made(b: list[Box], terse: bool) -> LayerPicture:
        return LayerPicture(graph, found, b, theme, heat, terse, unfinished)

    return readable(choices(found, depth, heat), made, fit=fit)


def readable(
    given: Sequence[tuple[list[Box], bool]],
    made: Callable[[list[Box], bool], LayerPicture],
    *,
    fit: bool = True,
) -> str:
    """The first picture that can be read on a slide, or the largest."""
    if not fit:
        return made(*given[0]).text()
    best, text = -1.0, ""
    for k, (found, terse) in enumerate(given):
        last = k + 1 == len(given)
        picture = made(found, terse)
        if len(picture.shown) > CROWDED and not last:
            continue
        # Blocks that several ways lead through are better seen whole than in every detail.
        crossed = any(b.repeats for b in picture.shown) and not last
        most = (4 if picture.terse else 3) if crossed else 6
        counts = range(2, most + 1)
        rows = [(n, s) for n in counts for s in ((SLACK, EVEN) if n > 2 else (SLACK,))]
        ways: list[Draft] = [picture.text, *(partial(picture.cut, *way) for way in rows)]
        drawn = fitted(ways)
        size = type_size(drawn) or 0.0
        if size > best:
            best, text = size, drawn
        if size >= SMALLEST:
            break
    return text


def choices(found: Equations, depth: int | None, heat: Heat | None) -> list[tuple[list[Box], bool]]:
    """The boxes of one picture each, the most detailed first, and whether to be terse."""
    whole = boxes(found, depth)
    deepest = max((b.path.count(".") for b in whole), default=0)
    all_open = [whole]
    if depth is None:
        all_open += [boxes(found, d) for d in range(deepest, 0, -1)]
    if heat is not None:  # a profile tells functions from layers
        return [(b, False) for b in all_open]
    results = {o.value for o in found.graph.outputs}
    once = [applied_once(b) for b in all_open]
    close = [(packed(b, function_names(found, b), results), True) for b in once]
    return [(once[0], False), *close]


def function_names(found: Equations, given: Sequence[Box]) -> dict[int, str]:
    """The boxes that may stand in that of the layer before them, and what they are called there."""
    called: dict[int, str] = {}
    for b in given:
        if b.composite:
            continue
        simple = all(s.kind == "elementwise" for s in b.steps)
        normal = all(s.value in found.inner for s in b.steps)
        if normal or b.block in ("dropout", "spatial_dropout"):
            called[id(b)] = b.block
        elif all(x.op.family == "view" and x.type.size == 1 for s in b.steps for x in s.inside):
            called[id(b)] = ""  # the only element of a vector
        elif simple and len(b.steps) == 1:
            called[id(b)] = b.block or function_name(found, b.result)
    return called
