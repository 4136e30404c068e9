"""Random nets through every stage: each stage must give what the one before gave.

`pytest tests/test_campaign.py --campaign 1000` takes a thousand; the default is a small sample.
`--campaign-seed N` takes others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st

from chainrule.compiler.elaborate import forward, parse_module
from chainrule.compiler.minimize import minimized
from chainrule.compiler.passes import lower, optimise, stabilise
from chainrule.compiler.pipeline import step as whole_step
from chainrule.compiler.recompute import recompute
from chainrule.compiler.schedule import plan
from chainrule.compiler.step import training_step, with_gradients
from chainrule.compiler.text import parse_graph, print_graph, same_graph
from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.source import Source
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.plain import evaluate, run_graph
from chainrule.runtime.session import initial_values
from tests.compiler.netcase import random_values
from tests.randomimages import image_nets
from tests.randomlosses import HARDEST, several_losses
from tests.randomnets import nets
from tests.severallosses import line_after_line

BATCH = 5


def test_a_random_net_is_the_same_at_every_stage(campaign: int, campaign_seed: int) -> None:
    through_every_stage(nets(), campaign, campaign_seed)


def test_a_random_image_net_is_the_same_at_every_stage(campaign: int, campaign_seed: int) -> None:
    """Their kernels take longer to compile: half as many."""
    through_every_stage(image_nets(), -(-campaign // 2), campaign_seed)


def test_a_random_step_of_several_losses_is_its_lines_one_after_another(
    campaign: int, campaign_seed: int
) -> None:
    """Their kernels are many: a sixth as many."""
    through_every_stage(
        several_losses(), -(-campaign // 6), campaign_seed, one_step_of_several_losses
    )


def test_a_step_of_three_losses_that_share_and_change_much_is_its_lines_one_after_another() -> None:
    one_step_of_several_losses(HARDEST, 8)


def through_every_stage(
    texts: st.SearchStrategy[str],
    count: int,
    number: int,
    stages: Callable[[str, int], None] | None = None,
) -> None:
    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(texts, st.integers(0, 2**31))
    def check(text: str, number: int) -> None:
        (stages or one_net)(text, number)

    check()


def one_net(text: str, number: int) -> None:
    module = parse_module(Source("random.net", text))
    raw = forward(module, training=True, dtype="f64")
    values = random_values(raw, BATCH, number)
    gradients = with_gradients(stabilise(raw))
    same_text(gradients)
    expected = results(gradients, values, number)
    close(results(with_gradients(raw), values, number), expected, "stabilise")
    close(results(optimise(gradients), values, number), expected, "optimise")
    close(results(lower(optimise(gradients)), transposed(gradients, values), number), expected,
          "lower", layout=lower(optimise(gradients)))  # fmt: skip
    slope(gradients, values, expected, number)
    compiled(gradients, values, expected, number)
    a_step(module, raw, values, number)


def same_text(graph) -> None:
    printed = print_graph(graph)
    assert same_graph(parse_graph(printed), graph)
    assert print_graph(parse_graph(printed)) == printed


def results(graph, values, number) -> dict[str, np.ndarray]:
    found = run_graph(graph, values, batch=BATCH, seed=number)
    return {f"{kind} {name}": np.asarray(v) for (kind, name), v in found.items()}


def transposed(graph, values):
    """The same numbers for a lowered graph, whose layout pass may have turned parameters round."""
    turned = dict(values)
    for leaf in lower(optimise(graph)).leaves.values():
        order = leaf.value.attrs.get("order")
        if order:
            turned[leaf.name] = np.ascontiguousarray(values[leaf.name].transpose(order))
    return turned


def close(found, expected, stage: str, tolerance: float = 1e-8, layout=None) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        other = found[name]
        if layout is not None and other.shape != value.shape:
            other = other.T
        scale = max(1.0, np.abs(value).max(initial=0))
        assert np.abs(other - value).max(initial=0) <= tolerance * scale, f"{stage}: {name}"


def slope(graph, values, expected, number) -> None:
    """The gradients along a random direction, against central differences of the loss."""
    loss = graph.loss().value
    params = graph.of_kind("gradient")
    for attempt in range(3):  # a kink of relu or max may lie between the two points
        rng = np.random.default_rng(number + attempt)
        direction = {o.target.attrs["name"]: rng.normal(size=o.value.shape) for o in params}
        h = 1e-6
        ends = []
        for sign in (1, -1):
            moved = dict(values)
            for name, step in direction.items():
                moved[name] = values[name] + sign * h * step
            ends.append(evaluate([loss], moved, batch=BATCH, seed=number)[0])
        numeric = (ends[0] - ends[1]) / (2 * h)
        ours = sum(
            (expected[f"gradient {o.name}"] * direction[o.target.attrs["name"]]).sum()
            for o in params
        )
        if abs(numeric - ours) <= 1e-6 * max(1.0, abs(numeric), abs(ours)):
            return
    raise AssertionError(f"gradient {ours}, differences {numeric}")


def compiled(graph, values, expected, number) -> None:
    loaded = CpuDevice(threads=1 + number % 2).load(
        plan(lower(optimise(graph)), BATCH + number % 3)
    )
    write(loaded, graph, values)
    recorded = loaded.run(BATCH, seed=number, step=1)
    for output in graph.outputs:
        if output.kind in ("loss", "metric"):
            value = float(expected[f"{output.kind} {output.name}"])
            assert abs(recorded[output.name] - value) <= 1e-8 * max(1, abs(value)), output.name
        if output.kind in ("output", "gradient"):
            batch = BATCH if output.value.type.batched else None
            found = {output.name: loaded.read(output.name, batch)}
            close(found, {output.name: expected[f"{output.kind} {output.name}"]}, "cpu")


def write(loaded, graph, values) -> None:
    for leaf in graph.leaves.values():
        if leaf.name in loaded.plan.index_of:
            loaded.write(leaf.name, values[leaf.name])


def a_step(module, raw, values, number) -> None:
    """One step of Adam: what the updates give equals the oracle's."""
    ((minimize, _),) = minimized(module.trains[0])
    step = training_step(stabilise(raw), module, minimize)
    values = {**random_values(step, BATCH, number), **values}
    for leaf in step.states:
        values[leaf.name] = np.abs(values[leaf.name])  # running squares are not negative
    values["step"] = np.array(1.0)
    expected = results(step, values, number)
    # Every other net computes part of its forward pass again: the numbers stay the same.
    segments = number // 2 % 5 if number % 2 else None
    step = replace(step, checkpointing=segments)
    loaded = CpuDevice(threads=2).load(plan(recompute(lower(optimise(step))), BATCH))
    write(loaded, step, values)
    loaded.run(BATCH, seed=number, step=1)
    for output in step.of_kind("update"):
        close({"": loaded.read(output.name)}, {"": expected[f"update {output.name}"]}, output.name)


def one_step_of_several_losses(text: str, number: int) -> None:
    """Two steps: interpreted line after line, as one graph, optimised, lowered, and compiled for
    one thread and for two, which give the same bits."""
    module = parse_module(Source("random.net", text))
    try:
        graph = whole_step(module, module.trains[0], dtype="f64")
    except Failure as failure:  # a line may be about nothing but what another freezes
        assume(failure.diagnostics[0].code != "E262")
        raise
    same_text(graph)
    inputs = {leaf.name: random_values(graph, BATCH, number)[leaf.name] for leaf in graph.inputs}
    drawn = random_values(graph, BATCH, number)
    start = {n: drawn[n] * 0.5 if graph.leaves[n].kind == "param" else np.asarray(a, np.float64)
             for n, a in initial_values(graph, 0).items()}  # fmt: skip
    expected, told = line_after_line(module, start, inputs, 2, BATCH, number)
    expected |= told
    lowered = recompute(lower(optimise(graph)))
    for stage, of in (("one graph", graph), ("optimised", optimise(graph)), ("lowered", lowered)):
        near(two_steps(of, start, inputs, number), expected, stage)
    one, two = (two_compiled_steps(lowered, threads, start, inputs, number) for threads in (1, 2))
    near(one, expected, "compiled")
    for name, array in one.items():
        np.testing.assert_array_equal(two[name], array, err_msg=f"threads: {name}")


def near(found: dict[str, np.ndarray], expected, stage: str) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(
            found[name], value, rtol=1e-7, atol=1e-8, err_msg=f"{stage}: {name}"
        )


def two_steps(graph, start, inputs, number) -> dict[str, np.ndarray]:
    """By the interpreter; parameters as the user sees them, however a lowered graph has them."""
    orders = {leaf.name: leaf.value.attrs.get("order") for leaf in graph.leaves.values()}
    values = {n: a.transpose(orders[n]) if orders.get(n) else a for n, a in start.items()}
    told = {}
    for step in (1, 2):
        found = run_graph(graph, {**values, **inputs}, batch=BATCH, seed=number, step=step)
        values |= {name: a for (kind, name), a in found.items() if kind == "update"}
        told = {name: a for (kind, name), a in found.items() if kind != "update"}
    seen = {n: a.transpose(np.argsort(orders[n])) if orders.get(n) else a
            for n, a in values.items()}  # fmt: skip
    return seen | told


def two_compiled_steps(graph, threads, start, inputs, number) -> dict[str, np.ndarray]:
    loaded = CpuDevice(threads=threads).load(plan(graph, BATCH + number % 3))
    for name, values in {**start, **inputs}.items():
        if name in loaded.plan.index_of:
            loaded.write(name, values)
    told = {}
    for step in (1, 2):
        told = loaded.run(BATCH, seed=number, step=step)
    found = {n: loaded.read(n) if n in loaded.plan.index_of else a for n, a in start.items()}
    return {**found, **{name: np.asarray(a) for name, a in told.items()}}
