"""Several `minimize` lines as one step, and what `freeze` makes of a net.

The truth is each line's own step, run by the interpreter one after another.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chainrule.compiler.elaborate import forward
from chainrule.compiler.graph import Graph, topological
from chainrule.compiler.minimize import minimized
from chainrule.compiler.passes import optimise, stabilise
from chainrule.compiler.pipeline import step
from chainrule.compiler.step import training_step
from chainrule.compiler.training import learning
from chainrule.dsl.diagnostics import Failure
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.plain import run_graph
from chainrule.runtime.session import compile_graph, initial_values

from .netcase import module

BATCH = 6
GAN = """
block generator(units) {
  input z: [n]
  output z -> dense(units) -> batchnorm -> relu -> dense(7) -> tanh
}
block discriminator(units) {
  input x: [n]
  output x -> dense(units) -> leaky_relu -> dense(1)
}
net gan {
  input x: [7]
  G    = generator(5)
  D    = discriminator(4)
  fake = G(normal([3]))
  real_score = D(x)
  fake_score = D(fake)
  loss d_loss = mean(softplus(-real_score)) + mean(softplus(fake_score))
  loss g_loss = mean(softplus(-fake_score))
  metric caught = mean(sigmoid(fake_score))
  output fake
}
train gan on xor() {
LINES
  batch 6
  epochs 1
}
"""
PLAIN = """
  minimize d_loss over D with adam(lr = 0.02, beta1 = 0.5)
  minimize g_loss over G with adam(lr = 0.01)
"""


def gan(lines: str = PLAIN, dtype: str = "f64", text: str = GAN) -> tuple[Graph, object]:
    known = module(text.replace("LINES", lines))
    return step(known, known.trains[0], dtype=dtype), known


def in_sequence(
    known, start: dict[str, np.ndarray], x: np.ndarray, steps: int, draws: bool = True
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Each line's own graph after the other; the numbers each reports in its turn."""
    train = known.trains[0]
    graph = stabilise(forward(known, train.name.id, training=True, dtype="f64"))
    values = dict(start)
    told: dict[str, float] = {}
    net_states = {leaf.name for leaf in graph.states}
    for number in range(1, steps + 1):
        told = {}
        begun = dict(values)
        for index, (minimize, turns) in enumerate(minimized(train)):
            line = training_step(graph, known, minimize)
            for turn in range(turns):
                count = (number - 1) * turns + turn + 1
                given = {**values, "x": x, "step": np.float64(count)}
                given |= {n: begun[n] for n in net_states}
                found = run_graph(line, given, batch=BATCH, seed=3, step=number)
                for (kind, name), array in found.items():
                    if kind == "update" and (name not in net_states or index + turn == 0):
                        values[name] = array
                    elif kind != "update" and (name == minimize.loss or name not in told):
                        told[name] = float(array)
        values |= {n: values[n] for n in net_states}
    return values, told


def start_of(graph: Graph) -> dict[str, np.ndarray]:
    return {n: a.astype(np.float64) for n, a in initial_values(graph, 5).items()}


def after(graph: Graph, start: dict[str, np.ndarray], x: np.ndarray, steps: int):
    values, told = dict(start), {}
    for number in range(1, steps + 1):
        found = run_graph(graph, {**values, "x": x}, batch=BATCH, seed=3, step=number)
        values |= {name: a for (kind, name), a in found.items() if kind == "update"}
        told = {name: float(a) for (kind, name), a in found.items() if kind != "update"}
    return values, told


def examples() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(BATCH, 7))


@pytest.mark.parametrize(
    "lines",
    [
        PLAIN,
        "minimize g_loss over G with sgd(0.1)\n  minimize d_loss over D with momentum(0.1)",
        "clip 0.01\n  minimize d_loss over D with sgd(0.1)\n  minimize g_loss over G with adam()",
    ],
)
def test_a_step_of_two_losses_is_their_steps_one_after_another(lines: str) -> None:
    graph, known = gan(lines)
    start = start_of(graph)
    values, told = after(graph, start, examples(), 3)
    wanted, reported = in_sequence(known, start, examples(), 3)
    assert values.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(values[name], array, rtol=1e-10, atol=1e-12, err_msg=name)
    assert told == pytest.approx(reported, rel=1e-10)


def test_turns_of_a_line_count_its_own_updates() -> None:
    text = GAN.replace("G(normal([3]))", "G(x[0:3])")
    lines = "repeat 3 minimize d_loss over D with adam()\n  minimize g_loss over G with adam()"
    graph, known = gan(lines, text=text)
    start = start_of(graph)
    values, told = after(graph, start, examples(), 3)
    wanted, reported = in_sequence(known, start, examples(), 3)
    for name, array in wanted.items():
        np.testing.assert_allclose(values[name], array, rtol=1e-10, atol=1e-12, err_msg=name)
    assert told == pytest.approx(reported, rel=1e-10)


def test_every_turn_has_draws_of_its_own() -> None:
    graph, _ = gan(
        "repeat 3 minimize d_loss over D with sgd(0.1)\n  minimize g_loss over G with sgd(0.1)"
    )
    streams = {v.attrs["stream"] for v in graph.nodes if v.op.name == "normal"}
    assert len(streams) == 3


def test_lines_share_what_neither_has_changed() -> None:
    """G's forward pass on the same noise is needed by both lines, and made once."""
    graph, _ = gan(PLAIN)
    found = [v for v in optimise(graph).nodes if v.op.name == "tanh"]
    assert len(found) == 1
    scores = [v for v in optimise(graph).nodes if v.origin.role == "forward"
              and v.op.name == "matmul" and v.origin.instance.startswith("D.")]  # fmt: skip
    assert len(scores) == 6  # two layers, on x, on the fake, on the fake with the new weights


def test_no_gradient_flows_through_an_update() -> None:
    """∂g_loss/∂G is taken with D as it has become, not through how it became so."""
    graph, known = gan("minimize d_loss over D with sgd(50)\n  minimize g_loss over G with sgd(1)")
    start = start_of(graph)
    values, _ = after(graph, start, examples(), 1)
    wanted, _ = in_sequence(known, start, examples(), 1)
    np.testing.assert_allclose(values["G.dense.W"], wanted["G.dense.W"], rtol=1e-10)


def test_two_lines_over_the_same_parameters_keep_states_of_their_own() -> None:
    graph, _ = gan("minimize d_loss over D with adam()\n  minimize g_loss over D, G with adam()")
    states = {leaf.name for leaf in graph.states}
    assert {"D.dense.W.adam.v", "D.dense.W.adam_2.v"} <= states
    start = start_of(graph)
    values, _ = after(graph, start, examples(), 2)
    first, second = (values[f"D.dense.W.adam{n}.v"] for n in ("", "_2"))
    assert not np.allclose(first, second)


def test_a_line_is_differentiated_for_its_own_parameters_only() -> None:
    graph, _ = gan("minimize d_loss over D with sgd(0.1)\n  minimize g_loss over D with sgd(0.1)")
    updated = {o.name for o in graph.outputs if o.kind == "update"}
    assert all(not name.startswith("G.dense") for name in updated)
    backward = [v for v in optimise(graph).nodes if v.origin.role == "backward"]
    assert backward and all(not v.origin.instance.startswith("G") for v in backward)


@pytest.mark.parametrize(
    "lines",
    [
        "minimize d_loss over D with adam()\n  minimize g_loss over G with sgd(0.1)",
        "repeat 2 minimize d_loss over D with adam()\n  minimize g_loss over G with sgd(0.1)",
    ],
)
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_kernels_compute_a_step_of_two_losses(lines: str, dtype: str) -> None:
    graph, _ = gan(lines, dtype)
    start = start_of(graph)
    expected = run_graph(graph, start | {"x": examples()}, batch=BATCH, seed=3, step=1)
    program = compile_graph(graph, BATCH, CpuDevice(threads=2))
    program.push(start)
    program.loaded.write("x", examples())
    told = program.loaded.run(BATCH, seed=3, step=1)
    bound = 1e-9 if dtype == "f64" else 1e-4
    for o in graph.outputs:
        name = o.name if o.target is None else str(o.target.attrs["name"])
        got = told[name] if o.target is None else program.loaded.read(name)
        want = expected[o.kind, o.name]
        np.testing.assert_allclose(got, want, rtol=bound, atol=bound, err_msg=name)


# ---------------------------------------------------------------- freeze


NET = """
block features {
  input x: [n]
  output x -> dense(6) -> batchnorm -> dropout(0.5) -> tanh
}
net classifier {
  input x: [7]
  f = x -> features
  head = f -> dense(2)
  loss sum(head^2)
}
train classifier on xor() {
 LINES
}
"""


def frozen(lines: str) -> Graph:
    known = module(NET.replace("LINES", lines))
    return step(known, known.trains[0], dtype="f64")


def test_what_is_frozen_is_as_in_use_and_costs_no_backward_pass() -> None:
    graph = frozen("freeze f\n optimizer sgd(0.1)\n epochs 1")
    assert {o.name for o in graph.outputs if o.kind == "update"} == {"head.W", "head.b"}
    assert not [v for v in graph.nodes if v.op.name == "uniform"]
    assert any(v.attrs.get("name") == "f.batchnorm.running_mean" for v in graph.nodes)
    backward = [v for v in optimise(graph).nodes if v.origin.role == "backward"]
    assert backward and all(not v.origin.instance.startswith("f") for v in backward)


def test_a_single_parameter_and_a_pattern_can_be_frozen() -> None:
    def changed(lines: str) -> set[str]:
        return {o.name for o in frozen(lines).outputs if o.kind == "update"}

    assert "head.b" not in changed("freeze head.b\n optimizer sgd(0.1)\n epochs 1")
    assert changed("freeze f.*, head.W\n optimizer sgd(0.1)\n epochs 1") == {"head.b"}


def test_freezing_what_is_not_there_suggests_the_nearest() -> None:
    with pytest.raises(Failure) as caught:
        frozen("freeze heat\n optimizer sgd(0.1)\n epochs 1")
    (found,) = caught.value.diagnostics
    assert found.code == "E298" and "`head`" in found.help


def test_an_unfrozen_net_is_unchanged() -> None:
    known = module(NET.replace("LINES", "optimizer sgd(0.1)\n epochs 1"))
    graph = learning(known, known.trains[0], dtype="f64")
    assert {leaf.frozen for leaf in graph.params} == {False}
    plain = stabilise(forward(known, training=True, dtype="f64"))
    assert len(topological(o.value for o in graph.outputs)) == len(plain.nodes)
    assert replace(graph, outputs=()).leaves.keys() == plain.leaves.keys()
