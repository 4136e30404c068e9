"""Nets as text, and how the tests of pictures and derivations read and evaluate them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import forward, parse_module
from chainrule.dsl.source import Source
from chainrule.runtime.plain import evaluate

DIGITS = """net digits {
  input  image: [64]
  input  digit: class[10]
  h      = image -> dense(16) -> relu
  scores = h -> dense(10)
  output softmax(scores)
  loss   cross_entropy(scores, digit)
  metric accuracy(scores, digit)
}
"""
SIGMOIDS = """net two_layers {
  input x: [4]
  input y: [3]
  param V: [4, 5] ~ glorot
  param W: [5, 3] ~ glorot
  b     = sigmoid(V' @ x)
  y_hat = sigmoid(W' @ b)
  output y_hat
  loss 0.5 * sum((y_hat - y)^2)
}
"""
LINEAR = """net linear {
  input x: [6]
  input y: [1]
  y_hat = x -> dense(1)
  output y_hat
  loss squared_error(y_hat, y)
}
"""
LOGISTIC = """net logistic {
  input x: [6]
  input y: [1]
  p = x -> dense(1) -> sigmoid
  output p
  loss binary_cross_entropy(p, y)
}
"""
TWINS = """net twins {
  input left: [20]
  input right: [20]
  input same: [1]
  encoder = dense(16)
  a = tanh(encoder(left))
  b = tanh(encoder(right))
  d = a - b
  hidden = d -> dense(16) -> relu
  merged = d + hidden
  p = sigmoid(dense(1)(merged))
  output p
  loss binary_cross_entropy(p, same)
}
"""
DEEP = """net deep {
  input x: [784]
  input label: class[10]
  h = x -> dense(128) -> relu
  repeat 10 { h = h -> dense(128) -> relu }
  scores = h -> dense(10)
  output softmax(scores)
  loss cross_entropy(scores, label)
}
"""
NORMED = """net normed {
  input x: [12]
  input y: [3]
  h = x -> dense(8) -> batchnorm -> gelu -> dropout(0.3) -> dense(6) -> layernorm -> prelu
  out = h -> dense(3) -> softplus
  output out
  loss huber(out, y)
}
"""
TIED = """net auto {
  input x: [20]
  param W: [5, 20] ~ glorot
  param b: [5] = 0 frozen
  param c: [20] = 0
  code = sigmoid(W @ x + b)
  back = W' @ code + c
  output back
  loss mse(back, x)
}
"""
VAE = """net vae {
  input x: [20]
  h = x -> dense(10) -> tanh
  mu = h -> dense(2)
  log_variance = h -> dense(2)
  z = mu + exp(0.5 * log_variance) * normal([2])
  r = z -> dense(20) -> sigmoid
  output r
  loss reconstruction = sum(abs(r - x))
  loss divergence = kl_normal(mu, log_variance)
}
"""
GAN = """net gan {
  input x: [6]
  G = generator()
  D = discriminator()
  noise = normal([3])
  fake = G(noise)
  real_p = D(x)
  cut_p = D(stop_gradient(fake))
  fake_p = D(fake)
  output fake
  loss d_loss = -0.9 * log(real_p) - 0.1 * log(1 - real_p) - log(1 - cut_p)
  loss g_loss = -log(fake_p)
}
block generator {
  input z: [n]
  output z -> dense(5) -> relu -> dense(6)
}
block discriminator {
  input x: [n]
  score = x -> dense(4) -> relu -> dense(1)
  output sigmoid(score[0])
}
data numbers = xor()
train gan on numbers {
  repeat 5 minimize d_loss over D with adam(lr = 2e-4)
  minimize g_loss over G with sgd(lr = 0.1)
  batch 4
  epochs 1
}
"""
TRANSFER = """net transfer {
  input x: [6]
  input y: [2]
  body = features()
  head = dense(2)
  y_hat = body(x) -> head
  output y_hat
  loss squared_error(y_hat, y)
}
block features {
  input x: [n]
  output x -> dense(5) -> tanh -> dense(4)
}
data numbers = xor()
train transfer on numbers {
  freeze body.dense
  optimizer sgd(lr = 0.01)
  optimizer sgd(lr = 0.1) for head.*
  batch 4
  epochs 1
}
"""
PENALTY = """net penalty {
  input x: [4]
  D = critic()
  slope = grad(D(x), x)
  loss (sum(slope^2) - 1)^2 - D(2 * x)
}
block critic {
  input x: [n]
  score = x -> dense(5) -> sigmoid -> dense(1)
  output score[0]
}
"""
ALL = {
    "digits": DIGITS,
    "sigmoids": SIGMOIDS,
    "linear": LINEAR,
    "logistic": LOGISTIC,
    "twins": TWINS,
    "deep": DEEP,
    "normed": NORMED,
    "tied": TIED,
    "vae": VAE,
    "gan": GAN,
    "transfer": TRANSFER,
    "penalty": PENALTY,
}


def net(text: str, *, training: bool = False, dtype: str = "f32") -> Graph:
    """The forward graph of the net in a text."""
    module = parse_module(Source("example.net", text))
    return forward(module, training=training, dtype=dtype)


def at_random(graph: Graph, seed: int = 1, batch: int = 7) -> dict[str, NDArray[Any]]:
    """Every output at a random point, by the plain interpreter."""
    draw = np.random.default_rng(seed)
    given: dict[str, Any] = {}
    for name, leaf in graph.leaves.items():
        kind = leaf.value.type
        shape = (batch,) * kind.batched + kind.shape
        if kind.dtype == "i32":
            given[name] = draw.integers(0, kind.classes or 2, shape).astype(np.int32)
        elif leaf.kind == "param":
            spread = min(1.0, float(np.prod(shape[1:])) ** -0.5)  # values stay about 1
            given[name] = spread * draw.normal(size=shape)
        else:
            given[name] = draw.uniform(0.1, 0.9, shape)
    values = evaluate([o.value for o in graph.outputs], given, batch=batch)
    return {o.name: v for o, v in zip(graph.outputs, values, strict=True)}
