"""Scans: their derivative, simplification and lowering on random recurrent nets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule.compiler.elaborate import forward, parse_module
from chainrule.compiler.graph import Graph
from chainrule.compiler.passes import lower
from chainrule.compiler.pipeline import gradients, optimise
from chainrule.compiler.verify import verify
from chainrule.dsl.source import Source
from chainrule.runtime.plain import evaluate

from ..randomscans import SIZES, given_for, random_scans

BATCH = 3
Array = NDArray[Any]


def gradient_graph(seed: int, truncate: bool = True) -> Graph:
    module = parse_module(Source("random.net", random_scans(seed, truncate)))
    return gradients(forward(module, "random", training=True, dtype="f64", sizes=SIZES))


def leaves(graph: Graph, seed: int) -> dict[str, Array]:
    initial = evaluate([p.initial for p in graph.params if p.initial is not None], {}, seed=seed)
    values = {p.name: x for p, x in zip(graph.params, initial, strict=True)}
    inputs = given_for(seed, BATCH)
    return {**values, **{f.name: inputs[f.name] for f in graph.inputs}}


def numbers(graph: Graph, given: dict[str, Array]) -> list[Array]:
    return evaluate([o.value for o in graph.outputs], given, batch=BATCH)


def lowered_numbers(graph: Graph, given: dict[str, Array]) -> list[Array]:
    """The lowered graph by the interpreter; parameters as they are stored."""
    stored = dict(given)
    for f in graph.leaves.values():
        if "order" in f.value.attrs and f.name in given:
            stored[f.name] = given[f.name].transpose(f.value.attrs["order"])
    return numbers(graph, stored)


@pytest.mark.parametrize("seed", range(12))
def test_gradients_of_random_scans_agree_with_differences(seed: int) -> None:
    graph = gradient_graph(seed, truncate=False)
    given = leaves(graph, seed)
    loss = graph.loss().value
    found = numbers(graph, given)
    rng = np.random.default_rng(seed)
    for o, g in zip(graph.outputs, found, strict=True):
        if o.kind != "gradient" or o.target is None:
            continue
        name = str(o.target.attrs["name"])
        direction = rng.normal(size=g.shape)
        step = 1e-6
        ends = [
            float(evaluate([loss], {**given, name: given[name] + s * direction}, batch=BATCH)[0])
            for s in (step, -step)
        ]
        difference = (ends[0] - ends[1]) / (2 * step)
        assert np.sum(g * direction) == pytest.approx(difference, rel=2e-5, abs=2e-7), name


@pytest.mark.parametrize("seed", range(30))
def test_simplified_and_lowered_random_scans_give_the_same_numbers(seed: int) -> None:
    graph = gradient_graph(seed)
    given = leaves(graph, seed)
    wanted = numbers(graph, given)
    better = optimise(graph)
    verify(better)
    low = lower(better)
    verify(low)
    for o, a, b, c in zip(graph.outputs, wanted, numbers(better, given),
                          lowered_numbers(low, given), strict=True):  # fmt: skip
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-11, err_msg=o.name)
        np.testing.assert_allclose(c, a, rtol=1e-9, atol=1e-11, err_msg=o.name)
