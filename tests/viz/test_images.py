"""Image nets: the derivations' textbook forms, and what their pictures show."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import chainrule
from chainrule.compiler.pipeline import gradients
from chainrule.runtime.plain import run_graph
from chainrule.viz import draw
from chainrule.viz.derive import Derivation, derive
from chainrule.viz.derive_latex import latex
from chainrule.viz.derive_text import text
from chainrule.viz.fit import type_size
from chainrule.viz.render import svg
from chainrule.viz.unicode import unicode

from .image_nets import AVERAGED, OVERLAPPING, RESIDUAL, SMALL, TWO, UNITS
from .nets import at_random, net

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def closed(d: Derivation) -> dict[str, str]:
    return {unicode(p.left): unicode(p.closed) for p in d.passages}


def given(d: Derivation) -> dict[str, str]:
    return {unicode(f.left): unicode(f.right) for f in d.given}


def local(d: Derivation) -> dict[str, str]:
    return {unicode(f.left): unicode(f.right) for f in d.local}


def elements(d: Derivation) -> dict[str, str]:
    return {unicode(f.left): unicode(f.right) for f in d.elements}


def words(dot: str) -> str:
    return re.sub(r"<[^<>]*>", " ", dot)


# ---------------------------------------------------------------- derivations


def test_a_convolution_is_one_equation_with_its_bias() -> None:
    d = derive(net(SMALL))
    assert given(d)["Z₁"] == "W₁ ∗ X + b₁"
    assert given(d)["P₁"] == "max_w A₁"
    assert given(d)["f₁"] == "vec(P₁)"
    notes = {unicode(f.left): f.note for f in d.given}
    assert notes["Z₁"] == "z, conv, 3×3, padding 1"
    assert notes["P₁"] == "p, max_pool, 2×2"


def test_gradients_of_a_convolution_are_correlation_transposed_convolution_and_sum() -> None:
    found = closed(derive(net(TWO)))
    assert found["∂L/∂W₁"] == "(1/m) Σᵢ X ∗ ∂L/∂Z₁"
    assert found["∂L/∂W₂"] == "(1/m) Σᵢ A₁ ∗ ∂L/∂Z₂"
    assert found["∂L/∂Z₁"] == "W₂ ∗ᵀ ∂L/∂Z₂ ⊙ relu′(Z₁)"
    assert found["∂L/∂b₂"] == "(1/m) Σᵢₚ ∂L/∂Z₂"
    notes = {unicode(f.left): f.note for f in derive(net(TWO)).local}
    assert notes["∂Z₂/∂A₁"] == "applied to δ = ∂L/∂Z₂: transposed convolution"


def test_max_pooling_sends_its_gradient_to_the_greatest_element() -> None:
    d = derive(net(SMALL))
    assert local(d)["∂P₁/∂A₁"] == "Σ_w (δ ⊙ [A₁ = P₁])"
    assert closed(d)["∂L/∂Z₁"] == "relu′(Z₁) ⊙ Σ_w (vec⁻¹(W₂ᵀ(a₂ − y)) ⊙ [A₁ = P₁])"
    assert any("[A\u00a0=\u00a0P]" in note and "first" in note for note in d.notes)


def test_average_pooling_spreads_its_gradient() -> None:
    d = derive(net(AVERAGED))
    assert given(d)["P₁"] == "¼ Σ_w A₁"
    assert local(d)["∂P₁/∂A₁"] == "¼ Σ_w δ"


def test_batch_normalisation_of_images_has_its_short_form_over_examples_and_places() -> None:
    d = derive(net(RESIDUAL, training=True))
    assert given(d)["μ"] == "1/(36m) Σᵢₚ z₁"
    assert given(d)["σ²"] == "1/(36m) Σᵢₚ (z₁ − μ)²"
    assert given(d)["x̂"] == "(z₁ − μ) / √(σ² + ε)"
    found = closed(d)
    assert found["∂L/∂z₁"] == (
        "(γ / √(σ² + ε)) ⊙ (∂L/∂h − 1/(36m) Σᵢₚ ∂L/∂h − x̂ ⊙ 1/(36m) Σᵢₚ (∂L/∂h ⊙ x̂))"
    )
    assert found["∂L/∂γ"] == "(1/m) Σᵢₚ (∂L/∂h ⊙ x̂)"
    assert found["∂L/∂β"] == "(1/m) Σᵢₚ ∂L/∂h"


def test_the_gradients_of_a_residual_sum_add() -> None:
    d = derive(net(RESIDUAL, training=True))
    assert closed(d)["∂L/∂a"] == "W₂ ∗ᵀ ∂L/∂z₂ + (1/36)W₃ᵀ(p − y)"
    chains = {unicode(p.left): unicode(p.chain) for p in d.passages}
    assert chains["∂L/∂a"].count(" + ") == 1


@pytest.mark.parametrize("source", [SMALL, AVERAGED, OVERLAPPING, TWO, RESIDUAL, UNITS])
def test_closed_forms_of_images_equal_the_compiled_gradients(source: str) -> None:
    d = derive(net(source, training=True, dtype="f64"), check=at_random)
    assert d.difference is not None and d.difference < 1e-8


def test_index_forms_tell_stride_padding_and_dilation() -> None:
    found = elements(derive(net(TWO), index=True))
    assert found["z⁽¹⁾[o, i, j]"] == (
        "b⁽¹⁾[o] + Σ_c Σ_k Σ_l w⁽¹⁾[o, c, k, l] x[c, 2i + k − 1, 2j + l − 1]"
    )
    assert found["∂E/∂w⁽¹⁾[o, c, k, l]"] == (
        "Σ_i Σ_j ∂E/∂z⁽¹⁾[o, i, j] x[c, 2i + k − 1, 2j + l − 1]"
    )
    assert found["∂E/∂w⁽²⁾[o, c, k, l]"] == "Σ_i Σ_j ∂E/∂z⁽²⁾[o, i, j] a⁽¹⁾[c, i + 2k, j + 2l]"
    assert found["∂E/∂a⁽¹⁾[c, u, v]"] == (
        "Σ_o Σ_i Σ_j ∂E/∂z⁽²⁾[o, i, j] w⁽²⁾[o, c, (u − i)/2, (v − j)/2]"
    )
    assert found["∂E/∂b⁽²⁾[o]"] == "Σ_i Σ_j ∂E/∂z⁽²⁾[o, i, j]"


def test_index_forms_of_pooling_name_the_window_that_holds_an_element() -> None:
    greatest = elements(derive(net(SMALL), index=True))
    assert greatest["p⁽¹⁾[c, i, j]"] == "max_k max_l a⁽¹⁾[c, 2i + k, 2j + l]"
    assert greatest["∂E/∂a⁽¹⁾[c, u, v]"] == (
        "[a⁽¹⁾[c, u, v] = p⁽¹⁾[c, ⌊u/2⌋, ⌊v/2⌋]] ∂E/∂p⁽¹⁾[c, ⌊u/2⌋, ⌊v/2⌋]"
    )
    mean = elements(derive(net(AVERAGED), index=True))
    assert mean["∂E/∂a⁽¹⁾[c, u, v]"] == "¼ ∂E/∂p⁽¹⁾[c, ⌊u/2⌋, ⌊v/2⌋]"


def test_the_printed_index_forms_in_numpy_are_the_compiled_gradients() -> None:
    """∂E/∂w⁽¹⁾ and ∂E/∂a⁽¹⁾ as printed for TWO, as loops, from the δ of the second layer."""
    draws = np.random.default_rng(3)
    x, kind = draws.normal(size=(1, 12, 12)), 1
    w1, b1 = draws.normal(size=(4, 1, 3, 3)), draws.normal(size=4)
    w2, b2 = draws.normal(size=(5, 4, 3, 3)), draws.normal(size=5)
    w3, b3 = draws.normal(size=(3, 20)), draws.normal(size=3)

    def at(image: np.ndarray, c: int, u: int, v: int) -> float:
        inside = 0 <= u < image.shape[1] and 0 <= v < image.shape[2]
        return float(image[c, u, v]) if inside else 0.0

    z1 = np.zeros((4, 6, 6))
    for o, i, j, k, l in np.ndindex(4, 6, 6, 3, 3):  # noqa: E741
        z1[o, i, j] += w1[o, 0, k, l] * at(x, 0, 2 * i + k - 1, 2 * j + l - 1)
    z1 += b1[:, None, None]
    a1 = np.maximum(z1, 0)
    z2 = np.zeros((5, 2, 2))
    for o, c, i, j, k, l in np.ndindex(5, 4, 2, 2, 3, 3):  # noqa: E741
        z2[o, i, j] += w2[o, c, k, l] * a1[c, i + 2 * k, j + 2 * l]
    z2 += b2[:, None, None]
    scores = w3 @ np.maximum(z2, 0).reshape(-1) + b3
    p = np.exp(scores - scores.max())
    p /= p.sum()
    d2 = (w3.T @ (p - np.eye(3)[kind])).reshape(z2.shape) * (z2 > 0)
    da1 = np.zeros_like(a1)
    for o, c, i, j, u, v in np.ndindex(5, 4, 2, 2, 6, 6):
        k, l = (u - i) / 2, (v - j) / 2  # noqa: E741
        if k in (0, 1, 2) and l in (0, 1, 2):
            da1[c, u, v] += d2[o, i, j] * w2[o, c, int(k), int(l)]
    d1 = da1 * (z1 > 0)
    dw1 = np.zeros_like(w1)
    for o, k, l, i, j in np.ndindex(4, 3, 3, 6, 6):  # noqa: E741
        dw1[o, 0, k, l] += d1[o, i, j] * at(x, 0, 2 * i + k - 1, 2 * j + l - 1)

    graph = net(TWO, training=True, dtype="f64")
    values = {"image": x[None], "kind": np.array([kind], np.int32), "z1.W": w1, "z1.b": b1,
              "z2.W": w2, "z2.b": b2, "scores.W": w3, "scores.b": b3}  # fmt: skip
    found = run_graph(gradients(graph), values, batch=1)
    np.testing.assert_allclose(found["gradient", "grad z1.W"], dw1, rtol=1e-10)
    np.testing.assert_allclose(found["gradient", "grad z1.b"], d1.sum((1, 2)), rtol=1e-10)


def test_latex_knows_the_signs_of_images() -> None:
    document = latex(derive(net(SMALL, training=True), index=True))
    assert r"W_{1} \mathbin{*} X + b_{1}" in document
    assert r"\max_{w} A_{1}" in document
    assert r"\operatorname{vec}^{-1}" in document
    assert r"\lfloor u/2\rfloor" in document
    assert r"\item {}[A~=~P]" in document  # a bracket after \item would be its label
    assert "∗" not in document and "?" not in document.split(r"\begin{document}")[1]


def test_lines_of_a_derivation_of_images_fit_a_terminal() -> None:
    printed = text(derive(net(SMALL, training=True))).splitlines()
    assert max(map(len, printed)) <= 80


# ---------------------------------------------------------------- pictures


def test_boxes_of_images_tell_kernel_channels_stride_and_padding() -> None:
    shown = words(draw(net(TWO), "layers", fit=False))
    assert "conv 3×3, 4" in shown and "stride 2, padding 1" in shown and "dilation 2" in shown
    assert "max_pool 3×3" in words(draw(net(OVERLAPPING), "layers", fit=False))
    assert "[4, 6, 6]" in shown


def test_operations_of_images_are_labelled() -> None:
    shown = words(draw(net(SMALL), "operations", fit=False))
    assert "W₁ ∗ X" in shown and "3×3, padding 1" in shown
    assert "windows(A₁)" in shown and "max_w ·" in shown


def test_residual_units_are_folded_and_drawn_open_once() -> None:
    shown = words(draw(net(UNITS), "layers"))
    assert "unit × 4" in shown and "unit × 5" in shown
    assert shown.count("inside unit") == 2
    assert "stage1.u and 8 like it" in shown
    dot = draw(net(UNITS), "layers")
    thick = re.findall(r"(\w+) -> (\w+) \[.*penwidth", dot)
    assert len(thick) == 3  # one identity, and in and out of one projection


def test_labels_reach_a_metric_from_the_data_not_from_the_loss() -> None:
    source = SMALL.replace(
        "loss", "metric accuracy(scores, kind)\n  metric top_k(scores, kind, 2)\n  loss"
    )
    dot = draw(net(source), "layers", fit=False)
    loss = re.search(r"(n\d+) \[label=<[^\n]*cross_entropy", dot)
    assert loss is not None
    assert not re.search(rf"(?m)^  {loss[1]} ->", dot)


BIG = [("lenet", "layers", {}), ("lenet", "backward", {}), ("alexnet", "layers", {}),
       ("vgg", "layers", {}), ("vgg", "layers", {"depth": 19}), ("resnet_cifar", "layers", {}),
       ("resnet", "layers", {"depth": 18}), ("resnet", "layers", {"depth": 50}),
       ("resnet", "layers", {"depth": 152})]  # fmt: skip


@pytest.mark.parametrize(("name", "view", "settings"), BIG)
def test_pictures_of_the_example_nets_can_be_read_on_a_slide(
    name: str, view: str, settings: dict[str, int]
) -> None:
    picture = chainrule.load(EXAMPLES / f"{name}.net", set=settings).draw(view)
    size = type_size(picture.dot)
    assert size is not None and size >= 8.95
    assert overlapping(svg(picture.dot)) == []


def overlapping(picture: str) -> list[tuple[str, str]]:
    """Pairs of nodes of an SVG whose boxes meet."""
    found = []
    for part in re.split(r'<g id="(?=node|edge|clust)', picture):
        shape = re.search(r'<(?:path|polygon)[^>]*(?: d| points)="([^"]*)"', part)
        title = re.search(r"<title>(.*?)</title>", part)
        if part.startswith("node") and shape and title:
            points = re.findall(r"(-?[\d.]+),(-?[\d.]+)", shape[1])
            x, y = zip(*(map(float, p) for p in points), strict=True)
            found.append((title[1], min(x), max(x), min(y), max(y)))
    found.sort(key=lambda box: box[1])
    assert len(found) > 3
    return [
        (a[0], b[0])
        for k, a in enumerate(found)
        for b in found[k + 1 :]
        if b[1] < a[2] - 1 and b[3] < a[4] - 1 and a[3] < b[4] - 1
    ]


def test_the_check_for_overlaps_finds_one() -> None:
    box = '<g id="node{0}">\n<title>n{0}</title>\n<path d="M{1},0 {2},9"/>\n</g>'
    apart = "".join(box.format(k, 20 * k, 20 * k + 10) for k in range(5))
    close = "".join(box.format(k, 8 * k, 8 * k + 10) for k in range(5))
    assert overlapping(apart) == []
    assert overlapping(close) == [(f"n{a}", f"n{b}") for a, b in pairwise(range(5))]


def test_local_response_normalisation_names_its_sum_of_squares() -> None:
    d = derive(net(SMALL.replace("a      = relu(z)", "a = z -> relu -> lrn(3)"), training=True))
    assert given(d)["S₁"] == "2 + 0.0001 Σ_w A₁²"
    assert given(d)["H₁"] == "A₁ / S₁^0.75"
    assert closed(d)["∂L/∂Z₁"] == "∂L/∂A₁ ⊙ relu′(Z₁)"
