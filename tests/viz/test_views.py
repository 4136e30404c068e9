"""The views: what they show, their golden texts, and that they fit a slide."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from chainrule.compiler.pipeline import gradients, optimise
from chainrule.dsl.diagnostics import Failure
from chainrule.viz import VIEWS, draw
from chainrule.viz.fit import warning
from chainrule.viz.render import node_count, svg
from chainrule.viz.style import SLIDE

from .nets import ALL, DEEP, DIGITS, LINEAR, SIGMOIDS, TWINS, net

PLAIN = [v for v in VIEWS if v != "recurrence"]  # views of any net
GOLDEN = Path(__file__).parent.parent / "golden" / "viz"


def words(dot: str) -> str:
    """The labels of a DOT text without mark-up."""
    return re.sub(r"<[^<>]*>", " ", dot)


@pytest.mark.parametrize("view", PLAIN)
@pytest.mark.parametrize("name", ["digits", "linear", "twins"])
def test_dot_is_what_it_was(name: str, view: str) -> None:
    """Golden texts; UPDATE_GOLDEN=1 writes them anew after a change that was meant."""
    text = draw(net(ALL[name]), view, fit=False)  # what is measured depends on the fonts
    path = GOLDEN / f"{name}-{view}.dot"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("view", PLAIN)
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
        (DIGITS, "operations"),
        (SIGMOIDS, "operations"),
        (ALL["logistic"], "operations"),
        (TWINS, "layers"),
        (TWINS, "operations"),
        (TWINS, "backward"),
        (ALL["vae"], "layers"),
        (ALL["vae"], "operations"),
        (ALL["vae"], "backward"),
        (DEEP, "backward"),
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
    assert re.search(r"∂L/∂d(\\n| )\[16\]", text)
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


def test_a_wide_picture_is_cut_into_rows_joined_by_numbered_marks() -> None:
    one, two = draw(net(DIGITS), "operations", fit=False), draw(net(DIGITS), "operations")
    assert "mark_" not in one
    assert "cluster_row_1" in two
    leaving = set(re.findall(r"-> (mark_\d+)_0", two))
    coming = set(re.findall(r"(mark_\d+)_1 ->", two))
    assert leaving == coming != set()


def test_cutting_into_rows_loses_no_node_and_no_edge() -> None:
    for name in ("digits", "twins", "vae"):
        one = draw(net(ALL[name]), "operations", fit=False)
        two = draw(net(ALL[name]), "operations")
        marks = len(re.findall(r"(?m)^  mark_\d+_\d+ \[", two))
        assert node_count(two) - marks == node_count(one)
        assert _reached(one) == _reached(two)


def _reached(dot: str) -> set[tuple[str, str]]:
    """Which node leads to which, past the marks."""
    edges = [e for e in re.findall(r"(?m)^  (\w+) -> (\w+)", dot) if "start_" not in e[0]]
    sources: dict[str, set[str]] = {}
    for a, b in edges:
        if b.startswith("mark_"):
            sources.setdefault(b.rpartition("_")[0], set()).add(a)
    found = set()
    for a, b in edges:
        if not b.startswith("mark_"):
            starts = sources[a.rpartition("_")[0]] if a.startswith("mark_") else {a}
            found |= {(s, b) for s in starts}
    return found


def test_metrics_are_left_out_of_the_operations() -> None:
    assert "argmax" not in draw(net(DIGITS), "operations", fit=False)
    assert "argmax" in draw(
        net("net n {\n  input x: [3]\n  input k: class[3]\n  metric accuracy(x, k)\n}\n"),
        "operations", fit=False,
    )  # fmt: skip


def test_a_part_of_a_value_is_written_where_it_is_used() -> None:
    graph = net("net n {\n  input x: [5]\n  output x[0:2] + x[3:5]\n}\n")
    dot = draw(graph, "operations", fit=False)
    assert "x[0:2] + x[3:5]" in words(dot)
    assert "slice" not in words(dot)


def test_a_picture_too_large_for_a_slide_says_so() -> None:
    long = "\n".join(f"  h{k} = h{k - 1} -> dense({100 - k}) -> tanh" for k in range(1, 12))
    graph = net(f"net n {{\n  input x: [9]\n  input y: [89]\n  h0 = x\n{long}\n  output h11\n"
                "  loss mse(h11, y)\n}\n")  # fmt: skip
    said = warning(draw(graph, "backward"), "backward")
    assert re.search(r"smallest type is \d\.\d pt, less than 9 pt: `--view layers`", said)
    assert warning(draw(net(DIGITS), "backward"), "backward") == ""


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
