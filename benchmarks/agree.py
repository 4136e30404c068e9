"""That all frameworks do the same: `python -m benchmarks.agree [rows] [--peers a,b] [--count 10]`.

Each starts from the same weights and learns the first batch in so many steps; printed are the
losses of the first step and the last. Any step more than 1e-4 apart, relatively, gives it
status 1. Rows of images are left out: there each framework draws its own weights and dropout.
What a generative row would draw in its step is given to all as data here.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from .generative import Generative
from .rows import ROWS
from .steps import PEERS, made

TOLERANCE = 1e-4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("keys", nargs="*", metavar="row")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--count", type=int, default=10, help="steps")
    options = parser.parse_args()
    keys = options.keys or [key for key, row in ROWS.items() if not row.is_image]
    worst = 0.0
    for key in keys:
        row = ROWS[key]
        if isinstance(row, Generative):
            row = replace(row, drawn=False)
        runs = made(row, options.peers.split(","))
        losses = {}
        for peer, run in runs.items():
            if key == "k" and peer == "jax":
                continue  # takes 64 steps at least
            losses[peer] = [float(run(1)) for _ in range(options.count)]
        spread = max((max(f) - min(f)) / max(f) for f in zip(*losses.values(), strict=True))
        worst = max(worst, spread)
        shown = ", ".join(f"{p} {f[0]:.6f} -> {f[-1]:.6f}" for p, f in losses.items())
        print(f"{key}: {shown}; spread {spread:.1e}", flush=True)
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
