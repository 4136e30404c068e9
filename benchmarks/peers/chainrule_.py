"""Ours: the row as a `.net` text, compiled; a run is one call into the compiled loop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.compiler.pipeline import compile_plan, parse_module, steps
from chainrule.dsl.source import Source
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.device import Feed

from ..rows import Row


def text(row: Row) -> str:
    layers = []
    for k, units in enumerate(row.sizes[1:-1]):
        before = f"h{k - 1}" if k else "x"
        layers.append(f"  h{k} = {before} -> dense({units}) -> {row.activation}")
    last = f"h{len(layers) - 1}"
    label = f"class[{row.sizes[-1]}]" if row.loss == "softmax" else f"[{row.sizes[-1]}]"
    loss = "cross_entropy(z, y)" if row.loss == "softmax" else "mse(z, y)"
    body = "\n".join(layers)
    return f"""
net row {{
  input x: [{row.sizes[0]}]
  input y: {label}
{body}
  z = {last} -> dense({row.sizes[-1]})
  loss {loss}
}}
train row on digits() {{
  optimizer {row.optimizer}(lr = {row.lr})
  batch {row.batch}
}}
"""


def make(row: Row) -> Callable[[int], None]:
    module = parse_module(Source(f"{row.key}.net", text(row)))
    ((graph, _),) = steps(module, module.trains[0])
    loaded = CpuDevice().load(compile_plan(graph, row.batch))
    for k, (w, b) in enumerate(row.weights()):
        layer = f"h{k}" if k < len(row.sizes) - 2 else "z"
        loaded.write(f"{layer}.W", w)
        loaded.write(f"{layer}.b", b)
    for leaf in graph.states:
        loaded.write(leaf.name, np.zeros(leaf.value.shape, np.float32))
    x, y = row.data()
    done = 0

    def run(count: int) -> None:
        nonlocal done
        order = np.arange(count * row.batch, dtype=np.int64) % row.examples
        loaded.run_steps(Feed({"x": x, "y": y}, order, row.batch, {}), seed=0, step=done + 1)
        done += count

    return run
