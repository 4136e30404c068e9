"""200 steps of every optimizer follow an independent implementation in NumPy.

The reference below is written from the papers, with the gradient of a two-layer network worked
out by hand; it shares nothing with the compiler.
"""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.pipeline import compile_plan, parse_module, step
from chainrule.dsl.source import Source
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.device import Feed

STEPS, BATCH, EXAMPLES = 200, 8, 160
NET = """
net t {{
  input x: [5]
  input y: class[3]
  h = x -> dense(7) -> tanh
  z = h -> dense(3)
  loss cross_entropy(z, y)
}}
train t on digits() {{
  optimizer {optimizer}
  batch {batch}
}}
"""


def sgd(p, g, s, t, lr=0.1):
    p -= lr * g


def momentum(p, g, s, t, lr=0.1, beta=0.9):
    s["v"] = beta * s.get("v", 0) + (1 - beta) * g
    p -= lr * s["v"]


def heavy_ball(p, g, s, t, lr=0.05, beta=0.9):
    s["v"] = beta * s.get("v", 0) + g
    p -= lr * s["v"]


def nesterov(p, g, s, t, lr=0.05, beta=0.9):
    s["v"] = beta * s.get("v", 0) + g
    p -= lr * (g + beta * s["v"])


def adagrad(p, g, s, t, lr=0.05, eps=1e-8):
    s["s"] = s.get("s", 0) + g**2
    p -= lr * g / np.sqrt(s["s"] + eps)


def rmsprop(p, g, s, t, lr=0.01, beta=0.9, eps=1e-8):
    s["s"] = beta * s.get("s", 0) + (1 - beta) * g**2
    p -= lr * g / np.sqrt(s["s"] + eps)


def adadelta(p, g, s, t, lr=1.0, beta=0.95, eps=1e-6):
    s["s"] = beta * s.get("s", 0) + (1 - beta) * g**2
    step = np.sqrt(s.get("d", 0) + eps) / np.sqrt(s["s"] + eps) * g
    s["d"] = beta * s.get("d", 0) + (1 - beta) * step**2
    p -= lr * step


def adam(p, g, s, t, lr=0.01, beta1=0.9, beta2=0.999, eps=1e-8):
    s["m"] = beta1 * s.get("m", 0) + (1 - beta1) * g
    s["v"] = beta2 * s.get("v", 0) + (1 - beta2) * g**2
    p -= lr * (s["m"] / (1 - beta1**t)) / (np.sqrt(s["v"] / (1 - beta2**t)) + eps)


def adamw(p, g, s, t, lr=0.01, decay=0.05):
    old = p.copy()
    adam(p, g, s, t, lr)
    p -= lr * decay * old


REFERENCE = {
    "sgd(lr = 0.1)": sgd,
    "momentum(lr = 0.1)": momentum,
    "heavy_ball(lr = 0.05)": heavy_ball,
    "nesterov(lr = 0.05)": nesterov,
    "adagrad(lr = 0.05)": adagrad,
    "rmsprop(lr = 0.01)": rmsprop,
    "adadelta()": adadelta,
    "adam(lr = 0.01)": adam,
    "adamw(lr = 0.01, decay = 0.05)": adamw,
}


def hand_gradients(p, x, y):
    """∂L/∂W₂ = (1/m)(A − Y)Hᵀ and so on, one row an example."""
    h = np.tanh(x @ p["h.W"].T + p["h.b"])
    z = h @ p["z.W"].T + p["z.b"]
    e = np.exp(z - z.max(1, keepdims=True))
    delta = e / e.sum(1, keepdims=True)
    delta[np.arange(len(y)), y] -= 1
    back = (delta @ p["z.W"]) * (1 - h * h)
    m = len(y)
    return {
        "z.W": delta.T @ h / m,
        "z.b": delta.mean(0),
        "h.W": back.T @ x / m,
        "h.b": back.mean(0),
    }


def problem(dtype: str):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(EXAMPLES, 5)).astype(dtype)
    y = rng.integers(0, 3, EXAMPLES).astype(np.int32)
    shapes = {"h.W": (7, 5), "h.b": (7,), "z.W": (3, 7), "z.b": (3,)}
    weights = {n: (rng.normal(size=s) * 0.5).astype(dtype) for n, s in shapes.items()}
    rows = rng.integers(0, EXAMPLES, STEPS * BATCH).astype(np.int64)
    return x, y, weights, rows


def by_hand(update, x, y, weights, rows):
    p = {n: w.astype(np.float64) for n, w in weights.items()}
    states = {n: {} for n in p}
    for t in range(STEPS):
        picked = rows[t * BATCH : (t + 1) * BATCH]
        grads = hand_gradients(p, x[picked].astype(np.float64), y[picked])
        for n in p:
            update(p[n], grads[n], states[n], t + 1)
    return p


@pytest.mark.parametrize(("dtype", "tolerance"), [("f32", 1e-4), ("f64", 1e-10)])
@pytest.mark.parametrize("optimizer", REFERENCE)
def test_200_steps_follow_the_independent_implementation(optimizer, dtype, tolerance) -> None:
    x, y, weights, rows = problem({"f32": "float32", "f64": "float64"}[dtype])
    module = parse_module(Source("t.net", NET.format(optimizer=optimizer, batch=BATCH)))
    graph = step(module, module.trains[0], dtype=dtype)
    loaded = CpuDevice().load(compile_plan(graph, BATCH))
    for name, value in weights.items():
        loaded.write(name, value)
    for leaf in graph.states:
        loaded.write(leaf.name, np.zeros(leaf.value.shape, leaf.value.type.numpy))
    loaded.run_steps(Feed({"x": x, "y": y}, rows, BATCH, {}), seed=0, step=1)
    expected = by_hand(REFERENCE[optimizer], x, y, weights, rows)
    for name, value in expected.items():
        found = loaded.read(name)
        assert np.abs(found - value).max() <= tolerance * np.abs(value).max(), name
