"""Every activation of the standard library with its derivative, as the library computes them.

In: nothing. Out: for each its numbers on a range of x. The blocks of the library are elaborated
into one net and differentiated symbolically like any other; no formula is written again here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..compiler.autodiff import gradient
from ..compiler.graph import Graph, Output
from ..compiler.op import apply
from ..compiler.pipeline import forward
from ..viz.plots.activations import Curve
from ..viz.plots.activations import activations as drawn
from .asked import Asked

if TYPE_CHECKING:
    from ..model import Model

# What is applied to x, and a remark. Of softmax the first of three probabilities is shown.
ACTIVATIONS = {
    "linear": ("linear", ""),
    "step": ("step", "slope 0 everywhere: no\ngradient comes through,\nnothing before it learns"),
    "sigmoid": ("sigmoid", ""),
    "tanh": ("tanh", ""),
    "relu": ("relu", ""),
    "leaky_relu": ("leaky_relu", "slope 0.01 below 0"),
    "prelu": ("prelu", "slope below 0 learned,\n0.25 at first"),
    "elu": ("elu", ""),
    "selu": ("selu", ""),
    "swish": ("swish", ""),
    "softplus": ("softplus", ""),
    "gelu": ("gelu", ""),
    "maxout": ("maxout(1, pieces = 3)", "greatest of three\nlearned lines"),
    "softmax": ("softmax", "first of softmax(x, 0, 1)"),
}
# Three lines that are each the greatest somewhere.
LEARNED = {"maxout_of.W": [[-0.7], [0.15], [0.9]], "maxout_of.b": [-1.2, 0.6, -0.9]}
OTHERS = (0.0, 1.0)  # beside x in a softmax
RANGE, POINTS = 4.0, 400  # an even number of points: none is at 0, where some have no derivative


def net_text() -> str:
    """The net that applies each to its x."""
    lines = ["net activations {", "  input x: [1]", "  input others: [2]"]
    for name, (call, _) in ACTIVATIONS.items():
        given = "concat(x, others)" if name == "softmax" else "x"
        lines += [f"  {name}_of = {given} -> {call}", f"  output {name}_result = {name}_of[0]"]
    return "\n".join([*lines, "}"])


def curves(device: str = "cpu", points: int = POINTS) -> list[Curve]:
    """f(x) and f'(x) of each for x from −4 to 4."""
    from .. import loads

    model = loads(net_text(), name="activations", device=device, dtype="f64")
    values = model.session.values
    for name, numbers in LEARNED.items():
        values[name][...] = np.array(numbers)
    x = np.linspace(-RANGE, RANGE, points)[:, None]
    fields = {"x": x, "others": np.tile(OTHERS, (points, 1))}
    found = model.session.compute("activations", lambda: _graph(model), fields, batch=points)
    return [
        Curve(name, x[:, 0], found[f"value {name}"].reshape(-1),
              found[f"slope {name}"].reshape(-1), remark)
        for name, (_, remark) in ACTIVATIONS.items()
    ]  # fmt: skip


def _graph(model: Model) -> Graph:
    """Each function, and its gradient by x."""
    graph = forward(model.module, model.name, dtype=model.dtype)
    x = graph.leaves["x"].value
    outputs = []
    for name, output in zip(ACTIVATIONS, graph.of_kind("output"), strict=True):
        (slope,) = gradient(apply("sum", output.value), [x])
        outputs += [Output("output", f"value {name}", output.value),
                    Output("output", f"slope {name}", slope)]  # fmt: skip
    return graph.with_outputs(outputs)


def draw(model: Model | None, path: Path, asked: Asked) -> list[Path]:
    """The plot; the model is not asked."""
    return drawn(curves(asked.device), path, theme=asked.theme)
