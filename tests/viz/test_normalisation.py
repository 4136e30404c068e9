"""Batch and layer normalisation: one step of a derivation, in the textbook's short form."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.pipeline import gradients
from chainrule.runtime.plain import run_graph
from chainrule.viz.derive import Derivation, derive
from chainrule.viz.derive_latex import latex
from chainrule.viz.derive_text import text
from chainrule.viz.unicode import unicode

from .nets import NORMED, at_random, net

BATCH = """net normal {
  input x: [6]
  input y: [3]
  z = x -> dense(5)
  h = z -> batchnorm
  out = h -> dense(3)
  output out
  loss squared_error(out, y)
}
"""
LAYER = BATCH.replace("batchnorm", "layernorm")


def closed(d: Derivation) -> dict[str, str]:
    return {unicode(p.left): unicode(p.closed) for p in d.passages}


def given(d: Derivation) -> dict[str, str]:
    return {unicode(f.left): unicode(f.right) for f in d.given}


def test_batch_normalisation_has_its_short_form() -> None:
    d = derive(net(BATCH, training=True))
    assert {k: v for k, v in given(d).items() if k not in ("z", "out", "L")} == {
        "μ": "(1/m) Σᵢ z",
        "σ²": "(1/m) Σᵢ (z − μ)²",
        "x̂": "(z − μ) / √(σ² + ε)",
        "h": "γ ⊙ x̂ + β",
    }
    found = closed(d)
    assert found["∂L/∂γ"] == "(1/m) Σᵢ (∂L/∂h ⊙ x̂)"
    assert found["∂L/∂β"] == "(1/m) Σᵢ ∂L/∂h"
    assert found["∂L/∂z"] == (
        "(γ / √(σ² + ε)) ⊙ (∂L/∂h − (1/m) Σᵢ ∂L/∂h − x̂ ⊙ (1/m) Σᵢ (∂L/∂h ⊙ x̂))"
    )


def test_layer_normalisation_has_its_short_form() -> None:
    d = derive(net(LAYER, training=True))
    assert given(d)["μ"] == "(1/5) Σ z"
    assert given(d)["x̂"] == "(z − μ) / √(σ² + ε)"
    assert closed(d)["∂L/∂z"] == (
        "(∂L/∂h ⊙ γ − (1/5) Σ(∂L/∂h ⊙ γ) − x̂ ⊙ (1/5) Σ(∂L/∂h ⊙ γ ⊙ x̂)) / √(σ² + ε)"
    )


def test_a_normalisation_is_one_factor_of_the_chain() -> None:
    d = derive(net(BATCH, training=True))
    chains = {unicode(p.left): unicode(p.chain) for p in d.passages}
    assert chains["∂L/∂W₁"] == "(∂L/∂out)(∂out/∂h)(∂h/∂z)(∂z/∂W₁)"
    rules = {r.rule for p in d.passages for r in p.rewrites}
    assert "deviations from the mean sum to zero" in rules


def test_in_use_the_running_statistics_stand_in_the_formula() -> None:
    d = derive(net(BATCH))
    assert given(d)["x̂"] == "(z − running_mean) / √(running_variance + ε)"
    assert closed(d)["∂L/∂z"] == "∂L/∂h ⊙ γ / √(running_variance + ε)"


def test_two_normalisations_are_told_apart_by_numbers() -> None:
    left = [unicode(f.left) for f in derive(net(NORMED, training=True)).given]
    assert {"x̂₁", "x̂₂", "μ₁", "σ₁²", "σ₂²"} <= set(left)


def test_epsilon_is_told_and_latex_knows_the_signs() -> None:
    d = derive(net(BATCH, training=True))
    assert "ε = 1e-05" in text(d)
    document = latex(d)
    assert r"\hat{x}" in document and r"\sqrt{\sigma^{2} + \epsilon}" in document


@pytest.mark.parametrize("source", [BATCH, LAYER])
@pytest.mark.parametrize("training", [False, True])
def test_the_short_form_equals_the_compiled_gradient(source: str, training: bool) -> None:
    d = derive(net(source, training=training, dtype="f64"), check=at_random)
    assert d.difference is not None and d.difference < 1e-8


def test_the_printed_formula_in_numpy_is_the_compiled_gradient() -> None:
    """∂L/∂W₁ from the formulas as printed, written out by hand."""
    draw = np.random.default_rng(5)
    m = 7
    x, y = draw.normal(size=(m, 6)), draw.normal(size=(m, 3))
    w1, b1 = draw.normal(size=(5, 6)), draw.normal(size=5)
    w2, b2 = draw.normal(size=(3, 5)), draw.normal(size=3)
    gamma, beta = draw.normal(size=5), draw.normal(size=5)
    z = x @ w1.T + b1
    mu, var = z.mean(0), z.var(0)
    x_hat = (z - mu) / np.sqrt(var + 1e-5)
    h = gamma * x_hat + beta
    dh = (h @ w2.T + b2 - y) @ w2
    dz = gamma / np.sqrt(var + 1e-5) * (dh - dh.mean(0) - x_hat * (dh * x_hat).mean(0))

    graph = net(BATCH, training=True, dtype="f64")
    shapes = {leaf.name: leaf.value.shape for leaf in graph.params}
    gammas = next(n for n in shapes if n.endswith("gamma"))
    betas = next(n for n in shapes if n.endswith("beta"))
    given_ = {"x": x, "y": y, "z.W": w1, "z.b": b1, "out.W": w2, "out.b": b2,
              gammas: gamma, betas: beta}  # fmt: skip
    for leaf in graph.states:
        given_[leaf.name] = np.ones(leaf.value.shape)
    found = run_graph(gradients(graph), given_, batch=m)
    expected = {"z.W": dz.T @ x / m, gammas: (dh * x_hat).mean(0), betas: dh.mean(0)}
    for name, array in expected.items():
        np.testing.assert_allclose(found["gradient", f"grad {name}"], array, rtol=1e-9)
