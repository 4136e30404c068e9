"""Ours: the row as a `.net` text, compiled; a run is one call into the compiled loop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule.compiler.pipeline import compile_plan, parse_module, steps
from chainrule.dsl.source import Source
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.device import Device, Feed
from chainrule.runtime.session import initial_values

from ..rows import Layer, Row, Shape, shape_after

ACTIVATIONS = ("relu", "tanh", "flat", "batchnorm", "global_avg_pool")
OPTIMIZERS = {"sgd": "sgd(lr = {})", "momentum": "heavy_ball(lr = {})", "adam": "adam(lr = {})"}
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


def text(row: Row) -> str:
    lines, shape = ["  h0 = x"], row.shape
    for k, layer in enumerate(row.layers):
        lines.append(f"  h{k + 1} = h{k} -> {call(layer, shape)}")
        shape = shape_after(layer, shape)
    last = f"h{len(row.layers)}"
    label = f"class[{row.classes}]" if row.loss == "softmax" else f"[{row.classes}]"
    loss = f"cross_entropy({last}, y)" if row.loss == "softmax" else f"mse({last}, y)"
    body = "\n".join(lines)
    blocks = BASIC if any(layer[0] == "basic" for layer in row.layers) else ""
    return f"""{blocks}
net row {{
  input x: {list(row.shape)}
  input y: {label}
{body}
  loss {loss}
}}
train row on digits() {{
  optimizer {OPTIMIZERS[row.optimizer].format(row.lr)}
  batch {row.batch}
}}
"""


def make(row: Row, device: Device | None = None) -> Callable[[int], None]:
    module = parse_module(Source(f"{row.key}.net", text(row)))
    ((graph, _),) = steps(module, module.trains[0])
    loaded = (device or CpuDevice()).load(compile_plan(graph, row.batch))
    given = {}
    if not row.is_image:
        dense = [k + 1 for k, layer in enumerate(row.layers) if layer[0] == "dense"]
        for k, (w, b) in zip(dense, row.weights(), strict=True):
            given |= {f"h{k}.W": w, f"h{k}.b": b}
    values = initial_values(graph, seed=0)
    for leaf in (*graph.params, *graph.states):
        loaded.write(leaf.name, given.get(leaf.name, values[leaf.name]))
    x, y = row.data()
    done = 0

    def run(count: int) -> None:
        nonlocal done
        order = np.arange(count * row.batch, dtype=np.int64) % row.examples
        loaded.run_steps(Feed({"x": x, "y": y}, order, row.batch, {}), seed=0, step=done + 1)
        done += count

    return run
