"""Make the plots that docs/plots.md shows, into docs/images. Run by developers.

    python scripts/make_plots.py DATA

DATA is a folder with `mnist/` in it: LeNet-5 is trained for three epochs. The other nets need no
files. The same weights give the same bytes with the same matplotlib; trainings on another machine
end at slightly other weights, so these pictures are not compared byte by byte in the tests.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import chainrule
from chainrule.plots import Asked, plot

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "images"
# kind -> the net, and what is asked
PLOTS: dict[str, tuple[str, Asked]] = {
    "activations": ("", Asked()),
    "curves": ("digits", Asked()),
    "weights": ("lenet", Asked()),
    "features": ("lenet", Asked(examples=(18,))),
    "saliency": ("lenet", Asked()),
    "confusion": ("digits", Asked()),
    "boundary": ("exclusive_or", Asked(moving=True)),
    "surface": (
        "digits",
        Asked(optimizers="sgd(lr = 0.1), heavy_ball(lr = 0.03), adam(lr = 3e-3)", epochs=15),
    ),
}
FILES = {"digits": "digits.net", "lenet": "lenet.net", "exclusive_or": "xor.net"}
EPOCHS = {"lenet": 3}


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        models: dict[str, Any] = {"": None}
        for kind, (net, asked) in PLOTS.items():
            out = Path(folder) / net
            if net not in models:
                model = chainrule.load(ROOT / "examples" / FILES[net], data_root=sys.argv[1])
                if not asked.afresh:
                    model.fit(out=out, epochs=EPOCHS.get(net))
                models[net] = model
            options = Asked(**{**vars(asked), "folder": out})
            made = plot(models[net], kind, Path(folder) / f"plot-{kind}", options)
            (svg,) = (p for p in made if p.suffix == ".svg")
            (TARGET / svg.name).write_bytes(svg.read_bytes())
            print(f"docs/images/{svg.name}")


if __name__ == "__main__":
    main()
