"""The neurons view: circles, lines, and which nets have such a picture."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from chainrule.dsl.diagnostics import Failure
from chainrule.numbers import integers, numbers
from chainrule.viz.neurons import mixed, neurons, neurons_of, short, visible
from chainrule.viz.render import svg

from .nets import ALL, DIGITS, SIGMOIDS, net

GOLDEN = Path(__file__).parent.parent / "golden" / "viz"
SMALL = """net small {
  input x: [2]
  input y: class[3]
  h = x -> dense(2) -> tanh
  scores = h -> dense(3)
  output softmax(scores)
  loss cross_entropy(scores, y)
}
"""


def drawn(text: str, **options: object) -> str:
    of = neurons_of(net(text, dtype="f64"))
    found = numbers(None, of.values, integers(of.equations.graph, None))
    return neurons(of, found, "here", **options)  # type: ignore[arg-type]


def lines(dot: str) -> list[str]:
    return [line for line in dot.splitlines() if "->" in line]


def test_every_weight_and_bias_of_a_small_net_is_a_line() -> None:
    assert len(lines(drawn(SMALL))) == 2 * 2 + 2 + 2 * 3 + 3


def test_negative_weights_are_dashed_and_positive_ones_are_not() -> None:
    for line in lines(drawn(SMALL)):
        number = re.search(r'tooltip="[^=]* = ([^"]*)"', line)
        assert number is not None
        assert ("dashed" in line) is number[1].startswith("−")


def test_the_wider_line_is_the_larger_weight() -> None:
    of = neurons_of(net(SMALL, dtype="f64"))
    found = numbers(None, of.values, integers(of.equations.graph, None))
    w = of.layers[1].weights
    assert w is not None
    dot = neurons(of, found)
    width = {}
    for line in lines(dot):
        place = re.search(r'tooltip="W₁\[(\d), (\d)\]', line)
        if place:
            found_width = re.search(r"penwidth=([\d.]+)", line)
            assert found_width is not None
            width[int(place[1]), int(place[2])] = float(found_width[1])
    sizes = np.abs(found[w].value)
    assert sorted(width, key=lambda p: width[p])[-1] in set(
        map(tuple, np.argwhere(sizes == sizes.max()).tolist())
    )


def test_a_matrix_that_is_written_transposed_is_read_that_way() -> None:
    of = neurons_of(net(SIGMOIDS, dtype="f64"))
    assert [c.turned for c in of.layers[1:]] == [True, True]
    assert len(lines(drawn(SIGMOIDS))) == 4 * 5 + 5 * 3  # without biases


def test_layers_of_many_units_show_their_ends() -> None:
    assert visible(10) == list(range(10))
    assert visible(64) == [0, 1, 2, 3, 4, 5, 62, 63]
    assert "56 more" in drawn(DIGITS)


def test_outputs_have_the_names_of_their_classes() -> None:
    dot = drawn(SMALL, outputs=("cat", "dog", "gnu"), inputs=("left", "right"))
    assert all(f'label="{name}"' in dot for name in ("cat", "dog", "gnu", "left", "right"))


def test_circles_stand_where_they_are_put() -> None:
    picture = svg(drawn(SMALL))
    centres = [float(n) for n in re.findall(r'<ellipse[^>]* cx="([-\d.]+)"', picture)]
    columns = sorted({round(x) for x in centres})
    assert len(columns) == 3
    assert columns[1] - columns[0] == pytest.approx(columns[2] - columns[1], abs=1)


@pytest.mark.parametrize("name", ["twins", "vae"])
def test_nets_that_are_no_chain_are_refused_with_a_way_out(name: str) -> None:
    with pytest.raises(Failure, match="E582"):
        neurons_of(net(ALL[name]))


def test_dot_of_neurons_is_what_it_was() -> None:
    """UPDATE_GOLDEN=1 writes it anew after a change that was meant."""
    text = drawn(SMALL)
    path = GOLDEN / "small-neurons.dot"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_activations_are_two_figures_and_colours_are_mixed() -> None:
    assert [short(x) for x in (0.0, 0.5, -0.77, 12.34, 3.0)] == ["0", "0.50", "−0.77", "12.3", "3"]
    assert mixed("#000000", "#FFFFFF", 0.5) == "#808080"
