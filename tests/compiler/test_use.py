"""Nets in use: normalisations inside weights, and weights computed once for each load."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import evaluation, optimise, parse_module, prepared
from chainrule.compiler.rewrite import Trace
from chainrule.compiler.use import with_folded_normalisation
from chainrule.compiler.verify import verify
from chainrule.dsl.source import Source
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.plain import run_graph
from chainrule.runtime.plain_device import PlainDevice
from chainrule.runtime.session import Session

from .plancase import numbers, training

NAME = "a normalisation goes into the weights before it"
DENSE = """
  input x: [6]
  h = x -> dense(5) -> batchnorm -> relu
  output h -> dense(4, bias = false) -> batchnorm
"""
CONVOLUTION = """
  input x: [3, 7, 6]
  z = x -> filters(4)
  output relu(z)
"""
FILTERS = """
block filters(o) {
  input x: [c, h, w]
  param W: [o, c, 3, 3] ~ normal(0.5)
  param gamma: [o] = 1
  param beta: [o] = 0
  state running_mean: [o] = 0
  state running_variance: [o] = 1
  z = convolve(x, W, stride = 2, padding = 1)
  scale = reshape(gamma, [o, 1, 1])
  spread = sqrt(reshape(running_variance, [o, 1, 1]) + 0.00001)
  output scale * (z - reshape(running_mean, [o, 1, 1])) / spread + reshape(beta, [o, 1, 1])
}
"""


def net(body: str, dtype: str = "f64") -> Graph:
    text = f"{FILTERS}\nnet model {{\n{body}\n}}\n"
    return evaluation(parse_module(Source("use.net", text)), dtype=dtype)


def drawn(graph: Graph, batch: int = 4) -> dict[str, np.ndarray]:
    given = numbers(graph, batch, seed=2)
    return {k: np.abs(v) + 0.3 if "variance" in k else v for k, v in given.items()}


def operations(graph: Graph) -> list[str]:
    return [v.op.name for v in graph.nodes]


@pytest.mark.parametrize("body", [DENSE, CONVOLUTION], ids=["dense", "convolution"])
def test_a_folded_normalisation_gives_the_same_outputs(body: str) -> None:
    graph = optimise(net(body))
    trace = Trace()
    ready = prepared(graph, trace)
    assert {s.rule.name for s in trace.steps} == {NAME}
    assert all(s.rule.family == "folding" for s in trace.steps)
    assert ready.before is not None
    verify(ready.graph)
    verify(ready.before)
    given = drawn(graph)
    made = {name: v for (_, name), v in run_graph(ready.before, given).items()}
    want = run_graph(graph, given, batch=4)
    got = run_graph(ready.graph, {**given, **made}, batch=4)
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-12, atol=1e-12)


def test_only_the_product_the_shift_and_the_activation_are_left() -> None:
    ready = prepared(optimise(net(DENSE)))
    work = [name for name in operations(ready.graph) if name not in ("input", "param", "constant")]
    assert work == ["matmul", "add", "maximum", "matmul", "add"]
    assert not ready.graph.states


@pytest.mark.parametrize(
    "body",
    [
        "input x: [6]\n z = x -> dense(5)\n output z\n output more = z -> batchnorm",
        "input x: [6]\n z = x -> dense(5)\n output z + (z -> batchnorm)",
    ],
)
def test_a_product_that_something_else_reads_stays_as_it_is(body: str) -> None:
    graph = optimise(net(body))
    assert with_folded_normalisation(graph) is graph


def test_a_scale_across_the_operands_of_a_product_is_not_folded() -> None:
    body = """
  input x: [2, 3]
  param W: [3, 4] ~ normal(1.0)
  param rows: [2, 1] ~ normal(1.0)
  output rows * (x @ W)
"""
    graph = optimise(net(body))
    assert with_folded_normalisation(graph) is graph


def test_a_scale_for_each_example_is_not_folded() -> None:
    body = "input x: [6]\n z = x -> dense(5)\n output z / (1 + sum(x^2))"
    graph = optimise(net(body))
    assert with_folded_normalisation(graph) is graph


def test_a_training_step_stays_whole() -> None:
    graph = training("""
  input x: [6]
  input y: class[3]
  loss cross_entropy(x -> dense(3) -> batchnorm, y)
""")
    ready = prepared(graph)
    assert ready.graph is graph and ready.before is None


def test_a_session_predicts_with_folded_weights_and_sees_new_ones() -> None:
    graph = net(DENSE, "f32")
    session, plain = (Session(graph, d, seed=3) for d in (CpuDevice(threads=1), PlainDevice()))
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    for seed in (1, 2):
        given = drawn(graph)
        new = {n: (given[n] * seed).astype(np.float32) for n in session.values}
        session.values, plain.values = dict(new), dict(new)
        want, got = (s.predict({"x": x}) for s in (plain, session))
        for name, value in want.items():
            np.testing.assert_allclose(got[name], value, rtol=2e-5, atol=2e-5)
    program = session._programs["predict"]
    names = {b.name for b in program.loaded.plan.buffers}
    assert not any("running" in n for n in names)
    name = next(n for n in session.values if n.endswith("gamma"))
    session.values[name] = session.values[name] * 2
    plain.values[name] = session.values[name]
    want, got = (s.predict({"x": x}) for s in (plain, session))
    for output, value in want.items():
        np.testing.assert_allclose(got[output], value, rtol=2e-5, atol=2e-5)
