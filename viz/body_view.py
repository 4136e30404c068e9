"""The inside of any scan, operation by operation: what is carried goes back as a dashed loop.

In: a cell. Out: DOT. The layout is the engine's; known cells have a form of their own in `cell`.
"""

from __future__ import annotations

import textwrap
from functools import partial

from ..compiler.value import Value
from .dot import Dot, lines
from .equations import Step
from .fit import fitted
from .steps import Cell, facts, step_names
from .style import theme as theme_of
from .unicode import unicode

LINE = 34  # letters of a formula before it is broken
LEGEND = (("data", "given at each step"), ("param", "shared by all steps"),
          ("state", "carried from step to step"), ("block", "equation"))  # fmt: skip


def body_view(cell: Cell, theme: str = "light", note: str = "", *, fit: bool = True) -> str:
    """DOT text of one step, an equation a node."""
    shapes = [("LR", 1), ("LR", 2), ("LR", 3), ("LR", 4), ("TB", 1)]
    ways = [partial(_drawn, cell, theme, note, *way) for way in shapes]
    return fitted(ways) if fit else ways[0]()


def _drawn(cell: Cell, theme: str, note: str, direction: str, rows: int) -> str:
    names = step_names(cell)
    dot = Dot(f"{cell.title}: one step{note}", theme_of(theme), rankdir=direction,
              nodesep=0.3, ranksep=0.45)  # fmt: skip
    ids: dict[Value, str] = {}
    for leaf in cell.given:
        if leaf not in names.terms:
            continue
        meaning = "state" if leaf in cell.carried else "param" if leaf in cell.shared else "data"
        shape = [str(list(leaf.shape))] if leaf.shape else []
        ids[leaf] = dot.node(lines(unicode(names[leaf]), *shape), meaning)
    shown = {v: (unicode(left), unicode(right)) for v, left, right in facts(cell, names)}
    for v, step in cell.equations.steps.items():
        name, right = shown[v]
        told = textwrap.wrap(f"= {right}", LINE, break_long_words=False)
        ids[v] = dot.node(lines(name, *told), _meaning(cell, v, step))
    for v, step in cell.equations.steps.items():
        for a in step.operands:
            if a in ids:
                size = str(list(a.shape)) if a.shape and a.op.family != "leaf" else ""
                dot.edge(ids[a], ids[v], size)
    for leaf, new in zip(cell.carried, cell.next, strict=True):
        if leaf in ids and new in ids and leaf is not new:
            label = f"{unicode(names.plain[leaf])}, {cell.letter} → {cell.after}"
            dot.edge(ids[new], ids[leaf], label, style="dashed", constraint=False,
                     color=dot.theme.paint("state").line)  # fmt: skip
    for v in dict.fromkeys(cell.yields):
        if v in ids:
            end = dot.node(lines(("yield", "small")), "metric", shape="plaintext", style="")
            dot.edge(ids[v], end)
    dot.legend(LEGEND)
    return dot.text(rows)


def _meaning(cell: Cell, v: Value, step: Step) -> str:
    return "state" if v in cell.next else "block"
