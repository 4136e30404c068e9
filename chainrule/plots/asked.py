"""The kinds of plots, and what may be asked of each.

In: the name of a kind and options. Out: nothing, or Failure E624 where a kind has no such option.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from ..dsl.diagnostics import did_you_mean, fail

# kind -> (what it shows, the options it takes beside the theme)
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "curves": ("losses, metrics, learning rate, gradients by layer", ()),
    "activations": ("activation functions and their derivatives", ()),
    "weights": ("the first layer as pictures", ()),
    "features": ("what each layer makes of an example", ("part", "examples", "nodes")),
    "saliency": ("which pixels a score depends on", ("part", "examples", "nodes")),
    "confusion": ("which classes are taken for which", ("part",)),
    "boundary": ("the decision boundary of two inputs", ("moving", "epochs", "seed")),
    "surface": ("the loss around the weights", ("optimizers", "epochs", "seed")),
}


@dataclass(frozen=True)
class Asked:
    """What is left None is the kind's own choice. `folder`: where the run left its history;
    `examples`: places in the part; `moving`: over training, as an animation."""

    theme: str = "light"
    folder: Path | None = None
    part: str | None = None
    examples: tuple[int, ...] | None = None
    nodes: tuple[str, ...] | None = None
    optimizers: str | None = None
    epochs: float | None = None
    seed: int | None = None
    moving: bool | None = None
    device: str = "cpu"

    @property
    def afresh(self) -> bool:
        """Is the net trained anew for it?"""
        return bool(self.moving or self.optimizers)


# What an option is called on the command line.
SPELLED = {
    "part": "--part", "examples": "--example", "nodes": "--node", "optimizers": "--optimizers",
    "epochs": "--epochs", "seed": "--seed", "moving": "--over-training",
}  # fmt: skip


def check(kind: str, asked: Asked) -> None:
    """Raises Failure E624 for a kind that there is not, and for an option that it does not take."""
    if kind not in KINDS:
        near = did_you_mean(kind, KINDS)
        raise fail("E624", f"there is no plot `{kind}`", help=near or f"plots: {', '.join(KINDS)}")
    takes = KINDS[kind][1]
    if asked.epochs is not None and "epochs" in takes and not asked.afresh:
        word = SPELLED["moving" if "moving" in takes else "optimizers"]
        raise fail("E624", "`--epochs` is for a training afresh", help=f"add `{word}`")
    for field in fields(asked):
        name = field.name
        if name not in SPELLED or name in takes or getattr(asked, name) is None:
            continue
        having = [f"`{k}`" for k, (_, options) in KINDS.items() if name in options]
        raise fail("E624", f"a plot of {kind} takes no `{SPELLED[name]}`",
                   help=f"it is for {', '.join(having)}" if having else "leave it out")  # fmt: skip
