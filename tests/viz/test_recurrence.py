"""Pictures of recurrence: cells, unrolled and folded nets, backpropagation through time."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from chainrule.dsl.diagnostics import Failure
from chainrule.viz import draw
from chainrule.viz.fit import type_size
from chainrule.viz.known_cells import gru, lstm, simple
from chainrule.viz.render import layout
from chainrule.viz.steps import cells, facts, step_names
from chainrule.viz.unicode import unicode

from .nets import DIGITS, net
from .recurrent_nets import ALL, recurrent

GOLDEN = Path(__file__).parent.parent / "golden" / "viz"
FORMS: list[dict[str, Any]] = [
    {"form": "unrolled"}, {"form": "folded"}, {"form": "cell"}, {"backward": True},
]  # fmt: skip


def words(dot: str) -> str:
    return re.sub(r"<[^<>]*>", " ", dot)


def picture(name: str, **options: Any) -> str:
    return draw(recurrent(name, steps=options.pop("T", 7)), "recurrence", **options)


@pytest.mark.parametrize("form", ["unrolled", "folded", "cell"])
def test_the_pictures_of_an_lstm_are_what_they_were(form: str) -> None:
    """Golden texts; UPDATE_GOLDEN=1 writes them anew after a change that was meant."""
    text = picture("lstm", form=form, fit=False)
    path = GOLDEN / f"lstm-{form}.dot"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("options", FORMS, ids=lambda o: str(*o.values()))
@pytest.mark.parametrize("name", list(ALL))
def test_no_text_is_smaller_than_9_points_on_a_slide(name: str, options: dict[str, Any]) -> None:
    size = type_size(picture(name, **options))
    assert size is not None and size >= 8.95


@pytest.mark.parametrize("options", FORMS, ids=lambda o: str(*o.values()))
def test_the_same_net_gives_the_same_bytes(options: dict[str, Any]) -> None:
    first, second = picture("lstm", **options), picture("lstm", **options)
    assert re.sub(r"~\d+", "", first) == re.sub(r"~\d+", "", second)
    assert layout(first, "svg") == layout(second, "svg")


@pytest.mark.parametrize("name", list(ALL))
@pytest.mark.parametrize("view", ["layers", "operations", "backward"])
def test_every_view_draws_nets_with_scans(view: str, name: str) -> None:
    dot = draw(recurrent(name, training=True), view, fit=False)
    assert "scan(" not in words(dot) and "part(" not in words(dot)
    assert layout(dot, "svg")


def test_known_cells_are_found_by_their_equations() -> None:
    found = {name: cells(recurrent(name))[0] for name in ("lstm", "gru", "cho", "rnn", "generic")}
    assert lstm(found["lstm"]) and not gru(found["lstm"]) and not simple(found["lstm"])
    late, early = gru(found["gru"]), gru(found["cho"])
    assert late is not None and late.product is not None and not late.inverse
    assert early is not None and early.product is None and early.inverse
    assert simple(found["rnn"]) and not lstm(found["rnn"])
    assert not any(known(found["generic"]) for known in (lstm, gru, simple))


def test_a_cell_with_other_equations_is_no_lstm() -> None:
    peephole = """net n {
      input xs: [T, 3]
      param W, V, U, Z: [2, 5] ~ glorot
      scan x in xs with h: [2] = 0, c: [2] = 0 {
        hx = concat(h, x)
        c = sigmoid(W @ hx + c) * c + sigmoid(V @ hx) * tanh(U @ hx)
        h = sigmoid(Z @ hx) * tanh(c)
      }
      output h
    }"""
    assert lstm(cells(recurrent(peephole))[0]) is None


def test_a_cell_shows_gates_as_boxes_and_signs_as_circles() -> None:
    dot = picture("lstm", form="cell")
    assert len(re.findall(r'label="σ"', dot)) == 3
    assert len(re.findall(r'label="tanh"', dot)) == 2
    assert len(re.findall(r'label="⊙", shape="circle"', dot)) == 3
    assert len(re.findall(r'label="\+", shape="circle"', dot)) == 1
    assert "cₜ = fₜ ⊙ cₜ₋₁ + iₜ ⊙ tanh(zₜ)" in words(dot)


def test_what_is_carried_runs_along_the_top_and_the_bottom() -> None:
    dot = picture("lstm", form="cell")
    places = {}
    for label in ("cₜ₋₁", "cₜ", "hₜ₋₁"):
        (place,) = re.findall(rf"<B>{label}</B>.*pos=\"([\d.]+),([\d.]+)!\"", dot)
        places[label] = tuple(map(float, place))
    assert places["cₜ₋₁"][1] == places["cₜ"][1] > places["hₜ₋₁"][1]
    assert places["cₜ₋₁"][0] < places["cₜ"][0]


def test_net_inputs_have_a_bar_and_a_reverse_scan_looks_ahead() -> None:
    ahead, back = cells(recurrent("bidirectional"))[:2]
    written = [
        [f"{unicode(left)} = {unicode(right)}" for _, left, right in facts(c, step_names(c))]
        for c in (ahead, back)
    ]
    assert "hₜ = tanh(h̄ₜ)" in written[0]
    assert "uₜ = [hₜ₋₁; xₜ]" in written[0]
    assert "uₜ = [hₜ₊₁; xₜ]" in written[1]


def test_steps_are_shown_up_to_five_else_the_first_two_and_the_last() -> None:
    few, many = words(picture("rnn", T=5)), words(picture("rnn", T=28))
    assert all(f"x{n}" in few for n in "₁₂₃₄₅") and "⋯" not in few
    assert "x₂₈" in many and "⋯" in many and "x₃ " not in many
    four = words(picture("rnn", T=28, steps=4))
    assert "x₃ " in four and "x₄ " not in four and "x₂₈" in four


def test_a_folded_net_has_one_cell_and_a_loop() -> None:
    dot = words(picture("lstm", form="folded"))
    assert dot.count("lstm r") == 1
    assert "t → t+1" in dot and "h, c" in dot


def test_backpropagation_through_time_meets_in_sums() -> None:
    dot = words(picture("rnn", backward=True))
    assert "∂L/∂W₁ = (1/m) Σᵢ Σₜ" in dot or "∂L/∂W = (1/m) Σᵢ Σₜ" in dot
    assert "∂L/∂h₁" in dot and "t = 7" in dot


def test_the_truncation_boundary_is_marked() -> None:
    assert "truncate = 4" in words(picture("masked", backward=True))
    assert "truncate" not in words(picture("masked", backward=True, T=4))
    assert 'style="dotted"' in picture("backwards", backward=True)


def test_a_recurrent_layer_is_one_box_with_a_loop() -> None:
    dot = draw(recurrent("lstm", steps=28), "layers")
    assert dot.count("lstm 6") == 1
    assert re.search(r"(n\d+) -> \1 \[label=\"h, c: t → t\+1\\nT = 28\"", dot)


def test_operations_show_one_step_in_a_box_with_dashed_loops() -> None:
    dot = draw(recurrent("rnn"), "operations", fit=False)
    assert "rnn r: one step, t = 1 … 7" in dot
    assert re.search(r'label="h, t → t\+1", style="dashed"', dot)


def test_the_work_of_a_scan_is_counted_once() -> None:
    both = ALL["lstm"].replace("last = r.last", "last = r.last + mean(r.hs, axis = 0)")

    def work(name: str) -> float:
        found = re.search(r"parameters, ([\d.,]+) (k?)FLOP", words(draw(recurrent(name))))
        assert found is not None
        return float(found[1].replace(",", "")) * (1000 if found[2] else 1)

    assert work("lstm") < work(both) < 1.2 * work("lstm")


def test_mistakes_are_told() -> None:
    with pytest.raises(Failure, match="E567"):
        draw(net(DIGITS), "recurrence")
    with pytest.raises(Failure, match="E567") as caught:
        picture("stacked", form="cell", scan="c")
    assert "a, b" in str(caught.value) or "did you mean" in str(caught.value)
    with pytest.raises(Failure, match="E563"):
        picture("lstm", form="rolled")
