"""Train examples, print the table of docs/results.md: `python scripts/results.py [DATA] [NAME…]`.

DATA is a folder with `mnist/` and `cifar10/cifar10.zip` in it; without it rows that need them are
left out. NAMEs choose rows. Seconds are those of a whole training run on this machine, compilation
included, with the kernel cache as it is.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import chainrule

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
ROWS = (
    "linear_regression", "logistic_regression", "perceptron", "iris", "xor", "digits",
    "multi_label", "regression_heads", "mnist", "mnist_deep", "nielsen", "lenet", "alexnet_cifar",
    "vgg_cifar", "resnet_cifar",
)  # fmt: skip
NEED_DATA = ROWS[ROWS.index("mnist") :]


def main() -> None:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    wanted = sys.argv[2:] or ROWS
    print("| example | epochs run | seconds | figures on the test part |")
    print("| --- | --- | --- | --- |")
    for name in wanted:
        if name in NEED_DATA and data is None:
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
