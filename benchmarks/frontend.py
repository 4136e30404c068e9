"""Cost of the stages before any kernel is compiled, for a deep net: `python
benchmarks/frontend.py`.

Prints seconds for each stage of an MLP of 1,000 layers (or as many as given), and what building
the same graph as a networkx.MultiDiGraph takes: the reason why `Graph` builds one only when
asked.
"""

from __future__ import annotations

import sys
import time

from chainrule.compiler.elaborate import forward, parse_module
from chainrule.compiler.passes import lower, optimise, stabilise
from chainrule.compiler.schedule import plan
from chainrule.compiler.step import minimized, training_step
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


@without_collector()
def main() -> None:
    layers = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    optimizer = sys.argv[2] if len(sys.argv) > 2 else "sgd(lr = 0.1)"
    forward(parse_module(Source("warm.net", text(1, optimizer))))  # the library is parsed once
    start = last = time.perf_counter()

    def lap(stage: str, nodes: int) -> None:
        nonlocal last
        now = time.perf_counter()
        print(f"{stage:<10} {now - last:7.3f} s   {nodes:>7} nodes")
        last = now

    module = parse_module(Source("deep.net", text(layers, optimizer)))
    lap("parse", 0)
    graph = forward(module, training=True)
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
