"""The library's layers of images against PyTorch's numbers (`scripts/make_layer_numbers.py`): what
they give, in training and in use, their gradients by data and by parameters, running statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chainrule.compiler.step import with_gradients
from chainrule.runtime.plain import run_graph
from tests.compiler.netcase import net

FILE = Path(__file__).with_name("layers.npz")
with np.load(FILE, allow_pickle=False) as _archive:
    NUMBERS = {name: _archive[name] for name in _archive.files}
X = NUMBERS["x"]
CALLS = [str(call) for call in NUMBERS["calls"]]
PIXELS = X.shape[0] * X.shape[2] * X.shape[3]


def case(call: str) -> dict[str, np.ndarray]:
    prefix = f"{CALLS.index(call)}."
    return {k.removeprefix(prefix): v for k, v in NUMBERS.items() if k.startswith(prefix)}


def results(call: str, training: bool) -> dict[tuple[str, str], np.ndarray]:
    shape = list(X.shape[1:])
    graph = net(
        f"""
net t {{
  input x: {shape}
  param S: {shape} = 1
  y = x * S -> {call}
  output y
  loss sum(y^2) / 2
}}
""",
        training=training,
    )
    given = {"x": X, "S": np.ones(X.shape[1:])}
    given |= {f"y.{name}": v for name, v in case(call).items() if f"y.{name}" in graph.leaves}
    whole = with_gradients(graph) if training else graph
    return run_graph(whole, given, batch=len(X))


@pytest.mark.parametrize("call", CALLS)
def test_a_layer_gives_what_pytorch_gives(call) -> None:
    expected = case(call)
    found = results(call, training=True)
    np.testing.assert_allclose(found["output", "output"], expected["y"], rtol=1e-9, atol=1e-10)
    in_use = results(call, training=False)["output", "output"]
    usual = expected.get("in use", expected["y"])
    np.testing.assert_allclose(in_use, usual, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("call", CALLS)
def test_the_gradients_of_a_layer_are_those_of_pytorch(call) -> None:
    found = results(call, training=True)
    expected = {k.removeprefix("grad "): v for k, v in case(call).items() if k.startswith("grad ")}
    names = {n.removeprefix("grad y.").removeprefix("grad ") for k, n in found if k == "gradient"}
    assert names == set(expected)
    for name, value in expected.items():
        path = "grad S" if name == "S" else f"grad y.{name}"
        np.testing.assert_allclose(found["gradient", path], value, rtol=1e-8, atol=1e-9)


def test_running_statistics_follow_pytorch_but_for_the_unbiased_variance() -> None:
    """PyTorch's momentum 0.1 is 0.9 here, and its variance is m / (m - 1) times the batch's."""
    expected = case("batchnorm")
    found = results("batchnorm", training=True)
    mean, variance = (found["update", f"y.running_{n}"] for n in ("mean", "variance"))
    np.testing.assert_allclose(mean, expected["next running_mean"], rtol=1e-12)
    theirs = (expected["next running_variance"] - 0.9 * expected["running_variance"]) / 0.1
    ours = (variance - 0.9 * expected["running_variance"]) / 0.1
    np.testing.assert_allclose(ours, theirs * (PIXELS - 1) / PIXELS, rtol=1e-10)
