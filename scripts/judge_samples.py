"""Let LeNet-5 judge what generative nets make: `python scripts/judge_samples.py DATA NAME…`.

DATA is a folder with `mnist/` in it; NAMEs are examples (`gan`, `dcgan`, `wgan`, `vae`). Weights
are those that `chainrule train` wrote under `--runs` (out/); an example without any is trained
first, and so is `lenet.net`, the judge. Of 1,000 samples it prints how many of each digit the judge
sees, how sure it is, and whether the goal is met: no digit is more than a quarter of the samples,
and more than half of them, nine digits or more among those, are seen with a probability of at
least 0.9.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import chainrule

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SURE = 0.9  # the probability of a confident answer
GREATEST = 0.25  # the greatest share that one digit may have
PRESENT = 0.01  # the least share of confident answers for a digit that counts as made
DIGITS = 9  # how many must be made


@dataclass(frozen=True)
class Verdict:
    """What the judge says of some samples: how many of each digit it sees, and with confidence (a
    probability of at least SURE), and the mean probability of its answers."""

    counts: NDArray[np.int64]
    confident: NDArray[np.int64]
    confidence: float

    @property
    def sure(self) -> float:
        """The share of confident answers."""
        return float(self.confident.sum() / self.counts.sum())

    @property
    def passed(self) -> bool:
        total = self.counts.sum()
        made = np.count_nonzero(self.confident >= PRESENT * total)
        return bool(made >= DIGITS and self.counts.max() <= GREATEST * total and self.sure > 0.5)


def main() -> None:
    asked = _arguments()
    judge = trained("lenet", asked.data, asked.runs)
    right = judge.evaluate()["accuracy"]
    print(f"judge: lenet.net, {100 * right:.2f}% of MNIST's test digits right\n")
    print("| net | seen as 0, 1, … 9 | with confidence | all | mean probability | goal |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in asked.names:
        model = trained(name, asked.data, asked.runs)
        found = judged(judge, model.sample(asked.count, seed=asked.seed))
        counts, confident = (
            " ".join(str(n) for n in each) for each in (found.counts, found.confident)
        )
        sure = f"{100 * found.sure:.1f}% | {found.confidence:.3f}"
        goal = "met" if found.passed else "missed"
        print(f"| `{name}.net` | {counts} | {confident} | {sure} | {goal} |", flush=True)


def judged(judge: chainrule.Model, samples: NDArray[Any]) -> Verdict:
    """What the judge says of pictures [n, …] of 28×28 pixels."""
    probabilities = judge.predict(samples.reshape(-1, 1, 28, 28))
    best, digits = probabilities.max(axis=1), probabilities.argmax(axis=1)
    counts = np.bincount(digits, minlength=10)
    confident = np.bincount(digits[best >= SURE], minlength=10)
    return Verdict(counts, confident, float(best.mean()))


def trained(name: str, data: Path, runs: Path) -> chainrule.Model:
    """The example with the weights of its last run; without any it is trained now."""
    model = chainrule.load(EXAMPLES / f"{name}.net", data_root=data)
    weights = runs / name / "model.safetensors"
    if weights.is_file():
        model.load_weights(weights)
    else:
        model.fit()
        model.save(weights)
    return model


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--runs", type=Path, default=Path("out"))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
