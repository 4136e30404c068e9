"""The views: what they show, their golden texts, and that they fit a slide."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from chainrule.compiler.pipeline import gradients, optimise
from chainrule.dsl.diagnostics import Failure
from chainrule.viz import VIEWS, draw
from chainrule.viz.render import node_count, svg
from chainrule.viz.style import SLIDE

from .nets import ALL, DEEP, DIGITS, LINEAR, SIGMOIDS, TWINS, net

GOLDEN = Path(__file__).parent.parent / "golden" / "viz"


def words(dot: str) -> str:
    """The labels of a DOT text without mark-up."""
    return re.sub(r"<[^<>]*>", " ", dot)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", ["digits", "linear", "twins"])
def test_dot_is_what_it_was(name: str, view: str) -> None:
    """Golden texts; UPDATE_GOLDEN=1 writes them anew after a change that was meant."""
    text = draw(net(ALL[name]), view)
    path = GOLDEN / f"{name}-{view}.dot"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", list(ALL))
def test_every_view_draws_every_net(name: str, view: str, theme: str) -> None:
    assert node_count(draw(net(ALL[name], training=True), view, theme=theme)) > 2


@pytest.mark.parametrize(
    ("text", "view"),
    [
        (DIGITS, "layers"),
        (DIGITS, "backward"),
        (DEEP, "layers"),
        (LINEAR, "layers"),
        (LINEAR, "operations"),
        (LINEAR, "backward"),
        (SIGMOIDS, "layers"),
        (SIGMOIDS, "backward"),
    ],
)
def test_no_text_is_smaller_than_9_points_on_a_slide(text: str, view: str) -> None:
    picture = svg(draw(net(text), view))
    found = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', picture)
    assert found is not None
    width, height = (float(n) / 72 for n in found.groups())
    scale = max(width / SLIDE[0], height / SLIDE[1], 1.0)
    smallest = min(float(n) for n in re.findall(r'font-size="([\d.]+)"', picture))
    assert smallest / scale >= 8.95


def test_the_layer_view_tells_shapes_parameters_and_work() -> None:
    text = words(draw(net(DIGITS), "layers"))
    assert "digits: 1,210 parameters" in text
    assert "dense 16" in text
    assert "1,040 parameters" in text  # 16 · 64 + 16
    assert "2,064 FLOP" in text  # 2 · 16 · 64 + 16
    assert "[64]" in text
    assert "cross_entropy" in text


def test_equal_layers_are_folded_into_one() -> None:
    text = words(draw(net(DEEP), "layers"))
    assert "× 10" in text
    assert text.count("16.5 k parameters") == 1
    assert node_count(draw(net(DEEP), "layers")) < 12


def test_a_layer_applied_twice_is_drawn_twice_and_counted_once() -> None:
    text = words(draw(net(TWINS), "layers"))
    assert text.count("shared parameters") == 1
    assert "twins: 625 parameters" in text  # 20·16 + 16 + 16·16 + 16 + 16 + 1


def test_depth_closes_blocks() -> None:
    nested = """net nested {
      input x: [8]
      input y: [8]
      h = x -> mlp([8, 8], activation = tanh)
      output h
      loss mse(h, y)
    }"""
    assert "mlp" in words(draw(net(nested), "layers", depth=1))
    opened = draw(net(nested), "layers", depth=2)
    assert words(opened).count("dense 8") == 2
    assert "subgraph cluster_" in opened


def test_the_operation_view_shows_formulas_and_shares_nodes() -> None:
    text = words(draw(net(DIGITS), "operations"))
    assert "W₁ x" in text
    assert "max(0, z₁)" in text
    assert text.count("exp(·)") == 1  # the softmax of the output and of the loss are one


def test_the_backward_view_shows_closed_forms_and_sums_at_fan_out() -> None:
    text = words(draw(net(TWINS), "backward"))
    assert "Σ" in text
    assert "= p − same" in text
    assert "∂L/∂d [16]" in text
    digits = words(draw(net(DIGITS), "backward"))
    assert "= a₂ − y" in digits
    assert "= W₂ᵀ(a₂ − y) ⊙ relu′(z₁)" in digits


def test_values_that_the_backward_pass_needs_have_a_double_border() -> None:
    dot = draw(net(DIGITS), "backward")
    doubled = {words(row) for row in dot.splitlines() if "peripheries=2" in row}
    assert any("a₁" in row for row in doubled)
    assert not any("b₁" in row and "W₁" not in row for row in doubled)


def test_layers_of_a_deep_net_are_drawn_once_with_a_number() -> None:
    text = words(draw(net(DEEP), "backward"))
    assert "ℓ = 2 … 11" in text
    assert "Wₗ₊₁ᵀ ∂L/∂zₗ₊₁ ⊙ relu′(zₗ)" in text


def test_the_raw_gradient_graph_draws_every_operation() -> None:
    graph = net(DIGITS)
    raw = draw(graph, "backward", gradients=optimise(gradients(graph)))
    assert node_count(raw) > node_count(draw(graph, "operations"))


def test_a_graph_of_thousands_of_operations_is_refused_with_a_suggestion() -> None:
    long = """net long {
      input x: [4]
      input y: [4]
      h = x -> dense(4)
      repeat 500 { h = h -> dense(4) -> tanh }
      output h
      loss mse(h, y)
    }"""
    graph = net(long)
    with pytest.raises(Failure, match="E560") as caught:
        draw(graph, "operations")
    assert "--depth" in str(caught.value) or "layers" in str(caught.value)
    assert "× 500" in words(draw(graph, "layers"))


def test_an_unknown_view_or_theme_suggests_the_nearest() -> None:
    with pytest.raises(Failure, match="E563") as caught:
        draw(net(DIGITS), "backwards")
    assert "did you mean `backward`" in str(caught.value)
    with pytest.raises(Failure, match="E563"):
        draw(net(DIGITS), theme="pink")


def test_a_net_without_a_loss_has_no_backward_view() -> None:
    with pytest.raises(Failure, match="E564"):
        draw(net("net n {\n  input x: [3]\n  output x -> dense(2)\n}\n"), "backward")


def test_a_product_of_two_unnamed_values_is_no_square() -> None:
    graph = net(DIGITS)
    raw = words(draw(graph, "backward", gradients=optimise(gradients(graph))))
    assert "·²" not in raw
    assert "∂L/∂scores.W" in raw
