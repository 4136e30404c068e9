"""The compiled step of a net, and the programs around it.

In: a net taken apart (`compiler.generate`), its parameters, a device. Out: a `Stepper`: it is begun
with what the net is given, takes a token for each row, and gives the scores of the next ones. What
is carried from step to step stays in the device's memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compiler.generate.split import SCORES, Stepwise
from ..device import Device
from ..plain import evaluate
from ..session import Program, compile_graph, longest, with_lengths

Array = NDArray[Any]
Tokens = NDArray[np.int32]
Rows = NDArray[np.int64]


class Stepper:
    """`rows` sequences at once, at most `capacity`."""

    def __init__(self, net: Stepwise, capacity: int, device: Device) -> None:
        self.net, self.capacity = net, capacity
        self.rows = 0
        self._step = compile_graph(net.step, capacity, device)
        self._before: Program | None = None
        if net.before is not None:
            self._before = compile_graph(net.before, capacity, device)
        self._params = [b.name for b in self._step.loaded.plan.buffers if b.kind == "param"]
        self._initial: dict[str, Array] = {}
        self._fixed = (*net.given, *net.direct)  # what the steps read, row by row
        batched = {b.name: b.type.batched for b in self._step.loaded.plan.buffers}
        self._moving = [c.name for c in net.carried if batched.get(c.name)]

    def push(self, values: Mapping[str, Array]) -> None:
        """Take other parameters."""
        self._step.push(values, self._params)
        if self._before is not None:
            self._before.push(values)
        for c in self.net.carried:
            if c.initial is not None:
                (found,) = evaluate([c.initial], values, batch=1)
                self._initial[c.name] = found

    def begin(self, inputs: Mapping[str, Array], count: int, copies: int = 1) -> None:
        """Start anew: `count` examples (`inputs` [count, *shape] by name), each of them `copies`
        times in consecutive rows."""
        self.rows = count * copies
        if not 0 < self.rows <= self.capacity:
            raise ValueError(f"{self.rows} rows do not fit a capacity of {self.capacity}")
        found = self._run_before(inputs, count)
        net = self.net
        filled = with_lengths(net.step, inputs)
        for name in net.direct:
            self._write(name, filled[name], copies)
        for name in net.given:
            self._write(name, found[name], copies)
        for c in net.carried:
            if c.source:
                self._write(c.name, found[c.source], copies if c.type.batched else 1)
                continue
            first = self._initial[c.name]
            if c.type.batched:
                first = np.broadcast_to(first, (self.rows, *c.type.shape))
            self._step.loaded.write(c.name, np.ascontiguousarray(first))

    def _run_before(self, inputs: Mapping[str, Array], count: int) -> dict[str, Array]:
        program, graph = self._before, self.net.before
        if program is None or graph is None:
            return {}
        fields = with_lengths(graph, inputs)
        for name in program.inputs:
            program.loaded.write(name, np.ascontiguousarray(fields[name]))
        steps = longest(graph, fields, slice(None))
        if steps:
            program.loaded.run(count, lengths=steps)
        else:
            program.loaded.run(count)
        return {o.name: program.loaded.read(o.name, count) for o in graph.outputs}

    def _write(self, name: str, array: Array, copies: int) -> None:
        made = array if copies == 1 else np.repeat(array, copies, axis=0)
        self._step.loaded.write(name, np.ascontiguousarray(made))

    def step(self, tokens: Tokens) -> Array:
        """Feed a token to each row; the scores [rows, k] of what comes next."""
        loaded = self._step.loaded
        loaded.write(self.net.feed, tokens.reshape(-1, 1))
        loaded.run(self.rows)
        return loaded.read(SCORES, self.rows)

    def reorder(self, source: Rows) -> None:
        """Row i goes on as row `source[i]` stands, of the same example."""
        for name in self._moving:
            self._step.loaded.write(name, self._step.loaded.read(name, self.rows)[source])

    def keep(self, chosen: Rows) -> None:
        """Only these rows go on."""
        self.reorder(chosen)
        for name in self._fixed:
            self._step.loaded.write(name, self._step.loaded.read(name, self.rows)[chosen])
        self.rows = len(chosen)
