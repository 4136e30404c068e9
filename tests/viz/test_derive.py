"""Derivations: the textbook's closed forms, letter by letter, and the same as the gradient."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chainrule.compiler.graph import Graph
from chainrule.dsl.diagnostics import Failure
from chainrule.viz.derive import Derivation, derive
from chainrule.viz.derive_latex import latex
from chainrule.viz.derive_markdown import markdown
from chainrule.viz.derive_text import text
from chainrule.viz.unicode import unicode

from .nets import ALL, DEEP, DIGITS, LINEAR, LOGISTIC, SIGMOIDS, TWINS, VAE, at_random, net


def closed(d: Derivation) -> dict[str, str]:
    """Left side → closed form, as text."""
    return {unicode(p.left): unicode(p.closed) for p in d.passages}


def chains(d: Derivation) -> dict[str, str]:
    return {unicode(p.left): unicode(p.chain) for p in d.passages}


def test_softmax_with_cross_entropy_in_two_layers() -> None:
    found = closed(derive(net(DIGITS)))
    assert found == {
        "∂L/∂Z₂": "A₂ − Y",
        "∂L/∂W₂": "(1/m)(A₂ − Y)A₁ᵀ",
        "∂L/∂b₂": "(1/m)Σ(A₂ − Y)",
        "∂L/∂Z₁": "W₂ᵀ(A₂ − Y) ⊙ relu′(Z₁)",
        "∂L/∂W₁": "(1/m) ∂L/∂Z₁ Xᵀ",
        "∂L/∂b₁": "(1/m)Σ ∂L/∂Z₁",
    }


def test_the_unreduced_chain_stands_before_the_closed_form() -> None:
    d = derive(net(DIGITS))
    assert chains(d)["∂L/∂W₂"] == "(∂L/∂A₂)(∂A₂/∂Z₂)(∂Z₂/∂W₂)"
    printed = text(d)
    assert printed.index("(∂L/∂A₂)(∂A₂/∂Z₂)(∂Z₂/∂W₂)") < printed.index("∂L/∂W₂ = (1/m)(A₂")


def test_local_derivatives_are_those_of_the_textbook() -> None:
    found = {unicode(f.left): unicode(f.right) for f in derive(net(DIGITS)).local}
    assert found["∂L/∂A₂"] == "−Y/A₂"
    assert found["∂A₂/∂Z₂"] == "diag(A₂) − A₂ A₂ᵀ"
    assert found["∂Z₂/∂A₁"] == "W₂"
    assert found["∂Z₂/∂W₂"] == "A₁ᵀ"
    assert found["relu′(Z₁)"] == "[Z₁ > 0]"


def test_each_simplification_has_a_name_and_a_reason() -> None:
    first = derive(net(DIGITS)).passages[0]
    assert len(first.rewrites) >= 3
    assert all(r.rule and r.reason and r.before != r.after for r in first.rewrites)
    assert unicode(first.rewrites[-1].after) == "A₂ − Y"


def test_sigmoid_layers_with_squared_error_in_index_form() -> None:
    d = derive(net(SIGMOIDS), index=True)
    found = {unicode(f.left): unicode(f.right) for f in d.elements}
    assert found["∂E/∂w_hj"] == "(ŷ_j − y_j) ŷ_j(1 − ŷ_j) b_h"
    assert found["∂E/∂v_ih"] == "Σ_j (ŷ_j − y_j) ŷ_j(1 − ŷ_j) w_hj · b_h(1 − b_h) x_i"


def test_index_form_of_dense_layers_carries_the_layer_above() -> None:
    d = derive(net(DIGITS), index=True)
    found = {unicode(f.left): unicode(f.right) for f in d.elements}
    assert found["∂E/∂w⁽²⁾_jh"] == "(a⁽²⁾_j − y_j) a⁽¹⁾_h"
    assert found["∂E/∂w⁽¹⁾_hi"] == "Σ_j (a⁽²⁾_j − y_j) w⁽²⁾_jh · [z⁽¹⁾_h > 0] x_i"


def test_index_form_agrees_with_numbers() -> None:
    """∂E/∂v_ih as printed, written out in NumPy, is the compiler's gradient of one example."""
    graph = net(SIGMOIDS, dtype="f64")
    draw = np.random.default_rng(3)
    x, y = draw.normal(size=4), draw.normal(size=3)
    v, w = draw.normal(size=(4, 5)), draw.normal(size=(5, 3))
    b = 1 / (1 + np.exp(-(v.T @ x)))
    y_hat = 1 / (1 + np.exp(-(w.T @ b)))
    delta = (y_hat - y) * y_hat * (1 - y_hat)
    by_hand = {"W": np.outer(b, delta), "V": np.outer(x, (w @ delta) * b * (1 - b))}

    from chainrule.compiler.pipeline import gradients
    from chainrule.runtime.plain import run_graph

    given = {"x": x[None], "y": y[None], "V": v, "W": w}
    found = run_graph(gradients(graph), given, batch=1)
    for name, expected in by_hand.items():
        np.testing.assert_allclose(found["gradient", f"grad {name}"], expected, rtol=1e-12)


def test_linear_and_logistic_regression_have_the_same_gradient() -> None:
    linear, logistic = closed(derive(net(LINEAR))), closed(derive(net(LOGISTIC)))
    assert linear == {
        "∂L/∂Z": "Z − Y",
        "∂L/∂W": "(1/m)(Z − Y)Xᵀ",
        "∂L/∂b": "(1/m)Σ(Z − Y)",
    }
    assert logistic == {
        "∂L/∂Z": "A − Y",
        "∂L/∂W": "(1/m)(A − Y)Xᵀ",
        "∂L/∂b": "(1/m)Σ(A − Y)",
    }


@pytest.mark.parametrize("taken", ["before", "after"])
def test_the_only_element_of_a_vector_changes_no_formula(taken: str) -> None:
    steps = {"before": "  a = sigmoid(z[0])\n", "after": "  b = sigmoid(z)\n  a = b[0]\n"}[taken]
    graph = net(
        "net one {\n  input x: [4]\n  input y: []\n  z = x -> dense(1)\n" + steps
        + "  output a\n  loss binary_cross_entropy(a, y)\n}\n",
        dtype="f64",
    )  # fmt: skip
    d = derive(graph, check=at_random)
    assert closed(d)["∂L/∂Z"] in ("a − Y", "A − Y")
    assert d.difference is not None and d.difference < 1e-9


def test_paths_meet_in_a_sum() -> None:
    d = derive(net(TWINS))
    assert chains(d)["∂L/∂d"].count(" + ") == 1
    assert closed(d)["∂L/∂d"] == "W₂ᵀ ∂L/∂z₃ + W₃ᵀ(p − same)"


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", list(ALL))
def test_closed_forms_equal_the_compiled_gradient(name: str, training: bool) -> None:
    graph = net(ALL[name], training=training, dtype="f64")
    for o in graph.of_kind("loss"):
        d = derive(graph, o.name, check=at_random)
        assert d.difference is not None
        assert d.difference < 1e-9
        assert "Checked at random points" in text(d)


def test_the_check_sees_a_wrong_closed_form() -> None:
    def wrong(graph: Graph) -> dict[str, np.ndarray]:
        numbers = at_random(graph)
        return {n: 1.001 * v if n.startswith("closed") else v for n, v in numbers.items()}

    d = derive(net(DIGITS, dtype="f64"), check=wrong)
    assert d.difference == pytest.approx(1e-3, rel=1e-6)


@pytest.mark.parametrize("name", ["digits", "sigmoids", "linear", "logistic", "deep"])
def test_text_fits_80_columns(name: str) -> None:
    printed = text(derive(net(ALL[name]), index=True))
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize("name", list(ALL))
def test_latex_is_balanced_and_plain_ascii(name: str) -> None:
    document = latex(derive(net(ALL[name]), net(ALL[name]).of_kind("loss")[0].name, index=True))
    assert document.isascii()
    assert "?" not in document
    bare = re.sub(r"\\[{}]", "", document)
    assert bare.count("{") == bare.count("}")
    for begin, end in ((r"\begin{align*}", r"\end{align*}"), (r"\left(", r"\right)")):
        assert document.count(begin) == document.count(end)
    assert document.startswith(r"\documentclass") and document.endswith("\\end{document}\n")
    assert document.count(r"\usepackage") == 1


def test_markdown_escapes_what_the_user_wrote() -> None:
    printed = markdown(derive(net(DIGITS.replace("net digits", "net dig_its"))))
    assert r"dig\_its" in printed
    assert r"\boxed{\frac{\partial L}{\partial Z_{2}} = A_{2} - Y}" in printed


def test_one_parameter_can_be_asked_for() -> None:
    d = derive(net(DIGITS), params=["scores.W"])
    assert [unicode(p.left) for p in d.passages if p.parameter] == ["∂L/∂W₂"]


def test_frozen_parameters_have_no_gradient() -> None:
    d = derive(net(ALL["tied"]))
    assert [unicode(p.left) for p in d.passages if p.parameter] == ["∂L/∂c", "∂L/∂W"]


def test_mistakes_are_told() -> None:
    with pytest.raises(Failure, match=r"E564.*no loss `los`"):
        derive(net(VAE), "los")
    with pytest.raises(Failure, match="E565") as caught:
        derive(net(DIGITS), params=["score.W"])
    assert "did you mean `scores.W`" in str(caught.value)
    with pytest.raises(Failure, match="E564"):
        derive(net("net n {\n  input x: [3]\n  output x -> dense(2)\n}\n"))


def test_a_deep_net_is_derived_layer_by_layer() -> None:
    d = derive(net(DEEP.replace("repeat 10", "repeat 60")))
    assert len(d.passages) == 3 * 62
    assert closed(d)["∂L/∂Z₃₀"] == "W₃₁ᵀ ∂L/∂Z₃₁ ⊙ relu′(Z₃₀)"


def test_a_check_without_numbers_is_no_agreement() -> None:
    def nowhere(graph: Graph) -> dict[str, np.ndarray]:
        return {o.name: np.full(o.value.shape, np.nan) for o in graph.outputs}

    assert derive(net(DIGITS), check=nowhere).difference == float("inf")
