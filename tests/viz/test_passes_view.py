"""The view of passes: the table and single changes are those of the compiler's own trace."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path

import pytest

from chainrule.compiler.graph import topological
from chainrule.compiler.passes import optimise, stabilise
from chainrule.compiler.rewrite import Trace
from chainrule.dsl.diagnostics import Failure
from chainrule.viz.changes import history
from chainrule.viz.fit import type_size
from chainrule.viz.nodes import is_number
from chainrule.viz.passes_view import chosen, passes
from chainrule.viz.render import node_count
from chainrule.viz.style import SMALLEST

from .compiled_nets import SMALL, learning, lowered

GOLDEN = Path(__file__).parent.parent / "golden" / "viz"


def drawn(net: str, **more: object) -> str:
    return passes(*learning(net), fit=False, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("net", SMALL)
def test_every_example_has_a_table_of_its_passes(net: str) -> None:
    text = drawn(net)
    assert node_count(text) == 1
    stages = history(*learning(net))
    assert f"{len(stages[-1].after.nodes):,} before kernels" in text


@pytest.mark.parametrize("net", ["digits", "gan", "sequences_mnist"])
def test_the_steps_are_those_of_the_compiler(net: str) -> None:
    forward, step = learning(net)
    trace = Trace()
    stabilise(forward, trace)
    optimise(step, trace=trace)
    stages = history(forward, step)
    told = [s.rule.name for stage in stages for s in stage.steps]
    assert told == [s.rule.name for s in trace.steps]
    assert len(stages[-1].after.nodes) == len(lowered(net).nodes)


def test_each_pass_begins_where_the_one_before_it_ended() -> None:
    stages = history(*learning("lenet"))
    later = stages[[s.name for s in stages].index("differentiate") :]
    for one, two in pairwise(later):
        assert two.before is one.after


def test_what_goes_and_comes_is_what_one_side_alone_needs() -> None:
    for stage in history(*learning("digits")):
        for c in stage.changes:
            if stage.steps:
                assert not set(c.gone) & set(topological(c.after))
                assert not set(c.new) & set(topological(c.before))
                kept = set(topological(c.before)) - set(c.gone)
                assert all(v in topological(c.after) or v.op.family == "leaf" for v in kept)


@pytest.mark.parametrize("net", ["digits", "lenet", "gan", "sequences_mnist"])
def test_every_kind_of_change_has_a_picture_with_its_nodes(net: str) -> None:
    stages = history(*learning(net))
    for stage in stages:
        seen = set()
        for c in stage.changes:
            if c.rule in seen:
                continue
            seen.add(c.rule)
            rule = c.rule if stage.steps else None
            text = drawn(net, name=stage.name, rule=rule)
            count = sum(not is_number(v) for v in c.gone)
            assert f"before: {count} node" in text
            assert node_count(text) >= 1


def test_a_rule_is_named_with_its_reason_and_the_line() -> None:
    text = drawn("digits", rule="like terms")
    assert "rule “like terms”, 1 of 1" in text
    assert "x + (−y) = x − y" in text and "for digits.net:9" in text
    assert "b − a" in text and "·/·" not in text


def test_a_pass_without_rules_shows_a_place_that_it_changed() -> None:
    text = drawn("digits", name="contract")
    assert "Σj h.W × image" in text
    assert re.search(r"“contract”, 1 of \d+", text)


def test_a_misspelt_rule_suggests_the_nearest() -> None:
    with pytest.raises(Failure, match="like terms"):
        drawn("digits", rule="like term")


def test_a_pass_that_did_nothing_says_which_did() -> None:
    with pytest.raises(Failure, match=r"changed nothing.*(\n.*)*contract"):
        drawn("digits", name="partial")


def test_there_is_no_change_behind_the_last() -> None:
    with pytest.raises(Failure, match="E579"):
        drawn("digits", number=10_000)
    found = chosen(history(*learning("digits")), None, None)
    assert f"of {len(found)}" in drawn("digits", number=len(found))


@pytest.mark.parametrize(
    ("net", "name"), [("digits", None), ("gan", None), ("sequences_mnist", "sequences")]
)
def test_the_type_is_large_enough_on_a_slide(net: str, name: str | None) -> None:
    for theme in ("light", "dark"):
        assert (type_size(passes(*learning(net), theme, name=name)) or 0) >= SMALLEST


@pytest.mark.parametrize("rule", [None, "like terms"])
def test_dot_is_what_it_was(rule: str | None) -> None:
    text = drawn("digits", rule=rule)
    path = GOLDEN / f"digits-passes{'-rule' if rule else ''}.dot"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
