"""The dense rows of docs/performance.md: a training step each (forward, backward, update), f32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Row:
    """A multi-layer perceptron and how it learns. `loss`: "softmax" (labels) or "squared"."""

    key: str
    title: str
    sizes: tuple[int, ...]
    batch: int
    activation: str
    loss: str
    optimizer: str  # "sgd" or "adam"
    lr: float
    examples: int

    @property
    def flops(self) -> int:
        """Products only, forward and backward; the first layer needs no gradient of its input."""
        pairs = list(zip(self.sizes, self.sizes[1:], strict=False))
        forward = sum(2 * a * b for a, b in pairs)
        return self.batch * (3 * forward - 2 * pairs[0][0] * pairs[0][1])

    def data(self) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
        rng = np.random.default_rng(1)
        x = rng.random((self.examples, self.sizes[0]), np.float32)
        if self.loss == "softmax":
            return x, rng.integers(0, self.sizes[-1], self.examples).astype(np.int32)
        return x, rng.random((self.examples, self.sizes[-1]), np.float32)

    def weights(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        rng = np.random.default_rng(2)
        pairs = zip(self.sizes, self.sizes[1:], strict=False)
        return [
            ((rng.normal(size=(b, a)) / a**0.5).astype(np.float32), np.zeros(b, np.float32))
            for a, b in pairs
        ]


ROWS = {
    "a": Row("a", "MLP 784-128-10, ReLU, batch 64, SGD", (784, 128, 10), 64, "relu", "softmax",
             "sgd", 0.1, 8192),
    "b": Row("b", "MLP 784-512-512-10, batch 128, Adam", (784, 512, 512, 10), 128, "relu",
             "softmax", "adam", 1e-3, 8192),
    "k": Row("k", "MLP 2-8-1, batch 4, SGD: overhead", (2, 8, 1), 4, "tanh", "squared", "sgd", 0.1,
             4096),
}  # fmt: skip
