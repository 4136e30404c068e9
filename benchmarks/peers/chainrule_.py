"""Ours: the row as a `.net` text, compiled; a run is one call into the compiled loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from chainrule.compiler.pipeline import compile_plan, parse_module, step
from chainrule.dsl.source import Source
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.device import Device, Feed
from chainrule.runtime.session import initial_values

from ..rows import GATES, Array, Layer, Row, Shape, shape_after

ACTIVATIONS = ("relu", "tanh", "flat", "batchnorm", "global_avg_pool")
OPTIMIZERS = {"sgd": "sgd(lr = {})", "momentum": "heavy_ball(lr = {})", "adam": "adam(lr = {})"}
GATE_NAMES = {"lstm": "ifco", "gru": "rzn", "rnn": ("",)}
BASIC = """
block basic(channels, stride = 1) {
  input x: [c, h, w]
  a = x -> conv(channels, 3, stride = stride, bias = false) -> batchnorm -> relu
  output relu((a -> conv(channels, 3, bias = false) -> batchnorm) + x)
}
block wider(channels, stride = 2) {
  input x: [c, h, w]
  a = x -> conv(channels, 3, stride = stride, bias = false) -> batchnorm -> relu
  s = x -> conv(channels, 1, stride = stride, padding = 0, bias = false) -> batchnorm
  output relu((a -> conv(channels, 3, bias = false) -> batchnorm) + s)
}
"""


def call(layer: Layer, shape: Shape) -> str:
    """A layer as its block of the standard library."""
    kind = layer[0]
    if kind == "conv":
        _, channels, kernel, stride, padding, bias = layer
        rest = f", bias = {str(bias).lower()}"
        return f"conv({channels}, {kernel}, stride = {stride}, padding = {padding}{rest})"
    if kind == "basic":
        wider = layer[2] != 1 or layer[1] != shape[0]
        return f"wider({layer[1]}, {layer[2]})" if wider else f"basic({layer[1]})"
    return kind if kind in ACTIVATIONS else f"{kind}({layer[1]})"


def types(row: Row) -> tuple[str, str]:
    """Of the input and of what is to be predicted. T steps: bound to the row's number of them."""
    label = f"class[{row.classes}]" if row.loss == "softmax" else f"[{row.classes}]"
    if row.label_shape:
        label = f"tokens[T, {row.classes}]"
    if row.vocabulary:
        return f"tokens[T, {row.vocabulary}]", label
    return (f"[T, {row.shape[1]}]" if row.is_recurrent else str(list(row.shape))), label


def text(row: Row) -> str:
    lines, shape, value = ["  h0 = x"], row.shape, "h0"
    for k, layer in enumerate(row.layers):
        if layer[0] == "last":
            value = value.replace(".hs", ".last")
        elif layer[0] == "one_hot":
            value = f"one_hot({value})"
        else:
            lines.append(f"  h{k + 1} = {value} -> {call(layer, shape)}")
            value = f"h{k + 1}.hs" if layer[0] in GATES else f"h{k + 1}"
        shape = shape_after(layer, shape)
    loss = f"{'cross_entropy' if row.loss == 'softmax' else 'mse'}({value}, y)"
    body = "\n".join(lines)
    blocks = BASIC if any(layer[0] == "basic" for layer in row.layers) else ""
    given, label = types(row)
    return f"""{blocks}
net row {{
  input x: {given}
  input y: {label}
{body}
  loss {loss}
}}
train row on digits() {{
  optimizer {OPTIMIZERS[row.optimizer].format(row.lr)}
  batch {row.batch}
}}
"""


def named_weights(row: Row) -> dict[str, Array]:
    """Those that every peer starts from, by the names of the library; gates take [h; x]."""
    learning = [(k + 1, la[0]) for k, la in enumerate(row.layers) if la[0] in ("dense", *GATES)]
    found: dict[str, Array] = {}
    for (k, kind), (w, *rest) in zip(learning, row.weights(), strict=True):
        if kind == "dense":
            found |= {f"h{k}.W": w, f"h{k}.b": rest[0]}
            continue
        wx, wh, b = (np.split(a, GATES[kind]) for a in (w, rest[0], rest[1]))
        for gate, x, h, bias in zip(GATE_NAMES[kind], wx, wh, b, strict=True):
            own = {"W": x, "U": h} if gate == "n" else {"W": np.concatenate([h, x], 1)}
            found |= {f"h{k}.{name}{gate}": array for name, array in (own | {"b": bias}).items()}
        if kind == "gru":
            found[f"h{k}.cn"] = rest[2]
    return found


def sizes(row: Row) -> dict[str, int]:
    """What the data would bind."""
    return {"T": row.shape[0]} if row.is_recurrent else {}


def make(row: Row, device: Device | None = None) -> Callable[[int], float]:
    weights = {} if row.is_image else named_weights(row)
    x, y = row.data()
    fields = {"x": x, "y": y}
    return started(row.key, text(row), row.batch, weights, fields, sizes(row), device)


def started(
    key: str,
    text: str,
    batch: int,
    weights: Mapping[str, Array],
    fields: Mapping[str, NDArray[np.generic]],
    sizes: Mapping[str, int],
    device: Device | None,
) -> Callable[[int], float]:
    """The training step of a text, loaded, its parameters as given; a run gives its `loss`."""
    module = parse_module(Source(f"{key}.net", text))
    graph = step(module, module.trains[0], sizes=sizes)
    loaded = (device or CpuDevice()).load(compile_plan(graph, batch))
    values = initial_values(graph, seed=0)
    unknown = weights.keys() - {leaf.name for leaf in graph.params}
    assert not unknown, f"no parameters of these names: {sorted(unknown)}"
    for leaf in (*graph.params, *graph.states):
        loaded.write(leaf.name, weights.get(leaf.name, values[leaf.name]))
    examples = len(next(iter(fields.values())))
    recorded = list(loaded.plan.recorded)
    done = 0

    def run(count: int) -> float:
        nonlocal done
        order = np.arange(count * batch, dtype=np.int64) % examples
        feed = Feed(dict(fields), order, batch, {})
        found = loaded.run_steps(feed, seed=0, step=done + 1)
        done += count
        return float(found[-1, recorded.index("loss")])

    return run
