"""Derivations of recurrent nets: every printed form is evaluated, and compared with gradients."""

from __future__ import annotations

import re
import unicodedata

import pytest

from chainrule.viz import terms as t
from chainrule.viz import through
from chainrule.viz.derive import Derivation, derive
from chainrule.viz.derive_latex import latex
from chainrule.viz.derive_markdown import markdown
from chainrule.viz.derive_text import text
from chainrule.viz.latex import latex as math
from chainrule.viz.terms import Term
from chainrule.viz.unicode import unicode

from .recurrent_nets import ALL, at_random, recurrent


def closed(d: Derivation) -> dict[str, str]:
    """Left side → closed form; where two scans have the same letter, that of the first printed."""
    found: dict[str, str] = {}
    for p in d.passages:
        found.setdefault(_composed(p.left), _composed(p.closed))
    return found


def _composed(term: Term) -> str:
    """One letter for o with a bar, as editors write it."""
    return unicodedata.normalize("NFC", unicode(term))


@pytest.mark.parametrize("name", list(ALL))
def test_closed_forms_equal_the_compiled_gradient(name: str) -> None:
    d = derive(recurrent(name, training=True, dtype="f64"), check=at_random)
    assert d.difference is not None and d.difference < 1e-9
    assert any(p.parameter for p in d.passages)


def test_the_check_evaluates_the_printed_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong derivative of one step is seen at the end."""
    honest = through._step

    def wrong(*args: object) -> object:
        made = honest(*args)  # type: ignore[arg-type]
        leaf = next(v for v in made.params if v.op.name == "input")
        d = made.params[leaf]
        made.params[leaf] = type(d)(d.of, d.raw, 1.01 * d.value, d.unreduced, d.changes, d.closed)
        return made

    monkeypatch.setattr(through, "_step", wrong)
    d = derive(recurrent("rnn", training=True, dtype="f64"), check=at_random)
    assert d.difference is not None and d.difference > 1e-6


def test_the_gates_of_an_lstm_have_the_textbooks_gradients() -> None:
    found = closed(derive(recurrent("lstm", training=True)))
    assert found["∂L/∂cₜ"] == "∂L/∂hₜ ⊙ oₜ ⊙ (1 − tanh(cₜ)²) + ∂L/∂cₜ₊₁ ⊙ fₜ₊₁"
    assert found["∂L/∂oₜ"] == "∂L/∂hₜ ⊙ tanh(cₜ)"
    assert found["∂L/∂fₜ"] == "∂L/∂cₜ ⊙ cₜ₋₁"
    assert found["∂L/∂iₜ"] == "∂L/∂cₜ ⊙ tanh(zₜ)"
    assert found["∂L/∂f̄ₜ"] == "∂L/∂fₜ ⊙ fₜ ⊙ (1 − fₜ)"
    assert found["∂L/∂hxₜ"] == "Woᵀ ∂L/∂ōₜ + Wfᵀ ∂L/∂f̄ₜ + Wiᵀ ∂L/∂īₜ + Wcᵀ ∂L/∂zₜ"
    assert found["∂L/∂hₜ"] == "(∂L/∂hxₜ₊₁)[0:6]"
    assert found["∂L/∂Wf"] == "(1/m) Σᵢ Σₜ ∂L/∂f̄ₜ hxₜᵀ"
    assert found["∂L/∂bf"] == "(1/m) Σᵢ Σₜ ∂L/∂f̄ₜ"


def test_the_gates_of_a_gru() -> None:
    found = closed(derive(recurrent("cho", training=True)))
    assert found["∂L/∂zₜ"] == "∂L/∂hₜ ⊙ (nₜ − hₜ₋₁)"
    assert found["∂L/∂nₜ"] == "∂L/∂hₜ ⊙ zₜ"
    assert "∂L/∂hₜ₊₁ ⊙ (1 − zₜ₊₁)" in found["∂L/∂hₜ"]


def test_the_chain_of_a_shared_weight_is_a_sum_over_time() -> None:
    d = derive(recurrent("lstm", training=True))
    chains = {unicode(p.left): unicode(p.chain) for p in d.passages}
    assert chains["∂L/∂Wf"] == "Σₜ (∂L/∂f̄ₜ)(∂f̄ₜ/∂Wf)"
    assert chains["∂L/∂cₜ"] == "(∂L/∂hₜ)(∂hₜ/∂cₜ) + (∂L/∂cₜ₊₁)(∂cₜ₊₁/∂cₜ)"


def test_masks_and_truncation_stand_in_the_equations() -> None:
    d = derive(recurrent("masked", training=True))
    found = closed(d)
    assert found["∂L/∂h̃ₜ"] == "∂L/∂hₜ ⊙ [maskₜ]"
    assert found["∂L/∂hₜ"].startswith("[mod(t, 4) ≠ 0] ⊙ (")
    assert "∂L/∂hₜ₊₁ ⊙ [not(maskₜ₊₁)]" in found["∂L/∂hₜ"]
    given = {unicode(f.left): unicode(f.right) for f in d.given}
    assert given["hₜ"] == "h̃ₜ if maskₜ else hₜ₋₁"
    assert given["h₀"] == "0"


def test_a_reverse_scan_gets_its_gradient_from_the_step_before() -> None:
    found = closed(derive(recurrent("backwards", training=True)))
    assert "∂L/∂cₜ₋₁ ⊙ fₜ₋₁" in found["∂L/∂cₜ"]
    assert "[mod(T − t + 1, 4) ≠ 0]" in found["∂L/∂cₜ"]


def test_a_nested_scan_sums_over_both_times() -> None:
    found = closed(derive(recurrent("nested", training=True)))
    assert found["∂L/∂W"] == "(1/m) Σᵢ Σₜ Σₛ ∂L/∂ḡₛ gₛ₋₁ᵀ"
    assert found["∂L/∂gₛ"] == "Wᵀ ∂L/∂ḡₛ₊₁"


def test_every_scan_is_told_where_its_steps_begin() -> None:
    printed = text(derive(recurrent("stacked", training=True)))
    assert printed.count("back through lstm b, t = T … 1:") == 1
    assert printed.count("back through lstm a, t = T … 1:") == 1


@pytest.mark.parametrize("name", list(ALL))
def test_all_formats_are_written(name: str) -> None:
    d = derive(recurrent(name, training=True))
    document = latex(d)
    assert document.isascii() and "?" not in document
    bare = re.sub(r"\\[{}]", "", document)
    assert bare.count("{") == bare.count("}")
    assert r"\sum_{t}" in document and r"_{t}" in document
    assert "boxed" in markdown(d)
    assert "Σₜ" in text(d) or "Σₛ" in text(d)


def test_steps_are_written_as_subscripts() -> None:
    h = t.step(t.symbol("h"), "t−1")
    assert (unicode(h), math(h)) == ("hₜ₋₁", "h_{t-1}")
    assert unicode(t.shifted(h, "t", 1)) == "hₜ"
    assert unicode(t.at_step(h, "t", 3)) == "h₂"
    assert unicode(t.step(t.symbol("h"), "T")) == "h_T"
    assert unicode(t.step(t.symbol("f_bar"), "t")) == "f̄ₜ"
    assert math(t.step(t.symbol("h_2"), "t")) == "h^{(2)}_{t}"


def test_a_softmax_under_a_mask_is_one_word() -> None:
    attention = """net n {
      input keys: [T, 4]
      param q: [4] ~ glorot
      weights = softmax(keys @ q, mask = mask(keys))
      seen = keys' @ weights
      loss sum(seen^2)
    }"""
    d = derive(recurrent(attention, training=True, dtype="f64"), check=at_random)
    given = {unicode(f.left): unicode(f.right) for f in d.given}
    assert given["weights"].startswith("softmax(") and given["weights"].endswith(", mask)")
    assert d.difference is not None and d.difference < 1e-9
