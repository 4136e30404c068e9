"""Which output of a net answers which target, for reports.

In: the graph of a net in use, the name of a target. Out: the name of the output that predicts it.
"""

from __future__ import annotations

from .compiler.graph import Graph


def answer(graph: Graph, target: str) -> str | None:
    """The output that predicts a target: of a fitting size, and best one that the loss uses."""
    type = graph.leaves[target].value.type
    fitting = [
        o
        for o in graph.of_kind("output")
        if o.value.type.batched and _answers(o.value.type.size, type.size, type.classes)
    ]
    used = set(graph.with_outputs(graph.of_kind("loss")).nodes)
    ranked = sorted(fitting, key=lambda o: o.value not in used)
    return ranked[0].name if ranked else None


def _answers(output: int, target: int, classes: int | None) -> bool:
    """Can an output of that size be a prediction of that target?"""
    if classes is None:
        return output == target
    return output == classes or (classes == 2 and output == 1)
