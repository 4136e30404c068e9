"""Pictures and derivations of generative nets: draws, shared blocks, several losses, what is
frozen."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

import chainrule
from chainrule.compiler.graph import Graph
from chainrule.compiler.minimize import frozen_by, minimized
from chainrule.compiler.pipeline import forward, parse_module
from chainrule.compiler.step import with_gradients
from chainrule.deriving import derive as derive_model
from chainrule.dsl.source import Source
from chainrule.pictures import draw as draw_model
from chainrule.viz import draw
from chainrule.viz.applications import applied_once
from chainrule.viz.blocks import boxes
from chainrule.viz.derive import derive
from chainrule.viz.draws import drawn, samples
from chainrule.viz.equations import equations
from chainrule.viz.gradient_paths import Line, paths, told
from chainrule.viz.names import names
from chainrule.viz.unicode import unicode

from .nets import ALL, GAN, PENALTY, TRANSFER, VAE, at_random, net

GOLDEN = Path(__file__).parent.parent / "golden" / "viz"


def words(dot: str) -> str:
    """The labels of a DOT text without mark-up."""
    return re.sub(r"<[^<>]*>", " ", dot)


def trained(text: str) -> tuple[Graph, list[Line]]:
    """A net as its `train` runs it, and the lines of that."""
    module = parse_module(Source("example.net", text))
    (train,) = module.trains
    patterns = tuple(e.span.text for e in frozen_by(train))
    graph = forward(module, training=True, frozen=patterns)
    return graph, told(minimized(train), graph)


@pytest.mark.parametrize("name", ["gan", "transfer"])
def test_dot_of_training_is_what_it_was(name: str) -> None:
    """Golden texts; UPDATE_GOLDEN=1 writes them anew after a change that was meant."""
    graph, lines = trained(ALL[name])
    text = draw(graph, "training", lines=lines, fit=False)
    path = GOLDEN / f"{name}-training-lines.dot"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["vae", "gan", "transfer"])
def test_dot_of_the_layers_is_what_it_was(name: str) -> None:
    """Golden texts; UPDATE_GOLDEN=1 writes them anew after a change that was meant."""
    graph = net(VAE) if name == "vae" else trained(ALL[name])[0]
    text = draw(graph, fit=False)
    path = GOLDEN / f"{name}-layers.dot"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


# ---------------------------------------------------------------- layers


def test_a_block_that_is_applied_three_times_is_one_cluster() -> None:
    text = draw(net(GAN), fit=False)
    assert text.count("discriminator D: applied 3 times, the same weights") == 1
    assert text.count("dense 4") == 1
    assert "generator G" in text


def test_the_edges_of_each_application_have_lines_of_their_own() -> None:
    edges = [s for s in draw(net(GAN), fit=False).splitlines() if " -> " in s]
    assert sum('style="dashed"' in s for s in edges) == 2  # in, out
    assert sum('style="dotted"' in s for s in edges) == 2


def test_an_application_of_which_only_the_gradient_is_used_stands_in_the_same_box() -> None:
    found = equations(net(PENALTY))
    shown = applied_once(boxes(found))
    layers = [b for b in shown if b.params]
    assert [len(b.applications) for b in layers] == [2, 2]
    assert [b.steps[0].kind for b in shown if b.steps[0].of is not None] == ["gradient"]


def test_a_block_that_feeds_itself_stays_twice() -> None:
    text = """net twice {
  input x: [4]
  f = layer()
  y = f(f(x))
  output y
}
block layer {
  input x: [n]
  output x -> dense(4) -> tanh
}
"""
    shown = applied_once(boxes(equations(net(text))))
    assert all(not b.repeats for b in shown)


def test_a_draw_is_a_node_of_its_own_kind() -> None:
    text = draw(net(VAE), fit=False)
    assert 'shape="ellipse", style="rounded,filled,dashed"' in text
    assert "ε ∼ 𝒩(0, 1)" in words(text)
    assert "z = μ + σ ⊙ ε" in words(text)
    assert "σ = exp(½ log_variance)" in words(text)
    assert "random draw" in text


def test_discrete_draws_are_told_by_their_distribution() -> None:
    text = """net noisy {
  input x: [4]
  b = bernoulli(0.25, like = x)
  k = categorical(softmax(x))
  output y = x * b, label = k
}
"""
    graph = net(text)
    assert sorted(filter(None, map(drawn, graph.nodes))) == [
        "bernoulli", "categorical", "uniform", "uniform",
    ]  # fmt: skip
    shown = words(draw(graph, fit=False))
    assert "b ∼ Bernoulli(¼)" in shown
    assert "k ∼ Categorical" in shown
    assert "uniform" not in shown


def test_draws_inside_dropout_are_not_told() -> None:
    text = draw(net(ALL["normed"], training=True), fit=False)
    assert "𝒰" not in text and "random draw" not in text


def test_what_is_frozen_is_grey_and_says_so() -> None:
    graph, _ = trained(TRANSFER)
    text = draw(graph, fit=False)
    frozen = [s for s in text.splitlines() if "#E4E4E4" in s]
    assert len(frozen) == 1 and "dense 5" in frozen[0] and ">frozen<" in frozen[0]
    assert "frozen: not learned" in text
    assert "frozen" not in draw(net(TRANSFER), fit=False)


# ---------------------------------------------------------------- training


def test_each_line_has_a_colour_a_dash_and_its_words() -> None:
    graph, lines = trained(GAN)
    text = draw(graph, "training", lines=lines, fit=False)
    assert "minimize d_loss over D with adam(lr = 2e-4) × 5" in words(text)
    assert "minimize g_loss over G with sgd(lr = 0.1)" in words(text)
    back = [s for s in text.splitlines() if 'dir="back"' in s]
    looks = {re.search(r'color="(#\w+)".*style="(\w+)", arrowtail="(\w+)"', s).groups()  # type: ignore[union-attr]
             for s in back}  # fmt: skip
    assert {(c, style) for c, style, _ in looks} == {("#D55E00", "solid"), ("#0072B2", "dashed")}
    assert "tee" in {tail for *_, tail in looks}, "the first line ends at the bar"


def test_a_path_changes_its_own_parameters_and_passes_the_others() -> None:
    graph, lines = trained(GAN)
    found = equations(graph, graph.of_kind("loss"))
    first, second = paths(found, lines)
    assert {str(p.attrs["name"]).partition(".")[0] for p in first.changed} == {"D"}
    assert {str(p.attrs["name"]).partition(".")[0] for p in second.changed} == {"G"}
    passed = {w.origin.instance for _, w in second.edges}
    assert any(i.startswith("D") for i in passed) and any(i.startswith("G") for i in passed)
    assert not any(w.origin.instance.startswith("G") for _, w in first.edges)
    assert len(first.stops) == 1 and not second.stops


@pytest.mark.parametrize("loss", ["d_loss", "g_loss"])
def test_a_path_leads_where_the_gradient_is_not_zero(loss: str) -> None:
    graph, _ = trained(GAN)
    whole = with_gradients(graph, loss)
    numbers = at_random(whole)
    moved = {
        str(o.target.attrs["name"])
        for o in whole.of_kind("gradient")
        if o.target is not None and np.any(numbers[o.name])
    }
    found = equations(graph, graph.of_kind("loss"))
    (path,) = paths(found, [Line(1, loss, ("*",), (), 1)])
    assert {str(p.attrs["name"]) for p in path.changed} == moved


def test_nothing_goes_back_into_frozen_layers() -> None:
    graph, lines = trained(TRANSFER)
    (path,) = paths(equations(graph, graph.of_kind("loss")), lines)
    assert {str(p.attrs["name"]) for p in path.changed} == {
        "body.dense_2.W", "body.dense_2.b", "head.W", "head.b",
    }  # fmt: skip
    text = words(draw(graph, "training", lines=lines, fit=False))
    assert "① sgd(lr = 0.1)" in text and "① sgd(lr = 0.01)" in text


def test_a_net_without_train_shows_the_path_of_its_loss() -> None:
    assert "minimize reconstruction" in words(draw(net(VAE), "training", fit=False))


# ---------------------------------------------------------------- derivations


def test_the_gradients_of_a_vae_are_those_of_kingma_and_welling() -> None:
    graph = net(VAE.replace("loss reconstruction", "loss elbo").replace(
        "sum(abs(r - x))\n  loss divergence =", "sum((r - x)^2) +"), dtype="f64")  # fmt: skip
    d = derive(graph, check=at_random)
    given = {unicode(f.left): (f.sign, unicode(f.right)) for f in d.given}
    assert given["ε"] == ("∼", "𝒩(0, 1)")
    assert given["σ"] == ("=", "exp(½ log_variance)")
    assert given["KL"] == ("=", "½ Σ(μ² + σ² − 1 − log_variance)")
    local = {unicode(f.left): unicode(f.right) for f in d.local}
    assert local["∂KL/∂μ"] == "μ"
    assert local["∂KL/∂log_variance"] == "½(σ² − 1)"
    closed = {unicode(p.left): unicode(p.closed) for p in d.passages}
    assert closed["∂L/∂μ"] in ("∂L/∂z + μ", "μ + ∂L/∂z")
    parts = closed["∂L/∂log_variance"].split(" + ")
    assert sorted(parts) == ["½ ∂L/∂z ⊙ ε ⊙ σ", "½(σ² − 1)"]
    assert d.difference is not None and d.difference < 1e-9
    assert any("Kingma" in remark for remark in d.remarks)


def test_a_sample_has_no_other_name_for_a_spread_that_is_named() -> None:
    text = """net named {
  input x: [4]
  mu = x -> dense(2)
  s = x -> dense(2) -> softplus
  z = mu + s * normal([2])
  loss sum(z^2)
}
"""
    found = equations(net(text))
    (sample,) = samples(found.steps, names(found).terms)
    assert (unicode(sample.sigma), sample.defined) == ("s", None)


@pytest.mark.parametrize("theirs", ["D", "G"])
def test_each_line_is_derived_by_its_own_parameters(tmp_path: Path, theirs: str) -> None:
    model = _model(tmp_path, GAN)
    loss = {"D": "d_loss", "G": "g_loss"}[theirs]
    text = derive_model(model, loss=loss)
    assert f"over {theirs}" in text
    shapes = {"D": "[4, 6]", "G": "[5, 3]"}
    assert shapes[theirs] in text
    assert shapes["G" if theirs == "D" else "D"] not in text


def test_both_lines_are_derived_one_after_the_other(tmp_path: Path) -> None:
    text = derive_model(_model(tmp_path, GAN))
    assert text.index("1. minimize d_loss") < text.index("2. minimize g_loss")
    assert derive_model(_model(tmp_path, GAN), "latex").count(r"\end{document}") == 1
    found = [float(x) for x in re.findall(r"relative difference is (\S+?)\.\s", text)]
    # Closed forms of both lines, and slopes of the second: the first stops a gradient on purpose.
    assert len(found) == 3 and max(found) < 1e-6
    assert text.count("Finite differences do not apply") == 1


def test_the_best_discriminator_is_told(tmp_path: Path) -> None:
    text = " ".join(derive_model(_model(tmp_path, GAN)).split())
    assert "D(x) = 0.9 p_data / (p_data + p_G)" in text
    assert "vanishes there" in text


def test_a_gradient_of_a_gradient_is_derived_right() -> None:
    d = derive(net(PENALTY, dtype="f64"), check=at_random)
    assert d.difference is not None and d.difference < 1e-9
    assert not any(unicode(p.closed) == "0" for p in d.passages), "no path where nothing goes back"


def test_the_backward_view_of_a_loss_shows_its_own_parameters(tmp_path: Path) -> None:
    model = _model(tmp_path, GAN)
    text = words(draw_model(model, "backward", loss="g_loss").dot)
    assert "noise ∼ 𝒩(0, 1)" in text
    every = words(draw(forward(model.module, training=True), "backward", loss="g_loss"))
    assert 0 < text.count("∂L/∂W") < every.count("∂L/∂W")


def _model(folder: Path, text: str) -> chainrule.Model:
    path = folder / "example.net"
    path.write_text(text, encoding="utf-8")
    return chainrule.load(path)
