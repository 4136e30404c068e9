"""A training step on an NVIDIA GPU, beside PyTorch on the same: `python -m benchmarks.cuda [rows]`.

The rows of docs/performance.md, their data on the GPU. Both run in turn, round by round; a round is
timed from its first launch until the GPU is idle. PyTorch computes in full f32, as chainrule does,
unless `--tf32` lets it round what it multiplies to 10 bits. Start-up is what loading a row costs:
kernels compiled, or found in the cache. Without a GPU, it says so and ends.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from chainrule.dsl.diagnostics import Failure
from chainrule.runtime.cuda import CudaDevice
from chainrule.runtime.cuda_toolkit import ready

from .rows import ROWS
from .steps import AnyRow, maker

Run = Callable[[int], None]


def torch_runs(row: AnyRow, tf32: bool) -> dict[str, Run]:
    """PyTorch's ways that can be had: eager, channels-last, compiled."""
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError:
        return {}
    if not torch.cuda.is_available():
        return {}
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    make: Any = maker(row, "torch")
    ways: dict[str, dict[str, bool]] = {"torch eager": {}, "torch.compile": {"compiled": True}}
    if row.is_image:
        ways["torch channels-last"] = {"channels_last": True}

    def run(step: Run, count: int) -> None:
        step(count)
        torch.cuda.synchronize()

    made = {way: make(row, device="cuda", **how) for way, how in ways.items()}
    return {way: partial(run, step) for way, step in made.items()}


def seconds(run: Run, count: int) -> float:
    start = time.perf_counter()
    run(count)
    return (time.perf_counter() - start) / count


def measure(row: AnyRow, rounds: int, share: float, tf32: bool) -> list[str]:
    """The lines of a row: the median step of each, ratios to ours with their spread."""
    ours: Any = maker(row, "chainrule")
    start = time.perf_counter()
    runs: dict[str, Run] = {"chainrule": ours(row, CudaDevice())}
    runs["chainrule"](1)
    first = time.perf_counter() - start
    runs |= torch_runs(row, tf32)
    counts = {}
    for name, run in runs.items():
        run(4)  # compiles, chooses algorithms
        counts[name] = max(4, int(share / seconds(run, 4)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(seconds(run, counts[name]))
    lines = []
    for name, found in times.items():
        ratios = sorted(b / a for a, b in zip(times["chainrule"], found, strict=True))
        ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        middle = statistics.median(found)
        lines.append(
            f"| {row.key} | {name} | {middle * 1e3:.3f} | {row.flops / middle / 1e9:.0f} | "
            f"{'1' if name == 'chainrule' else ratio} |"
        )
    return [*lines, f"<!-- row {row.key}: first step of chainrule after {first:.1f} s -->"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", default=list(ROWS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.3, help="a share of a round")
    parser.add_argument("--tf32", action="store_true", help="let PyTorch round to TF32")
    options = parser.parse_args()
    try:
        cuda = ready()
    except Failure as failure:
        print(f"nothing to measure: {failure.diagnostics[0].message}")
        return
    name = cuda.get_current_device().name
    print(f"On {name.decode() if isinstance(name, bytes) else name}:\n")
    print("| row | framework | ms a step | GFLOP/s | its time / ours |")
    print("| --- | --- | ---: | ---: | ---: |")
    for key in options.rows:
        lines = measure(ROWS[key], options.rounds, options.seconds, options.tf32)
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
