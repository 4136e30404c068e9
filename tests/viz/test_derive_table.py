"""The derivations that the table of systems asks for, letter by letter, from the examples that show
them: each system's own line, not a net made for the test."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from chainrule.compiler.pipeline import forward, load_module
from chainrule.viz.derivation import Derivation
from chainrule.viz.derive import derive
from chainrule.viz.unicode import unicode

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SIZES = {"S": 7, "T": 9, "n": 30, "k": 20, "m": 6}


@cache
def derived(name: str) -> Derivation:
    graph = forward(load_module(EXAMPLES / f"{name}.net"), training=True, sizes=SIZES)
    return derive(graph, graph.of_kind("loss")[0].name, index=name == "nielsen")


# (example, left, closed form)
TABLE = [
    # The first lecture: linear and logistic regression have the same gradient.
    ("linear_regression", "∂L/∂W", "(1/m)(Z − Y)Xᵀ"),
    ("logistic_regression", "∂L/∂W", "(1/m)(a − Y)Xᵀ"),
    ("perceptron", "∂L/∂W", "(1/m) ∂L/∂Z Xᵀ"),
    # Softmax and cross-entropy, two layers.
    ("digits", "∂L/∂Z₂", "A₂ − Y"),
    ("digits", "∂L/∂W₂", "(1/m)(A₂ − Y)A₁ᵀ"),
    ("digits", "∂L/∂b₂", "(1/m)Σ(A₂ − Y)"),
    ("digits", "∂L/∂Z₁", "W₂ᵀ(A₂ − Y) ⊙ relu′(Z₁)"),
    ("digits", "∂L/∂W₁", "(1/m) ∂L/∂Z₁ Xᵀ"),
    ("xor", "∂L/∂Z₂", "A₂ − Y"),
    ("nielsen", "∂L/∂Z₂", "(A₂ − Y) ⊙ A₂ ⊙ (1 − A₂)"),
    # A convolution sends back a transposed convolution; average pooling spreads.
    ("lenet", "∂L/∂Z₁", "tanh′(Z₁) ⊙ ¼ Σ_w W₂ ∗ᵀ ∂L/∂Z₂"),
    ("lenet", "∂L/∂W₁", "(1/m) Σᵢ X ∗ ∂L/∂Z₁"),
    ("lenet", "∂L/∂b₁", "(1/m) Σᵢₚ ∂L/∂Z₁"),
    ("alexnet_cifar", "∂L/∂z₈", "a₈ − y"),
    ("vgg_cifar", "∂L/∂N₁", "relu′(N₁) ⊙ Σ_w (W₂ ∗ᵀ ∂L/∂Z₂ ⊙ [A₁ = P₁])"),
    # Batch normalisation's short form, and the sum where a residual unit parts.
    ("resnet_cifar", "∂L/∂z₂₁", "(γ₂₁ / √(σ₂₁² + ε)) ⊙ (∂L/∂b₉ − 1/(64m) Σᵢₚ ∂L/∂b₉"
     " − x̂₂₁ ⊙ 1/(64m) Σᵢₚ (∂L/∂b₉ ⊙ x̂₂₁))"),
    ("resnet_cifar", "∂L/∂u₆", "W₂₀ ∗ᵀ ∂L/∂z₂₀ + (1/64)W₂₂ᵀ(p − y) ⊙ relu′(s₁₁)"),
    # The LSTM's gates, and the sum over time for shared weights.
    ("sequences_mnist", "∂L/∂cₜ", "∂L/∂hₜ ⊙ oₜ ⊙ (1 − tanh(cₜ)²) + ∂L/∂cₜ₊₁ ⊙ fₜ₊₁"),
    ("sequences_mnist", "∂L/∂fₜ", "∂L/∂cₜ ⊙ cₜ₋₁"),
    ("sequences_mnist", "∂L/∂oₜ", "∂L/∂hₜ ⊙ tanh(cₜ)"),
    ("sequences_mnist", "∂L/∂Wf", "(1/m) Σᵢ Σₜ ∂L/∂f̄ₜ hxₜᵀ"),
    ("sequences_mnist", "∂L/∂bf", "(1/m) Σᵢ Σₜ ∂L/∂f̄ₜ"),
    # Autoencoders; the VAE's KL term.
    ("autoencoder", "∂L/∂Z₄", "A₄ − X"),
    ("vae", "∂L/∂μ", "μ + ∂L/∂z"),
    ("vae", "∂L/∂log_variance", "½(σ² − 1) + ½ ∂L/∂z ⊙ ε ⊙ σ"),
    # Adversaries.
    ("gan", "∂L/∂score₂", "σ(score₂)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "left", "closed"), TABLE)
def test_a_line_of_the_table_of_systems_is_printed_in_its_form(
    name: str, left: str, closed: str
) -> None:
    found = {unicode(p.left): unicode(p.closed) for p in derived(name).passages}
    assert found[left] == closed


def test_the_unreduced_chain_stands_before_every_closed_form_of_digits() -> None:
    chains = {unicode(p.left): unicode(p.chain) for p in derived("digits").passages}
    assert chains["∂L/∂W₂"] == "(∂L/∂A₂)(∂A₂/∂Z₂)(∂Z₂/∂W₂)"
    assert chains["∂L/∂W₁"] == "(∂L/∂A₂)(∂A₂/∂Z₂)(∂Z₂/∂A₁)(∂A₁/∂Z₁)(∂Z₁/∂W₁)"


def test_the_index_form_of_sigmoid_layers_is_that_of_the_book() -> None:
    """½ Σ (ŷ − y)² in the names of layers: ∂E/∂w_hj and ∂E/∂v_ih."""
    found = {unicode(f.left): unicode(f.right) for f in derived("nielsen").elements}
    output = "(a⁽²⁾_j − y_j) a⁽²⁾_j(1 − a⁽²⁾_j)"
    assert found["∂E/∂w⁽²⁾_jh"] == f"{output} a⁽¹⁾_h"
    hidden = f"Σ_j {output} w⁽²⁾_jh · a⁽¹⁾_h(1 − a⁽¹⁾_h) x_i"
    assert found["∂E/∂w⁽¹⁾_hi"] == hidden
