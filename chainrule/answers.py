"""Which output of a net answers which target, and a report on how well.

In: the graph of a net in use, the name of a target; a model and examples. Out: the name of the
output that predicts it; a report on the first target that has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .compiler.graph import Graph
from .runtime import metrics
from .runtime.feeding import Feeder

if TYPE_CHECKING:
    from .model import Model

TOP = (3, 5)  # the k of the top-k shares in a report


def report(model: Model, feeder: Feeder) -> metrics.Report | None:
    """`Model.report`."""
    for target in model.session.targets:
        type = model.evaluation.leaves[target].value.type
        output = answer(model.evaluation, target)
        if output is None:
            continue
        arrays = feeder.arrays
        found, truth = model.session.predict(arrays)[output], arrays[target]
        field = feeder.part.columns[feeder.requests[target].field].field
        classes = type.classes or field.classes
        if classes is None or type.size not in (1, classes):
            return metrics.regression_report(found, truth)
        labels = truth if type.classes else metrics.classes_of(truth)
        return metrics.class_report(found, labels, classes, field.labels, TOP)
    return None


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
