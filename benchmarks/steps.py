"""Step time and start-up, side by side: `python -m benchmarks.steps [rows] [--peers a,b] [--json
F]`.

Every round measures each framework in turn, so that a shared machine's drift hits all alike;
the table gives the median step and the median of the rounds' ratios with their spread. Start-up
is the time of a whole process from start to the end of its first step, with an empty cache
(cold) and again (warm). `OPENBLAS_CORETYPE` is removed from the environment, so that BLAS
chooses its own kernels.
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
from pathlib import Path

from .rows import ROWS, Row

SETTLE = 0.3  # seconds between frameworks: idle threads of the last one spin for up to 200 ms
PEERS = ("chainrule", "numpy", "torch", "jax")
ROOT = Path(__file__).resolve().parents[1]


def step_times(row: Row, peers: list[str], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Seconds a step, one number a round, for each peer."""
    runs = {p: importlib.import_module(f".peers.{p}_", __package__).make(row) for p in peers}
    counts = {}
    for peer, run in runs.items():
        run(64)
        start = time.perf_counter()
        run(64)
        took = (time.perf_counter() - start) / 64
        counts[peer] = max(64, int(seconds / took) // 64 * 64)
    times: dict[str, list[float]] = {p: [] for p in peers}
    for _ in range(rounds):
        for peer, run in runs.items():
            time.sleep(SETTLE)
            start = time.perf_counter()
            run(counts[peer])
            times[peer].append((time.perf_counter() - start) / counts[peer])
    return times


def start_up(row: Row, peer: str, cache: str) -> float:
    """Seconds of a process that makes the row's step and runs it once."""
    code = (
        "from benchmarks.rows import ROWS; import importlib;"
        f"importlib.import_module('benchmarks.peers.{peer}_').make(ROWS['{row.key}'])(1)"
    )
    environment = {**os.environ, "CHAINRULE_CACHE": cache, "JAX_COMPILATION_CACHE_DIR": cache,
                   "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}  # fmt: skip
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    return time.perf_counter() - start


def report(row: Row, times: dict[str, list[float]], starts: dict[str, tuple[float, float]]) -> str:
    ours = times["chainrule"]
    lines = [
        f"| {row.key} | {row.title} | {row.flops / 1e6:.1f} |"
        + "".join(f" {statistics.median(times[p]) * 1e3:.4f} |" for p in times)
    ]
    for peer in times:
        if peer == "chainrule":
            continue
        ratios = sorted(b / a for a, b in zip(ours, times[peer], strict=True))
        middle = statistics.median(ratios)
        lines.append(f"  {peer} / chainrule: {middle:.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})")
    for peer, (cold, warm) in starts.items():
        lines.append(f"  first step of {peer}: cold {cold:.2f} s, warm {warm:.2f} s")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", default=list(ROWS))
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.3, help="a peer's share of a round")
    parser.add_argument("--no-start", action="store_true", help="leave out cold and warm starts")
    parser.add_argument("--json", type=Path, help="write the raw numbers")
    options = parser.parse_args()
    peers = options.peers.split(",")
    raw = {}
    print("| row | what | MFLOP |" + "".join(f" {p} ms |" for p in peers))
    for key in options.rows:
        row = ROWS[key]
        starts = {}
        if not options.no_start:
            for peer in peers:
                with tempfile.TemporaryDirectory() as cache:
                    starts[peer] = (start_up(row, peer, cache), start_up(row, peer, cache))
        times = step_times(row, peers, options.rounds, options.seconds)
        print(report(row, times, starts), flush=True)
        raw[key] = {"times": times, "starts": starts}
    if options.json:
        options.json.write_text(json.dumps(raw))


if __name__ == "__main__":
    if "OPENBLAS_CORETYPE" in os.environ:
        del os.environ["OPENBLAS_CORETYPE"]
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.steps", *sys.argv[1:]])
    main()
