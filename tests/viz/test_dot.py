"""The writer of DOT text, and that nobody's text can escape from its label."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from chainrule.viz.dot import Dot, escape, lines, quoted
from chainrule.viz.render import layout
from chainrule.viz.style import theme

HOSTILE = [
    '"]; evil [label="x',
    "<B>bold</B><SCRIPT>alert(1)</SCRIPT>",
    "a\\N\\G\\nb\\",
    "&lt;b&gt; & co",
    "]]><!--",
    "line\nbreak\x00\x07",
    "-> { } ; //",
]


def test_a_small_picture_is_written_as_expected() -> None:
    dot = Dot("tiny", theme("light"))
    a = dot.node(lines("a", "[2]"), "data")
    b = dot.node("b", "loss")
    dot.edge(a, b, "[2]")
    dot.rank(a, b)
    dot.cluster("box", [b])
    text = dot.text()
    assert text.startswith("digraph chainrule {\n")
    assert '  n0 -> n1 [label="[2]"];' in text
    assert "{ rank=same; n0; n1; }" in text
    assert "subgraph cluster_0 {" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_inside_their_label(name: str) -> None:
    dot = Dot(name, theme("light"))
    a = dot.node(lines(name, name), "data", tooltip=name)
    b = dot.node(name, "param")
    dot.edge(a, b, name)
    dot.cluster(name, [a])
    dot.legend([("data", name)])
    picture = layout(dot.text(), "svg").decode()
    root = ElementTree.fromstring(picture)
    kinds = {e.tag.split("}")[-1] for e in root.iter()}
    assert "script" not in {k.lower() for k in kinds}
    nodes = [e for e in root.iter() if e.get("class") == "node"]
    edges = [e for e in root.iter() if e.get("class") == "edge"]
    assert (len(nodes), len(edges)) == (2, 1)


def test_a_backslash_is_shown_as_a_backslash() -> None:
    dot = Dot("", theme("light"))
    dot.node("a\\Nb", "data")
    assert "a\\Nb" in re.sub("<[^>]*>", "", layout(dot.text(), "svg").decode())


def test_control_characters_vanish() -> None:
    assert escape("a\x00<\x1b") == "a&lt;"
    assert quoted('a"\x07') == '"a\\""'


def test_no_view_puts_a_raw_name_into_dot(tmp_path: Path) -> None:
    # Identifiers are ours: n0, n1, cluster_0.
    dot = Dot("t", theme("dark"))
    assert dot.node("x", "data") == "n0"
    assert dot.node("y", "data") == "n1"
