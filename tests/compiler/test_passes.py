"""The passes: textbook forms are reached, values are kept, cost is linear, mistakes are caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chainrule.compiler import passes
from chainrule.compiler.autodiff import gradient
from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import apply, constant
from chainrule.compiler.passes import lower, optimise, simplify, stabilise
from chainrule.compiler.rewrite import Trace
from chainrule.compiler.step import with_gradients
from chainrule.compiler.types import Type
from chainrule.compiler.value import Value
from chainrule.compiler.verify import Broken, verify
from chainrule.runtime.plain import run_graph
from tests.compiler.netcase import net, random_values


def written(v: Value, names: dict[Value, str] | None = None) -> str:
    """A value as a formula; what `names` holds is not opened."""
    if names and v in names:
        return names[v]
    if v.is_constant:
        return f"{v.attrs['value']:g}"
    if v.op.family == "leaf":
        return str(v.attrs.get("name", "m"))
    args = [written(a, names) for a in v.args]
    if v.op.infix:
        return f"({f' {v.op.infix} '.join(args)})"
    if v.op.name == "transpose":
        return f"{args[0]}'"
    if v.op.name == "sum" and v.attrs["batch"]:
        return f"Σ{args[0]}"
    if v.op.name == "cast":
        return args[0]
    return f"{'-' if v.op.name == 'neg' else v.op.name}({', '.join(args)})"


def learnt(text: str, **options: object) -> tuple[Graph, dict[str, str], dict[str, Value]]:
    """Simplified gradients of a net: (graph, formula of each, its values by user's name)."""
    graph = optimise(with_gradients(stabilise(net(text, **options))))
    named = {v.origin.name: v for v in graph.nodes if v.origin.name and v.origin.role == "forward"}
    names = {v: n for n, v in named.items() if len(n) == 1 or n in ("A2", "A1")}
    formulas = {o.target.attrs["name"]: written(o.value, names) for o in graph.of_kind("gradient")}
    return graph, formulas, named


SOFTMAX = """
net t {
  input X: [5]
  input Y: class[3]
  param W1: [4, 5] ~ glorot
  param b1: [4] = 0
  param W2: [3, 4] ~ glorot
  param b2: [3] = 0
  z = W1 @ X + b1
  a = tanh(z)
  s = W2 @ a + b2
  output p = softmax(s)
  loss cross_entropy(s, Y)
}
"""


def test_softmax_with_cross_entropy_gives_a_minus_y() -> None:
    graph, formulas, _ = learnt(SOFTMAX)
    p = next(o.value for o in graph.outputs if o.kind == "output")
    delta = next(o.value for o in graph.outputs if o.name == "grad b2").args[0].args[0]
    assert delta.op.name == "sub"
    assert delta.args[0] is p, "A is the very probabilities that the net gives"
    assert delta.args[1].op.name == "one_hot"
    d = written(delta, {p: "p"})
    assert d == "(p - one_hot(Y))"
    full = written(delta)
    assert formulas["W2"].replace(written(delta, {v: n for n, v in _named(graph)}), "δ") == (
        "(Σouter(δ, a) / m)"
    )
    w1 = next(o.value for o in graph.outputs if o.name == "grad W1")
    names = {delta: "δ", **{v: n for n, v in _named(graph)}}
    assert written(w1, names) == "(Σouter(((W2' @ δ) * (1 - (a ^ 2))), X) / m)"
    assert full


def _named(graph: Graph) -> list[tuple[str, Value]]:
    forward = [v for v in graph.nodes if v.origin.role == "forward" and len(v.origin.name) == 1]
    return [(v.origin.name, v) for v in forward]


def test_sigmoid_with_half_squared_error_gives_the_textbook_product() -> None:
    _, formulas, _ = learnt(
        """
net t {
  input x: [5]
  input y: [3]
  param W: [3, 5] ~ glorot
  param b: [3] = 0
  a = sigmoid(W @ x + b)
  output a
  loss squared_error(a, y)
}
"""
    )
    assert formulas["b"] == "(Σ(((a - y) * a) * (1 - a)) / m)"
    assert formulas["W"] == "(Σouter((((a - y) * a) * (1 - a)), x) / m)"


@pytest.mark.parametrize("loss", ["a - y", "direct"])
def test_sigmoid_with_binary_cross_entropy_gives_a_minus_y(loss: str) -> None:
    written_out = "sum(-(y * log(a) + (1 - y) * log(1 - a)))"
    used = written_out if loss == "direct" else "3 * binary_cross_entropy(a, y)"
    _, formulas, _ = learnt(
        f"""
net t {{
  input x: [5]
  input y: [3]
  param W: [3, 5] ~ glorot
  param b: [3] = 0
  a = sigmoid(W @ x + b)
  output a
  loss {used}
}}
"""
    )
    assert formulas["b"] == "(Σ(a - y) / m)"


def test_binary_cross_entropy_gives_a_minus_y_also_without_the_stable_form() -> None:
    z, y = leaf("input", "z", Type((), "f64", True)), leaf("input", "y", Type((), "f64", True))
    a = apply("sigmoid", z)
    loss = -(y * apply("log", a) + (1 - y) * apply("log", 1 - a))
    graph = _graph(gradient(loss, [z])[0], z, y)
    assert written(simplify(graph).outputs[0].value) == "(sigmoid(z) - y)"


def test_mean_squared_error_gives_two_differences_over_n() -> None:
    _, formulas, _ = learnt(
        """
net t {
  input x: [4]
  input y: [4]
  param b: [4] = 0
  p = x + b
  loss mse(p, y)
}
"""
    )
    assert formulas["b"] == "(0.5 * (Σ(p - y) / m))"


def test_relu_passes_the_gradient_where_its_input_was_positive() -> None:
    _, formulas, _ = learnt(
        """
net t {
  input x: [4]
  param W: [3, 4] ~ glorot
  z = W @ x
  loss sum(relu(z))
}
"""
    )
    assert formulas["W"] == "(Σouter((z > 0), x) / m)"


def test_batch_normalisation_has_its_short_form_backwards() -> None:
    graph, _, named = learnt(
        """
net t {
  input x: [4]
  input y: [4]
  param c: [4] = 0
  h = x + c
  n = h -> batchnorm
  loss sum(y * n)
}
"""
    )
    n = named["normal_x"]
    sigma = n.args[1]
    dx = next(o.value for o in graph.outputs if o.name == "grad c")
    names = {n: "n", sigma: "σ"}
    short = "((n.gamma / σ) * Σ((y - ((Σ(y * n) / m) * n)) - (Σy / m)))"
    assert short in written(dx, names)


def _graph(value: Value, *leaves: Value) -> Graph:
    known = {v.attrs["name"]: Leaf(v, v.op.name) for v in leaves}
    return Graph("g", (Output("output", "y", value),), known)


# ---------------------------------------------------------------- values are kept

NETS = {
    "softmax": SOFTMAX,
    "normalised": """
net t {
  input x: [6]
  input y: [4]
  h = x -> dense(4) -> batchnorm -> elu -> dense(4) -> layernorm -> gelu -> leaky_relu
  loss huber(softmax(h), y)
}
""",
    "shared": """
net t {
  input x: [5]
  input y: [5]
  D = dense(5)
  a = D(x) -> sigmoid
  b = D(a) -> softplus
  c = b -> dropout(0.3) -> dense(5, bias = false) -> selu
  loss mse(c * a, y)
  loss_scale = 1
}
""",
}


@pytest.mark.parametrize("name", NETS)
def test_optimised_and_lowered_equals_plain(name: str) -> None:
    raw = net(NETS[name])
    plain = with_gradients(raw)
    better = optimise(with_gradients(stabilise(raw)))
    given = random_values(raw, 5)
    expected = run_graph(plain, given, batch=5)
    assert len(better.nodes) < 0.9 * len(plain.nodes)
    low = lower(better)
    turned = {
        f.name: given[f.name].T if f.value.attrs.get("order") else given[f.name]
        for f in low.leaves.values()
    }
    for found in (run_graph(better, given, batch=5), run_graph(low, turned, batch=5)):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=1e-9, atol=1e-11)


def test_cross_entropy_of_a_hopeless_score_is_finite() -> None:
    graph = with_gradients(stabilise(net(SOFTMAX, dtype="f32")))
    given = random_values(graph, 2)
    given["b2"] = np.array([0.0, 1e4, 0.0])
    given["Y"] = np.array([0, 2], np.int32)
    results = run_graph(optimise(graph), given, batch=2)
    assert all(np.isfinite(v).all() for v in results.values())
    assert results["loss", "loss"] == pytest.approx(1e4, rel=1e-3)


def test_the_trace_tells_each_rewriting_in_order() -> None:
    trace = Trace()
    optimise(with_gradients(stabilise(net(SOFTMAX))), trace=trace)
    names = [step.rule.name for step in trace.steps]
    assert "a one-hot vector sums to 1" in names
    assert all(step.before.type == step.after.type and step.rule.reason for step in trace.steps)


def test_what_is_simple_already_stays_the_same_graph() -> None:
    once = optimise(with_gradients(stabilise(net(SOFTMAX))))
    trace = Trace()
    assert optimise(once, trace=trace) is once
    assert not trace.steps


def test_equal_expressions_become_one_node() -> None:
    x = leaf("input", "x", Type((3,), "f64", True))
    y = apply("exp", x + 1) * apply("sin", x) + apply("cos", apply("sin", x) * apply("exp", 1 + x))
    better = simplify(_graph(y, x))
    words = [v.op.name for v in better.nodes]
    assert words.count("exp") == words.count("sin") == words.count("mul") == 1


# ---------------------------------------------------------------- lowering


def lowered(text: str) -> Graph:
    return lower(optimise(with_gradients(stabilise(net(text)))))


def test_no_transposition_and_no_product_of_another_kind_is_left() -> None:
    graph = lowered(SOFTMAX)
    words = {v.op.name for v in graph.nodes}
    assert not words & {"matmul", "outer"}
    # Gradients are read in the user's orientation: that is the one transposition allowed.
    given_back = {o.value for o in graph.of_kind("gradient")}
    assert all(v in given_back for v in graph.nodes if v.op.name == "transpose")
    specs = sorted(v.attrs["spec"] for v in graph.nodes if v.op.name == "einsum")
    assert specs == ["bi,bj->ij", "bi,bj->ij", "ij,bj->bi", "ji,bj->bi", "ji,bj->bi"]


def test_only_an_index_of_both_operands_is_contracted() -> None:
    x = leaf("input", "x", Type((3,), "f64", True))
    w = leaf("state", "w", Type((5, 3), "f64"))
    low = lower(_graph(apply("sum", w @ x, over="batch"), x, w))
    assert [v.op.name for v in low.nodes][-2:] == ["einsum", "sum"]


def test_an_added_axis_of_size_one_does_not_reach_the_product() -> None:
    x, y = (leaf("input", n, Type((5,), "f64", True)) for n in "xy")
    row = apply("reshape", x, shape=(1, 5))
    low = lower(_graph(row @ y, x, y))
    assert [v.attrs["spec"] for v in low.nodes if v.op.name == "einsum"] == ["bj,bj->b"]


def test_the_layout_spreads_to_states_and_updates() -> None:
    x = leaf("input", "x", Type((3,), "f64", True))
    w = leaf("param", "W", Type((5, 3), "f64"))
    v = leaf("state", "W.v", Type((5, 3), "f64"))
    row = leaf("state", "row", Type((3,), "f64"))
    z = w @ x
    g = gradient(apply("sum", z * z), [w])[0]
    momentum = 0.9 * v + g * row
    norm = apply("sum", momentum * momentum)
    outputs = (
        Output("metric", "norm", norm),
        Output("metric", "rows", apply("sum", apply("max", w, axis=1))),
        Output("output", "copy", w),
        Output("update", "W", w - 0.1 * momentum, w),
        Output("update", "W.v", momentum, v),
    )
    leaves = {"x": Leaf(x, "input"), "W": Leaf(w, "param"), "W.v": Leaf(v, "state"),
              "row": Leaf(row, "state")}  # fmt: skip
    graph = Graph("g", outputs, leaves)
    low = lower(graph)
    turned = {n for n, f in low.leaves.items() if f.value.attrs.get("order")}
    assert turned == {"W", "W.v"}
    assert [o.value.shape for o in low.of_kind("update")] == [(3, 5), (3, 5)]
    given = random_values(graph, 4)
    there = {n: a.T if n in turned else a for n, a in given.items()}
    expected, found = run_graph(graph, given, batch=4), run_graph(low, there, batch=4)
    for key, value in expected.items():
        other = found[key].T if key[0] == "update" else found[key]
        np.testing.assert_allclose(other, value, rtol=1e-12)


def test_a_matrix_that_is_read_only_backwards_stays_as_it_is() -> None:
    g = leaf("input", "g", Type((5,), "f64", True))
    w = leaf("param", "W", Type((5, 3), "f64"))
    low = lower(Graph("g", (Output("output", "y", apply("transpose", w) @ g),),
                      {"g": Leaf(g, "input"), "W": Leaf(w, "param")}))  # fmt: skip
    assert not low.leaves["W"].value.attrs.get("order")


# ---------------------------------------------------------------- the pass manager


def test_the_work_grows_linearly_with_the_depth() -> None:
    def rewritings(depth: int) -> int:
        trace = Trace()
        text = SOFTMAX.replace(
            "a = tanh(z)", f"a = z\n  repeat {depth} {{ a = a -> dense(4) -> relu }}"
        )
        optimise(with_gradients(stabilise(net(text))), trace=trace)
        return len(trace.steps)

    ten, twenty, forty = (rewritings(d) for d in (10, 20, 40))
    assert forty - twenty == 2 * (twenty - ten)


def test_an_observer_sees_what_each_pass_changed() -> None:
    seen = []
    graph = with_gradients(stabilise(net(SOFTMAX)))
    better = optimise(graph, observer=lambda p, a, b: seen.append((p.name, a, b)))
    low = lower(better, observer=lambda p, a, b: seen.append((p.name, a, b)))
    lowering = ["sequences", "lookups", "masks", "channels", "contract", "layout", "partial"]
    assert [name for name, _, _ in seen] == ["scans", "simplify", "scans", *lowering]
    assert seen[0][1] is graph and seen[-1][2] is low


X = leaf("input", "x", Type((3,), "f64", True))


def test_a_pass_that_breaks_a_graph_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(graph: Graph, trace: Trace | None) -> Graph:
        v = graph.outputs[0].value
        bad = Value(v.op, v.args, v.attrs, v.type.with_(shape=(7,)), v.origin)
        return graph.with_outputs([replace(graph.outputs[0], value=bad)])

    monkeypatch.setattr(passes, "OPTIMISE", (passes.Pass("wrong", "", wrong),))
    with pytest.raises(Broken, match="after `wrong`"):
        optimise(_graph(apply("exp", X), X))


@pytest.mark.parametrize(
    ("output", "leaves", "reason"),
    [
        (Output("output", "y", X + 1), {}, "not declared"),
        (
            Output("output", "y", X),
            {"x": Leaf(leaf("input", "x", Type()), "input")},
            "is declared as",
        ),
        (Output("loss", "y", X), {"x": Leaf(X, "input")}, "not a number"),
        (Output("update", "y", X), {"x": Leaf(X, "input")}, "no target"),
        (Output("update", "y", constant(0.0), X), {"x": Leaf(X, "input")}, "its target"),
    ],
)
def test_a_graph_that_cannot_be_is_refused(output: Output, leaves: dict, reason: str) -> None:
    with pytest.raises(Broken, match=reason):
        verify(Graph("g", (output,), leaves))
