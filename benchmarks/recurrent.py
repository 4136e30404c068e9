"""Recurrent layers against their size: `python -m benchmarks.recurrent [--kinds lstm,gru,rnn]`.

A step (forward, backward, update) of the character model of row g in docs/performance.md, for
other numbers of steps and units, ours beside other frameworks in turn, as in `benchmarks.steps`.
Then what must not grow with the number of steps: the nodes of our graph and of its lowered form,
kernels, seconds of compiling from text to plan, and seconds of a process from its start to the end
of its first step, with an empty cache and again; beside them JAX's. `OPENBLAS_CORETYPE` is removed
from the environment. All print Markdown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable

from chainrule.compiler.graph import Graph, topological
from chainrule.compiler.passes import lower, optimise
from chainrule.compiler.pipeline import compile_plan, parse_module, step
from chainrule.compiler.plan import written_out
from chainrule.compiler.value import Value
from chainrule.dsl.source import Source

from .peers import chainrule_
from .rows import Row, characters
from .steps import NAMES, made, start_up, step_times

REPEATS = 3


def nodes(roots: Iterable[Value]) -> int:
    """Of a graph with these results and of the bodies of its scans."""
    values = topological(roots)
    bodies = (v.attrs["body"].results for v in values if v.op.family == "scan")
    return len(values) + sum(map(nodes, bodies))


def size(graph: Graph) -> int:
    return nodes(o.value for o in graph.outputs)


def times(row: Row, peers: list[str], rounds: int, seconds: float) -> list[str]:
    """Milliseconds of the first peer that there is, and the ratios of the others to it."""
    found = step_times(made(row, peers), rounds, seconds)
    base, *others = found.items()
    cells = [f"{statistics.median(base[1]) * 1e3:#.3g}"]
    for _, other in others:
        ratios = sorted(b / a for a, b in zip(base[1], other, strict=True))
        cells.append(f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})")
    return [*cells, f"{row.flops / statistics.median(base[1]) / 1e9:.0f}"]


def sizes(row: Row) -> list[str]:
    """Nodes of the graph and of its lowered form, kernels, and the least seconds of compiling."""
    took = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        module = parse_module(Source("row.net", chainrule_.text(row)))
        graph = step(module, module.trains[0], sizes=chainrule_.sizes(row))
        plan = compile_plan(graph, row.batch)
        took.append(time.perf_counter() - start)
    counts = (size(graph), size(lower(optimise(graph))), len([*written_out(plan.kernels)]))
    return [*map(str, counts), f"{min(took):.2f}", f"{plan.arena / 1e6:.1f}"]


def start(row: Row, peer: str) -> str:
    with tempfile.TemporaryDirectory() as cache:
        cold, warm = (start_up(row, peer, cache)[0] for _ in range(2))
    return f"{cold:.2f} / {warm:.2f}"


def table(head: list[str]) -> None:
    print(f"\n| {' | '.join(head)} |\n{'| --- ' * len(head)}|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default="lstm")
    parser.add_argument("--steps", default="8,32,128,512")
    parser.add_argument("--units", default="32,128,512")
    parser.add_argument("--peers", default="chainrule,torch,jax")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="a peer's share of a round")
    parser.add_argument("--no-times", action="store_true", help="only what must not grow")
    parser.add_argument("--no-sizes", action="store_true", help="only the times")
    options = parser.parse_args()
    peers = options.peers.split(",")
    lengths, widths = ([int(n) for n in o.split(",")] for o in (options.steps, options.units))
    shape = ["layer", "steps", "units"]
    for kind in options.kinds.split(","):
        if not options.no_times:
            others = [f"{NAMES.get(p, p)}, of it" for p in peers[1:]]
            table([*shape, f"{peers[0]}, ms", *others, "GFLOP/s"])
            for units in widths:
                for length in lengths:
                    row = characters(kind, steps=length, units=units)
                    cells = times(row, peers, options.rounds, options.seconds)
                    print(
                        "| " + " | ".join([kind, str(length), str(units), *cells]) + " |",
                        flush=True,
                    )
        if not options.no_sizes:
            table([*shape, "nodes", "lowered", "kernels", "compile, s", "arena, MB",
                   "first step cold / warm, s", "jax's"])  # fmt: skip
            for length in lengths:
                row = characters(kind, steps=length)
                cells = [*sizes(row), start(row, "chainrule"), start(row, "jax")]
                print("| " + " | ".join([kind, str(length), "128", *cells]) + " |", flush=True)


if __name__ == "__main__":
    if "OPENBLAS_CORETYPE" in os.environ:
        del os.environ["OPENBLAS_CORETYPE"]
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.recurrent", *sys.argv[1:]])
    main()
