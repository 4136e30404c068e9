"""MathML of formulas: well formed, complete, and no way for a name to become markup."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import forward, load_module
from chainrule.dsl.diagnostics import Failure
from chainrule.viz import terms as t
from chainrule.viz.backprop import backprop
from chainrule.viz.equations import equations
from chainrule.viz.formula import right_hand_side
from chainrule.viz.mathml import formula, mathml
from chainrule.viz.names import names
from chainrule.viz.terms import Term

EXAMPLES = Path(__file__).parents[2] / "examples"
FAST = ("digits", "iris", "lenet", "sequences_mnist", "vae", "xor")
# MathML Core, as far as a formula needs it (https://www.w3.org/TR/mathml-core/).
CORE = {
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "msub", "msup", "msubsup", "munder",
    "mover", "mfrac", "msqrt", "mtable", "mtr", "mtd",
}  # fmt: skip


def read(*terms: Term) -> ET.Element:
    return ET.fromstring(formula(*terms))


def text(term: Term) -> str:
    return "".join(read(term).itertext())


def terms_of(graph: Graph) -> list[Term]:
    """Every formula that a walk or a derivation of the net could print."""
    found = []
    for loss in graph.of_kind("loss"):
        eq = equations(graph, [loss])
        end = eq.graph.loss(loss.name)
        b = backprop(eq, names(eq, batch=False), end, batch=False)
        found += [right_hand_side(v, b.names.terms) for v in eq.steps]
        steps = [b, *(s.step for s in b.scans.values())]
        for each in steps:
            known = (*each.deltas.values(), *each.params.values())
            found += [x for d in known for x in (d.closed, d.unreduced)]
    return found


def test_a_fraction_of_partials_is_a_fraction() -> None:
    tree = read(t.partial(t.symbol("L"), t.symbol("W_1")))
    fraction = tree.find(".//mfrac")
    assert fraction is not None
    assert ["".join(part.itertext()) for part in fraction] == ["∂L", "∂W1"]
    assert tree.get("alttext") == "∂L/∂W₁"


def test_brackets_stand_where_precedence_asks_for_them() -> None:
    a, b, c = map(t.symbol, "abc")
    assert text(t.product(t.sub(a, b), t.transpose(c))) == "(a−b)cT"
    assert text(t.hadamard(t.add(a, b), c)) == "(a+b)⊙c"
    assert text(t.add(t.hadamard(a, b), c)) == "a⊙b+c"


def test_accents_numbers_and_steps_are_set() -> None:
    assert read(t.symbol("y_hat")).find(".//mover") is not None
    assert text(t.step(t.symbol("h"), "t−1")) == "ht−1"
    assert text(t.number(2 / 3)) == "23"
    assert text(t.number(1e-8)) == "1·10−8"
    x, zero = t.symbol("x"), t.number(0)
    assert read(t.choice(t.compare(">", x, zero), x, zero)).find(".//mtable") is not None


def test_a_name_cannot_become_markup() -> None:
    evil = t.symbol('<script>alert("x")</script>')
    assert "<script" not in formula(evil)
    assert text(t.call("<b>", evil)).count("<script>") == 1


def test_what_is_no_term_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        mathml(Term("nonsense"))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.stem, marks=() if path.stem in FAST else pytest.mark.slow)
        for path in sorted(EXAMPLES.glob("*.net"))
    ],
)
def test_every_formula_of_every_example_is_mathml_core(name: str) -> None:
    module = load_module(EXAMPLES / f"{name}.net")
    for net in module.nets:
        try:
            graph = forward(module, net, training=True, dtype="f64")
        except Failure:  # sizes that only its data fix
            pytest.skip("needs its data")
        for term in terms_of(graph):
            tags = {e.tag for e in read(term).iter()}
            assert tags <= CORE, term
