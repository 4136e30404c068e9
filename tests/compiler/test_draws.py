"""Draws in the language: their shapes, frequencies and moments, and the gradients through them.

Frequencies of N draws are compared by the sum of (found − expected)² / expected, which has mean
k − 1 and variance 2(k − 1); a limit of four deviations lets a right generator fail once in
thousands of seeds, and the seed is fixed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule.compiler.check import check
from chainrule.compiler.graph import leaf, topological
from chainrule.compiler.pipeline import gradients, optimise
from chainrule.compiler.scans.retype import retyped
from chainrule.runtime.plain import evaluate, run_graph
from tests.compiler.netcase import check_gradients, mistakes, module, net

Array = NDArray[Any]
MANY = 20_000


def drawn(call: str, inputs: str = "", given: dict[str, Array] | None = None, **more) -> Array:
    """What a net without inputs, or with some, draws for each of many examples."""
    text = f"net t {{\n  {inputs}\n  y = {call}\n  output y\n}}\n"
    given, batch = given or {}, more.pop("batch", MANY)
    seed, step = more.pop("seed", 3), more.pop("step", 1)
    graph = net(text, **{"training": False, **more})
    ((_, values),) = run_graph(graph, given, batch=batch, seed=seed, step=step).items()
    return np.asarray(values)


def deviates(found: Array, p: Array) -> float:
    """By how many deviations the counts of labels differ from probabilities."""
    p = p / p.sum()
    expected = p[p > 0] * len(found)
    counts = np.bincount(found.ravel(), minlength=len(p))
    assert not counts[p == 0].any(), "a label of probability 0 was drawn"
    distance = ((counts[p > 0] - expected) ** 2 / expected).sum()
    free = len(expected) - 1
    return float(distance - free) / max(1.0, (2 * free) ** 0.5)


# ---------------------------------------------------------------- what is drawn


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("call", ["categorical(p)", "categorical(scores = log(p))"])
@pytest.mark.parametrize(
    "p",
    [[0.2, 0.5, 0.3], [1e-3, 0.999], [0.0, 0.25, 0.0, 0.75, 0.0], [1.0] * 40, [3.0, 1.0]],
    ids=["few", "rare", "zeros", "many", "unscaled"],
)
def test_labels_come_as_often_as_their_probabilities_say(p, call: str, dtype: str) -> None:
    rows = np.tile(np.array(p), (MANY, 1))
    with np.errstate(divide="ignore"):
        found = drawn(call, f"input p: [{len(p)}]", {"p": rows}, dtype=dtype)
    assert found.dtype == np.int32 and found.shape == (MANY,)
    assert deviates(found, np.array(p)) < 4


def test_a_probability_of_one_is_always_drawn() -> None:
    rows = np.eye(5)[np.arange(MANY) % 5]
    found = drawn("categorical(p)", "input p: [5]", {"p": rows}, dtype="f32")
    np.testing.assert_array_equal(found, np.arange(MANY) % 5)


@pytest.mark.parametrize("call", ["categorical(p)", "categorical(scores = log(p))"])
def test_the_least_number_of_the_generator_draws_no_impossible_label(call: str) -> None:
    """u = 0 comes once in 2²⁴ draws: put in its place, the only possible label still wins."""
    graph = net(f"net t {{\n  input p: [3]\n  output {call}\n}}\n", dtype="f32")
    (y,) = [o.value for o in graph.outputs]
    (u,) = [v for v in topological([y]) if v.op.name == "uniform"]
    zero = leaf("input", "u", u.type)
    ((y,), given) = retyped([y], {u: zero}), {"p": np.eye(3)}
    for numbers in (np.zeros((3, 3)), 1 - np.eye(3), np.full((3, 3), 1 - 2.0**-24)):
        with np.errstate(divide="ignore"):
            (found,) = evaluate([y], {**given, "u": numbers.clip(0, 1 - 2.0**-24)}, batch=3)
        np.testing.assert_array_equal(found, [0, 1, 2])


def test_scores_may_be_large() -> None:
    rows = np.tile(np.array([1000.0, 1000 + np.log(3), -1000]), (MANY, 1))
    found = drawn("categorical(scores = z)", "input z: [3]", {"z": rows})
    assert deviates(found, np.array([1.0, 3.0, 0.0])) < 4


def test_leading_axes_have_draws_of_their_own() -> None:
    p = np.array([[0.2, 0.8], [0.9, 0.1], [0.5, 0.5]])
    rows = np.tile(p, (MANY, 1, 1))
    found = drawn("categorical(p)", "input p: [3, 2]", {"p": rows})
    assert found.shape == (MANY, 3)
    for k in range(3):
        assert deviates(found[:, k], p[k]) < 4
    together = found[:, 0] * 2 + found[:, 1]  # independent: joint probabilities are products
    assert deviates(together, np.outer(p[0], p[1]).ravel()) < 4


def test_a_list_of_numbers_is_probabilities_too() -> None:
    assert deviates(drawn("categorical([0.1, 0, 0.9])"), np.array([0.1, 0, 0.9])) < 4


def test_every_example_of_a_batch_draws_for_itself() -> None:
    """Pairs of neighbours are as independent labels are, and steps and seeds differ."""
    p = np.array([0.3, 0.7])
    found = drawn("categorical([0.3, 0.7])")
    assert deviates(found[::2] * 2 + found[1::2], np.outer(p, p).ravel()) < 4
    for changed in ({"seed": 4}, {"step": 2}):
        other = drawn("categorical([0.3, 0.7])", **changed)
        assert deviates(found * 2 + other, np.outer(p, p).ravel()) < 4
    np.testing.assert_array_equal(drawn("categorical([0.3, 0.7])"), found)
    np.testing.assert_array_equal(drawn("categorical([0.3, 0.7])", batch=100), found[:100])


def test_a_label_that_was_drawn_is_a_label() -> None:
    graph = net("""
net t {
  input z: [4]
  k = categorical(scores = z)
  E = embedding(3)
  output k = k, hot = one_hot(k), vector = E(k)
  loss cross_entropy(z, k)
}
""")
    types = {o.name: str(o.value.type) for o in graph.of_kind("output")}
    assert types == {"k": "class[4]", "hot": "[4] f64", "vector": "[3] f64"}


@pytest.mark.parametrize("call", ["normal(mu, sigma)", "normal([5], mu, sigma)",
                                  "normal(mean = mu, std = sigma)"])  # fmt: skip
def test_normal_numbers_have_the_mean_and_deviation_that_were_asked(call: str) -> None:
    mu, sigma = np.linspace(-2, 2, 5), np.linspace(0.1, 3, 5)
    given = {"mu": np.tile(mu, (MANY, 1)), "sigma": np.tile(sigma, (MANY, 1))}
    found = drawn(call, "input mu, sigma: [5]", given)
    error = sigma / MANY**0.5
    assert (np.abs(found.mean(0) - mu) < 4 * error).all()
    assert (np.abs(found.std(0) - sigma) < 4 * error / 2**0.5).all()
    correlation = np.corrcoef(found.T) - np.eye(5)
    assert np.abs(correlation).max() < 4 / MANY**0.5, "each element has noise of its own"


def test_even_numbers_lie_between_their_limits() -> None:
    low, high = np.array([-1.0, 2.0]), np.array([1.0, 5.0])
    given = {"a": np.tile(low, (MANY, 1)), "b": np.tile(high, (MANY, 1))}
    found = drawn("uniform(a, b)", "input a, b: [2]", given)
    assert (found >= low).all() and (found < high).all()
    assert (np.abs(found.mean(0) - (low + high) / 2) < 4 * (high - low) / (12 * MANY) ** 0.5).all()


def test_bits_of_a_vector_are_independent() -> None:
    p = np.array([0.2, 0.5, 0.9])
    found = drawn("bernoulli(p)", "input p: [3]", {"p": np.tile(p, (MANY, 1))})
    assert (np.abs(found.mean(0) - p) < 4 * (p * (1 - p) / MANY) ** 0.5).all()
    assert np.abs(np.corrcoef(found.T) - np.eye(3)).max() < 4 / MANY**0.5


def test_the_shape_of_a_draw_is_that_of_its_parameters_unless_one_is_given() -> None:
    graph = net("""
net t {
  input x: [3]
  input r: [4, 1]
  output a = normal(x, 1), b = normal(r, x), c = uniform(0, x), d = normal(like = x)
  output e = normal(2, 3), f = bernoulli(0.5, like = r), g = bernoulli(r)
  output h = normal([4, 3], x, 1), i = bernoulli(0.5)
}
""")
    shapes = [list(o.value.shape) for o in graph.outputs]
    assert shapes == [[3], [4, 3], [3], [3], [], [4, 1], [4, 1], [4, 3], []]


def test_draws_in_a_scan_are_new_at_every_step() -> None:
    graph = net("""
net t {
  input xs: [6, 3]
  scan x in xs with n: [] = 0 {
    k = categorical(scores = x)
    n = n + 1
    yield label = k, noise = normal(x, 1)
  }
  output labels = yielded.label, noise = yielded.noise
}
""")
    assert str(graph.outputs[0].value.type) == "tokens[6, 3]"
    z = np.log([0.2, 0.5, 0.3])
    given = {"xs": np.tile(z, (MANY, 6, 1))}
    found = run_graph(graph, given, batch=MANY, seed=2)
    labels, noise = found["output", "labels"], found["output", "noise"]
    for t in range(6):
        assert deviates(labels[:, t], np.exp(z)) < 4
    pairs = labels[:, 0] * 3 + labels[:, 1]
    assert deviates(pairs, np.outer(np.exp(z), np.exp(z)).ravel()) < 4
    assert np.abs(np.corrcoef(noise[:, :, 0].T) - np.eye(6)).max() < 4 / MANY**0.5


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize(
    "draw",
    ["normal(m, exp(v))", "normal([2, 3], m, exp(v))", "uniform(m, m + exp(v))", "normal(m)"],
)
def test_gradients_reach_the_parameters_of_a_draw(draw: str) -> None:
    graph = net(f"""
net t {{
  input x: [4]
  m = x -> dense(3)
  v = x -> dense(3)
  z = {draw}
  loss sum(z * z * z) + sum(v)
}}
""")
    check_gradients(graph, batch=4)


def test_the_gradient_through_normal_is_that_of_mean_plus_noise_times_deviation() -> None:
    graph = gradients(
        net("""
net t {
  param mu: [2] = 0
  param sigma: [2] = 1
  loss sum(normal(mu, sigma))
}
""")
    )
    given = {"mu": np.array([0.5, -1.0]), "sigma": np.array([2.0, 0.1])}
    found = {
        o.name: v
        for o, v in zip(
            graph.outputs, evaluate([o.value for o in graph.outputs], given, batch=7), strict=True
        )
    }
    np.testing.assert_allclose(found["grad mu"], [1, 1])
    # The loss is Σ μ + σ ε, so the gradient by σ is the mean of ε.
    total = found["loss"] - given["mu"].sum()
    np.testing.assert_allclose(found["grad sigma"] @ given["sigma"], total)


@pytest.mark.parametrize(
    ("call", "word"),
    [("bernoulli(sigmoid(s))", "bernoulli"), ("one_hot(categorical(scores = s))", "categorical")],
)
def test_what_nothing_can_learn_through_is_told(call: str, word: str) -> None:
    text = f"""
net t {{
  input point: [2]
  input label: class[2]
  s = point -> dense(2)
  z = {call} + 0
  loss cross_entropy(z, label)
}}
train t on xor() {{
  optimizer sgd(0.1)
  epochs 1
}}
"""
    (found,) = check(module(text))
    assert found.code == "E267" and found.severity == "warning"
    assert f"`{word}` is flat here" in found.labels[0].text
    assert "let gradients pass" in found.help


def test_a_layer_from_which_nothing_leads_to_the_loss_is_told_so() -> None:
    text = """
net t {
  input point: [2]
  h = point -> dense(2)
  output h -> dense(3)
  loss sum(h)
}
train t on xor() {
  optimizer sgd(0.1)
  epochs 1
}
"""
    (found,) = check(module(text))
    assert found.code == "E267" and "no equation leads from there to the loss" in found.help


def test_a_straight_through_draw_has_the_gradient_of_its_probability() -> None:
    graph = gradients(
        net("""
net t {
  input x: [3]
  param s: [3] = 0
  b = bernoulli_st(sigmoid(s))
  output b
  loss sum(x * b)
}
""")
    )
    rng = np.random.default_rng(1)
    x, s = rng.normal(size=(50, 3)), rng.normal(size=3)
    b, _, g = evaluate([o.value for o in graph.outputs], {"x": x, "s": s}, batch=50)
    assert set(np.round(np.unique(b), 12)) == {0.0, 1.0}
    p = 1 / (1 + np.exp(-s))
    np.testing.assert_allclose(g, x.mean(0) * p * (1 - p), rtol=1e-12)


@pytest.mark.parametrize("block", ["gumbel_softmax", "relaxed_bernoulli"])
def test_a_hard_relaxation_has_whole_numbers_and_the_gradient_of_the_soft_one(block: str) -> None:
    def step(hard: str) -> list[Array]:
        graph = gradients(
            net(f"""
net t {{
  input x: [3]
  param s: [3] = 0
  y = s -> {block}(0.7, hard = {hard})
  output y
  loss sum(x * y)
}}
""")
        )
        given = {"x": np.ones((50, 3)) * [1, 2, 3], "s": np.array([0.5, 0.0, -1.0])}
        return evaluate([o.value for o in graph.outputs], given, batch=50, seed=1)

    (soft, _, wanted), (hard, _, found) = step("false"), step("true")
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert np.abs(hard - np.round(hard)).max() < 1e-12
    if block == "gumbel_softmax":
        np.testing.assert_allclose(hard.sum(1), 1)
        np.testing.assert_array_equal(hard.argmax(1), soft.argmax(1))
    else:
        np.testing.assert_array_equal(hard > 0.5, soft > 0.5)


def test_the_hard_gumbel_softmax_draws_classes_as_often_as_the_softmax_says() -> None:
    z = np.array([1.0, 0.0, -1.0, 2.0])
    rows = np.tile(z, (MANY, 1))
    hard = drawn("z -> gumbel_softmax(0.5, hard = true)", "input z: [4]", {"z": rows})
    assert deviates(hard.argmax(1), np.exp(z)) < 4


# ---------------------------------------------------------------- noise


def test_noise_is_for_training_only() -> None:
    x = np.random.default_rng(0).uniform(0.2, 0.8, (MANY, 4))

    def trained(call: str) -> Array:
        return drawn(f"x -> {call}", "input x: [4]", {"x": x}, training=True)

    for call in ("gaussian_noise(0.5)", "mask_noise(0.3)", "salt_and_pepper(0.3)"):
        used = drawn(f"x -> {call}", "input x: [4]", {"x": x})
        np.testing.assert_array_equal(used, x)
    masked = trained("mask_noise(0.3)")
    share = (masked == 0).mean()
    assert abs(share - 0.3) < 4 * (0.21 / x.size) ** 0.5
    np.testing.assert_array_equal(masked[masked != 0], x[masked != 0])
    peppered = trained("salt_and_pepper(0.3)")
    for value in (0, 1):
        assert abs((peppered == value).mean() - 0.15) < 4 * (0.15 * 0.85 / x.size) ** 0.5
    noisy = trained("gaussian_noise(0.5)") - x
    assert abs(noisy.std() - 0.5) < 4 * 0.5 / (2 * x.size) ** 0.5


def test_draws_of_a_label_are_one_argmax() -> None:
    graph = optimise(net("net t {\n  input p: [4]\n  output categorical(p)\n}\n"))
    words = [v.op.name for v in topological(o.value for o in graph.outputs)]
    assert words.count("argmax") == words.count("uniform") == words.count("log") == 1


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        ("categorical([0.5, -0.5])", "E332", "are no probabilities"),
        ("categorical([0, 0])", "E332", "are no probabilities"),
        ("categorical([x, x])", "E332", "a value or a list of numbers"),
        ("categorical(0.5)", "E332", "one number for each class"),
        ("categorical()", "E230", "probabilities or scores"),
        ("categorical(x, scores = x)", "E230", "probabilities or scores"),
        ("categorical(x, k = 3)", "E231", "no option `k`"),
        ("normal(1, 2, 3)", "E230", "takes a shape and mean and std"),
        ("normal(x, normal([4]))", "E302", "do not broadcast"),
        ("bernoulli(x, [4])", "E302", "do not broadcast"),
    ],
)
def test_a_mistake_in_a_draw_is_told(call: str, code: str, message: str) -> None:
    (found,) = mistakes(f"net t {{\n  input x: [3]\n  y = {call}\n  output y\n}}\n")
    assert found.code == code
    assert message in found.message
