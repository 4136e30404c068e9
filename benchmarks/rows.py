"""The rows of docs/performance.md: a training step each (forward, backward, update), f32.

A row is a list of layers that every peer reads. Layers: ("dense", units), ("conv", channels,
kernel, stride, padding, bias), ("max_pool", size), ("avg_pool", size), ("basic", channels,
stride) for a residual block of ResNet-18 (He et al., 2016), and words without arguments: "relu",
"tanh", "batchnorm", "global_avg_pool", "flat"; ("dropout", rate). Of sequences [steps, n]:
("one_hot", classes), ("lstm", units), ("gru", units), ("rnn", units), ("last",) for the last step;
a dense layer works at every step. Rows of nets that generate are in `generative`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .generative import GENERATIVE, Generative

Layer = tuple[Any, ...]
Shape = tuple[int, ...]
Array = NDArray[np.float32]
# Rows of the weights of a recurrent layer, in units: PyTorch's order of gates, i f g o and r z n.
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


@dataclass(frozen=True)
class Row:
    """A net and how it learns. `shape`: of one example, of integers if its first layer is
    "one_hot". `loss`: "softmax" (labels, one a step where scores have steps) or "squared".
    `optimizer`: "sgd", "momentum" (0.9, as PyTorch's) or "adam"."""

    key: str
    title: str
    shape: Shape
    layers: tuple[Layer, ...]
    batch: int
    loss: str
    optimizer: str
    lr: float
    examples: int

    family: ClassVar[str] = ""  # what the names of the peers' modules begin with

    @property
    def classes(self) -> int:
        """Or numbers to predict."""
        return int(self.layers[-1][1])

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3

    @property
    def is_recurrent(self) -> bool:
        return any(layer[0] in GATES for layer in self.layers)

    @property
    def vocabulary(self) -> int:
        """How many integers the input may take; 0 of an input of numbers."""
        return int(self.layers[0][1]) if self.layers[0][0] == "one_hot" else 0

    @property
    def label_shape(self) -> Shape:
        """Of the labels of one example: none, or one a step."""
        shape = self.shape
        for layer in self.layers:
            shape = shape_after(layer, shape)
        return shape[:-1]

    @property
    def flops(self) -> int:
        """Products and convolutions, forward and backward; no gradient of the input is needed."""
        counts = [2 * n for n in products(self.layers, self.shape)]
        return self.batch * (3 * sum(counts) - counts[0])

    def data(self) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
        rng = np.random.default_rng(1)
        x: NDArray[np.generic]
        if self.vocabulary:
            x = rng.integers(0, self.vocabulary, (self.examples, *self.shape)).astype(np.int32)
        else:
            x = rng.random((self.examples, *self.shape), np.float32)
        if self.loss == "softmax":
            size = (self.examples, *self.label_shape)
            return x, rng.integers(0, self.classes, size).astype(np.int32)
        return x, rng.random((self.examples, self.classes), np.float32)

    def weights(self) -> list[tuple[Array, ...]]:
        """Of a net without images: the same numbers for every peer, for each layer that learns.

        dense: W [units, n], b. Recurrent: Wx [gates·units, n], Wh [gates·units, units], b; of a
        GRU also c [units], added to the candidate's product with the state inside the reset:
        tanh(Wx x + b + r (Wh h + c)).
        """
        rng = np.random.default_rng(2)

        def normal(units: int, n: int) -> Array:
            return (rng.normal(size=(units, n)) / n**0.5).astype(np.float32)

        found: list[tuple[Array, ...]] = []
        shape = self.shape
        for layer in self.layers:
            if layer[0] == "dense":
                found.append((normal(layer[1], shape[-1]), np.zeros(layer[1], np.float32)))
            elif layer[0] in GATES:
                units, rows = layer[1], GATES[layer[0]] * layer[1]
                biases = [np.zeros(n, np.float32) for n in (rows, units)]
                weights = normal(rows, shape[-1]), normal(rows, units)
                found.append((*weights, *(biases if layer[0] == "gru" else biases[:1])))
            shape = shape_after(layer, shape)
        return found


def parts_of(layer: Layer, shape: Shape) -> tuple[list[Layer], list[Layer]]:
    """A residual block as two chains whose results are added: the long way, and the short one."""
    _, channels, stride = layer
    first = ("conv", channels, 3, stride, 1, False)
    second = ("conv", channels, 3, 1, 1, False)
    long = [first, ("batchnorm",), ("relu",), second, ("batchnorm",)]
    if stride == 1 and shape[0] == channels:
        return long, []
    return long, [("conv", channels, 1, stride, 0, False), ("batchnorm",)]


def shape_after(layer: Layer, shape: Shape) -> Shape:
    """The shape that a layer makes of another; images are channels, height, width."""
    kind = layer[0]
    if kind == "conv":
        _, channels, kernel, stride, padding, _ = layer
        return (channels, *((n + 2 * padding - kernel) // stride + 1 for n in shape[1:]))
    if kind == "basic":
        return (layer[1], *(-(-n // layer[2]) for n in shape[1:]))
    if kind in ("max_pool", "avg_pool"):
        return (shape[0], *(n // layer[1] for n in shape[1:]))
    if kind == "dense" or kind in GATES:
        return (*shape[:-1], layer[1])
    if kind == "one_hot":
        return (*shape, layer[1])
    if kind == "last":
        return shape[1:]
    if kind == "global_avg_pool":
        return shape[:1]
    if kind == "flat":
        return (int(np.prod(shape)),)
    return shape


def products(layers: tuple[Layer, ...] | list[Layer], shape: Shape) -> list[int]:
    """Multiplications of one example, forward, of each product in turn: none with one-hot rows,
    which are looked up."""
    counts = []
    sparse = False
    for layer in layers:
        after = shape_after(layer, shape)
        if layer[0] == "conv":
            counts.append(int(np.prod(after)) * shape[0] * layer[2] ** 2)
        elif layer[0] == "dense":
            counts.append(int(np.prod(shape)) * layer[1])
        elif layer[0] in GATES:
            rows = GATES[layer[0]] * layer[1]
            counts += [0 if sparse else int(np.prod(shape)) * rows, int(np.prod(after)) * rows]
        elif layer[0] == "basic":
            for chain in parts_of(layer, shape):
                counts += products(chain, shape)
        sparse = layer[0] == "one_hot"
        shape = after
    return counts


def mlp(sizes: tuple[int, ...], activation: str) -> tuple[Layer, ...]:
    """Dense layers with an activation between them."""
    layers: list[Layer] = [("dense", sizes[0])]
    for units in sizes[1:]:
        layers += [(activation,), ("dense", units)]
    return tuple(layers)


def conv(channels: int, kernel: int = 3, padding: int = 1, bias: bool = True) -> Layer:
    return ("conv", channels, kernel, 1, padding, bias)


def vgg(plan: tuple[int, ...]) -> tuple[Layer, ...]:
    """Convolutions of so many channels; 0 is a pooling (Simonyan & Zisserman, 2015)."""
    layers: list[Layer] = []
    for channels in plan:
        layers += [conv(channels), ("relu",)] if channels else [("max_pool", 2)]
    return (*layers, ("flat",), ("dense", 10))


def characters(kind: str, key: str = "", steps: int = 64, units: int = 128) -> Row:
    """A model of 65 characters, as many as Tiny Shakespeare has, that scores the next at each."""
    title = f"{kind.upper()}, 65 characters, {units} units, {steps} steps, batch 32, Adam"
    layers = (("one_hot", 65), (kind, units), ("dense", 65))
    return Row(key, title, (steps,), layers, 32, "softmax", "adam", 1e-3, 512)


LENET = (
    conv(6, 5, 2), ("tanh",), ("avg_pool", 2), conv(16, 5, 0), ("tanh",), ("avg_pool", 2),
    ("flat",), ("dense", 120), ("tanh",), ("dense", 84), ("tanh",), ("dense", 10),
)  # fmt: skip
SMALL = (
    conv(32), ("batchnorm",), ("relu",), ("max_pool", 2),
    conv(64), ("batchnorm",), ("relu",), ("max_pool", 2),
    ("flat",), ("dropout", 0.25), ("dense", 10),
)  # fmt: skip
RESNET18 = (
    conv(64, bias=False), ("batchnorm",), ("relu",),
    *(("basic", channels, stride) for channels in (64, 128, 256, 512)
      for stride in ((1, 1) if channels == 64 else (2, 1))),
    ("global_avg_pool",), ("dense", 10),
)  # fmt: skip
VGG11 = vgg((64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0))

ROWS: dict[str, Row | Generative] = {
    "a": Row("a", "MLP 784-128-10, ReLU, batch 64, SGD", (784,), mlp((128, 10), "relu"), 64,
             "softmax", "sgd", 0.1, 8192),
    "b": Row("b", "MLP 784-512-512-10, batch 128, Adam", (784,), mlp((512, 512, 10), "relu"), 128,
             "softmax", "adam", 1e-3, 8192),
    "c": Row("c", "LeNet-5, 28×28, batch 64, SGD + momentum", (1, 28, 28), LENET, 64, "softmax",
             "momentum", 0.01, 1024),
    "d": Row("d", "2 conv, BN, dropout, 3×32×32, batch 64, Adam", (3, 32, 32), SMALL, 64,
             "softmax", "adam", 1e-3, 1024),
    "e": Row("e", "ResNet-18 on 3×32×32, batch 32, SGD + momentum", (3, 32, 32), RESNET18, 32,
             "softmax", "momentum", 0.01, 256),
    "f": Row("f", "VGG-11 on 3×32×32, batch 32, SGD + momentum", (3, 32, 32), VGG11, 32,
             "softmax", "momentum", 0.01, 256),
    "g": characters("lstm", "g"),
    "h": characters("gru", "h"),
    "i": Row("i", "tanh RNN, 128 units, 28 steps of 28, batch 64, SGD + momentum", (28, 28),
             (("rnn", 128), ("last",), ("dense", 10)), 64, "softmax", "momentum", 0.1, 2048),
    "j": GENERATIVE["j"],
    "k": Row("k", "MLP 2-8-1, batch 4, SGD: overhead", (2,), mlp((8, 1), "tanh"), 4, "squared",
             "sgd", 0.1, 4096),
    "l": GENERATIVE["l"],
}  # fmt: skip
