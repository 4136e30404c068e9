"""Step time, start-up and memory, side by side: `python -m benchmarks.steps [rows] [--peers a,b]
[--rows c,d] [--json F]`.

Every round measures each framework in turn, so that a shared machine's drift hits all alike; the
table gives the median step and the median of the rounds' ratios with their spread. Start-up is
the time of a whole process from start to the end of its first step, with an empty cache (cold)
and again (warm); peak memory is what the system says of the warm one. Frameworks that are not
installed are left out. `OPENBLAS_CORETYPE` is removed from the environment, so that BLAS chooses
its own kernels. All print Markdown.

`--one-core` is for a machine that others use: every framework has one core, and what counts is the
time that the core worked for it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .generative import Generative
from .rows import ROWS, Row

SETTLE = 0.3  # seconds between frameworks: idle threads of the last one spin for up to 200 ms
PEERS = ("chainrule", "numpy", "torch", "torch_last", "torch_compile", "jax")
NAMES = {"torch": "torch eager", "torch_last": "torch channels-last",
         "torch_compile": "torch.compile"}  # fmt: skip
CHUNK = 64  # steps that a peer may run in one call where a step is mere overhead
ROOT = Path(__file__).resolve().parents[1]
Clock = Callable[[], float]
Run = Callable[[int], Any]  # so many steps; gives the loss of the last, a number of its framework
Start = dict[str, float]
AnyRow = Row | Generative


def maker(row: AnyRow, peer: str) -> Callable[[Any], Run]:
    """Raises ImportError where the peer is not installed or has no code for such rows."""
    module = importlib.import_module(f".peers.{row.family}{peer}_", __package__)
    make: Callable[[Any], Run] = module.make
    return make


def made(row: AnyRow, peers: list[str]) -> dict[str, Run]:
    """The peers that are installed and can do the row."""
    runs = {}
    for peer in peers:
        if peer == "torch_last" and not row.is_image:
            continue
        try:
            runs[peer] = maker(row, peer)(row)
        except ImportError as error:
            print(f"<!-- row {row.key} without {peer}: {error} -->", flush=True)
    return runs


def step_times(
    runs: dict[str, Run], rounds: int, seconds: float, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds a step, one number a round, for each peer."""
    counts = {}
    for peer, run in runs.items():
        run(1)
        run(2)  # some compile once more for another count
        count, took = 1, 0.0
        while took < seconds / 3 and count < 1 << 20:
            start = clock()
            run(count)
            took = clock() - start
            counts[peer] = max(1, int(seconds / took * count))
            count *= 4
        if counts[peer] > CHUNK:
            counts[peer] -= counts[peer] % CHUNK
    times: dict[str, list[float]] = {p: [] for p in runs}
    for _ in range(rounds):
        for peer, run in runs.items():
            time.sleep(SETTLE)
            start = clock()
            run(counts[peer])
            times[peer].append((clock() - start) / counts[peer])
    return times


def start_up(row: AnyRow, peer: str, cache: str) -> tuple[float, float]:
    """Seconds and megabytes of a process that makes the row's step and runs it once."""
    code = (
        f"from {type(row).__module__} import {type(row).__name__};"
        "from benchmarks.steps import maker, peak_memory;"
        f"row = {row!r}; maker(row, {peer!r})(row)(1); print(peak_memory())"
    )
    environment = {
        **os.environ, "CHAINRULE_CACHE": cache, "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "TORCHINDUCTOR_CACHE_DIR": cache, "TRITON_CACHE_DIR": cache,
    }  # fmt: skip
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True,
                          stdout=subprocess.PIPE, text=True)  # fmt: skip
    return time.perf_counter() - start, float(done.stdout.split()[-1])


def peak_memory() -> float:
    """Megabytes that this process has held at most. (`ru_maxrss` counts its parent's as well.)"""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def starts_of(row: AnyRow, peers: list[str]) -> dict[str, Start]:
    found = {}
    for peer in peers:
        with tempfile.TemporaryDirectory() as cache:
            cold, _ = start_up(row, peer, cache)
            warm, memory = min(start_up(row, peer, cache) for _ in range(2))
            found[peer] = {"cold": cold, "warm": warm, "memory": memory}
    return found


def report(row: AnyRow, times: dict[str, list[float]], starts: dict[str, Start]) -> str:
    """One line a framework; ratios are theirs to ours."""
    ours = times.get("chainrule")
    lines = []
    for peer, found in times.items():
        cells = [row.key, NAMES.get(peer, peer), f"{statistics.median(found) * 1e3:#.4g}"]
        if ours is None or peer == "chainrule":
            cells.append(f"{row.flops / statistics.median(found) / 1e9:.0f} GFLOP/s")
        else:
            ratios = sorted(b / a for a, b in zip(ours, found, strict=True))
            cells.append(f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})")
        if peer in starts:
            start = starts[peer]
            cells += [f"{start['cold']:.2f} / {start['warm']:.2f}", f"{start['memory']:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("keys", nargs="*", metavar="row", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--rows", default="", help="the same, with commas between them")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.3, help="a peer's share of a round")
    parser.add_argument("--no-start", action="store_true", help="leave out cold and warm starts")
    parser.add_argument("--one-core", action="store_true", help="CPU time on a single core")
    parser.add_argument("--json", type=Path, help="write the raw numbers")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    peers = options.peers.split(",")
    keys = [*options.keys, *(k for k in options.rows.split(",") if k)] or list(ROWS)
    raw: dict[str, Any] = {}
    clock = time.perf_counter
    if options.one_core:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        clock = time.process_time
    print("| row | framework | ms a step | of ours (spread) |"
          + ("" if options.no_start else " first step cold / warm, s | peak MB |"))  # fmt: skip
    print("| --- " * (4 if options.no_start else 6) + "|")
    for key in keys:
        row = ROWS[key]
        runs = made(row, peers)
        starts = {} if options.no_start else starts_of(row, list(runs))
        times = step_times(runs, options.rounds, options.seconds, clock)
        print(report(row, times, starts), flush=True)
        raw[key] = {"times": times, "starts": starts}
    if options.json:
        options.json.write_text(json.dumps(raw))
    for key in keys:
        print(f"\n{key}: {ROWS[key].title}; {ROWS[key].flops / 1e6:,.1f} MFLOP", end="")
    print()


if __name__ == "__main__":
    if "OPENBLAS_CORETYPE" in os.environ:
        del os.environ["OPENBLAS_CORETYPE"]
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.steps", *sys.argv[1:]])
    main()
