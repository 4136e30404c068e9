"""Names that a person may ask for in a graph, and a graph taken apart at one of its values.

In: the forward graph of a net, a name. Out: the value of that name; the graph that is given this
value instead of computing it; which outputs need nothing but chance (a generator's samples), and
which give an input back (reconstructions). What is computed with them is left to `runtime`.

A name is that of an output, of an equation (`h`, or `encoder.h` with the path of the instance that
it is written in), of a layer (`conv1`, its result), of an input or of a loss. `h` alone also means
`encoder.h` where nothing nearer has that name. Where several values have one name, as in a block
that is applied twice, the first in the order of the graph is meant, and `h:2` is the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ..dsl.diagnostics import did_you_mean, fail
from .elaborate.scope import LIBRARY
from .graph import Graph, Leaf, Output, leaf, topological
from .ops.draws import Draw
from .value import Value

SHOWN = 12  # names in a message
CLASS_INPUT = ()  # the shape of a label


@dataclass(frozen=True)
class Generative:
    """An output that is made of chance. `draws`: the draws above it, the latent one first (the one
    that most of the net lies between); `given`: the labels that it depends on, each a class."""

    output: Output
    draws: tuple[Value, ...]
    given: tuple[Leaf, ...] = ()

    @property
    def name(self) -> str:
        return self.output.name

    @property
    def latent(self) -> Value:
        return self.draws[0]


# ---------------------------------------------------------------- names


def find(graph: Graph, name: str) -> Value:
    """The value of that name. Raises Failure E617."""
    word, colon, number = name.partition(":")
    found = _meant(graph, word)
    place = int(number) if number.isdecimal() else 0 if colon else 1
    if 1 <= place <= len(found):
        return found[place - 1]
    again = [word, *(f"{word}:{k}" for k in range(2, len(found) + 1))]
    known = again if found else names(graph)
    near = "" if found else did_you_mean(word, known)
    shown = ", ".join(f"`{n}`" for n in known[:SHOWN]) + (", …" if len(known) > SHOWN else "")
    raise fail("E617", f"`{graph.name}` has no node `{name}`",
               help=f"{near} It has {shown}" if near else f"it has {shown}")  # fmt: skip


def names(graph: Graph) -> list[str]:
    """What `find` finds, outputs first, what lies deep inside last; without the equations
    inside of the library's blocks."""
    index = _Index(graph)
    listed = [o.name for o in graph.outputs if o.kind == "output"]
    listed += [path for path in index.named if path.rpartition(".")[0] not in index.library]
    listed += [path for path in graph.places if "." not in path and index.results(path)]
    listed += [f.name for f in graph.inputs]
    listed += [o.name for o in _figures(graph)]
    return sorted(dict.fromkeys(listed), key=lambda path: path.count("."))


def _meant(graph: Graph, word: str) -> list[Value]:
    """Every value of a name; outputs go before equations, those before layers, losses last."""
    outputs = [o.value for o in graph.of_kind("output") if o.name == word]
    if outputs:
        return outputs
    index = _Index(graph)
    inputs = [f.value for f in graph.inputs if f.name == word]
    figures = [o.value for o in _figures(graph) if o.name == word]
    exact = index.named.get(word) or index.results(word) or inputs or figures
    return exact or index.ending(word)


def _figures(graph: Graph) -> list[Output]:
    return [o for o in graph.outputs if o.kind in ("loss", "metric")]


class _Index:
    """The values of a graph by the names of their equations, and by the layers that made them."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.named: dict[str, list[Value]] = {}
        self.library: set[str] = set()  # instances of blocks that the file does not hold
        for v in graph.nodes:
            for path in v.origin.paths:
                self.named.setdefault(path, []).append(v)
            if v.origin.span is not None and v.origin.span.source.name.startswith(LIBRARY):
                self.library.add(v.origin.instance)

    def ending(self, word: str) -> list[Value]:
        """`h` where only `encoder.h` has that name: those least deep inside."""
        found = [path for path in self.named if path.endswith(f".{word}")]
        least = min((path.count(".") for path in found), default=0)
        return [v for path in found if path.count(".") == least for v in self.named[path]]

    def results(self, path: str) -> list[Value]:
        """What a layer, or a block, gives to the rest of the net: one value for each time that it
        is applied, and for each of its outputs."""
        if path not in self.graph.places:
            return []
        wanted = {o.value for o in self.graph.outputs}
        return [
            v
            for v in self.graph.nodes
            if _made_in(v, path)
            and (v in wanted or any(not _made_in(u, path) for u, _ in self.graph.users[v]))
        ]


def _made_in(v: Value, path: str) -> bool:
    inside = v.origin.instance == path or v.origin.instance.startswith(f"{path}.")
    return inside and v.op.family != "leaf" and not v.is_constant


# ---------------------------------------------------------------- graphs of nodes


def reading(graph: Graph, wanted: Iterable[str]) -> Graph:
    """The graph whose outputs are the nodes of these names, with the leaves that they use."""
    return only(graph, {name: find(graph, name) for name in wanted})


def only(graph: Graph, wanted: Mapping[str, Value]) -> Graph:
    """The graph of some of its values, as outputs of these names."""
    used = set(topological(wanted.values()))
    leaves = {name: f for name, f in graph.leaves.items() if f.value in used}
    outputs = tuple(Output("output", name, v) for name, v in wanted.items())
    return replace(graph, outputs=outputs, leaves=leaves)


def cut(graph: Graph, value: Value, name: str) -> Graph:
    """The graph that is given this value, as an input of that name, instead of computing it.

    Raises ValueError where a leaf has the name."""
    if name in graph.leaves:
        raise ValueError(f"there is a leaf `{name}` already")
    given = leaf("input", name, value.type)
    new: dict[Value, Value] = {value: given}
    for v in graph.nodes:
        if v is not value:
            new[v] = v.on(tuple(new[a] for a in v.args))
    changed = graph.mapped(new)
    reached = set(changed.nodes)
    leaves = {n: f for n, f in changed.leaves.items() if f.value in reached}
    return replace(changed, leaves={**leaves, name: Leaf(given, "input")})


# ---------------------------------------------------------------- what outputs are made of


def generative(graph: Graph) -> tuple[Generative, ...]:
    """The outputs that depend on no input, or on labels only, and on a draw for each example; those
    of chance alone first."""
    found = []
    for output in graph.of_kind("output"):
        reached = topological([output.value])
        draws = [v for v in reached if isinstance(v.op, Draw) and v.type.batched]
        inputs = [f for f in graph.inputs if f.value in set(reached)]
        if draws and all(is_label(f) for f in inputs):
            far = _distances(output.value, reached)
            ordered = sorted(draws, key=lambda v: -far[v])
            found.append(Generative(output, tuple(ordered), tuple(inputs)))
    return tuple(sorted(found, key=lambda g: len(g.given)))


def is_label(f: Leaf) -> bool:
    """Is it one class for each example?"""
    return f.value.type.classes is not None and f.value.shape == CLASS_INPUT


def _distances(root: Value, order: tuple[Value, ...]) -> dict[Value, int]:
    """How many operations lie at most between each value and the root."""
    far = {root: 0}
    for v in reversed(order):
        for a in v.args:
            far[a] = max(far.get(a, 0), far[v] + 1)
    return far


def reconstructing(graph: Graph) -> Iterator[tuple[Output, Leaf]]:
    """Outputs computed from an input of the same shape, each with that input; but not those that
    have the size of a target, an input that no output is computed from: they predict that."""
    outputs = graph.of_kind("output")
    used = set(topological(o.value for o in outputs))
    targets = [f.value.type for f in graph.inputs if f.value not in used]
    predicted = {t.size if t.classes is None else t.classes for t in targets}
    for output in outputs:
        reached = set(topological([output.value]))
        for f in graph.inputs:
            same = f.value.shape == output.value.shape and f.value.type.is_float
            given = f.value in reached and f.value is not output.value and bool(f.value.shape)
            if same and given and output.value.type.size not in predicted:
                yield output, f
                break


def depends(v: Value, on: Iterable[Value]) -> bool:
    """Is it computed from one of these?"""
    wanted = set(on)
    return any(u in wanted for u in topological([v]))


__all__ = [
    "Generative",
    "cut",
    "depends",
    "find",
    "generative",
    "is_label",
    "names",
    "only",
    "reading",
    "reconstructing",
]
