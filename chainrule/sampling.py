"""What a generative net makes: samples, what becomes of given draws, reconstructions.

In: a model, and what is asked for. Out: arrays in the units of the data, one row an example; how
they look on a sheet is told by `sheets`. An output is generative if it depends on no input (or on
labels only) and on a draw for each example: `output sampled = decode(normal([20]))`.

Its first draw, the one farthest from the output, is the latent one. `Sampler.decoded` exchanges the
draws for given numbers (`compiler.nodes.cut`); `latent` goes ways through their space with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .compiler.graph import Graph, Leaf
from .compiler.nodes import Generative, cut, find, generative, only, reconstructing
from .compiler.pipeline import forward, stabilise
from .compiler.value import Value
from .dsl.diagnostics import Failure, did_you_mean, fail
from .runtime.session import evaluation_batch
from .sheets import Look, column_of, in_rows, in_units, look_of, sheet, write_png

if TYPE_CHECKING:
    from .model import Model

Array = NDArray[Any]
Given = Mapping[str, Any]
COUNT, COLUMNS = 64, 8
MOST = 1_000_000  # points of latent space at a time
SHOWN = 12  # names in a message


@dataclass(frozen=True)
class Pair:
    """Examples and what the net gives back for them, both [n, *shape] in the units of the data."""

    input: str
    output: str
    examples: Array
    found: Array
    look: Look | None


class Sampler:
    """One generative output of a model. `given`: the classes of its label inputs. `source`: finds
    another output in the net's graph, and the values that take the place of draws."""

    def __init__(
        self,
        model: Model,
        node: str | None = None,
        given: Given | None = None,
        source: Callable[[Graph], Generative] | None = None,
    ) -> None:
        self.model = model
        self.whole = forward(model.module, model.name, dtype=model.dtype, sizes=model.sizes)
        self.source = source(self.whole) if source else _chosen(model, self.whole, node)
        self.given = _labels(model, self.source, given or {})
        self._graph = stabilise(only(self.whole, {self.name: self.value}))

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def value(self) -> Value:
        return self.source.output.value

    @property
    def look(self) -> Look | None:
        """How its numbers are shown as pictures; None where they are none."""
        return look_of(self.model, self.value)

    def samples(self, count: int, seed: int | None = None) -> Array:
        """Example k is the same however many are asked for, on any number of threads."""
        fields = self._fields(count, {})
        return self._run(f"sample {self.name}", lambda: self._graph, fields, count, seed)

    def draws(self, count: int, seed: int | None = None) -> list[Array]:
        """The draws that the first samples of a seed are made from, the latent one first."""
        graph = only(self.whole, {f"draw.{k}": v for k, v in enumerate(self.source.draws)})
        found = self.model.session.compute(
            f"draws of {self.name}", lambda: graph, {}, count=count,
            batch=evaluation_batch(self._graph), seed=self._seed(seed),
        )  # fmt: skip
        return list(found.values())

    def decoded(self, draws: Sequence[Array], given: Given | None = None) -> Array:
        """What becomes of draws that are given. `given`: labels, one for each of them."""
        count = len(draws[0])
        fields = {f"draw.{k}": array for k, array in enumerate(draws)}
        fields |= self._fields(count, given or {})
        return self._run(f"decode {self.name}", self._steered, fields, count, None)

    def _steered(self) -> Graph:
        graph = only(self.whole, {self.name: self.value})
        for k, draw in enumerate(self.source.draws):
            graph = cut(graph, draw, f"draw.{k}")  # draws have no operands: a cut keeps the others
        return stabilise(graph)

    def _run(
        self,
        key: str,
        make: Callable[[], Graph],
        fields: Mapping[str, Array],
        count: int,
        seed: int | None,
    ) -> Array:
        found = self.model.session.compute(key, make, fields, count=count, seed=self._seed(seed))
        return in_units(self.model, self.value, found[self.name])

    def _seed(self, seed: int | None) -> int:
        return self.model.settings.seed if seed is None else seed

    def _fields(self, count: int, given: Given) -> dict[str, Array]:
        """The labels, one for each example."""
        known = {**self.given, **given}
        for leaf in self.source.given:
            if leaf.name not in known:
                raise fail(
                    "E616", f"`{self.name}` depends on the label `{leaf.name}`, which is not given",
                    leaf.span, help=f"choose one: `--set-input {leaf.name}=3`, or have a row for "
                    f"each: `--each {leaf.name}`",
                )  # fmt: skip
        return {n: np.broadcast_to(np.asarray(k, np.int32), (count,)) for n, k in known.items()}


def samples(
    model: Model,
    count: int = COUNT,
    *,
    node: str | None = None,
    seed: int | None = None,
    given: Given | None = None,
) -> Array:
    """`count` samples [n, *shape] of a generative output, in the units of the data.

    `node`: which output, or any node that depends on no input. `given`: the class of each label
    input that it depends on (`{"digit": 3}`). Raises Failure E614, E616, E617.
    """
    positive("count", count)
    return Sampler(model, node, given).samples(count, seed)


def each_class(
    sampler: Sampler, label: str, columns: int = COLUMNS, seed: int | None = None
) -> Array:
    """[classes, columns, *shape]: a row for each class, from the same draws in each row."""
    leaf = next((f for f in sampler.source.given if f.name == label), None)
    if leaf is None:
        raise _no_label(sampler.model, sampler.source, label)
    classes = leaf.value.type.classes or 0
    draws = [np.concatenate([d] * classes) for d in sampler.draws(columns, seed)]
    found = sampler.decoded(draws, {label: np.repeat(np.arange(classes), columns)})
    return found.reshape(classes, columns, *found.shape[1:])


# ---------------------------------------------------------------- reconstructions


def reconstructions(
    model: Model, count: int = COUNT, part: str | None = None, node: str | None = None
) -> list[Pair]:
    """For each output (or that of this name) of the shape of an input that it is computed from: the
    first examples of a part, and what the net gives back for them. Raises Failure E614."""
    positive("count", count)
    pairs = [(o, f) for o, f in reconstructing(model.evaluation) if node in (None, o.name)]
    if not pairs:
        message = f"`{model.name}` gives no input back: no output has an input's shape"
        if node is not None:
            message = f"`{node}` is no output of the shape of an input that it is computed from"
        way_out = "add `output reconstruction = decode(code)`"
        raise fail("E614", message, model.net.name.span, help=way_out)
    size = len(model.feeder(part))
    fields = examples(model, range(min(count, size)), part)
    found = model.session.predict(fields)
    return [
        Pair(leaf.name, o.name, in_units(model, leaf.value, fields[leaf.name]),
             in_units(model, o.value, found[o.name]), look_of(model, leaf.value))
        for o, leaf in pairs
    ]  # fmt: skip


def examples(model: Model, positions: Sequence[int], part: str | None = None) -> dict[str, Array]:
    """Some examples of a part of the data as the net takes them, by input."""
    feeder = model.feeder(part)
    if any(not 0 <= k < len(feeder) for k in positions):
        raise fail("E618", f"the {model.part(part)} part has {len(feeder):,} examples: 0 to "
                   f"{len(feeder) - 1}", help="`--between 3 17` are two of them")  # fmt: skip
    at = np.asarray(list(positions), np.int64)
    return {
        name: feeder.part.rows(r.field, at, r.dtype, r.shape) for name, r in feeder.requests.items()
    }


# ---------------------------------------------------------------- what is asked for


def _chosen(model: Model, whole: Graph, node: str | None) -> Generative:
    """The output meant: the one named, else the first that is a picture or a point."""
    graph = whole if node is None else only(whole, {node: find(whole, node)})
    found = generative(graph)
    if found:
        plain = [g for g in found if len(g.given) == len(found[0].given)]
        return next((g for g in plain if g.output.value.type.size > 1), plain[0])
    span = model.net.name.span
    if node is not None:
        inputs = ", ".join(f"`{f.name}`" for f in graph.inputs)
        reason = f"is computed from {inputs}" if inputs else "depends on no draw"
        raise fail("E614", f"`{node}` is no sample: it {reason}", span,
                   help="a sample is made of draws alone: `decode(normal([20]))`")  # fmt: skip
    way_out = "add one: `output sampled = decode(normal([20]))`"
    if any(reconstructing(whole)):
        way_out += "; what it gives back is shown by `--reconstruct`, or `--between 3 17`"
    message = f"`{model.name}` has no output that is made of draws alone"
    raise fail("E614", message, span, help=way_out)


def _labels(model: Model, source: Generative, given: Given) -> dict[str, int]:
    """The class of each label input: a number, or the name of the class."""
    known = {f.name: f for f in source.given}
    for name in given:
        if name not in known:
            raise _no_label(model, source, name)
    return {name: _class(model, known[name], word) for name, word in given.items()}


def _no_label(model: Model, source: Generative, name: str) -> Failure:
    known = [f.name for f in source.given]
    near = did_you_mean(name, known)
    shown = ", ".join(f"`{n}`" for n in known)
    way_out = near or (f"it depends on {shown}" if known else "it depends on none")
    message = f"`{source.name}` of `{model.name}` depends on no label `{name}`"
    return fail("E616", message, help=way_out)


def _class(model: Model, leaf: Leaf, word: Any) -> int:
    """The number of a class that is given by its number or its name."""
    classes = leaf.value.type.classes or 0
    labels = class_names(model, leaf)
    if str(word) in labels:
        return labels.index(str(word))
    if str(word).lstrip("-").isdecimal() and 0 <= int(word) < classes:
        return int(word)
    shown = f", or one of {', '.join(labels[:SHOWN])}" if labels else ""
    way_out = did_you_mean(str(word), labels) or f"it is a number from 0 to {classes - 1}{shown}"
    raise fail("E616", f"`{leaf.name}` has no class `{word}`", help=way_out)


def class_names(model: Model, leaf: Leaf) -> list[str]:
    """What the data call the classes of a label; nothing where they are numbers."""
    column = column_of(model, leaf)
    return list(column.field.labels) if column is not None else []


def positive(what: str, number: int) -> None:
    """Raise E619 for a number of examples that is none."""
    if number < 1:
        raise fail("E619", f"`{what}` is a whole number from 1, not {number}")


def few(rows: int, columns: int) -> None:
    """Raise E619 for more rows and columns of points than the points of a latent space may be."""
    if rows * columns > MOST:
        raise fail("E619", f"{rows:,} rows of {columns:,} are more than {MOST:,} points",
                   help="ask for fewer `--rows` or `--steps`")  # fmt: skip


__all__ = [
    "Look",
    "Pair",
    "Sampler",
    "each_class",
    "in_rows",
    "reconstructions",
    "samples",
    "sheet",
    "write_png",
]
