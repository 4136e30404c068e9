"""Nets that generate, with sizes and inputs, for the tests of generating."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.compiler.elaborate import Module, forward, parse_module
from chainrule.compiler.generate.split import Stepwise, stepwise
from chainrule.compiler.graph import Graph
from chainrule.dsl.source import Source
from chainrule.runtime.session import initial_values

Array = NDArray[Any]

CHAR = """net char {
  input text: tokens[T, k]
  input next: tokens[T, k]
  h = text -> embedding(5) -> stacked(lstm, [7, 6], mask = mask(text), dropout = 0.3)
  scores = h.hs -> dense(k)
  output scores
  loss cross_entropy(scores, next, mask = mask(next))
}"""

TRANSLATE = """net translate {
  input source: tokens[S, m]
  input target: tokens[T, k]
  input next: tokens[T, k]
  enc = source -> embedding(4) -> bidirectional(gru, 3, mask = mask(source))
  start = enc.last -> dense(8) -> tanh
  look = additive_attention(5, mask = mask(source))
  cell = dense(8)
  scan x in target -> embedding(4) with h: [8] = start (mask = mask(target)) {
    a = look(h, enc.hs, enc.hs)
    h = concat(x, a.context, h) -> cell -> tanh
    yield concat(h, a.context)
  }
  output softmax(yielded -> dense(k))
  loss cross_entropy(yielded -> dense(k), next, mask = mask(next))
}"""

CAPTION = """net caption {
  input image: [1, 6, 6]
  input target: tokens[T, k]
  input next: tokens[T, k]
  seen = image -> conv(3, 3) -> relu -> flatten -> dense(6)
  words = target -> embedding(4)
  scan w in words with h: [6] = 0 {
    h = tanh(concat(w, seen, h) -> dense(6))
    yield h
  }
  scores = yielded -> dense(k)
  output scores
  loss cross_entropy(scores, next)
}"""

NESTED = """net nested {
  input text: tokens[T, k]
  param first: [4] ~ normal(0, 1)
  x = one_hot(text, classes = classes(text)) -> dense(4)
  scan e in x with h: [4] = first, n: [1] = 0 {
    scan turn in e with g: [4] = h { g = tanh(g + turn * h) }
    h = g
    n = n + 1
    yield concat(h, n / 10)
  }
  output log_softmax(yielded -> dense(k))
}"""

NETS = {"char": CHAR, "translate": TRANSLATE, "caption": CAPTION, "nested": NESTED}
STEPS, CLASSES = 6, 9


@dataclass
class Case:
    """A net with numbers: `inputs` are what it is given besides what it is to say."""

    name: str
    count: int = 4
    seed: int = 0
    sizes: dict[str, int] = field(
        default_factory=lambda: {"T": STEPS, "k": CLASSES, "S": 5, "m": 7}
    )

    def __post_init__(self) -> None:
        self.module: Module = parse_module(Source(f"{self.name}.net", NETS[self.name]))
        self.net: Stepwise = stepwise(self.module, sizes=self.sizes)
        self.graph: Graph = forward(self.module, sizes=self.sizes)
        drawn = initial_values(self.graph, self.seed)
        self.values = {n: np.asarray(2 * a, a.dtype) for n, a in drawn.items()}
        rng = np.random.default_rng(self.seed)
        n = self.count
        self.tokens = rng.integers(0, CLASSES, (n, STEPS)).astype(np.int32)
        known: dict[str, Array] = {
            "source": rng.integers(0, 7, (n, 5)).astype(np.int32),
            "source.length": rng.integers(1, 6, n).astype(np.int32),
            "image": rng.normal(size=(n, 1, 6, 6)).astype(np.float32),
        }
        needed = {leaf.name for leaf in self.net.inputs}
        self.inputs = {a: x for a, x in known.items() if a.removesuffix(".length") in needed}

    def told(self, tokens: Array) -> dict[str, Array]:
        """All inputs of the whole net, with the tokens that it would have to say."""
        n = len(tokens)
        full = np.full(n, STEPS, np.int32)
        given = {a: np.repeat(x, n // len(x), axis=0) for a, x in self.inputs.items()}
        feed = self.net.feed
        return {**given, feed: tokens, "next": tokens, f"{feed}.length": full, "next.length": full}
