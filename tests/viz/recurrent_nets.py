"""Recurrent nets for the tests of pictures and derivations, of the library's cells and others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import forward, parse_module
from chainrule.dsl.source import Source
from chainrule.runtime.plain import evaluate

CLASSIFIER = """net {name} {{
  input xs: [T, 5]
  input digit: class[4]
  {body}
  scores = last -> dense(4)
  output softmax(scores)
  loss cross_entropy(scores, digit)
}}
"""
BIDIRECTIONAL = """net tagger {
  input words: tokens[T, 20]
  input tags: tokens[T, 5]
  e = words -> one_hot
  f = e -> rnn(8)
  g = e -> rnn(8, reverse = true)
  scan u in f.hs, v in g.hs, y in tags (mask = mask(words)) {
    s = dense(5)(concat(u, v))
    yield cross_entropy(s, y)
  }
  loss mean(yielded)
}
"""
SEQ2SEQ = """net seq2seq {
  input source: [T, 6]
  input target: [T, 3]
  enc = source -> gru(8)
  scan y in target with s: [8] = enc.last {
    a = softmax(enc.hs @ s)
    ctx = enc.hs' @ a
    s = tanh(dense(8)(concat(s, y, ctx)))
    yield s -> dense(3)
  }
  loss mean((yielded - target)^2)
}
"""
NESTED = """net nested {
  input xs: [T, 3, 4]
  input y: [5]
  param W: [5, 5] ~ glorot
  param V: [5, 4] ~ glorot
  scan x in xs with h: [5] = 0 {
    scan p in x with g: [5] = h {
      g = tanh(V @ p + W @ g)
    }
    h = tanh(g)
    yield h
  }
  loss sum((h - y)^2)
}
"""
GENERIC = """net generic {
  input xs: [T, 4]
  input y: [3]
  param A: [6, 6] ~ glorot
  param B: [6, 4] ~ glorot
  param C: [3, 6] ~ glorot
  scan x in xs with state: [6] = 0, count: [] = 0 {
    drive = B @ x
    state = state + 0.1 * (A @ state + drive)
    count = count + sum(state)
    yield C @ state
  }
  loss mean((yielded - y)^2) + count
}
"""
# The reset gate applied to h before the product, and z the share of what is new.
CHO = """net cho {
  input xs: [T, 5]
  input y: [4]
  param Wz, Wr, Wn: [4, 9] ~ glorot
  param bz, br, bn: [4] = 0
  scan x in xs with h: [4] = 0 {
    hx = concat(h, x)
    z = sigmoid(Wz @ hx + bz)
    r = sigmoid(Wr @ hx + br)
    n = tanh(Wn @ concat(r * h, x) + bn)
    h = (1 - z) * h + z * n
    yield h
  }
  loss sum((h - y)^2)
}
"""


def _classifier(name: str, body: str) -> str:
    return CLASSIFIER.format(name=name, body=body)


ALL = {
    "rnn": _classifier("elman", "r = xs -> rnn(6)\n  last = r.last"),
    "lstm": _classifier("lstm_net", "r = xs -> lstm(6)\n  last = r.last"),
    "gru": _classifier("gru_net", "r = xs -> gru(6)\n  last = r.last"),
    "cho": CHO,
    "masked": _classifier(
        "masked", "r = xs -> rnn(6, mask = mask(xs), truncate = 4)\n  last = r.last"
    ),
    "backwards": _classifier(
        "backwards", "r = xs -> lstm(6, reverse = true, truncate = 4)\n  last = r.last"
    ),
    "stacked": _classifier(
        "deep", "a = xs -> lstm(6)\n  b = a.hs -> lstm(6)\n  last = b.last + a.last"
    ),
    "bidirectional": BIDIRECTIONAL,
    "seq2seq": SEQ2SEQ,
    "nested": NESTED,
    "generic": GENERIC,
}


def recurrent(name: str, *, steps: int = 7, training: bool = False, dtype: str = "f32") -> Graph:
    """The forward graph of a net, for sequences of that length."""
    module = parse_module(Source("example.net", ALL.get(name, name)))
    return forward(module, training=training, dtype=dtype, sizes={"T": steps})


def at_random(graph: Graph) -> dict[str, NDArray[Any]]:
    """Every output at a random point; sequences have different lengths."""
    draw, batch = np.random.default_rng(3), 3
    given: dict[str, Any] = {}
    for name, leaf in graph.leaves.items():
        kind = leaf.value.type
        shape = (batch,) * kind.batched + kind.shape
        if name.endswith(".length"):
            given[name] = np.array([2, 7, 5], kind.numpy)
        elif kind.dtype == "i32":
            given[name] = draw.integers(0, kind.classes or 2, shape).astype(np.int32)
        else:
            given[name] = 0.6 * draw.normal(size=shape)
    values = evaluate([o.value for o in graph.outputs], given, batch=batch)
    return {o.name: v for o, v in zip(graph.outputs, values, strict=True)}
