"""Training steps and plans of the examples, for the views of the compiler."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import chainrule
from chainrule.compiler.graph import Graph
from chainrule.compiler.passes import lower, optimise
from chainrule.compiler.pipeline import forward, step
from chainrule.compiler.plan import Plan
from chainrule.compiler.recompute import recompute
from chainrule.compiler.schedule import plan as schedule

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# What the data fix, where those are not in the repository.
SIZES = {
    "translate": {"S": 20, "n": 300, "T": 20, "k": 300},
    "shakespeare": {"T": 40, "k": 60},
    "captions": {"T": 9, "k": 17},
}
# Large nets whose steps take seconds to build have tests of their own.
LARGE = ("resnet", "resnet_cifar", "vgg", "vgg_cifar", "transfer")
SMALL = sorted(p.stem for p in EXAMPLES.glob("*.net") if p.stem not in LARGE)


@cache
def learning(name: str) -> tuple[Graph, Graph]:
    """The forward graph in training, and the step, of the first net of an example."""
    model = chainrule.load(EXAMPLES / f"{name}.net")
    sizes = SIZES.get(name) or model.sizes
    graph = forward(model.module, model.name, training=True, sizes=sizes)
    if model.declaration is None:
        return graph, model.evaluation
    return graph, step(model.module, model.declaration, sizes=sizes)


@cache
def lowered(name: str) -> Graph:
    return recompute(lower(optimise(learning(name)[1])))


@cache
def planned(name: str) -> Plan:
    return schedule(lowered(name), 16)
