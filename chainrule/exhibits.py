"""What of a net can be shown while it learns.

In: a model with its data, what a `sample` line asks for. Out: the `Exhibit`s: sheets of samples or
of reconstructions, clouds of points, texts. Raises Failure E293 for an output that there is not,
E294 where nothing can be shown. Making them is left to `showing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .compiler.generate.choice import generated_net
from .compiler.graph import Graph, Leaf, Output
from .compiler.nodes import generative, reconstructing
from .dsl.diagnostics import did_you_mean, fail
from .project import bind_inputs
from .runtime.data import Column
from .runtime.data.pictures import picture_shape
from .runtime.train.settings import Sample
from .sheets import Look, look_of

if TYPE_CHECKING:
    from .compiler.elaborate import Module
    from .model import Model

SAMPLES, PAIRS, TEXT = "samples", "pairs", "text"
POINT = (2,)


@dataclass(frozen=True)
class Exhibit:
    """`kind`: samples, made of chance (and of labels); pairs, `outputs` beside the input `source`
    that they are computed from; or text, of the `generate` declaration of this name.

    `look`: how its numbers are pictures; None for points of a plane, and for texts. `source` is
    empty where samples imitate no input.
    """

    name: str
    kind: str
    outputs: tuple[str, ...] = ()
    look: Look | None = None
    source: str = ""


def check_names(graph: Graph, module: Module, wanted: Sample) -> None:
    """Raise Failure E293 where `of` names nothing of this net."""
    known = [o.name for o in graph.of_kind("output")] + _texts(module, graph.name)
    if wanted.of and wanted.of not in known:
        shown = ", ".join(f"`{n}`" for n in known) or "no output"
        raise fail("E293", f"`{graph.name}` has no output `{wanted.of}` to show", wanted.span,
                   help=did_you_mean(wanted.of, known) or f"it has {shown}")  # fmt: skip


def exhibits(model: Model, wanted: Sample) -> tuple[Exhibit, ...]:
    """All that can be shown of a net, or what `of` names."""
    graph, module = model.evaluation, model.module
    check_names(graph, module, wanted)
    finder = _Finder(model)
    found = [*finder.samples(), *finder.pairs()]
    found += [Exhibit(name, TEXT) for name in _texts(module, graph.name)]
    if wanted.of:
        found = [e for e in found if wanted.of in (e.name, *e.outputs)]
    if found:
        return tuple(found)
    known = {o.name: o for o in graph.of_kind("output")}
    message = f"`{graph.name}` makes nothing that can be shown"
    if wanted.of:
        type = known[wanted.of].value.type
        message = f"`{wanted.of}` of `{graph.name}`, {type}, cannot be shown"
    raise fail(
        "E294", message, wanted.span,
        note="what can be shown is made of draws, or has the shape of an input that it is computed "
        "from, and is a picture or a point [2]",
        help="a line such as `output sampled = decode(normal([20]))` gives samples away; a net of "
        "tokens is shown by its `generate` declaration",
    )  # fmt: skip


def _texts(module: Module, net: str) -> list[str]:
    return [g.name.id for g in module.generates if generated_net(module, g) == net]


class _Finder:
    """Looks through the outputs of a net, with what the data tell of its inputs."""

    def __init__(self, model: Model) -> None:
        self.model, self.graph = model, model.evaluation
        self.columns: dict[str, Column] = {}
        if model.dataset is not None:
            bound = bind_inputs(self.graph, model.dataset, model.declaration)
            columns = model.dataset.train.columns
            self.columns = {n: columns[f] for n, f in bound.items() if f in columns}

    def samples(self) -> Iterator[Exhibit]:
        """Outputs of chance: each imitates the first input of its shape."""
        for one in generative(self.graph):
            alike = next((f for f in self.graph.inputs if _same(f, one.output)), None)
            look = self._look(one.output, alike)
            if look is not None or one.output.value.shape == POINT:
                source = alike.name if alike is not None else ""
                yield Exhibit(one.name, SAMPLES, (one.name,), look, source)

    def pairs(self) -> Iterator[Exhibit]:
        """For each input, the outputs that are computed from it and have its shape, in the order in
        which they are computed."""
        beside: dict[str, list[Output]] = {}
        for output, leaf in reconstructing(self.graph):
            beside.setdefault(leaf.name, []).append(output)
        order = {v: number for number, v in enumerate(self.graph.nodes)}
        for source, outputs in beside.items():
            outputs.sort(key=lambda o: order[o.value])
            last = outputs[-1]
            look = self._look(last, self.graph.leaves[source])
            if look is not None or last.value.shape == POINT:
                yield Exhibit(last.name, PAIRS, tuple(o.name for o in outputs), look, source)

    def _look(self, output: Output, alike: Leaf | None) -> Look | None:
        """Features that happen to be a square number of them are no picture."""
        column = self.columns.get(alike.name) if alike is not None else None
        if column is not None and len(output.value.shape) == 1 and picture_shape(column) is None:
            return None
        return look_of(self.model, output.value)


def _same(f: Leaf, output: Output) -> bool:
    return bool(f.value.shape) and f.value.shape == output.value.shape and f.value.type.is_float
