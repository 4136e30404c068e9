"""Buffers over time: what the picture shows is what the plan says, and fits a slide."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import pytest

from chainrule.viz.fit import type_size
from chainrule.viz.launches import launches
from chainrule.viz.memory_view import Life, lives, memory, peak
from chainrule.viz.render import node_count, svg
from chainrule.viz.style import SMALLEST

from .compiled_nets import SMALL, learning, planned

GOLDEN = Path(__file__).parent.parent / "golden" / "viz"


def found(name: str) -> list[Life]:
    plan = planned(name)
    return lives(plan, launches(plan, learning(name)[1]))


def overlap(a: Life, b: Life) -> bool:
    in_time = a.start < b.stop and b.start < a.stop
    return in_time and a.offset < b.offset + b.nbytes and b.offset < a.offset + a.nbytes


@pytest.mark.parametrize("name", ["digits", "lenet", "gan", "sequences_mnist", "translate"])
def test_no_two_values_share_bytes_at_the_same_time(name: str) -> None:
    shown = [f for f in found(name) if f.nbytes]
    assert not [(a.name, b.name) for a, b in combinations(shown, 2) if overlap(a, b)]


@pytest.mark.parametrize("name", SMALL)
def test_every_example_is_drawn_within_its_arena(name: str) -> None:
    plan = planned(name)
    shown = found(name)
    assert all(0 <= f.start < f.stop <= len(plan.kernels) for f in shown)
    assert all(f.offset + f.nbytes <= plan.arena for f in shown)
    at, most = peak(shown, len(plan.kernels))
    assert 1 <= at <= len(plan.kernels) and 0 < most <= plan.arena
    assert 10 < node_count(memory(plan, learning(name)[1])) <= 400


def test_every_temporary_that_a_kernel_touches_is_live_then() -> None:
    plan = planned("lenet")
    steps = launches(plan, learning("lenet")[1])
    shown = lives(plan, steps)
    for s in steps:
        for h in s.touched:
            if h.buffer.kind == "temp":
                here = [f for f in shown if f.offset == h.buffer.offset
                        and f.start < s.number and f.stop > s.number - 1]  # fmt: skip
                assert here, (s.kernel.label, h.index)


def test_the_peak_is_that_of_a_plain_count() -> None:
    shown = found("gan")
    count = len(planned("gan").kernels)
    live = [sum(f.nbytes for f in shown if f.start < k - 0.6 and f.stop > k - 0.6)
            for k in range(1, count + 1)]  # fmt: skip
    assert peak(shown, count) == (1 + live.index(max(live)), max(live))


def test_what_the_backward_pass_reads_is_marked_as_kept() -> None:
    kinds = {f.name: f.kind for f in found("lenet")}
    assert kinds["c1"] == kinds["c3"] == "kept"
    assert kinds["δ c1"] == "gradient"


def test_a_value_over_its_operand_begins_in_the_middle_of_a_launch() -> None:
    assert any(f.start % 1 == 0.5 for f in found("vae"))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_type_is_large_enough_on_a_slide(theme: str) -> None:
    dot = memory(planned("lenet"), learning("lenet")[1], theme)
    assert (type_size(dot) or 0) >= SMALLEST
    assert "forward" in svg(dot)


def test_dot_is_what_it_was() -> None:
    text = memory(planned("digits"), learning("digits")[1])
    path = GOLDEN / "digits-memory.dot"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
