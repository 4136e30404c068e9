"""What `chainrule init` writes: small, complete files on embedded data."""

from __future__ import annotations

import re

from .dsl.format import format_source
from .dsl.source import Source

STARTERS = {
    "classifier": """\
# Tells handwritten digits (8 × 8 pixels) apart.
net {name} {{
  input image: [64]
  input digit: class[10]

  h      = image -> dense(64) -> relu
  scores = h -> dense(10)

  output softmax(scores)
  loss   cross_entropy(scores, digit)
  metric accuracy(scores, digit)
}}

data examples = digits() -> split(valid = 0.1, seed = 1)

train {name} on examples {{
  optimizer adam(lr = 1e-3)
  batch     32
  epochs    30
  stop_early(patience = 5)
}}
""",
    "regression": """\
# Predicts how diabetes progresses in a year from ten measurements.
net {name} {{
  input features: [10]
  input target: [1]

  prediction = features -> dense(32) -> relu -> dense(1)

  output prediction
  loss   mse(prediction, target)
}}

data examples = diabetes() -> split(valid = 0.1, test = 0.2, seed = 1) -> normalize

train {name} on examples {{
  optimizer adam(lr = 1e-2)
  batch     32
  epochs    50
  stop_early(patience = 10)
}}
""",
}


def starter(kind: str, stem: str) -> str:
    """The text, with the net named after the file."""
    name = re.sub(r"\W", "_", stem)
    if not name or not (name[0].isalpha() or name[0] == "_"):
        name = f"net_{name}"
    return format_source(Source(name, STARTERS[kind].format(name=name)))
