"""The plain device: a graph run by the interpreter, behind the face of a compiled program.

In: a graph. Out: a `Loaded` whose steps are NumPy references, one operation after another. It
compiles nothing, shares nothing with the kernels, and is what `--device plain` trains on: slow, and
the same numbers up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.graph import Graph
from ..compiler.plan import Buffer, Plan
from .device import Array, Feed
from .plain import evaluate


class PlainDevice:
    """Runs graphs, not plans: a plan no longer says which operations there were."""

    name = "plain"

    def load(self, plan: Plan) -> PlainLoaded:
        """Plans are for compiling devices; `load_graph` is this one's way in."""
        raise TypeError("the plain device runs graphs: use load_graph")

    def load_graph(self, graph: Graph, capacity: int) -> PlainLoaded:
        """A graph ready to run on batches of up to `capacity`."""
        return PlainLoaded(graph, capacity)


class PlainLoaded:
    """The leaves' numbers by name, and the interpreter."""

    def __init__(self, graph: Graph, capacity: int) -> None:
        self.graph = graph
        used = {v for v in graph.nodes if v.op.family == "leaf" and "name" in v.attrs}
        used |= {o.target for o in graph.outputs if o.target is not None}
        leaves = [
            leaf for leaf in graph.leaves.values() if leaf.value in used and leaf.name != "step"
        ]
        results = [o for o in graph.outputs if o.kind in ("output", "gradient", "loss", "metric")]
        buffers = [Buffer(leaf.name, leaf.kind, leaf.value.type, 0) for leaf in leaves]
        base = len(buffers)
        buffers += [Buffer(o.name, "output", o.value.type, 0) for o in results]
        places = {(o.kind, o.name): base + i for i, o in enumerate(results)}
        self._values: dict[str, Array] = {
            leaf.name: np.zeros(leaf.value.shape, leaf.value.type.numpy) for leaf in leaves
        }
        self._leaves = {leaf.name: leaf.value.type for leaf in leaves}
        self._found: dict[str, Array] = {}
        self.plan = Plan(
            graph.name, (), (), tuple(buffers), 0, capacity,
            {n: i for (kind, n), i in places.items() if kind in ("loss", "metric")},
            {n: i for (kind, n), i in places.items() if kind in ("output", "gradient")},
        )  # fmt: skip

    def write(self, name: str, array: Array) -> None:
        """Set an input, param, state or scalar. Raises ValueError on another shape."""
        type = self._leaves[name]
        values = np.asarray(array, type.numpy)
        shape = values.shape[1:] if type.batched else values.shape
        if shape != type.shape or (type.batched and len(values) > self.plan.capacity):
            raise ValueError(f"`{name}` takes {type}, got {list(values.shape)}")
        self._values[name] = values.copy()

    def read(self, name: str, batch: int | None = None) -> Array:
        """A copy of a leaf or an output."""
        found = self._values[name] if name in self._values else self._found[name]
        return np.array(found)

    def run(
        self, batch: int, *, seed: int = 0, step: int = 1, lengths: Mapping[str, int] | None = None
    ) -> dict[str, float]:
        """One run on what was written. All steps of sequences are run, whatever `lengths` says:
        the net's masks leave out those that no example has."""
        outputs = self.graph.outputs
        found = evaluate(
            [o.value for o in outputs], self._values, batch=batch, seed=seed, step=step
        )
        recorded: dict[str, float] = {}
        for o, array in zip(outputs, found, strict=True):
            if o.kind == "update" and o.target is not None:
                self._values[str(o.target.attrs["name"])] = np.array(array, o.target.type.numpy)
            elif o.kind in ("loss", "metric"):
                recorded[o.name] = float(array)
            else:
                self._found[o.name] = array
        return recorded

    def run_steps(self, feed: Feed, *, seed: int, step: int) -> NDArray[np.float64]:
        """Consecutive steps; one whose recorded numbers are not finite is the last."""
        rows: list[list[float]] = []
        for index in range(feed.steps):
            positions = feed.rows[index * feed.batch : (index + 1) * feed.batch]
            for name, array in feed.fields.items():
                self.write(name, array[positions])
            for name, numbers in feed.scalars.items():
                self.write(name, np.asarray(numbers[index]))
            recorded = self.run(len(positions), seed=seed, step=step + index)
            rows.append([recorded[name] for name in self.plan.recorded])
            if not np.all(np.isfinite(rows[-1])):
                break
        return np.array(rows, np.float64).reshape(len(rows), len(self.plan.recorded))

    def snapshot(self) -> Any:
        """Arrays are replaced, never changed, so references are enough."""
        return dict(self._values)

    def restore(self, snapshot: Any) -> None:
        """Put params and states back as they were."""
        self._values = dict(snapshot)
