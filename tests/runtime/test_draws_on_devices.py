"""Draws on the CPU and in the CUDA simulator: the interpreter's numbers, whatever the threads."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import compile_plan, gradients
from chainrule.runtime.plain import run_graph
from tests.compiler.netcase import net, random_values
from tests.runtime.cuda_plans import SIMULATOR, run_simulated

BATCH = 9
NETS = {
    "labels": """
  input p: [3, 5]
  input z: [5]
  k = categorical(abs(p))
  j = categorical(scores = z)
  output k = k, j = j, hot = one_hot(j, classes = 7), coin = categorical([0.25, 0, 0.75])
""",
    "numbers": """
  input m: [2, 4, 3]
  input s: [3]
  output a = normal(m, exp(s)), b = uniform(s, s + 1), c = bernoulli(sigmoid(m))
  output d = gumbel_softmax(s, temperature = 0.5, hard = true), e = relaxed_bernoulli(m)
""",
    "coder": """
  input x: [6]
  mu    = x -> dense(2)
  log_v = x -> dense(2)
  z     = normal(mu, exp(0.5 * log_v))
  y     = z -> dense(6)
  output label = categorical(scores = y), z = z
  loss bernoulli_nll(y, sigmoid(x)) + kl_normal(mu, log_v)
""",
    "steps": """
  input xs: [4, 3]
  scan x in xs with h: [3] = 0 {
    k = categorical(scores = x + h)
    h = 0.5 * h + one_hot(k) + normal(x, 0.1)
    yield label = k, state = h
  }
  output labels = yielded.label, states = yielded.state, last = h
""",
    "penalty": """
  input x: [5]
  input y: [5]
  D = mlp([7, 1], activation = leaky_relu)
  loss wasserstein_critic(D(x), D(y)) + 10 * gradient_penalty(x, y, critic = D)
""",
    "enlarged": """
  input x: [2, 3, 4]
  y = x -> conv(3, 3) -> upsample((2, 3), mode = bilinear) -> conv(2, 3)
  loss sum(y^2)
""",
}


def graph_of(name: str, dtype: str) -> Graph:
    graph = net(f"net t {{{NETS[name]}}}\n", dtype=dtype)
    return gradients(graph) if "loss" in NETS[name] else graph


def check(device, name: str, dtype: str) -> None:
    graph = graph_of(name, dtype)
    kind = np.float32 if dtype == "f32" else np.float64
    given = {leaf: v.astype(kind) for leaf, v in random_values(graph, BATCH).items()}
    expected = run_graph(graph, given, batch=BATCH, seed=11, step=3)
    loaded = device.load(compile_plan(graph, BATCH + 2))
    for leaf, value in given.items():
        loaded.write(leaf, value)
    loaded.run(BATCH, seed=11, step=3)
    tolerance = 1e-11 if dtype == "f64" else 3e-5
    for (_, output), want in expected.items():
        value = next(o.value for o in graph.outputs if o.name == output)
        found = loaded.read(output, BATCH if value.type.batched else None)
        if value.type.dtype == "i32":
            np.testing.assert_array_equal(found, want, err_msg=output)
        else:
            scale = max(1.0, float(np.abs(want).max()))
            np.testing.assert_allclose(found / scale, want / scale, tolerance, tolerance)


if SIMULATOR:
    from chainrule.runtime.cuda import CudaDevice

    @pytest.mark.parametrize("name", NETS)
    def test_the_simulator_draws_what_the_interpreter_draws(name) -> None:
        check(CudaDevice(), name, "f64")

    def test_the_simulator_draws_the_same_labels_in_f32() -> None:
        check(CudaDevice(), "labels", "f32")

else:
    from chainrule.runtime.cpu import CpuDevice

    def test_draws_agree_in_the_simulator() -> None:
        run_simulated(__file__)

    @pytest.mark.parametrize("dtype", ["f32", pytest.param("f64", marks=pytest.mark.slow)])
    @pytest.mark.parametrize("name", NETS)
    def test_the_cpu_draws_what_the_interpreter_draws(name, dtype) -> None:
        check(CpuDevice(threads=2), name, dtype)

    @pytest.mark.parametrize("name", ["labels", "numbers", "steps"])
    def test_draws_do_not_depend_on_threads(name) -> None:
        graph = graph_of(name, "f32")
        given = random_values(graph, 64)
        made, found = compile_plan(graph, 64), []
        for threads in (1, 2):
            loaded = CpuDevice(threads=threads).load(made)
            for leaf, value in given.items():
                loaded.write(leaf, value.astype(np.float32))
            loaded.run(64, seed=5, step=2)
            found.append({o.name: loaded.read(o.name, 64) for o in graph.outputs})
        for output, one in found[0].items():
            np.testing.assert_array_equal(one, found[1][output])
