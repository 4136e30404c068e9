"""Small nets of the library's recurrent cells and attentions, and the examples of sequences made
small: their plans, and numbers for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.compiler.elaborate import forward, parse_module
from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import compile_plan, gradients, step
from chainrule.compiler.plan import Plan
from chainrule.dsl.source import Source
from chainrule.runtime.device import Feed
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


# ------------------------------------------------------------ the examples

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZES = {"S": 5, "T": 4, "n": 6, "k": 7, "m": 3}
# The examples of sequences: settings, and words of the text, that make them small.
SEQUENCES: dict[str, tuple[dict[str, str], tuple[tuple[str, str], ...]]] = {
    "addition": ({"width": "3", "units": "4"}, ()),
    "captions": ({"width": "3", "units": "4"}, (
        ("56, 56", "8, 8"), ("(16, 3)", "(2, 3)"), ("(32, 3)", "(2, 3)"), ("(64, 3)", "(2, 3)"),
    )),
    "copy_ntm": ({"slots": "4", "width": "3", "units": "5"}, ()),
    "dates": ({"width": "3", "units": "4"}, ()),
    "memory": ({"slots": "4", "width": "3", "hops": "2"}, ()),
    "parity": ({"units": "4"}, ()),
    "sequences_mnist": ({"units": "5"}, (("[28, 28]", "[4, 4]"),)),
    "shakespeare": ({"units": "[4, 3]"}, (("embedding(64)", "embedding(3)"),)),
    "translate": ({"width": "3", "units": "4"}, ()),
}  # fmt: skip


def example_graph(name: str, *, small: bool) -> Graph:
    """The training step of an example of sequences."""
    settings, words = SEQUENCES[name]
    text = (EXAMPLES / f"{name}.net").read_text(encoding="utf-8")
    for word, other in words if small else ():
        assert word in text, word
        text = text.replace(word, other)
    module = parse_module(Source(f"{name}.net", text), settings if small else {})
    return step(module, module.trains[0], sizes=SIZES)


def start_of(plan: Plan, graph: Graph) -> dict[str, Array]:
    """Starting values of parameters and states."""
    known = {f.name: f.initial for f in graph.leaves.values() if f.initial is not None}
    values = dict(zip(known, evaluate(list(known.values()), {}, seed=1), strict=True))
    found = {}
    for b in plan.buffers:
        if b.kind in ("param", "state"):
            value = values.get(b.name, np.zeros(b.user_shape))
            found[b.name] = np.repeat(value[None], plan.capacity, 0) if b.type.batched else value
    return found


def example_feed(plan: Plan, count: int) -> Feed:
    """Two batches of examples and lengths; the second is not full."""
    rng = np.random.default_rng(0)
    fields: dict[str, Array] = {}
    for b in plan.buffers:
        shape = (count, *b.user_shape)
        if b.kind != "input":
            continue
        if b.type.is_float:
            fields[b.name] = rng.normal(size=shape).astype(b.type.numpy)
        else:
            most = 4 if b.name.endswith(".length") else b.type.classes or 3
            fields[b.name] = rng.integers(1, most, shape).astype(b.type.numpy)
    numbers = {b.name for b in plan.buffers if b.kind == "scalar"} - {"step"}
    lengths = {"T": np.array([4, 3], np.int64), "S": np.array([5, 3], np.int64)}
    rates = {name: np.full(2, 0.01) for name in numbers}
    return Feed(fields, np.arange(count, dtype=np.int64), plan.capacity, rates, lengths)
