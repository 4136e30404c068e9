"""Train examples, print the table of docs/results.md: `python scripts/results.py [DATA] [NAME…]`.

DATA is a folder with `mnist/`, `cifar10/cifar10.zip`, `tinyshakespeare.txt` and `multi30k/` in it;
without it rows that need them are left out. NAMEs choose rows; `sequences_mnist:gru` is a row with
another setting. Seconds are those of a whole training run on this machine, compilation included,
with the kernel cache as it is. Nets that answer (`GENERATED`) are also asked to, for the whole test
part: the share of answers that are exactly right, and BLEU where it is installed and fits. A file
with several `train` declarations gives a row for each, in the order written, as the later ones load
what the earlier ones learned. What generative nets make is judged by `scripts/judge_samples.py`;
`scripts/reuse.py` compares starts over several picks of labels.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import chainrule
from chainrule.generating import Writer, choose_generate
from chainrule.project import open_module, run_names

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
ROWS = (
    "linear_regression", "logistic_regression", "perceptron", "iris", "xor", "digits",
    "multi_label", "regression_heads", "dates", "addition", "parity", "copy_ntm", "memory", "mnist",
    "mnist_deep", "nielsen", "lenet", "alexnet_cifar", "vgg_cifar", "resnet_cifar",
    "sequences_mnist:lstm", "sequences_mnist:gru", "sequences_mnist:rnn", "autoencoder",
    "denoising", "vae", "gan", "dcgan", "wgan", "pretraining", "transfer", "captions",
    "shakespeare", "translate",
)  # fmt: skip
NEED_DATA = ROWS[ROWS.index("mnist") :]
GENERATED = {"dates": False, "addition": False, "captions": False, "translate": True}  # with BLEU?


def main() -> None:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    wanted = sys.argv[2:] or ROWS
    print("| example | epochs run | seconds | figures on the test part |")
    print("| --- | --- | --- | --- |")
    for row in wanted:
        if row in NEED_DATA and data is None:
            continue
        name, _, cell = row.partition(":")
        with tempfile.TemporaryDirectory() as folder:
            for run in run_names(open_module(EXAMPLES / f"{name}.net", None)):
                print(trained(name, run, cell, data, Path(folder)), flush=True)


def trained(name: str, run: str, cell: str, data: Path | None, folder: Path) -> str:
    """The row of one training; its weights are left in the folder for those that load them."""
    path, chosen = EXAMPLES / f"{name}.net", {"cell": cell} if cell else None
    model = chainrule.load(path, set=chosen, train=run, data_root=data)
    several = len(run_names(model.module)) > 1
    start = time.perf_counter()
    history = model.fit(out=folder / run if several else None)
    seconds = time.perf_counter() - start
    if several:
        model.save(folder / run / "model.safetensors")
    scores = model.evaluate()
    figures = ", ".join(f"{word} {value:.4g}" for word, value in scores.items())
    figures += answered(model, GENERATED[name]) if name in GENERATED else ""
    shown = ", ".join([f"`{name}.net`", *([run] if several else []), *([cell] if cell else [])])
    return f"| {shown} | {epochs(history)} | {seconds:.1f} | {figures} |"


def answered(model: chainrule.Model, with_bleu: bool) -> str:
    """How good the answers are that a net generates for the test part."""
    declared = choose_generate(model.module, None)
    found = Writer(model, declared, {}).measure("test", with_bleu)
    bleu = f", BLEU {found.bleu:.2f}" if found.bleu is not None else ""
    return f"; answers: {100 * found.exact:.2f}% exact{bleu}"


def epochs(history: chainrule.History) -> int:
    return max((row.epoch for row in history.rows), default=0)


if __name__ == "__main__":
    main()
