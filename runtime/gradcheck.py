"""Gradients against finite differences, in double precision.

In: a forward graph in f64 and a device. Out: for each parameter the compiled gradient, the
oracle's, and the central difference (L(θ + h) − L(θ − h)) / 2h of the mean loss, compared element
by element. The differences are taken with the plain interpreter, so that nothing compiled checks
itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.graph import Graph, Leaf
from ..compiler.pipeline import gradients
from ..compiler.step import means
from .data.dataset import LENGTH
from .device import Device
from .plain import evaluate, run_graph
from .session import compile_graph, part_of

Array = NDArray[Any]
H = 1e-6  # the best step for f64: cube root of the rounding error, about
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Comparison:
    """One parameter: the greatest relative differences over the elements that were tried."""

    name: str
    shape: tuple[int, ...]
    elements: int
    compiled: float  # compiled gradient against finite differences
    oracle: float  # the oracle's gradient against finite differences
    greatest: float  # |gradient|, to see that there is one

    @property
    def holds(self) -> bool:
        return self.compiled <= TOLERANCE and self.oracle <= TOLERANCE


def random_inputs(graph: Graph, batch: int, seed: int) -> dict[str, Array]:
    """Inputs that exercise a net: normal numbers, labels of every class, sequences of every
    length."""
    draw = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for leaf in graph.inputs:
        t = leaf.value.type
        shape = (batch, *t.shape)
        of = graph.leaves.get(leaf.name.removesuffix(LENGTH))
        if of is not None and of.name != leaf.name:
            steps = of.value.shape[0]
            found[leaf.name] = draw.integers(1, steps + 1, shape).astype(t.numpy)
        elif t.classes is not None:
            found[leaf.name] = draw.integers(0, t.classes, shape).astype(t.numpy)
        else:
            found[leaf.name] = draw.standard_normal(shape).astype(t.numpy)
    return found


def gradcheck(
    graph: Graph,
    values: Mapping[str, Array],
    inputs: Mapping[str, Array],
    device: Device,
    *,
    loss: str | None = None,
    elements: int = 24,
    seed: int = 0,
) -> list[Comparison]:
    """Compare every trainable parameter of a forward graph; `elements` of each are tried."""
    whole = gradients(graph, loss)
    wanted = part_of(whole, "gradient")
    batch = len(next(iter(inputs.values()))) if inputs else 1
    given: dict[str, Array] = {**values, **inputs}
    trusted = run_graph(wanted, given, batch=batch, seed=seed)
    program = compile_graph(wanted, batch, device)
    program.push(values)
    for name in program.inputs:
        program.loaded.write(name, inputs[name])
    program.loaded.run(batch, seed=seed)
    mean = means(graph).loss(loss)
    found = []
    for o in wanted.outputs:
        assert o.target is not None
        leaf = graph.leaves[str(o.target.attrs["name"])]
        places = _places(leaf, elements, seed)
        slopes = _slopes(mean.value, leaf, places, given, batch, seed)
        compiled = np.asarray(program.loaded.read(o.name)).reshape(-1)[places]
        oracle = np.asarray(trusted["gradient", o.name]).reshape(-1)[places]
        scale = max(1e-3, float(np.max(np.abs(slopes), initial=0.0)))
        found.append(
            Comparison(
                leaf.name, leaf.value.shape, len(places),
                _apart(compiled, slopes, scale), _apart(oracle, slopes, scale),
                float(np.max(np.abs(oracle), initial=0.0)),
            )
        )  # fmt: skip
    return found


def _apart(ours: Array, theirs: Array, scale: float) -> float:
    """The greatest difference, relative to the parameter's greatest slope."""
    apart = float(np.max(np.abs(ours - theirs), initial=0.0)) / scale
    return apart if np.isfinite(apart) else float("inf")


def _places(leaf: Leaf, elements: int, seed: int) -> NDArray[np.int64]:
    """Flat positions: all of a small parameter, a sample of a large one."""
    size = leaf.value.type.size
    if size <= elements:
        return np.arange(size)
    draw = np.random.default_rng([seed, size])
    return np.sort(draw.choice(size, elements, replace=False))


def _slopes(
    mean: Any,
    leaf: Leaf,
    places: NDArray[np.int64],
    given: Mapping[str, Array],
    batch: int,
    seed: int,
) -> NDArray[np.float64]:
    start = np.array(given[leaf.name])
    slopes = np.zeros(len(places))
    for k, place in enumerate(places):
        ends = []
        for sign in (1, -1):
            moved = start.copy()
            moved.reshape(-1)[place] += sign * H
            again = {**given, leaf.name: moved}
            ends.append(float(evaluate([mean], again, batch=batch, seed=seed)[0]))
        slopes[k] = (ends[0] - ends[1]) / (2 * H)
    return slopes
