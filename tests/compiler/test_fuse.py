"""Fusion: what shares a kernel, what lies in memory, and that the numbers stay the same."""

from __future__ import annotations

import pytest

from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import apply
from chainrule.compiler.plan import Extent, Loops, Plan, Product, Stage
from chainrule.compiler.types import Type
from chainrule.compiler.value import Value

from .plancase import CLASSIFIER, assert_plan_is_right, deep, training


def functions(stage: Stage) -> list[str]:
    return [let.expression.function for let in stage.lets]


def products(plan: Plan) -> list[Product]:
    return [k for k in plan.kernels if isinstance(k, Product)]


def loops(plan: Plan) -> list[Loops]:
    return [k for k in plan.kernels if isinstance(k, Loops)]


def draws(plan: Plan) -> int:
    """How often the plan asks the generator."""
    stages = [s for k in loops(plan) for s in k.stages] + [k.epilogue for k in products(plan)]
    return sum(functions(s).count("uniform") for s in stages)


def graph_of(*outputs: Output, **leaves: Value) -> Graph:
    known = {n: Leaf(v, v.op.name) for n, v in leaves.items()}
    return Graph("test", outputs, known)


def given(kind: str, name: str, *shape: int, batched: bool = False, dtype: str = "f64") -> Value:
    return leaf(kind, name, Type(shape, dtype, batched))


# ---------------------------------------------------------------- products and epilogues


def test_a_dense_layer_is_one_product_with_bias_and_activation():
    plan = assert_plan_is_right(training(CLASSIFIER))
    first = products(plan)[0]
    assert first.rows == (Extent(1, batched=True),)
    assert (first.columns, first.depth) == (Extent(5), (Extent(7),))
    assert functions(first.epilogue)[:2] == ["add", "max"]


def test_columns_of_products_are_contiguous():
    for kernel in products(assert_plan_is_right(training(CLASSIFIER))):
        assert all(w.access.strides[1] == 1 for w in kernel.epilogue.writes)
    forward = products(assert_plan_is_right(training(CLASSIFIER)))[0]
    assert forward.b.column == (1,)


def test_the_optimizer_runs_in_the_epilogue_of_the_gradient():
    plan = assert_plan_is_right(training(CLASSIFIER, "adam()"))
    update = next(k for k in products(plan) if k.label.startswith("update h.W"))
    written = {plan.buffers[update.slots[s]].name for s in update.writes}
    assert written == {"h.W", "h.W.adam.v", "h.W.adam.s"}
    assert len(products(plan)) == 5


def test_the_bias_is_updated_by_the_kernel_that_sums_its_gradient():
    plan = assert_plan_is_right(training(CLASSIFIER, "momentum(lr = 0.1)"))
    kernel = next(k for k in loops(plan) if k.label.startswith("update z.b"))
    assert kernel.over_batch and len(kernel.stages) == 2


def test_bias_correction_is_computed_once_and_not_for_every_weight():
    plan = assert_plan_is_right(training(CLASSIFIER, "adam()"))
    powers = [s for k in loops(plan) for s in k.stages if "pow" in functions(s)]
    assert [s.axes for s in powers] == [()]
    assert not any("pow" in functions(k.epilogue) for k in products(plan))


def test_softmax_loss_and_metric_are_one_kernel_and_their_means_another():
    plan = assert_plan_is_right(training(CLASSIFIER))
    assert sum(k.batched for k in loops(plan)) == 1
    means = [k for k in loops(plan) if k.over_batch and len(k.stages[0].folds) == 2]
    assert len(means) == 1
    assert set(plan.recorded) == {"loss", "accuracy"}


def test_the_relu_derivative_is_read_from_its_result():
    plan = assert_plan_is_right(training(CLASSIFIER))
    kept = [b.type for b in plan.buffers if b.kind == "temp" and b.type.batched]
    assert sorted(t.dtype for t in kept if t.shape == (5,)) == ["f64", "f64"]


def test_the_relu_derivative_is_a_byte_per_element_where_its_result_is_not_kept():
    plan = assert_plan_is_right(training(CLASSIFIER.replace("relu", "relu -> dropout(0.4)")))
    kept = [b.type for b in plan.buffers if b.kind == "temp" and b.type.batched]
    assert sorted(t.dtype for t in kept if t.shape == (5,)) == ["bool", "f64", "f64"]


def test_dropout_draws_its_mask_again_in_the_backward_pass():
    plan = assert_plan_is_right(training(CLASSIFIER.replace("relu", "tanh -> dropout(0.4)")))
    assert plan.seeded
    assert draws(plan) == 2
    kept = [b.type for b in plan.buffers if b.kind == "temp" and b.type.batched]
    assert not [t for t in kept if t.dtype == "bool" and t.shape]


def test_what_is_cheap_is_computed_again_and_not_stored():
    plan = assert_plan_is_right(deep(3))
    tanh = [k for k in products(plan) if "tanh" in functions(k.epilogue)]
    assert [len(k.epilogue.writes) for k in tanh[:-1]] == [1, 1]  # h; not 1 − h² too


def test_a_constant_factor_of_an_operand_moves_behind_the_product():
    x = given("input", "x", 4, batched=True)
    w = given("param", "w", 4, 3)
    z = apply("einsum", x * 2.5, w, spec="bi,iu->bu")
    plan = assert_plan_is_right(graph_of(Output("output", "z", z), x=x, w=w))
    (kernel,) = plan.kernels
    assert isinstance(kernel, Product) and functions(kernel.epilogue) == ["mul"]


def test_transposes_and_slices_are_strides_of_the_product():
    x = given("input", "x", 6, batched=True)
    w = given("param", "w", 3, 9)
    part = apply("slice", apply("transpose", w, perm=(1, 0)), start=(2, 0), size=(6, 3))
    z = apply("einsum", x, part, spec="bi,iu->bu")
    plan = assert_plan_is_right(graph_of(Output("output", "z", z), x=x, w=w))
    (kernel,) = plan.kernels
    assert isinstance(kernel, Product)
    assert (kernel.b.row, kernel.b.column, kernel.b.offset) == ((1,), (9,), 2)


def test_rows_of_every_example_are_one_product_where_strides_allow():
    x = given("input", "x", 5, 4, batched=True)
    w = given("param", "w", 4, 3)
    z = apply("einsum", x, w, spec="bti,iu->btu")
    back = apply("einsum", x, z, spec="bti,btu->iu")
    plan = assert_plan_is_right(
        graph_of(Output("output", "z", z), Output("output", "g", back), x=x, w=w)
    )
    assert products(plan)[0].rows == (Extent(5, batched=True),)
    assert products(plan)[1].depth == (Extent(5, batched=True),)


def test_a_product_of_two_per_example_matrices_loops_over_the_batch():
    x = given("input", "x", 5, 4, batched=True)
    y = given("input", "y", 4, 3, batched=True)
    z = apply("einsum", x, y, spec="bti,biu->btu")
    plan = assert_plan_is_right(graph_of(Output("output", "z", z), x=x, y=y))
    (kernel,) = products(plan)
    assert (kernel.loop, kernel.rows) == (Extent(1, batched=True), (Extent(5),))


def test_a_single_unit_needs_no_matrix_product():
    body = "input x: [7]\n input y: [1]\n z = x -> dense(1)\n loss mse(z, y)"
    plan = assert_plan_is_right(training(body))
    assert not products(plan)


def test_a_raw_product_that_somebody_else_needs_is_stored_as_well():
    x, w = given("input", "x", 4, batched=True), given("param", "w", 4, 3)
    z = apply("einsum", x, w, spec="bi,iu->bu")
    g = graph_of(Output("output", "z", z), Output("output", "h", apply("tanh", z)), x=x, w=w)
    (kernel,) = assert_plan_is_right(g).kernels
    assert len(kernel.writes) == 2


def test_the_sum_of_two_products_needs_two_kernels():
    x, w = given("input", "x", 4, batched=True), given("param", "w", 4, 3)
    y, u = given("input", "y", 5, batched=True), given("param", "u", 5, 3)
    z = apply("einsum", x, w, spec="bi,iu->bu") + apply("einsum", y, u, spec="bi,iu->bu")
    g = graph_of(Output("output", "z", apply("tanh", z)), x=x, w=w, y=y, u=u)
    assert len(assert_plan_is_right(g).kernels) == 2


def test_batch_statistics_read_the_product_and_store_nothing_between():
    x, w = given("input", "x", 4, batched=True), given("param", "w", 4, 3)
    z = apply("einsum", x, w, spec="bi,iu->bu")
    m = apply("batch_size", dtype="f64")
    mean = apply("sum", z, over=("batch",)) / m
    variance = apply("sum", (z - mean) * (z - mean), over=("batch",)) / m
    y = (z - mean) / apply("sqrt", variance + 1e-3)
    plan = assert_plan_is_right(graph_of(Output("output", "y", y), x=x, w=w))
    assert len(plan.kernels) == 4
    assert sum(b.kind == "temp" and b.type.batched for b in plan.buffers) == 1


# ---------------------------------------------------------------- many kernels


def test_fifty_equal_layers_have_few_different_kernels():
    plan = assert_plan_is_right(deep(50, optimizer="adam()"))
    assert len(plan.kernels) == 202
    assert len(plan.distinct) <= 12


def test_labels_read_like_the_source():
    labels = [k.label for k in assert_plan_is_right(training(CLASSIFIER)).kernels]
    assert any("h = maximum((W @ x) + b, 0)" in text for text in labels)
    assert any(text.startswith("update z.W by") for text in labels)


def test_initialisers_cannot_be_part_of_a_step():
    g = graph_of(Output("output", "o", apply("orthogonal", shape=(3, 3))))
    with pytest.raises(TypeError, match="initial values"):
        assert_plan_is_right(g)


# ---------------------------------------------------------------- positions and draws


def labelled(*shape: int) -> Value:
    return leaf("input", "y", Type(shape, "i32", True, 3))


def test_a_one_hot_label_is_compared_in_the_epilogue():
    x, w, y = given("input", "x", 4, batched=True), given("param", "w", 4, 3), labelled()
    z = apply("einsum", x, w, spec="bi,iu->bu") - apply("one_hot", y, dtype="f64")
    (kernel,) = assert_plan_is_right(graph_of(Output("output", "z", z), x=x, w=w, y=y)).kernels
    assert isinstance(kernel, Product) and "eq" in functions(kernel.epilogue)


def test_an_index_along_rows_that_are_examples_too_waits_for_a_loop():
    x, w, y = given("input", "x", 3, 4, batched=True), given("param", "w", 4, 5), labelled(5)
    hot = apply("transpose", apply("one_hot", y, dtype="f64"), perm=(1, 0))
    z = apply("einsum", x, w, spec="bti,iu->btu") * hot
    plan = assert_plan_is_right(graph_of(Output("output", "z", z), x=x, w=w, y=y))
    assert len(plan.kernels) == 2


@pytest.mark.parametrize("spec", ["bti,iu->btu", "bti,iu->but"])
def test_draws_keep_their_counters_in_an_epilogue(spec: str):
    x, w = given("input", "x", 3, 4, batched=True), given("param", "w", 4, 5)
    z = apply("einsum", x, w, spec=spec)
    noisy = z + apply("uniform", shape=z.shape, stream=7, batched=True, dtype="f64")
    assert_plan_is_right(graph_of(Output("output", "z", noisy), x=x, w=w))


def test_draws_that_do_not_depend_on_the_example_are_the_same_for_all():
    x = given("input", "x", 3, batched=True)
    noise = apply("normal", shape=(3,), stream=1, batched=False, dtype="f64")
    assert_plan_is_right(graph_of(Output("output", "z", x + noise), x=x))


def test_draws_of_another_order_or_shape_are_stored_first():
    x = given("input", "x", 3, 2, batched=True)
    noise = apply("uniform", shape=(2, 3), stream=1, batched=True, dtype="f64")
    turned = apply("transpose", apply("tanh", noise), perm=(1, 0))
    total = apply("sum", noise, axis=0)
    g = graph_of(Output("output", "z", x + turned), Output("output", "s", total), x=x)
    assert draws(assert_plan_is_right(g)) == 1
