"""Mistakes on a diagram: a line of the net that could not be run is a node with what is wrong.

In: a picture under construction and the unfinished lines of its net. Out: their nodes, in the
colour of losses with code and message, or grey where a line only waits for another; and the edges
from what they take. The nodes of values are the picture's own.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from ..compiler.elaborate.unfinished import Unfinished
from ..compiler.value import Value
from .box_words import short
from .dot import Dot, lines, place

WIDTH, MOST = 34, 4  # letters of a line of a message, and lines
LEGEND = [("loss", "mistake"), ("constant", "unknown because of it")]


def draw_unfinished(dot: Dot, found: Sequence[Unfinished], nodes: Mapping[str, str]) -> None:
    """Add the nodes and edges of all lines that could not be run. `nodes`: those of the `known`
    outputs, by name."""
    made: dict[str, str] = {}  # name without a meaning: node that should give it
    leaves: dict[Value, str] = {}
    for number, one in enumerate(found):
        node = _mistaken(dot, one) if one.mistakes else _waiting(dot, one)
        for word, value in one.known:
            start = nodes.get(f"{number}.{word}") or leaves.get(value)
            if start is None:  # an input that nothing else uses
                start = leaves[value] = dot.node(lines(word, str(value.type)), "data")
            dot.edge(start, node, str(value.type) if value.shape else "")
        for word in one.missing:
            if word in made:
                dot.edge(made[word], node, style="dashed", color=dot.theme.faint)
        made.update(dict.fromkeys(one.defines, node))


def legend(found: Sequence[Unfinished]) -> list[tuple[str, str]]:
    """The entries that explain them."""
    waits = any(not one.mistakes for one in found)
    return LEGEND[: 1 + waits] if found else []


def _mistaken(dot: Dot, one: Unfinished) -> str:
    first = one.mistakes[0]
    colour = dot.theme.paint("loss").line
    said = textwrap.wrap(first.message, WIDTH)
    if len(said) > MOST:
        said = [*said[: MOST - 1], said[MOST - 1][: WIDTH - 1] + "…"]
    more = len({(d.code, d.message, d.span) for d in one.mistakes}) - 1
    rows = [*said, *([f"and {more} more"] if more else [])]
    where = f" {place(first.span)}" if first.span else ""
    label = lines(short(one.text), (first.code, colour), *rows)
    return dot.node(label, "loss", penwidth=2.5, tooltip=f"{first.code}{where}")


def _waiting(dot: Dot, one: Unfinished) -> str:
    needed = ", ".join(one.missing)
    rows = [(f"waits for {needed}", "faint")] if needed else []
    label = lines((short(one.text), "plain"), *rows, faint=dot.theme.faint)
    where = place(one.statement.span)
    return dot.node(label, "constant", fontcolor=dot.theme.faint, tooltip=f"unknown {where}")
