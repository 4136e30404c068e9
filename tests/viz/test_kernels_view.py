"""The view of kernels: every node in a kernel, every line named, everything on a slide."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from chainrule.compiler.plan import Recurrence
from chainrule.dsl.diagnostics import Failure
from chainrule.viz.fit import type_size
from chainrule.viz.kernels_view import ROWS, folded, kernels
from chainrule.viz.launches import launches
from chainrule.viz.render import node_count
from chainrule.viz.style import SMALLEST

from .compiled_nets import SMALL, learning, lowered, planned

GOLDEN = Path(__file__).parent.parent / "golden" / "viz"


def drawn(name: str, **more: int) -> str:
    return kernels(planned(name), learning(name)[1], fit=False, **more)


@pytest.mark.parametrize("name", ["digits", "gan", "vae", "mnist_deep", "autoencoder"])
def test_every_node_is_in_a_kernel_and_written_by_one(name: str) -> None:
    steps = launches(planned(name), learning(name)[1])
    inside = {v for s in steps for v in s.kernel.values}
    work = {v for v in lowered(name).nodes if v.op.family in ("contraction", "reduction")}
    assert work <= inside
    writers: dict[object, list[int]] = {}
    for s in steps:
        for h in s.writes:
            if not s.kernel.label.startswith("new "):
                writers.setdefault(h.value, []).append(s.number)
    assert {v: w for v, w in writers.items() if len(w) > 1} == {}


@pytest.mark.parametrize("name", SMALL)
def test_every_example_has_a_picture(name: str) -> None:
    text = drawn(name)
    assert 1 <= node_count(text) <= 400
    assert "computes" in text or "subgraph cluster_0" in text


@pytest.mark.parametrize("name", SMALL)
def test_each_kernel_stands_in_exactly_one_row(name: str) -> None:
    steps = launches(planned(name), learning(name)[1])
    rows = folded(steps)
    assert len(rows) <= ROWS
    assert sorted(s.number for r in rows for s in r.steps) == [s.number for s in steps]


def test_epochs_begin_where_the_plan_has_barriers() -> None:
    plan = planned("lenet")
    steps = launches(plan, learning("lenet")[1])
    assert steps[-1].epoch == sum(plan.barriers)
    assert drawn("lenet").count("<HR/>") == sum(plan.barriers)


def test_a_kernel_tells_the_line_of_the_net_that_it_is_for() -> None:
    steps = launches(planned("digits"), learning("digits")[1])
    product = next(s for s in steps if s.kernel.label.startswith("relu: h"))
    assert product.line is not None and "dense(128) -&gt; relu" in drawn("digits")
    assert product.part == "forward"
    assert any(s.part == "update" and s.line is None for s in steps)  # powers of Adam's decay


def test_equal_code_is_told() -> None:
    text = kernels(planned("wgan"), learning("wgan")[1], fit=False)
    assert re.search(r"code of \d+|codes\)", text)


def test_a_recurrence_tells_over_how_many_steps_it_runs() -> None:
    steps = launches(planned("sequences_mnist"), learning("sequences_mnist")[1])
    assert {s.form for s in steps if isinstance(s.kernel, Recurrence)} == {
        "recurrence over 28 steps"
    }


def test_a_kernel_opened_shows_its_nodes_and_its_buffers() -> None:
    steps = launches(planned("digits"), learning("digits")[1])
    number = next(s.number for s in steps if s.kernel.label.startswith("update h.W"))
    text = drawn("digits", number=number)
    assert "writes 32.8 kB" in text
    assert "h.W.adam.v" in text and "Σb" in text


def test_a_recurrence_opened_shows_the_kernels_of_one_step() -> None:
    steps = launches(planned("sequences_mnist"), learning("sequences_mnist")[1])
    kernel = next(s for s in steps if isinstance(s.kernel, Recurrence))
    text = drawn("sequences_mnist", number=kernel.number)
    assert "again for each of 28 steps, one after another" in text
    assert "f = sigmoid" in text and "~" not in text
    assert 'style="dashed", constraint=false' in text  # the state that the step before has left


def test_there_is_no_kernel_behind_the_last() -> None:
    with pytest.raises(Failure, match="E577"):
        drawn("digits", number=99)


@pytest.mark.parametrize("name", ["linear_regression", "digits", "lenet", "gan"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_type_is_large_enough_on_a_slide(name: str, theme: str) -> None:
    text = kernels(planned(name), learning(name)[1], theme)
    assert (type_size(text) or 0) >= SMALLEST


@pytest.mark.parametrize("name", ["linear_regression", "digits"])
def test_dot_is_what_it_was(name: str) -> None:
    path = GOLDEN / f"{name}-kernels.dot"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(drawn(name), encoding="utf-8")
    assert drawn(name) == path.read_text(encoding="utf-8")
