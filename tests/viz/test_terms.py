"""Formulas as Unicode text and as LaTeX."""

from __future__ import annotations

import pytest

from chainrule.viz import terms as t
from chainrule.viz.latex import escape_latex, latex, latex_name
from chainrule.viz.unicode import unicode, unicode_name

A, B, C = (t.symbol(n) for n in "ABC")


@pytest.mark.parametrize(
    ("term", "text", "tex"),
    [
        (t.sub(A, t.sub(B, C)), "A − (B − C)", "A - (B - C)"),
        (t.sub(t.sub(A, B), C), "A − B − C", "A - B - C"),
        (t.hadamard(t.add(A, B), C), "(A + B) ⊙ C", r"(A + B) \odot C"),
        (t.product(t.transpose(A), t.sub(B, C)), "Aᵀ(B − C)", r"A^{T} \, (B - C)"),
        (t.power(t.add(A, B), t.number(2)), "(A + B)²", "(A + B)^{2}"),
        (t.power(A, t.number(-2)), "A^(−2)", "A^{-2}"),
        (t.quotient(A, t.hadamard(B, C)), "A / (B ⊙ C)", r"\frac{A}{B \odot C}"),
        (t.hadamard(t.total(A), B), "(Σ A) ⊙ B", r"(\sum A) \odot B"),
        (t.mean(t.sub(A, B)), "(1/m)Σ(A − B)", r"\frac{1}{m} \sum (A - B)"),
        (t.over_m(t.product(A, t.transpose(B))), "(1/m)A Bᵀ", r"\frac{1}{m} \, A \, B^{T}"),
        (t.times(t.number(0.5), t.total(A)), "½ Σ A", r"\tfrac{1}{2} \, \sum A"),
        (t.neg(t.add(A, B)), "−(A + B)", "-(A + B)"),
        (t.transpose(t.partial(A, B)), "(∂A/∂B)ᵀ", None),
        (t.chain(t.partial(A, B), t.partial(B, C)), "(∂A/∂B)(∂B/∂C)", None),
        (t.prime("relu", A), "relu′(A)", r"\operatorname{relu}'(A)"),
    ],
)
def test_brackets_stand_where_precedence_asks_for_them(
    term: t.Term, text: str, tex: str | None
) -> None:
    assert unicode(term) == text
    if tex is not None:
        assert latex(term) == tex


def test_the_transpose_of_a_product_turns_it_round() -> None:
    assert unicode(t.transpose(t.product(A, t.transpose(B)))) == "B Aᵀ"


def test_signs_move_in_front_and_cancel() -> None:
    assert unicode(t.hadamard(t.neg(A), t.neg(B))) == "A ⊙ B"
    assert unicode(t.add(A, t.neg(B))) == "A − B"
    assert unicode(t.times(t.number(-1), A)) == "−A"


@pytest.mark.parametrize(
    ("name", "text", "tex"),
    [
        ("W_1", "W₁", "W_{1}"),
        ("b12", "b₁₂", "b_{12}"),
        ("y_hat", "ŷ", r"\hat{y}"),
        ("alpha", "α", r"\alpha"),
        ("log_variance", "log_variance", r"\mathrm{log\_variance}"),
        ("z_ℓ−1", "zₗ₋₁", r"z_{\ell -1}"),
        ("scores", "scores", r"\mathrm{scores}"),
    ],
)
def test_names_are_written_as_in_a_book(name: str, text: str, tex: str) -> None:
    assert unicode_name(name) == text
    assert latex_name(name) == tex


def test_a_name_cannot_become_a_latex_command() -> None:
    assert escape_latex(r"\input{x}") == r"\backslash input\{x\}"
    assert "$" not in escape_latex("a$b").replace(r"\$", "")


def test_an_endless_term_is_cut_off() -> None:
    term = A
    for _ in range(10_000):
        term = t.add(term, B)
    assert term.size <= t.LIMIT
    assert "…" in unicode(term)
