"""Cost of the stages before any kernel is compiled, for a deep net: `python benchmarks/frontend.py
[layers [optimizer]]`, or `python benchmarks/frontend.py examples/resnet.net depth=152`.

Prints seconds for each stage of an MLP of 1,000 layers (or as many as given), or of a file with
its settings, and what building the same graph as a networkx.MultiDiGraph takes: the reason why
`Graph` builds one only when asked.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from chainrule.compiler.elaborate import forward, parse_module
from chainrule.compiler.minimize import minimized
from chainrule.compiler.passes import lower, optimise, stabilise
from chainrule.compiler.schedule import plan
from chainrule.compiler.step import training_step
from chainrule.dsl.collector import without_collector
from chainrule.dsl.source import Source


def text(layers: int, optimizer: str) -> str:
    return f"""
net deep {{
  input x: [32]
  input y: class[10]
  h = x
  repeat {layers} {{
    h = h -> dense(32) -> relu
  }}
  s = h -> dense(10)
  output softmax(s)
  loss cross_entropy(s, y)
}}
train deep on digits() {{
  optimizer {optimizer}
  batch 32
}}
"""


def asked() -> tuple[Source, dict[str, str]]:
    """The file to measure, and its settings."""
    given = sys.argv[1:]
    if given and given[0].endswith(".net"):
        settings = dict(word.split("=", 1) for word in given[1:])
        return Source(given[0], Path(given[0]).read_text(encoding="utf-8")), settings
    layers = int(given[0]) if given else 1000
    return Source("deep.net", text(layers, given[1] if len(given) > 1 else "sgd(lr = 0.1)")), {}


@without_collector()
def main() -> None:
    source, settings = asked()
    forward(parse_module(Source("warm.net", text(1, "sgd(lr = 0.1)"))))  # the library, parsed once
    start = last = time.perf_counter()

    def lap(stage: str, nodes: int) -> None:
        nonlocal last
        now = time.perf_counter()
        print(f"{stage:<10} {now - last:7.3f} s   {nodes:>7} nodes")
        last = now

    module = parse_module(source, settings)
    lap("parse", 0)
    graph = forward(module, module.trains[0].name.id, training=True)
    lap("elaborate", len(graph.nodes))
    graph = stabilise(graph)
    lap("stabilise", len(graph.nodes))
    ((minimize, _),) = minimized(module.trains[0])
    step = training_step(graph, module, minimize)
    lap("step", len(step.nodes))
    step = optimise(step)
    lap("optimise", len(step.nodes))
    step = lower(step)
    lap("lower", len(step.nodes))
    result = plan(step, 32)
    lap("plan", len(result.kernels))
    print(f"{'total':<10} {last - start:7.3f} s   {len(result.distinct)} different kernels")
    start = time.perf_counter()
    size = step.networkx.number_of_edges()
    print(f"{'networkx':<10} {time.perf_counter() - start:7.3f} s   {size:>7} edges, once")


if __name__ == "__main__":
    main()
