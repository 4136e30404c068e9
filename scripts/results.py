"""Train every example and print the table of docs/results.md: `python scripts/results.py [DATA]`.

DATA is a folder with `mnist/` in it; without it the MNIST rows are left out. Seconds are those of a
whole training run on this machine, compilation included, with the kernel cache as it is.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import chainrule

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
ROWS = (
    "linear_regression", "logistic_regression", "perceptron", "iris", "xor", "digits",
    "multi_label", "regression_heads", "mnist", "mnist_deep", "nielsen",
)  # fmt: skip
NEED_MNIST = {"mnist", "mnist_deep", "nielsen"}


def main() -> None:
    data = Path(sys.argv[1]) / "mnist" if len(sys.argv) > 1 else None
    print("| example | epochs run | seconds | figures on the test part |")
    print("| --- | --- | --- | --- |")
    for name in ROWS:
        if name in NEED_MNIST and data is None:
            continue
        model = chainrule.load(EXAMPLES / f"{name}.net", data_root=data)
        start = time.perf_counter()
        history = model.fit()
        seconds = time.perf_counter() - start
        scores = model.evaluate()
        figures = ", ".join(f"{word} {value:.4g}" for word, value in scores.items())
        print(f"| `{name}.net` | {epochs(history)} | {seconds:.1f} | {figures} |", flush=True)


def epochs(history: chainrule.History) -> int:
    return max((row.epoch for row in history.rows), default=0)


if __name__ == "__main__":
    main()
