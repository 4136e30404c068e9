"""Long sums over the batch are made within each example first, and come to the same."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import apply
from chainrule.compiler.partial import within_examples
from chainrule.compiler.types import Type
from chainrule.compiler.value import Value
from tests.compiler.plancase import assert_plan_is_right

X = leaf("input", "x", Type((5, 7, 3), "f64", True))
G = leaf("input", "g", Type((5, 7, 3), "f64", True))
MEAN = leaf("param", "mean", Type((3,), "f64"))


def graph(*results: Value) -> Graph:
    leaves = {str(v.attrs["name"]): Leaf(v, v.op.name) for v in (X, G, MEAN)}
    outputs = (Output("output", f"o{k}", v) for k, v in enumerate(results))
    return Graph("sums", tuple(outputs), leaves)


def statistics() -> list[Value]:
    centred = X - apply("reshape", MEAN, shape=(1, 1, 3))
    return [
        apply("sum", X, over=("batch", 0, 1)),
        apply("sum", centred * G, over=("batch", 0, 1)),
        apply("max", X, over=("batch", 0, 1, 2)),
        apply("min", X, over=("batch", 0, 1), keep=True),
        apply("einsum", X, G, spec="bhwc,bhwc->c"),
        apply("einsum", X, MEAN, spec="bhwc,c->"),
    ]


def reductions(g: Graph) -> list[tuple[bool, tuple[int, ...]]]:
    """Which of them go over the batch, and along which axes."""
    return [(v.attrs["batch"], v.attrs["axes"]) for v in g.nodes if v.op.family == "reduction"]


def test_statistics_of_channels_are_summed_in_two_steps() -> None:
    parted = within_examples(graph(*statistics()))
    assert all(not (batch and axes) for batch, axes in reductions(parted))
    assert all(v.type.batched for v in parted.nodes if v.op.name == "einsum")
    made = assert_plan_is_right(parted)
    assert any(k.batched for k in made.kernels if hasattr(k, "stages"))


def test_both_ways_give_the_same_numbers() -> None:
    whole = graph(*statistics())
    assert_plan_is_right(whole)
    assert [o.value.type for o in within_examples(whole).outputs] == [
        o.value.type for o in whole.outputs
    ]


@pytest.mark.parametrize(
    "value",
    [
        apply("sum", X, over="batch"),
        apply("sum", X, over=("batch", 0)),
        apply("sum", X, over=(0, 1)),
        apply("einsum", X, G, spec="bhwc,bhwo->co"),
    ],
    ids=["batch_alone", "few", "no_batch", "matrix_product"],
)
def test_what_is_short_or_a_product_stays(value: Value) -> None:
    before = graph(value)
    assert within_examples(before) is before


def test_a_million_terms_in_single_precision() -> None:
    from chainrule.compiler.schedule import plan
    from chainrule.runtime.cpu import CpuDevice

    x = leaf("input", "x", Type((128, 128, 2), "f32", True))
    total = apply("sum", x, over=("batch", 0, 1))
    made = Graph("sum", (Output("output", "s", total),), {"x": Leaf(x, "input")})
    loaded = CpuDevice(threads=1).load(plan(within_examples(made), 64))
    values = np.random.default_rng(0).random((64, 128, 128, 2), np.float32)
    loaded.write("x", values)
    loaded.run(64)
    exact = values.astype(np.float64).sum((0, 1, 2))
    np.testing.assert_allclose(loaded.read("s"), exact, rtol=1e-6)
