"""What a step of several losses must compute: its lines' own steps, interpreted one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from chainrule.compiler.graph import Graph, substituted, topological
from chainrule.compiler.minimize import minimized
from chainrule.compiler.ops.draws import Draw
from chainrule.compiler.step import training_step
from chainrule.compiler.training import learning
from chainrule.compiler.value import Value
from chainrule.runtime.plain import run_graph
from chainrule.runtime.session import initial_values

Numbers = dict[str, np.ndarray]


def line_after_line(
    known, start: Numbers, inputs: Mapping[str, np.ndarray], steps: int, batch: int, seed: int
) -> tuple[Numbers, dict[str, float]]:
    """Parameters and states of the net after `steps` steps, and what the last of them told.

    Every line keeps optimizer states of its own, each of its turns after the first draws anew, and
    the net's own states and other numbers come from the first turn of all.
    """
    graph = learning(known, known.trains[0], dtype="f64")
    of_net = {leaf.name for leaf in graph.states}
    values = {n: a for n, a in start.items() if n in graph.leaves}
    lines = [(m, turns, training_step(graph, known, m)) for m, turns in minimized(known.trains[0])]
    states: list[Numbers] = [_own_states(line, of_net) for _, _, line in lines]
    told: dict[str, float] = {}
    for number in range(1, steps + 1):
        begun, told, changed = dict(values), {}, {}
        for (minimize, turns, line), own in zip(lines, states, strict=True):
            loss = graph.loss(minimize.loss).name
            for turn in range(turns):
                count = np.float64((number - 1) * turns + turn + 1)
                given = {**inputs, **values, **own, "step": count}
                given |= {n: begun[n] for n in of_net}
                found = run_graph(_redrawn(line, turn), given, batch=batch, seed=seed, step=number)
                for (kind, name), array in found.items():
                    if kind != "update":
                        if name == loss or name not in told:
                            told[name] = float(array)
                    elif name in of_net:
                        changed.setdefault(name, array)
                    elif name in own:
                        own[name] = array
                    else:
                        values[name] = array
        values |= changed
    return values, told


def _own_states(line: Graph, of_net: set[str]) -> Numbers:
    begun = initial_values(line, 0)
    wanted = {leaf.name for leaf in line.states} - of_net
    return {n: np.asarray(a, np.float64) for n, a in begun.items() if n in wanted}


def _redrawn(line: Graph, turn: int) -> Graph:
    """The line with the streams of a later turn."""
    if turn == 0:
        return line
    drawn: dict[Value, Value] = {}
    for v in topological(o.value for o in line.outputs):
        if isinstance(v.op, Draw):
            attrs = {**v.attrs, "stream": (v.attrs["stream"] + turn * 0x3C6EF372) % 2**31}
            drawn[v] = Value(v.op, v.args, attrs, v.type, v.origin)
    values = substituted([o.value for o in line.outputs], drawn)
    outputs = [replace(o, value=v) for o, v in zip(line.outputs, values, strict=True)]
    return line.with_outputs(outputs)
