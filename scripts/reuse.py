"""What learning before is worth: `python scripts/reuse.py DATA [NAME…] [--picks 5]`.

DATA is a folder with `mnist/` in it; NAMEs are `pretraining` and `transfer`. The nets that teach
are trained once, as the file says; then the net with few labels is trained with their weights and
from chance, for several picks of its labels (`pick`, which is also the seed). Prints the accuracies
on the test part in percent, their mean and deviation. Weights go to `--runs`; those that lie there
are used.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import chainrule

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TEACHERS = {"pretraining": ("first", "second", "third"), "transfer": ("large",)}
LEARNER = {"pretraining": "classifier", "transfer": "small"}


def main() -> None:
    asked = _arguments()
    picks = range(1, asked.picks + 1)
    numbers = " | ".join(f"pick {k}" for k in picks)
    print(f"| example | start | {numbers} | mean ± deviation |")
    print("| --- | --- |" + " --- |" * (len(picks) + 1))
    for name in asked.names:
        teach(name, asked.data, asked.runs / name)
        learner = LEARNER[name]
        for start, run in (("learned before", learner), ("chance", f"{learner}_2")):
            found = [100 * learn(name, run, k, asked.data, asked.runs / name) for k in picks]
            each = " | ".join(f"{x:.2f}" for x in found)
            total = f"{np.mean(found):.2f} ± {np.std(found, ddof=1):.2f}"
            print(f"| `{name}.net` | {start} | {each} | {total} |", flush=True)


def teach(name: str, data: Path, runs: Path) -> None:
    """Train the nets whose weights the last ones load, where that is not done."""
    for run in TEACHERS[name]:
        weights = runs / run / "model.safetensors"
        if weights.is_file():
            continue
        model = chainrule.load(EXAMPLES / f"{name}.net", train=run, threads=1, data_root=data)
        model.fit(out=weights.parent)
        model.save(weights)


def learn(name: str, run: str, pick: int, data: Path, runs: Path) -> float:
    """The test accuracy of one training with the labels of that pick."""
    path = EXAMPLES / f"{name}.net"
    model = chainrule.load(
        path, set={"pick": pick}, train=run, seed=pick, threads=1, data_root=data
    )
    model.fit(out=runs / run)
    return model.evaluate()["accuracy"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", default=list(TEACHERS))
    parser.add_argument("--picks", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("out"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
