"""NumPy by hand: what a careful person writes without a framework."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..rows import Row


def make(row: Row) -> Callable[[int], float]:
    if row.is_image:
        raise ImportError("nobody writes convolutions by hand")
    if row.is_recurrent:
        raise ImportError("nobody writes backpropagation through time by hand")
    relu = ("relu",) in row.layers
    layers = [(w.T.copy(), b) for w, b in row.weights()]
    x, y = row.data()
    params = [p for layer in layers for p in layer]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in params]
    done = 0

    def step(start: int) -> float:
        nonlocal done
        done += 1
        a = [x[start : start + row.batch]]
        for k, (w, b) in enumerate(layers):
            z = a[-1] @ w
            z += b
            if k < len(layers) - 1:
                z = np.maximum(z, 0, out=z) if relu else np.tanh(z, out=z)
            a.append(z)
        target = y[start : start + row.batch]
        if row.loss == "softmax":
            g = np.exp(a[-1] - a[-1].max(1, keepdims=True))
            g /= g.sum(1, keepdims=True)
            loss = -np.log(g[np.arange(row.batch), target]).mean()
            g[np.arange(row.batch), target] -= 1
            g /= row.batch
        else:
            g = a[-1] - target
            loss = np.square(g).mean()
            g *= np.float32(2 / row.batch / row.classes)
        grads = []
        for k in range(len(layers) - 1, -1, -1):
            grads = [a[k].T @ g, g.sum(0), *grads]
            if k:
                g = g @ layers[k][0].T
                g *= (a[k] > 0) if relu else 1 - a[k] * a[k]
        for p, d, (v, s) in zip(params, grads, moments, strict=True):
            if row.optimizer == "sgd":
                d *= np.float32(row.lr)
                p -= d
                continue
            v *= np.float32(0.9)
            v += np.float32(0.1) * d
            d *= d
            s *= np.float32(0.999)
            s += np.float32(0.001) * d
            rate = np.float32(row.lr / (1 - 0.9**done))
            p -= rate * v / (np.sqrt(s / np.float32(1 - 0.999**done)) + np.float32(1e-8))
        return float(loss)

    def run(count: int) -> float:
        for k in range(count):
            loss = step(k * row.batch % row.examples)
        return loss

    return run
