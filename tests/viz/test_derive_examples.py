"""Every derivation's closed forms equal the compiled gradient, and the slopes of the loss: in every
example and in random nets, at random points, in f64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import forward, load_module, parse_module
from chainrule.deriving import at_random, derivations, nudged
from chainrule.dsl.source import Source
from chainrule.pictures import frozen_parameters
from chainrule.viz.derivation import Derivation
from chainrule.viz.derive import derive
from chainrule.viz.derive_html import html
from chainrule.viz.derive_latex import latex
from chainrule.viz.derive_markdown import markdown
from chainrule.viz.derive_text import text

from ..randomnets import nets

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.net"))
# Of nets whose data say how long sequences are, and how many words there are.
SIZES = {"S": 7, "T": 9, "n": 30, "k": 20, "m": 6}
# Their images are large: the plain interpreter takes long for a step.
LARGE = ("alexnet", "alexnet_cifar", "resnet", "resnet_cifar", "vgg", "vgg_cifar", "transfer")
SLOW = (
    "gan",
    "captions",
    "copy_ntm",
    "dates",
    "dcgan",
    "translate",
    "wgan",
    "memory",
    "shakespeare",
)


def of_example(path: Path) -> list[Derivation]:
    module = load_module(path)
    train = module.trains[0] if module.trains else None
    frozen = frozen_parameters(train)
    graph = forward(module, training=True, dtype="f64", sizes=SIZES, frozen=frozen)
    return derivations(graph, train, index=True)


def check(path: Path) -> None:
    found = of_example(path)
    assert found
    for d in found:
        assert d.difference is not None and d.difference < 1e-9
        assert d.slopes or d.cut
        # A nudge in a deep net of large images pushes some ReLU over its kink.
        assert all(s.apart < (1e-3 if path.stem in LARGE else 1e-5) for s in d.slopes)
        assert d.shapes
        assert "Checked at random points in f64" in text(d)
        assert "## Numeric check" in markdown(d)
    document, page = latex(*found), html(*found)
    assert document.endswith("\\end{document}\n")
    assert "?" not in document
    assert page.count("<math") == page.count("</math>") > 10
    assert "<script" not in page and "http:" not in page and "https:" not in page


SMALL = [p for p in EXAMPLES if p.stem not in (*LARGE, *SLOW)]


@pytest.mark.parametrize("path", SMALL, ids=lambda p: p.stem)
def test_an_example_is_derived_in_every_format_and_checked(path: Path) -> None:
    check(path)


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in EXAMPLES if p not in SMALL], ids=lambda p: p.stem)
def test_a_large_example_is_derived_in_every_format_and_checked(path: Path) -> None:
    check(path)


def of_random(source: str) -> Derivation:
    graph = forward(parse_module(Source("random.net", source)), training=True, dtype="f64")
    return derive(graph, check=at_random, nudge=nudged)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(nets(most=5))
def test_the_closed_forms_of_a_random_net_equal_the_compiled_gradient(source: str) -> None:
    d = of_random(source)
    assert d.difference is not None and d.difference < 1e-9


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(nets(most=10))
def test_the_closed_forms_of_many_random_nets_equal_the_compiled_gradient(source: str) -> None:
    d = of_random(source)
    assert d.difference is not None and d.difference < 1e-9


def test_a_stopped_gradient_is_told_and_not_compared_with_slopes() -> None:
    source = """
net stopped {
  input x: [3]
  input y: [2]
  h = tanh(x -> dense(4))
  z = stop_gradient(h) + h -> dense(4) -> dense(2)
  output z
  loss sum((z - y)^2)
}
""".replace("stop_gradient(h) + h", "(stop_gradient(h) + h)")
    d = of_random(source)
    assert d.cut and not d.slopes
    assert "a gradient is stopped on purpose" in text(d)


def test_a_wrong_slope_is_seen() -> None:
    def steeper(graph: Graph, name: str, place: int, by: float) -> dict[str, Any]:
        return nudged(graph, name, place, 1.01 * by)

    graph = forward(
        load_module(next(p for p in EXAMPLES if p.stem == "iris")), training=True, dtype="f64"
    )
    d = derive(graph, check=at_random, nudge=steeper)
    assert min(s.apart for s in d.slopes) == pytest.approx(0.01, rel=0.1)
