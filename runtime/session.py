"""A net's numbers, and the programs that work on them.

In: graphs and a device. Out: `Program`s (a graph compiled and in a device's memory) and a `Session`
that holds parameters and states by name, hands them to programs and takes them back, and uses
programs to score and to predict. How training proceeds is left to `runtime.train`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import is_
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.graph import Graph, Leaf
from ..compiler.pipeline import compile_plan, optimise, prepared
from ..dsl.diagnostics import Failure, did_you_mean, fail
from .checkpoint import load_weights
from .data import Request, available_memory
from .data.dataset import LENGTH
from .data.memory import check_fits, readable
from .device import Device, Feed, Loaded
from .feeding import Feeder
from .plain import evaluate, run_graph
from .plain_device import PlainDevice

Array = NDArray[Any]
EVALUATION_BATCH = 512  # examples at most
EVALUATION_BYTES = 128 << 20  # for what lies in memory at once: two or three of the largest values


class Program:
    """A graph in a device's memory. `graph` is the one it was compiled from, `before` what computes
    some of the compiled program's parameters from the graph's own."""

    def __init__(self, graph: Graph, loaded: Loaded, before: Graph | None = None) -> None:
        self.graph, self.loaded, self.before = graph, loaded, before
        self._given: list[Array] = []  # what `_made` was computed from
        self._made: dict[str, Array] = {}
        kinds: dict[str, list[str]] = {}
        for buffer in loaded.plan.buffers:
            kinds.setdefault(buffer.kind, []).append(buffer.name)
        self.inputs = tuple(kinds.get("input", ()))
        self.scalars = tuple(kinds.get("scalar", ()))
        self.carried = tuple(kinds.get("param", ())) + tuple(kinds.get("state", ()))
        self.recorded = tuple(loaded.plan.recorded)
        updated = {str(o.target.attrs["name"]) for o in graph.outputs
                   if o.kind == "update" and o.target is not None}  # fmt: skip
        self.updated = tuple(name for name in self.carried if name in updated)

    def push(self, values: Mapping[str, Array], names: Iterable[str] | None = None) -> None:
        """Write parameters and states."""
        if self.before is not None:
            values = {**values, **self._computed(self.before, values)}
        for name in self.carried if names is None else names:
            self.loaded.write(name, values[name])

    def _computed(self, before: Graph, values: Mapping[str, Array]) -> dict[str, Array]:
        """Parameters that are computed from the net's own, once for each set of those."""
        given = [values[v.attrs["name"]] for v in before.nodes if "name" in v.attrs]
        same = len(given) == len(self._given) and all(map(is_, given, self._given))
        if not same:
            found = run_graph(before, values)
            self._given, self._made = given, {name: array for (_, name), array in found.items()}
        return self._made

    def pull(self, names: Iterable[str] | None = None) -> dict[str, Array]:
        """Read parameters and states, by default those that the program changes."""
        return {n: self.loaded.read(n) for n in (self.updated if names is None else names)}

    def run_steps(
        self,
        fields: Mapping[str, Array],
        rows: NDArray[np.int64],
        batch: int,
        scalars: Mapping[str, NDArray[np.float64]],
        *,
        seed: int,
        step: int,
        lengths: Mapping[str, NDArray[np.int64]] | None = None,
    ) -> NDArray[np.float64]:
        """`Loaded.run_steps` with what this program takes of the fields and scalars."""
        taken = {name: fields[name] for name in self.inputs}
        numbers = {n: scalars[n] for n in self.scalars if n in scalars}
        feed = Feed(taken, rows, batch, numbers, lengths or {})
        return self.loaded.run_steps(feed, seed=seed, step=step)


def compile_graph(graph: Graph, capacity: int, device: Device) -> Program:
    """Optimise, plan, compile and allocate. Raises Failure where memory is too small."""
    if isinstance(device, PlainDevice):
        return Program(graph, device.load_graph(graph, capacity))
    ready = prepared(optimise(graph))
    return Program(graph, device.load(compile_plan(ready.graph, capacity)), ready.before)


def evaluation_batch(graph: Graph) -> int:
    """How many examples are evaluated at a time: fewer of those that make large values. It depends
    on the graph alone, so that sums of scores are the same on every machine."""
    largest = max((v.type.size for v in graph.nodes if v.type.batched), default=1)
    room = EVALUATION_BYTES // (3 * 4 * max(1, largest))
    return min(EVALUATION_BATCH, 1 << max(0, room.bit_length() - 1))


def part_of(graph: Graph, *kinds: str) -> Graph:
    """The outputs of some kinds, and only the leaves that they use: no labels to predict from."""
    wanted = graph.with_outputs(o for o in graph.outputs if o.kind in kinds)
    used = set(wanted.nodes) | {o.target for o in wanted.outputs}
    leaves = {name: leaf for name, leaf in graph.leaves.items() if leaf.value in used}
    return replace(wanted, leaves=leaves)


def initial_values(graph: Graph, seed: int, folder: Path | None = None) -> dict[str, Array]:
    """The starting numbers of every param and state: drawn, computed, or read from a file."""
    leaves = [*graph.params, *graph.states]
    _check_memory(leaves)
    drawn = [leaf for leaf in leaves if leaf.initial is not None and not leaf.file]
    results = evaluate([leaf.initial for leaf in drawn if leaf.initial], {}, seed=seed)
    values: dict[str, Array] = {}
    for leaf in leaves:
        values[leaf.name] = np.zeros(leaf.value.shape, leaf.value.type.numpy)
    for leaf, result in zip(drawn, results, strict=True):
        values[leaf.name][...] = result
    for leaf in leaves:
        if leaf.file:
            values[leaf.name] = _from_file(leaf, folder or Path())
    return values


def _check_memory(leaves: Sequence[Leaf]) -> None:
    """Raise E510 where the numbers alone, and the draws they come from, are more than fits."""
    sizes = [(leaf.value.type.size, leaf.value.type.numpy.itemsize) for leaf in leaves]
    drawing = 24 * max((count for count, _ in sizes), default=0)  # bits, then f64, of the largest
    needed = sum(count * width for count, width in sizes) + drawing
    if needed > available_memory():
        raise fail(
            "E510",
            f"the parameters need {readable(needed)} of memory, and "
            f"{readable(available_memory())} are available",
            help="make the layers smaller; `chainrule summary` tells the size of each",
        )


def _from_file(leaf: Leaf, folder: Path) -> Array:
    """The array that `param … from "file"` means: of the parameter's name, or of the name after a
    colon. Raises Failure E540 to E543 and E549."""
    path, wanted = named_in(leaf.file, folder)
    try:
        found = load_weights(path)
    except Failure as failure:
        raise fail(failure.diagnostics[0].code, failure.diagnostics[0].message, leaf.span,
                   help=failure.diagnostics[0].help) from failure  # fmt: skip
    name = wanted or (leaf.name if leaf.name in found else leaf.name.rsplit(".", 1)[-1])
    if name not in found:
        shown = ", ".join(f"`{n}`" for n in list(found)[:8]) + (", …" if len(found) > 8 else "")
        way_out = did_you_mean(wanted or leaf.name, found) or f"it holds {shown}"
        if not wanted:
            way_out += f'; name one: `from "{leaf.file}:NAME"`'
        raise fail("E543", f"`{path}` holds no `{wanted or leaf.name}`", leaf.span, help=way_out)
    array, type = found[name], leaf.value.type
    if array.shape != type.shape:
        message = f"`{name}` is {list(array.shape)} in `{path}`, and {list(type.shape)} here"
        turned = array.ndim == 2 and array.shape[::-1] == type.shape
        way_out = "it is turned round: transpose it where it is saved" if turned else ""
        raise fail("E543", message, leaf.span, help=way_out or "give both the same sizes")
    if array.dtype.kind != type.numpy.kind:
        raise fail("E549", f"`{name}` in `{path}` holds {array.dtype}, and {type.dtype} is wanted",
                   leaf.span, help="save it in the element type of the parameter")  # fmt: skip
    return array.astype(type.numpy)


def named_in(text: str, folder: Path) -> tuple[Path, str]:
    """The file, and the name after its last colon: `w.safetensors:conv1.weight`."""
    file, colon, name = text.rpartition(":")
    is_file = file.endswith(".safetensors") or (folder / file).is_file()
    return (folder / file, name) if colon and file and is_file else (folder / text, "")


class Means:
    """Means over examples of numbers recorded per step; a short batch counts for what it holds.

    Sums are taken in the order of the steps, one by one, so that they do not depend on how the
    steps were grouped: a resumed run reports the same numbers.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.sums = np.zeros(len(names))
        self.examples = 0

    def add(self, rows: NDArray[np.float64], sizes: NDArray[np.int64]) -> None:
        """Steps of `sizes` examples that recorded `rows` [steps, names]."""
        if not len(rows):
            return
        weighted = rows * sizes[: len(rows), None]
        with np.errstate(invalid="ignore", over="ignore"):
            self.sums = np.add.accumulate(np.vstack([self.sums, weighted]))[-1]
        self.examples += int(sizes[: len(rows)].sum())

    def means(self) -> dict[str, float]:
        """The means so far; NaN before the first example."""
        count = self.examples or float("nan")
        return {n: float(total / count) for n, total in zip(self.names, self.sums, strict=True)}


def sizes_of(rows: int, batch: int) -> NDArray[np.int64]:
    """How many examples each batch of `rows` examples holds; only the last may be short."""
    full, rest = divmod(rows, batch)
    return np.array([batch] * full + ([rest] if rest else []), np.int64)


class Session:
    """Parameters and states by name (`values`), and programs compiled when first needed."""

    def __init__(
        self,
        forward: Graph,
        device: Device,
        *,
        seed: int = 0,
        values: Mapping[str, Array] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.forward, self.device, self.seed = forward, device, seed
        self.values: dict[str, Array] = initial_values(forward, seed, folder)
        self.values.update(values or {})
        self._programs: dict[object, Program] = {}

    def program(self, key: str, make: Callable[[], Graph], batch: int) -> Program:
        """The program for a purpose, compiled anew only where the batch outgrows it."""
        found = self._programs.get(key)
        if found is None or found.loaded.plan.capacity < batch:
            self._programs[key] = compile_graph(make(), batch, self.device)
        return self._programs[key]

    # ------------------------------------------------------------ scores

    def scores(self, feeder: Feeder) -> dict[str, float]:
        """Mean loss and metrics over all examples of a part."""
        batch = max(1, min(evaluation_batch(self.forward), len(feeder)))
        program = self.program("scores", self._scored, batch)
        program.push(self.values)
        total = Means(program.recorded)
        order = feeder.measuring_order()
        done, steps = 0, -(-len(feeder) // batch)
        with feeder.epoch(order, batch) as feed:
            while done < steps:
                fields, rows, lengths = feed.take(steps - done)
                sizes = sizes_of(len(rows), batch)
                # A batch whose loss is not finite ends a run: it counts, and the next goes on.
                start = 0
                while start < len(sizes):
                    found = program.run_steps(
                        fields, rows[start * batch :], batch, {}, seed=self.seed,
                        step=done + start + 1,
                        lengths={clock: each[start:] for clock, each in lengths.items()},
                    )  # fmt: skip
                    total.add(found, sizes[start:])
                    start += max(1, len(found))
                done += len(sizes)
        return total.means()

    def _scored(self) -> Graph:
        return part_of(self.forward, "loss", "metric")

    # ------------------------------------------------------------ predictions

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(o.name for o in self.forward.outputs if o.kind == "output")

    @property
    def targets(self) -> tuple[str, ...]:
        """The inputs that only losses and metrics use; their lengths go with them."""
        used = {leaf.name for leaf in self._predicting().inputs}
        known = (leaf.name for leaf in self.forward.inputs if not leaf.name.endswith(LENGTH))
        return tuple(name for name in known if name not in used)

    def _predicting(self) -> Graph:
        return part_of(self.forward, "output")

    def predict(self, fields: Mapping[str, Array], batch: int | None = None) -> dict[str, Array]:
        """Every output of the net for the examples in `fields` (input -> [n, *shape])."""
        batch = batch or evaluation_batch(self.forward)
        return self.compute("predict", self._predicting, fields, batch=batch)

    def compute(
        self,
        key: str,
        make: Callable[[], Graph],
        fields: Mapping[str, Array],
        *,
        count: int | None = None,
        batch: int | None = None,
        seed: int | None = None,
    ) -> dict[str, Array]:
        """Every output of a graph that uses this net's numbers, for the examples in `fields`, or
        for `count` examples of a graph without inputs. `key` is the program's name.

        Batches are numbered as steps are, so that a draw is another one for every example. With
        the batch that the graph sets, example k is the same however many are asked for.
        """
        if count is None:
            count = len(next(iter(fields.values()))) if fields else 1
        found = self._programs.get(key)
        graph = found.graph if found is not None else make()
        fields = with_lengths(graph, fields)
        batch = max(1, min(batch or evaluation_batch(graph), count))
        program = self.program(key, lambda: graph, batch)
        program.push(self.values)
        per_example = {o.name: o.value.type.batched for o in graph.outputs}
        bytes_each = sum(
            o.value.type.size * o.value.type.numpy.itemsize
            for o in graph.outputs
            if o.value.type.batched
        )
        check_fits(2 * count * bytes_each, f"what is asked for, {count:,} examples,", None,
                   "ask for fewer at once")  # fmt: skip
        pieces: dict[str, list[Array]] = {name: [] for name in per_example}
        seed = self.seed if seed is None else seed
        for step, start in enumerate(range(0, count, batch), start=1):
            size = min(batch, count - start)
            for name in program.inputs:
                program.loaded.write(name, np.ascontiguousarray(fields[name][start : start + size]))
            steps = longest(graph, fields, slice(start, start + size))
            if steps:
                program.loaded.run(size, seed=seed, step=step, lengths=steps)
            else:
                program.loaded.run(size, seed=seed, step=step)
            for name in pieces:
                pieces[name].append(program.loaded.read(name, size))
        return {
            name: np.concatenate(parts) if per_example[name] else parts[0]
            for name, parts in pieces.items()
        }


def requests_for(graph: Graph, bound: Mapping[str, str]) -> dict[str, Request]:
    """How each input of a graph wants its field."""
    clocks = clocked(graph)
    return {
        leaf.name: Request(
            bound[leaf.name], leaf.value.type.dtype, leaf.value.shape, clocks.get(leaf.name, "")
        )
        for leaf in graph.inputs
        if leaf.name in bound
    }


def clocked(graph: Graph) -> dict[str, str]:
    """Input -> clock, of the clocks whose lengths the net looks at (`mask(x)`, `length(x)`). A net
    that does not takes the zeros after a sequence for steps like any other: it runs them all."""
    clocks = {leaf.name: str(leaf.value.attrs.get("clock", "")) for leaf in graph.inputs}
    asked = {clocks.get(name.removesuffix(LENGTH), "") for name in clocks if name.endswith(LENGTH)}
    return {name: clock for name, clock in clocks.items() if clock and clock in asked}


def with_lengths(graph: Graph, fields: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays, and the lengths that the net asks for where they are not given: all steps."""
    filled = dict(fields)
    for leaf in graph.inputs:
        of = leaf.name.removesuffix(LENGTH)
        if of != leaf.name and leaf.name not in filled and of in filled:
            steps = graph.leaves[of].value.shape[0]
            filled[leaf.name] = np.full(len(filled[of]), steps, np.int32)
    return filled


def longest(graph: Graph, fields: Mapping[str, Array], rows: slice) -> dict[str, int]:
    """For each clock, the steps of the longest sequence among some rows."""
    found: dict[str, int] = {}
    for name, clock in clocked(graph).items():
        if name in fields:
            lengths = fields.get(name + LENGTH)
            steps = graph.leaves[name].value.shape[0]
            most = steps if lengths is None else int(np.max(lengths[rows], initial=1))
            found[clock] = max(found.get(clock, 1), most)
    return found
