"""Small nets of the library's recurrent cells and attentions, and the plan of their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.compiler.elaborate import forward, parse_module
from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import compile_plan, gradients
from chainrule.compiler.plan import Plan
from chainrule.dsl.source import Source
from chainrule.runtime.plain import evaluate

Array = NDArray[Any]
STEPS, FEATURES, LABELS = 4, 3, 4

_ATTENDING = """
  start = xs -> rnn(3)
  scan t in xs with s: [3] = start.last (mask = mask(xs)) {
    read = %s
    s = tanh(s + read.context)
    yield s
  }
"""
CELLS = {
    "rnn": "layer = xs -> rnn(5, mask = mask(xs))\n  v = layer.last",
    "lstm": "layer = xs -> lstm(5, mask = mask(xs))\n  v = layer.last",
    "gru": "layer = xs -> gru(5, mask = mask(xs))\n  v = layer.last",
    "bidirectional": "layer = xs -> bidirectional(gru, 2, mask = mask(xs))\n  v = layer.last",
    "stacked": "layer = xs -> stacked(lstm, [3, 2], dropout = 0.3)\n  v = layer.last",
    "truncated": "layer = xs -> rnn(4, relu, truncate = 2)\n  v = max(layer.hs, axis = 0)",
    "attention": _ATTENDING % "attention(s, start.hs, start.hs, mask = mask(xs))" + "  v = s",
    "additive": _ATTENDING % "additive_attention(s, start.hs, start.hs, 4)" + "  v = s",
}  # fmt: skip


def cell_graph(name: str, dtype: str = "f32") -> Graph:
    """A net around a cell, with the gradient of its loss by every parameter."""
    text = f"""net cell {{
  input xs: [T, {FEATURES}]
  input label: class[k]
  {CELLS[name]}
  loss cross_entropy(v -> dense({LABELS}), label)
}}"""
    module = parse_module(Source("cell.net", text))
    sizes = {"T": STEPS, "k": LABELS}
    return gradients(forward(module, "cell", training=True, dtype=dtype, sizes=sizes))


def cell_plan(name: str, capacity: int, dtype: str = "f32") -> Plan:
    return compile_plan(cell_graph(name, dtype), capacity)


def params(graph: Graph, seed: int = 0) -> dict[str, Array]:
    """The starting values of the parameters."""
    wanted = [p for p in graph.params if p.initial is not None]
    found = evaluate([p.initial for p in wanted if p.initial is not None], {}, seed=seed)
    return {p.name: x for p, x in zip(wanted, found, strict=True)}


def inputs(batch: int, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, STEPS + 1, batch)
    lengths[0] = STEPS
    return {
        "xs": rng.normal(size=(batch, STEPS, FEATURES)).astype(np.float32),
        "label": rng.integers(0, LABELS, batch).astype(np.int32),
        "xs.length": lengths.astype(np.int32),
    }
