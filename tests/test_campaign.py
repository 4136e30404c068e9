"""Random nets through every stage: each stage must give what the one before gave.

`pytest tests/test_campaign.py --campaign 1000` takes a thousand; the default is a small sample.
`--campaign-seed N` takes others.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from chainrule.compiler.elaborate import forward, parse_module
from chainrule.compiler.minimize import minimized
from chainrule.compiler.passes import lower, optimise, stabilise
from chainrule.compiler.recompute import recompute
from chainrule.compiler.schedule import plan
from chainrule.compiler.step import training_step, with_gradients
from chainrule.compiler.text import parse_graph, print_graph, same_graph
from chainrule.dsl.source import Source
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.plain import evaluate, run_graph
from tests.compiler.netcase import random_values
from tests.randomimages import image_nets
from tests.randomnets import nets

BATCH = 5


def test_a_random_net_is_the_same_at_every_stage(campaign: int, campaign_seed: int) -> None:
    through_every_stage(nets(), campaign, campaign_seed)


def test_a_random_image_net_is_the_same_at_every_stage(campaign: int, campaign_seed: int) -> None:
    """Their kernels take longer to compile: half as many."""
    through_every_stage(image_nets(), -(-campaign // 2), campaign_seed)


def through_every_stage(texts: st.SearchStrategy[str], count: int, number: int) -> None:
    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(texts, st.integers(0, 2**31))
    def check(text: str, number: int) -> None:
        one_net(text, number)

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
