"""Make the pictures that README.md and docs/ show, into docs/images. Run by developers.

    python scripts/make_pictures.py

The same sources give the same bytes with the same layout engine and fonts; both are recorded in a
comment at the end of each diagram. The loss curve needs matplotlib and trains the digits example.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import chainrule
from chainrule.pictures import curves
from chainrule.viz.render import engine

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "images"
# name of the picture: (file, view, theme), settings where they differ from the file's, and options
SETTINGS: dict[str, dict[str, Any]] = {
    "resnet152-layers": {"depth": 152},
    "gru-cell": {"cell": "gru"},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "lstm-folded": {"form": "folded"},
    "lstm-cell": {"form": "cell"},
    "lstm-through-time": {"backward": True},
    "gru-cell": {"form": "cell"},
    "digits-passes-rule": {"rule": "like terms"},
    "digits-kernel": {"number": 8},
    "regression-circuit": {"integers": True},
}
DIAGRAMS = {
    "digits-layers": ("examples/digits.net", "layers", "light"),
    "digits-operations": ("examples/digits.net", "operations", "light"),
    "digits-backward": ("examples/digits.net", "backward", "light"),
    "digits-backward-dark": ("examples/digits.net", "backward", "dark"),
    "mnist_deep-backward": ("examples/mnist_deep.net", "backward", "light"),
    "lenet-layers": ("examples/lenet.net", "layers", "light"),
    "lenet-backward": ("examples/lenet.net", "backward", "light"),
    "alexnet-layers": ("examples/alexnet.net", "layers", "light"),
    "vgg-layers": ("examples/vgg.net", "layers", "light"),
    "resnet152-layers": ("examples/resnet.net", "layers", "light"),
    "lstm-folded": ("examples/sequences_mnist.net", "recurrence", "light"),
    "lstm-cell": ("examples/sequences_mnist.net", "recurrence", "light"),
    "lstm-unrolled": ("examples/sequences_mnist.net", "recurrence", "light"),
    "lstm-through-time": ("examples/sequences_mnist.net", "recurrence", "light"),
    "lstm-operations": ("examples/sequences_mnist.net", "operations", "light"),
    "gru-cell": ("examples/sequences_mnist.net", "recurrence", "light"),
    "seq2seq-unrolled": ("examples/dates.net", "recurrence", "light"),
    "vae-layers": ("examples/vae.net", "layers", "light"),
    "vae-training": ("examples/vae.net", "training", "light"),
    "gan-layers": ("examples/gan.net", "layers", "light"),
    "gan-training": ("examples/gan.net", "training", "light"),
    "mistakes-layers": ("docs/images/mistakes.net", "layers", "light"),
    "wgan-training": ("examples/wgan.net", "training", "dark"),
    "regression-circuit": ("examples/linear_regression.net", "circuit", "light"),
    "digits-circuit": ("examples/digits.net", "circuit", "light"),
    "iris-neurons": ("examples/iris.net", "neurons", "light"),
    "lenet-shapes": ("examples/lenet.net", "shapes", "light"),
    "alexnet-shapes": ("examples/alexnet.net", "shapes", "light"),
    "dates-flow": ("examples/dates.net", "flow", "light"),
    "digits-passes": ("examples/digits.net", "passes", "light"),
    "digits-passes-rule": ("examples/digits.net", "passes", "light"),
    "digits-kernels": ("examples/digits.net", "kernels", "light"),
    "digits-kernel": ("examples/digits.net", "kernels", "light"),
    "lenet-memory": ("examples/lenet.net", "memory", "light"),
}


def diagram(name: str) -> str:
    """One diagram as SVG, with what laid it out."""
    file, view, theme = DIAGRAMS[name]
    model = chainrule.load(ROOT / file, set=SETTINGS.get(name))
    picture = model.draw(view, theme=theme, **OPTIONS.get(name, {}))._repr_svg_()
    return f"{picture.rstrip()}\n<!-- laid out by {engine()} -->\n"


def loss_curve() -> str:
    """The loss and accuracy of the digits example, trained as its file says."""
    history = chainrule.load(ROOT / "examples" / "digits.net").fit()
    with tempfile.TemporaryDirectory() as folder:
        svg = next(p for p in curves(history, Path(folder)) if p.suffix == ".svg")
        return svg.read_text(encoding="utf-8")


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in DIAGRAMS:
        (TARGET / f"{name}.svg").write_text(diagram(name), encoding="utf-8")
        print(f"docs/images/{name}.svg")
    if "--no-curve" not in sys.argv[1:]:
        (TARGET / "digits-loss.svg").write_text(loss_curve(), encoding="utf-8")
        print("docs/images/digits-loss.svg")


if __name__ == "__main__":
    main()
