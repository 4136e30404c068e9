"""Layers of sequences: PyTorch's numbers, finite differences, BPTT written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule.compiler.elaborate import forward, parse_module
from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import gradients, optimise
from chainrule.dsl.source import Source
from chainrule.runtime.plain import evaluate
from tests.compiler.netcase import check_gradients, random_values
from tests.sequencecases import BATCH, EVERY, case

Array = NDArray[Any]


def graph_of(text: str, T: int = 5, k: int = 4, training: bool = True) -> Graph:
    module = parse_module(Source("test.net", f"net t {{\n{text}\n}}\n"))
    return forward(module, training=training, dtype="f64", sizes={"T": T, "k": k})


# ---------------------------------------------------------------- PyTorch's numbers


@pytest.mark.parametrize(("file", "kind"), EVERY)
def test_a_layer_and_its_gradients_have_the_numbers_of_pytorch(file: str, kind: str) -> None:
    of = case(file, kind)
    graph = of.graph()
    assert of.expected
    for stage in (graph, optimise(graph)):
        values = [o.value for o in stage.outputs if o.name in of.expected]
        names = [o.name for o in stage.outputs if o.name in of.expected]
        assert set(names) == set(of.expected)
        for name, found in zip(names, evaluate(values, of.given, batch=BATCH), strict=True):
            np.testing.assert_allclose(found, of.expected[name], 1e-9, 1e-10, err_msg=name)


# ---------------------------------------------------------------- finite differences

LENGTHS = {"xs.length": np.array([5, 2, 4], np.int32), "ys.length": np.array([3, 5, 1], np.int32)}
HEAD = "input xs: [T, 3]\ninput ys: [T, 3]\n"
NETS = {
    "rnn": "r = xs -> rnn(2, activation = sigmoid)\nloss sum(r.hs^2) + sum(r.last)",
    "lstm": "r = xs -> lstm(2)\nloss sum(r.hs^2) + sum(r.last * r.cell)",
    "gru": "r = xs -> gru(2)\nloss sum(r.hs^2) + sum(r.last)",
    "masked lstm": "r = xs -> lstm(2, mask = mask(xs))\nloss sum(r.hs^2) + sum(r.last * r.cell)",
    "masked gru from the end":
        "r = xs -> gru(2, mask = mask(xs), reverse = true)\nloss sum(r.hs^2) + sum(r.last)",
    "stacked": "r = xs -> stacked(gru, [2, 3], mask = mask(xs), dropout = 0.3)\nloss sum(r.hs^2)",
    "bidirectional": "r = xs -> bidirectional(rnn, 2, mask = mask(xs))\nloss sum(r.hs^2 + r.hs)",
    "one from another":
        "e = xs -> lstm(2, mask = mask(xs))\n"
        "d = ys -> lstm(2, start = e.last, start_cell = e.cell)\nloss sum(d.hs^2)",
    "attention":
        "e = xs -> gru(3, mask = mask(xs))\n"
        "a = (e.last, e.hs, xs) -> attention(mask = mask(xs))\nloss sum(a.context^2 + a.context)",
    "attention at every step":
        "e = xs -> gru(3)\na = (ys, e.hs, xs) -> attention(mask = mask(xs))\n"
        "loss sum(a.context^2 * ys)",
    "attention in the step":
        "scan y in ys with s: [3] = 0 (mask = mask(ys)) {\n"
        "a = (s, xs, xs) -> additive_attention(2, mask = mask(xs))\n"
        "s = concat(s, y, a.context) -> dense(3) -> tanh\nyield s\n}\nloss sum(yielded^2)",
    "a scan in a scan":
        "scan x in xs with h: [3] = 0 {\n"
        "  scan y in ys with g: [3] = h (reverse = true) {\n"
        "    g = concat(g, x * y) -> dense(3) -> tanh\n    yield g\n  }\n"
        "  h = g\n  yield sum(yielded, axis = 0)\n}\nloss sum(yielded^2)",
    "layers of its own in a map": "scan x in xs {\nyield x -> dense(2)\n}\nloss sum(yielded^4)",
    "dense at every step": "h = xs -> dense(4) -> tanh -> dense(2)\nloss sum(h^2)",
    "dense at every step without bias": "h = xs -> dense(4, bias = false) -> tanh\nloss sum(h^2)",
    "addressing":
        "scan x in xs, y in ys with M: [4, 3] = 0.1, w: [4] = 0.25 {\n"
        "  c = content_address(tanh(x), softplus(y[0]), M)\n"
        "  g = sigmoid(y[1])\n"
        "  v = (g * c + (1 - g) * w, softmax(x)) -> circular_shift\n"
        "  w = sharpen(v, 1 + softplus(y[2]))\n"
        "  M = M * (1 - w @ sigmoid(x -> dense(3))') + w @ y'\n"
        "  yield M' @ w\n}\nloss sum(yielded^2)",
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_gradients_of_a_net_of_sequences_equal_finite_differences(name: str) -> None:
    _check(graph_of(HEAD + NETS[name]))


def test_gradients_of_losses_of_steps_equal_finite_differences() -> None:
    _check(graph_of(
        "input xs: [T, 3]\ninput ys: tokens[T, k]\n"
        "scores = concat(xs, xs^2, axis = 1) -> dense(k)\n"
        "loss cross_entropy(scores, ys, mask = mask(ys)) + perplexity(scores, ys)"
        " + bits(scores, scores^2)"))  # fmt: skip


def _check(graph: Graph, tolerance: float = 1e-6) -> None:
    given = random_values(graph, 3)
    lengths = {n: v for n, v in LENGTHS.items() if n in given}
    check_gradients(graph, 3, tolerance=tolerance, given={**given, **lengths})


SECOND = {
    "rnn": "r = xs -> rnn(2, mask = mask(xs))",
    "lstm": "r = xs -> lstm(2)",
    "gru": "r = xs -> gru(2, reverse = true, mask = mask(xs))",
}


@pytest.mark.parametrize("cell", SECOND)
def test_second_derivatives_equal_finite_differences(cell: str) -> None:
    """The gradient of a penalty on the gradient by the inputs."""
    text = f"{SECOND[cell]}\nslope = grad(sum(r.hs^2) + sum(r.last), xs)\nloss sum(slope^2)"
    _check(graph_of("input xs: [T, 3]\n" + text, T=4), 1e-5)


# ---------------------------------------------------------------- truncation


@pytest.mark.parametrize(("steps", "every", "reverse"), [(7, 3, False), (7, 3, True), (6, 1, False),
                                                         (4, 9, False)])  # fmt: skip
def test_truncation_is_bptt_that_stops_where_the_step_is_a_multiple(
    steps: int, every: int, reverse: bool
) -> None:
    """h ← tanh(W [h; x] + b), L = Σ h²: the gradient passes from step t to t - 1 unless k | t."""
    word = "true" if reverse else "false"
    graph = gradients(graph_of(
        f"input xs: [T, 2]\nr = xs -> rnn(3, truncate = {every}, reverse = {word})\n"
        "loss sum(r.hs^2)", T=steps))  # fmt: skip
    given = random_values(graph, 2)
    W, b = given["r.W"], given["r.b"]
    dW, db = np.zeros_like(W), np.zeros_like(b)
    for xs in given["xs"]:
        xs = xs[::-1] if reverse else xs
        h, hs, inputs = np.zeros(3), [], []
        for x in xs:
            inputs.append(np.concatenate([h, x]))
            h = np.tanh(W @ inputs[-1] + b)
            hs.append(h)
        carried = np.zeros(3)
        for t in reversed(range(steps)):
            dz = (2 * hs[t] + carried) * (1 - hs[t] ** 2)
            dW += np.outer(dz, inputs[t]) / 2
            db += dz / 2
            carried = (W.T @ dz)[:3] * (t % every != 0)
    found = {o.target.attrs["name"]: o.value for o in graph.of_kind("gradient")}
    for name, expected in (("r.W", dW), ("r.b", db)):
        (value,) = evaluate([found[name]], given, batch=2)
        np.testing.assert_allclose(value, expected, 1e-10, 1e-12)


# ---------------------------------------------------------------- masks


def test_what_stands_behind_the_end_of_a_sequence_has_no_effect() -> None:
    graph = gradients(graph_of(
        "input xs: [T, 3]\ninput ys: tokens[T, k]\n"
        "r = xs -> bidirectional(lstm, 3, mask = mask(xs))\n"
        "a = (r.last, r.hs, r.hs) -> attention(mask = mask(xs))\n"
        "scores = r.hs + a.context -> dense(k)\n"
        "loss cross_entropy(scores, ys, mask = mask(ys))\n"
        "metric accuracy(scores, ys, mask = mask(ys))\nmetric exact(scores, ys, mask = mask(ys))"
    ))  # fmt: skip
    given = random_values(graph, 3)
    lengths = np.array([5, 2, 4], np.int32)
    given |= {"xs.length": lengths, "ys.length": lengths}
    values = [o.value for o in graph.outputs]
    before = evaluate(values, given, batch=3)
    for e, n in enumerate(lengths):
        given["xs"][e, n:] = 1e3
        given["ys"][e, n:] = 0
    after = evaluate(values, given, batch=3)
    for o, x, y in zip(graph.outputs, before, after, strict=True):
        np.testing.assert_array_equal(x, y, err_msg=o.name)


@pytest.mark.parametrize("kind", ["attention", "additive_attention(2)"])
def test_attention_to_nothing_is_zero_and_has_finite_gradients(kind: str) -> None:
    call = kind.replace(")", ", mask = m)") if "(" in kind else f"{kind}(mask = m)"
    graph = gradients(graph_of(
        f"input xs: [T, 3]\ninput q: [3]\ninput m: [T] bool\n"
        f"a = (q -> dense(3), xs, xs) -> {call}\n"
        "output context = a.context\nloss sum(a.context^2) + sum(a.weights)"))  # fmt: skip
    given = random_values(graph, 2)
    given["m"] = np.array([[False] * 5, [True, False, False, False, False]])
    given["xs"][:, 3] = 1e4
    for o, found in zip(graph.outputs, evaluate([o.value for o in graph.outputs], given, batch=2),
                        strict=True):  # fmt: skip
        assert np.isfinite(found).all(), o.name
        if o.name == "context":
            np.testing.assert_array_equal(found[0], 0)
            np.testing.assert_allclose(found[1], given["xs"][1, 0])


# ---------------------------------------------------------------- losses and metrics of steps


def test_metrics_of_steps_count_the_steps_that_an_example_has() -> None:
    graph = graph_of(
        "input scores: [T, k]\ninput ys: tokens[T, k]\n"
        "loss nats = cross_entropy(scores, ys, mask = mask(ys))\n"
        "metric right = accuracy(scores, ys, mask = mask(ys))\n"
        "metric whole = exact(scores, ys, mask = mask(ys))\n"
        "metric all = exact(scores, ys)\nmetric hidden = perplexity(scores, ys, mask = mask(ys))",
        T=4, k=3,
    )  # fmt: skip
    labels = np.array([[0, 1, 2, 0], [1, 1, 0, 0], [2, 0, 0, 0]], np.int32)
    scores = np.zeros((3, 4, 3))
    for e, t in np.ndindex(3, 4):
        scores[e, t, labels[e, t]] = 9.0
    scores[0, 1] = [9, 0, 0]  # a mistake in the first
    scores[2, 2] = [0, 9, 0]  # and one behind the end of the last
    given = {"scores": scores, "ys": labels, "ys.length": np.array([4, 2, 1], np.int32)}
    found = {o.name: evaluate([o.value], given, batch=3)[0] for o in graph.outputs}
    np.testing.assert_allclose(found["right"], [0.75, 1, 1])
    np.testing.assert_array_equal(found["whole"], [0, 1, 1])
    np.testing.assert_array_equal(found["all"], [0, 1, 0])
    good = np.log(1 + 2 * np.exp(-9))
    np.testing.assert_allclose(found["nats"], [(3 * good + 9 + good) / 4, good, good])
    np.testing.assert_allclose(found["hidden"], np.exp(found["nats"]))


def test_bits_of_a_guess_are_one() -> None:
    graph = graph_of("input s: [T, 3]\ninput y: [T, 3]\nloss bits(s, y)", T=2)
    given = {"s": np.zeros((1, 2, 3)), "y": np.array([[[0.0, 1, 1], [1, 0, 1]]])}
    assert evaluate([graph.loss().value], given) == [1.0]


def test_a_layer_of_cells_exchanges_the_cell_by_a_setting() -> None:
    text = "net t(cell = lstm) {\n  input x: [4, 3]\n  r = x -> cell(5)\n  loss sum(r.last)\n}\n"
    for chosen, count in (("rnn", 45), ("lstm", 180), ("gru", 140)):
        module = parse_module(Source("t.net", text), {"cell": chosen})
        params = forward(module, training=True).params
        assert sum(int(np.prod(p.value.shape)) for p in params) == count, chosen


# ---------------------------------------------------------------- state between batches


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_stateful_layer_goes_on_where_the_last_batch_ended(cell: str) -> None:
    """Two batches of 3 steps, one after the other, are one batch of 6."""
    text = (
        f"input xs: [T, 2]\nr = xs -> {cell}(3, stateful = {{}})\noutput hs = r.hs\nloss sum(r.hs)"
    )
    pieces, whole = graph_of(text.format("true"), T=3), graph_of(text.format("false"), T=6)
    given = random_values(whole, 2)
    (expected,) = evaluate([o.value for o in whole.outputs if o.name == "hs"], given, batch=2)
    updates = pieces.of_kind("update")
    assert {o.target.attrs["name"] for o in updates} == {s.name for s in pieces.states} != set()
    state: dict[str, Array] = {s.name: np.zeros((2, 3)) for s in pieces.states}
    found = []
    for part in np.split(given["xs"], 2, axis=1):
        values = [o.value for o in pieces.outputs if o.name == "hs"] + [o.value for o in updates]
        hs, *carried = evaluate(values, {**given, "xs": part, **state}, batch=2)
        found.append(hs)
        state = {o.target.attrs["name"]: x for o, x in zip(updates, carried, strict=True)}
    np.testing.assert_allclose(np.concatenate(found, axis=1), expected, 1e-12)


def test_a_stateful_layer_begins_anew_in_use() -> None:
    graph = graph_of("input xs: [T, 2]\nr = xs -> lstm(3, stateful = true)\nloss sum(r.hs)",
                     training=False)  # fmt: skip
    assert graph.states == () or not list(graph.states)


# ---------------------------------------------------------------- values as settings


def test_a_value_may_be_a_setting_by_name_in_every_way_of_calling() -> None:
    text = "input xs: [T, 2]\nm = mask(xs)\nr = {}\nloss sum(r.hs)"
    graphs = [
        optimise(graph_of(text.format(call)))
        for call in (
            "xs -> rnn(3, mask = m)",
            "rnn(xs, 3, mask = m)",
            "rnn(xs, units = 3, mask = m)",
        )
    ]
    given = random_values(graphs[0], 2) | {"xs.length": np.array([5, 2], np.int32)}
    losses = [evaluate([g.loss().value], given, batch=2)[0] for g in graphs]
    np.testing.assert_array_equal(losses[0], losses[1])
    np.testing.assert_array_equal(losses[0], losses[2])
    shared = graph_of("input xs: [T, 2]\nL = rnn(2, mask = mask(xs))\na = L(xs)\nb = L(a.hs)\n"
                      "loss sum(b.hs)")  # fmt: skip
    assert [p.name for p in shared.params] == ["L.W", "L.b"]
