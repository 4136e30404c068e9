"""Helpers of the compiler's tests: nets from text, random inputs, finite differences."""

from __future__ import annotations

import numpy as np

from chainrule.compiler.elaborate import Module, forward, parse_module
from chainrule.compiler.graph import Graph
from chainrule.compiler.step import with_gradients
from chainrule.dsl.diagnostics import Diagnostic, Failure
from chainrule.dsl.source import Source
from chainrule.runtime.plain import evaluate


def module(text: str, **overrides: str) -> Module:
    return parse_module(Source("test.net", text), overrides)


def net(text: str, *, training: bool = True, dtype: str = "f64", **overrides: str) -> Graph:
    return forward(module(text, **overrides), training=training, dtype=dtype)


def mistakes(text: str) -> list[Diagnostic]:
    """The diagnostics of a net that must not compile."""
    try:
        net(text)
    except Failure as failure:
        return failure.diagnostics
    raise AssertionError("no mistake was found")


def random_values(graph: Graph, batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Numbers for every leaf: labels in range, the rest normal, variances positive."""
    rng = np.random.default_rng(seed)
    given: dict[str, np.ndarray] = {}
    for leaf in graph.leaves.values():
        t = leaf.value.type
        shape = (batch, *t.shape) if t.batched else t.shape
        if t.classes:
            given[leaf.name] = rng.integers(0, t.classes, shape).astype(np.int32)
            continue
        values = rng.normal(size=shape)
        positive = "variance" in leaf.name
        given[leaf.name] = np.abs(values) + 0.5 if positive else values
    return given


def check_gradients(
    graph: Graph,
    batch: int = 5,
    loss: str | None = None,
    tolerance: float = 1e-6,
    seed: int = 0,
    given: dict[str, np.ndarray] | None = None,
) -> None:
    """Every parameter's gradient against central differences in f64."""
    whole = with_gradients(graph, loss)
    given = random_values(graph, batch, seed) if given is None else given
    total = whole.loss(loss).value
    found = whole.of_kind("gradient")
    assert found, "nothing to check"
    values = evaluate([o.value for o in found], given, batch=batch)
    for output, value in zip(found, values, strict=True):
        name = output.target.attrs["name"]
        expected = differences(total, given, name, batch)
        scale = max(1.0, np.abs(expected).max())
        assert np.abs(value - expected).max() <= tolerance * scale, output.name


def differences(total, given: dict[str, np.ndarray], name: str, batch: int) -> np.ndarray:
    h = 1e-5
    x = given[name]
    result = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        kept = x[place]
        x[place] = kept + h
        above = evaluate([total], given, batch=batch)[0]
        x[place] = kept - h
        below = evaluate([total], given, batch=batch)[0]
        x[place] = kept
        result[place] = (above - below) / (2 * h)
    return result
