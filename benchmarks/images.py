"""Bytes per second of what image networks do between convolutions: `python -m benchmarks.images`.

Pooling, statistics of channels, normalisation into padded memory, and their like, on images in
[height, width, channels] memory; a copy of as many bytes beside them is the machine's own speed.
Bytes are those of the operands and the result, each once. Best times: a shared machine only ever
makes a kernel slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import apply
from chainrule.compiler.partial import within_examples
from chainrule.compiler.plan import Plan
from chainrule.compiler.schedule import plan as schedule
from chainrule.compiler.types import Type
from chainrule.compiler.value import Value
from chainrule.runtime.cpu import CpuDevice

# batch, height, width, channels
SHAPES = [(32, 32, 32, 64), (32, 16, 16, 128), (64, 28, 28, 6), (8, 112, 112, 64)]
ROUNDS, TURNS = 20, 4


def image(name: str, shape: tuple[int, ...]) -> Value:
    return leaf("input", name, Type(shape, "f32", True))


def by_channel(name: str, channels: int) -> Value:
    return leaf("param", name, Type((channels,), "f32"))


def pooled(kind: str, kernel: int, stride: int) -> Callable[[int, int, int], list[Value]]:
    def make(h: int, w: int, c: int) -> list[Value]:
        x = image("x", (h, w, c))
        return [
            apply(kind, apply("windows", x, kernel=kernel, stride=stride, axes=(0, 1)), over=(3, 4))
        ]

    return make


def unpooled(h: int, w: int, c: int) -> list[Value]:
    """The gradient of 2 × 2 max pooling, from the maxima."""
    x, y, g = (
        image("x", (h, w, c)),
        image("y", (h // 2, w // 2, c)),
        image("g", (h // 2, w // 2, c)),
    )
    seen = apply("windows", x, kernel=2, stride=2, axes=(0, 1))
    small = (h // 2, w // 2, c, 1, 1)
    chosen = apply("eq", seen, apply("reshape", y, shape=small))
    part = apply("where", chosen, apply("reshape", g, shape=small), 0.0)
    return [apply("overlap_add", part, shape=(h, w, c), axes=(0, 1), stride=2)]


def copied(h: int, w: int, c: int) -> list[Value]:
    return [apply("maximum", image("x", (h, w, c)), 0.0)]


def moments(h: int, w: int, c: int) -> list[Value]:
    x = image("x", (h, w, c))
    return [apply("sum", v, over=("batch", 0, 1)) for v in (x, x * x)]


def backward(h: int, w: int, c: int) -> list[Value]:
    """Σ g and Σ g·x̂, as the gradient of batch normalisation needs."""
    x, g = image("x", (h, w, c)), image("g", (h, w, c))
    normal = (x - by_channel("mean", c)) * by_channel("rho", c)
    return [apply("sum", v, over=("batch", 0, 1)) for v in (g, g * normal)]


def normalised(h: int, w: int, c: int) -> list[Value]:
    """γ(x − μ)/√(σ² + ε) + β, ReLU, inside a border of zeros."""
    m, v, gamma, beta = (by_channel(n, c) for n in ("mean", "variance", "gamma", "beta"))
    y = (image("x", (h, w, c)) - m) * (gamma / apply("sqrt", v + 1e-5)) + beta
    y = apply("maximum", y, 0.0)
    return [apply("pad", y, start=(1, 1, 0), shape=(h + 2, w + 2, c))]


def response(h: int, w: int, c: int) -> list[Value]:
    """Σ x² over five neighbouring channels."""
    x = image("x", (h, w, c))
    padded = apply("pad", x * x, start=(0, 0, 2), shape=(h, w, c + 4))
    return [apply("sum", apply("windows", padded, kernel=5, axes=(2,)), over=3)]


CASES: dict[str, Callable[[int, int, int], list[Value]]] = {
    "copy (ReLU)": copied,
    "max pool 2, stride 2": pooled("max", 2, 2),
    "max pool 3, stride 2": pooled("max", 3, 2),
    "its gradient, 2 × 2": unpooled,
    "sum pool 2, stride 2": pooled("sum", 2, 2),
    "Σ x, Σ x² by channel": moments,
    "Σ g, Σ g·x̂ by channel": backward,
    "normalise, ReLU, pad": normalised,
    "Σ of 5 neighbours": response,
}


def made(values: list[Value], batch: int) -> tuple[Plan, float]:
    """The plan of some results, repeated, and the bytes that one turn has to move."""
    outputs = tuple(Output("output", f"o{k}", v) for k, v in enumerate(values))
    bare = Graph("one", outputs)
    leaves = [v for v in bare.nodes if "name" in v.attrs]
    named = {str(v.attrs["name"]): Leaf(v, v.op.name) for v in leaves}
    plan = schedule(within_examples(Graph("one", outputs, named)), batch)
    size = sum(v.type.size * (batch if v.type.batched else 1) for v in (*leaves, *values))
    kernels, barriers = plan.kernels * TURNS, plan.barriers * TURNS
    return replace(plan, kernels=kernels, barriers=barriers), 4.0 * size * TURNS


def seconds(plan: Plan, batch: int, threads: int) -> float:
    rng = np.random.default_rng(0)
    loaded = CpuDevice(threads=threads).load(plan)
    for b in plan.buffers:
        if b.kind in ("input", "param"):
            shape = (batch, *b.type.shape) if b.type.batched else b.type.shape
            loaded.write(b.name, rng.random(shape, np.float32))
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        loaded.run(batch)
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    for batch, h, w, c in SHAPES:
        print(f"\n{batch} × {h} × {w} × {c}, GB/s on 1 and 2 threads, µs on 2")
        for name, make in CASES.items():
            plan, moved = made(make(h, w, c), batch)
            times = [seconds(plan, batch, t) for t in (1, 2)]
            shown = " | ".join(f"{moved / t / 1e9:6.1f}" for t in times)
            print(f"| {name:24s} | {shown} | {times[1] / TURNS * 1e6:8.1f} |", flush=True)


if __name__ == "__main__":
    main()
