"""Convolutions lowered: the same numbers, channels last in memory, as products without copies."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.autodiff import gradient
from chainrule.compiler.channels import _regrouped
from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import apply
from chainrule.compiler.passes import lower, optimise
from chainrule.compiler.plan import Plan, Product
from chainrule.compiler.plan_check import check_plan
from chainrule.compiler.schedule import plan as schedule
from chainrule.compiler.text import parse_graph, print_graph, same_graph
from chainrule.compiler.types import Type
from chainrule.compiler.value import Value
from chainrule.runtime.plain import run_graph
from chainrule.runtime.plan_oracle import run_plan

BATCH = 3
GEOMETRIES = [
    ((2, 6, 5), (4, 2, 3, 3), {"padding": 1}),
    ((2, 6, 5), (4, 2, 1, 1), {}),
    ((2, 7, 6), (4, 2, 3, 3), {"stride": 2, "padding": 1}),
    ((2, 7, 6), (4, 2, 1, 1), {"stride": 2}),
    ((2, 8, 8), (4, 2, 3, 2), {"stride": 3, "padding": "same"}),
    ((4, 8, 7), (6, 2, 3, 3), {"groups": 2, "dilation": 2, "padding": 2}),
    ((3, 8, 7), (3, 1, 3, 3), {"groups": 3, "padding": 1}),
    ((3, 8, 9), (5, 3, 2, 2), {"stride": 2, "dilation": 2, "padding": 1}),
    ((2, 9), (3, 2, 3), {"stride": 2, "padding": 1}),
    ((1, 8, 8), (6, 1, 5, 5), {"padding": 2}),
    ((3, 11, 11), (4, 3, 5, 5), {"stride": 4}),
    ((2, 3, 3), (4, 2, 1, 1), {"stride": (5, 1), "padding": ((1, 0), (0, 2))}),
]


def inputs(shape: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[Value, Value]:
    return leaf("input", "x", Type(shape, "f64", True)), leaf("param", "w", Type(kernel, "f64"))


def stepped(x: Value, w: Value, y: Value, **more: Value) -> Graph:
    """y, the gradient by x, and w after a step, for the loss Σ tanh(y)²."""
    z = apply("tanh", y)
    by_x, by_w = gradient(apply("sum", z * z), [x, w])
    outputs = [Output("output", "y", z), Output("output", "by_x", by_x)]
    outputs += [Output("output", n, v) for n, v in more.items()]
    outputs.append(Output("update", "w", w - 0.1 * by_w, w))
    return Graph("t", tuple(outputs), {"x": Leaf(x, "input"), "w": Leaf(w, "param")}, True)


def assert_lowered_right(graph: Graph) -> Plan:
    """The lowered graph, its text and its plan give what the readable graph gives."""
    rng = np.random.default_rng(0)
    x, w = (graph.leaves[n].value for n in ("x", "w"))
    given = {"x": rng.normal(size=(BATCH, *x.shape)), "w": rng.normal(size=w.shape)}
    expected = run_graph(graph, given, batch=BATCH, seed=4)
    low = lower(optimise(graph))
    assert not any(v.op.family == "convolution" for v in low.nodes)
    order = low.leaves["w"].value.attrs.get("order", ())
    stored = {**given, "w": np.ascontiguousarray(given["w"].transpose(order or None))}
    if not order:
        stored = given
    expected["update", "w"] = expected["update", "w"].transpose(order or range(len(w.shape)))
    found = run_graph(low, stored, batch=BATCH, seed=4)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=1e-10, err_msg=str(key))
    assert same_graph(parse_graph(print_graph(low)), low)
    plan = schedule(low, BATCH)
    check_plan(plan)
    oracle = run_plan(plan, stored, batch=BATCH, seed=4)
    for (kind, name), value in expected.items():
        batch = None if kind == "update" else BATCH
        np.testing.assert_allclose(oracle.read(name, batch), value, atol=1e-10, err_msg=name)
    return plan


def products(plan: Plan) -> list[Product]:
    return [k for k in plan.kernels if isinstance(k, Product)]


@pytest.mark.parametrize(("shape", "kernel", "attrs"), GEOMETRIES)
def test_a_convolution_and_its_gradients_keep_their_numbers(shape, kernel, attrs) -> None:
    x, w = inputs(shape, kernel)
    assert_lowered_right(stepped(x, w, apply("convolve", x, w, **attrs)))


@pytest.mark.parametrize(("shape", "kernel", "attrs"), [g for g in GEOMETRIES if len(g[0]) == 3])
def test_a_transposed_convolution_and_its_gradients_keep_their_numbers(
    shape, kernel, attrs
) -> None:
    x, w = inputs(shape, kernel)
    seen = apply("convolve", x, w, **attrs)
    given = leaf("input", "x", Type(seen.shape, "f64", True))
    y = apply("convolve_transposed", given, w, size=shape[1:], **attrs)
    assert_lowered_right(stepped(given, w, y))


def test_one_convolution_is_one_product_that_reads_the_image_in_place() -> None:
    x, w = inputs((2, 6, 5), (4, 2, 3, 3))
    plan = assert_lowered_right(stepped(x, w, apply("convolve", x, w, padding=1)))
    forward, by_data, by_weights = products(plan)
    assert [e.at(1) for e in forward.rows] == [1, 6, 5]
    assert [e.at(1) for e in forward.depth] == [3, 3 * 2]
    assert forward.a.row == (8 * 7 * 2, 7 * 2, 2)
    assert forward.b.column == (1,)
    assert by_data.columns.size == 2
    assert by_weights.depth[0].batched
    assert by_weights.columns.size == 4


def test_a_convolution_of_one_element_needs_no_window() -> None:
    x, w = inputs((2, 6, 5), (4, 2, 1, 1))
    plan = assert_lowered_right(stepped(x, w, apply("convolve", x, w)))
    assert [e.at(1) for e in products(plan)[0].rows] == [1, 30]


def test_what_meets_a_convolution_follows_its_layout() -> None:
    """Bias, statistics, pooling with overlap, dropout, concatenation, upsampling and flattening."""
    x, w = inputs((3, 9, 8), (4, 3, 3, 3))
    y = apply("convolve", x, w, padding=1)
    mean = apply("sum", y, over=("batch", 1, 2), keep=True) / (BATCH * 72.0)
    y = apply("maximum", y - mean, 0.0) * apply("uniform", shape=(4, 9, 8), batched=True)
    far = apply("pad", y, start=(0, 1, 1), shape=(4, 11, 10), value=-9.0)
    pooled = apply("max", apply("windows", far, kernel=(3, 3), stride=2), axis=(3, 4))
    total = apply("sum", apply("windows", pooled, kernel=(3,), axes=(0,)), axis=3)
    both = apply("concat", pooled, total, axis=0)
    wide = apply("reshape", both, shape=(6, 5, 1, 4, 1))
    wide = apply("broadcast", wide, shape=(6, 5, 2, 4, 2))
    wide = apply("reshape", wide, shape=(6, 10, 8))
    part = apply("slice", wide, start=(1, 2, 0), size=(4, 5, 8))
    flat = apply("reshape", part, shape=(160,))
    places = apply("argmax", pooled, axis=0)
    assert_lowered_right(stepped(x, w, flat, places=apply("cast", places, dtype="f64"), all=wide))


def test_a_product_with_an_image_reads_it_where_it_lies() -> None:
    x, w = inputs((3, 4, 5), (3, 3, 1, 1))
    y = apply("convolve", x, w)
    assert_lowered_right(stepped(x, w, y @ apply("transpose", y, perm=(0, 2, 1))))


@pytest.mark.parametrize(
    ("old", "new", "order", "expected"),
    [
        ((4, 6, 5), (4, 6, 5), (1, 2, 0), [1, 2, 0]),
        ((4, 6, 5), (4, 30), (1, 2, 0), [1, 0]),
        ((4, 6, 5), (24, 5), (1, 2, 0), None),
        ((4, 6, 5), (120,), (1, 2, 0), None),
        ((4, 6, 5), (2, 2, 6, 5), (1, 2, 0), [2, 3, 0, 1]),
        ((4, 6, 5), (4, 6, 1, 5, 1), (1, 2, 0), [1, 2, 3, 4, 0]),
        ((4, 1, 1), (4,), (1, 2, 0), [0]),
        ((1, 6, 5), (30,), (1, 2, 0), [0]),
        ((1, 1), (1,), (1, 0), [0]),
    ],
)
def test_a_reshape_keeps_memory_where_joined_axes_stay_neighbours(old, new, order, expected):
    assert _regrouped(old, new, order) == expected
