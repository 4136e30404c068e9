"""Recomputation: the same numbers from less memory, and nothing computed again too early."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import compile_plan, lower, optimise, parse_module, step
from chainrule.compiler.plan import Plan
from chainrule.compiler.plan_check import check_plan
from chainrule.compiler.recompute import recompute
from chainrule.compiler.schedule import plan
from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.source import Source
from chainrule.runtime.plain import run_graph

from .plancase import assert_plan_is_right, numbers

BLOCKS = (
    "dense(6) -> relu",
    "dense(6) -> tanh -> dropout(0.3)",
    "dense(6) -> batchnorm -> relu",
    "residual(5)",
    "dense(6) -> layernorm -> gelu",
)


def step_of(checkpointing: str, layers: int = 12, block: str = BLOCKS[0], dtype: str = "f64",
            tail: str = "x") -> Graph:  # fmt: skip
    line = f"checkpointing {checkpointing}" if checkpointing else ""
    text = f"""
net deep {{
  input x: [6]
  input y: class[6]
  first = x
  repeat {layers} {{
    x = x -> {block}
  }}
  loss cross_entropy({tail}, y)
  metric accuracy({tail}, y)
}}
data d = xor()
train deep on d {{
  optimizer sgd(lr = 0.1)
  batch 4
  epochs 1
  {line}
}}
"""
    module = parse_module(Source("deep.net", text))
    return step(module, module.trains[0], dtype=dtype)


def temporaries(made: Plan) -> int:
    fixed = ("input", "param", "state", "scalar", "output")
    return made.arena - sum(b.nbytes(made.capacity) for b in made.buffers if b.kind in fixed)


@pytest.mark.parametrize("setting", ["auto", "2", "5"])
@pytest.mark.parametrize("block", BLOCKS)
def test_what_is_computed_again_has_the_same_numbers(block: str, setting: str):
    stored = lower(optimise(step_of("", block=block)))
    again = recompute(lower(optimise(step_of(setting, block=block))))
    assert len(again.nodes) > len(stored.nodes)
    given = numbers(stored, 4)
    given = {k: np.abs(v) + 0.5 if "variance" in k else v for k, v in given.items()}
    want = run_graph(stored, given, batch=4, seed=3, step=2)
    got = run_graph(again, given, batch=4, seed=3, step=2)
    assert want.keys() == got.keys()
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value, err_msg=str(name))
    assert_plan_is_right(again)


@pytest.mark.parametrize("block", BLOCKS)
def test_recomputation_needs_less_memory(block: str):
    stored, again = (compile_plan(step_of(c, 36, block), 64) for c in ("", "auto"))
    check_plan(again)
    assert temporaries(again) < 0.5 * temporaries(stored)


def test_memory_grows_with_the_root_of_the_depth():
    few, many = (temporaries(compile_plan(step_of("auto", n), 256)) for n in (16, 64))
    assert many < 2.5 * few


def test_running_statistics_are_updated_once():
    stored = lower(optimise(step_of("auto", block=BLOCKS[2])))
    again = recompute(stored)
    old, new = ({o.name: o.value for o in g.of_kind("update")} for g in (stored, again))
    running = [name for name in old if "running" in name]
    assert len(running) == 24
    assert all(old[name] is new[name] for name in running)
    means = [sum(v.op.name == "sum" and v.attrs["batch"] for v in g.nodes) for g in (stored, again)]
    assert means[0] == means[1]


def test_a_long_skip_connection_is_kept():
    stored = lower(optimise(step_of("", tail="x + first")))
    again = recompute(lower(optimise(step_of("4", tail="x + first"))))
    given = numbers(stored, 4)
    want, got = (run_graph(g, given, batch=4) for g in (stored, again))
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value)
    assert_plan_is_right(again)


def test_nothing_is_computed_again_before_its_gradient_arrives():
    """The forward pass ends before anything is computed a second time."""
    made = compile_plan(step_of("4"), 4)
    loss = next(i for i, k in enumerate(made.kernels) if "cross_entropy" in k.label
                or any(v.origin.name == "loss" for v in k.values))  # fmt: skip
    seen: dict[str, int] = {}
    for i, k in enumerate(made.kernels):
        for v in k.values:
            if v.op.name == "einsum" and v.origin.role == "forward":
                path = v.origin.instance
                if path in seen and seen[path] != i:
                    assert i > loss
                seen[path] = i


def test_without_the_setting_nothing_changes():
    graph = lower(optimise(step_of("")))
    assert recompute(graph) is graph


def test_a_net_of_one_layer_has_nothing_to_compute_again():
    graph = recompute(lower(optimise(step_of("auto", 1))))
    plan(graph, 4)


@pytest.mark.parametrize("wrong", ["0", "1", "2.5", "-3", "some", "", "2, 3"])
def test_a_wrong_setting_is_told(wrong: str):
    with pytest.raises(Failure, match=r"E266.*`auto` or a number of segments from 2"):
        text = step_text(wrong)
        module = parse_module(Source("deep.net", text))
        step(module, module.trains[0])


def step_text(setting: str) -> str:
    return f"""
net deep {{
  input x: [6]
  input y: class[6]
  loss cross_entropy(x -> dense(6), y)
}}
data d = xor()
train deep on d {{
  optimizer sgd(lr = 0.1)
  epochs 1
  checkpointing {setting}
}}
"""


def residual_images(checkpointing: str) -> Graph:
    text = f"""
block unit(o) {{
  input x: [c, h, w]
  param W: [o, c, 3, 3] ~ normal(0.2)
  z = convolve(x, W, padding = 1)
  centred = z - mean(z, over = (batch, 1, 2), keep = true)
  output relu(centred / sqrt(mean(centred^2, over = (batch, 1, 2), keep = true) + 0.00001))
}}
net images {{
  input x: [2, 5, 4]
  input y: class[3]
  a = x -> unit(4)
  repeat 4 {{
    a = relu(a + (a -> unit(4) -> dropout(0.2) -> unit(4)))
  }}
  loss cross_entropy(mean(a, axis = (1, 2)) -> dense(3), y)
}}
data d = xor()
train images on d {{
  optimizer sgd(lr = 0.1)
  epochs 1
  {checkpointing}
}}
"""
    module = parse_module(Source("images.net", text))
    return step(module, module.trains[0], dtype="f64")


def test_residual_convolutions_with_dropout_are_computed_again_from_their_sums():
    plans = [compile_plan(residual_images(c), 64) for c in ("", "checkpointing auto")]
    assert temporaries(plans[1]) < 0.6 * temporaries(plans[0])
    assert_plan_is_right(recompute(lower(optimise(residual_images("checkpointing 3")))))
