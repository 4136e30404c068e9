"""Diagrams of nets with mistakes: what is known, and what is wrong where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from chainrule import load
from chainrule.cli import cli
from chainrule.compiler.elaborate import forward, parse_module, partial_forward
from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.source import Source
from chainrule.viz.views import draw

BAD = """net bad {
  input x: [64]
  input y: class[10]
  h = x -> dense(32) -> relu
  k = x -> dense(16) -> tanh
  z = h @ k
  scores = z -> dense(10)
  output scores
  side = k -> dense(3, unitz = 4)
  w = hh + 1
  output tail = k
  loss cross_entropy(scores, y)
}
"""


def drawn(text: str, view: str = "layers") -> str:
    known = partial_forward(parse_module(Source("bad.net", text)))
    return draw(known.graph, view, fit=False, unfinished=known.unfinished)


@pytest.mark.parametrize("view", ["layers", "operations"])
def test_each_mistake_stands_on_the_node_of_its_line(view: str) -> None:
    dot = drawn(BAD, view)
    nodes = {n for n in dot.splitlines() if "penwidth=2.5" in n}
    assert len(nodes) == 3
    for line, code in (("z = h @ k", "E301"), ("dense(3, unitz = 4)", "E233"), ("hh + 1", "E212")):
        assert any(line in n and code in n and "#D55E00" in n for n in nodes)
    assert "needs matching inner sizes" in dot.replace("</FONT></TD></TR><TR><TD>", " ").replace(
        '<FONT POINT-SIZE="13.5">', ""
    )


def test_what_is_before_and_beside_a_mistake_is_drawn() -> None:
    dot = drawn(BAD)
    assert "dense 32" in dot and "dense 16" in dot and "output tail" in dot
    assert "dense 10" not in dot


def test_what_depends_on_a_mistake_is_grey_and_says_what_it_waits_for() -> None:
    dot = drawn(BAD)
    waiting = [n for n in dot.splitlines() if "waits for" in n]
    assert len(waiting) == 3  # scores, its output, the loss
    assert all("dashed" in n for n in waiting) and "waits for z" in waiting[0]


def test_a_mistake_inside_a_block_stands_on_the_line_that_applies_it() -> None:
    text = """block twice(n) {
  input x: [m]
  a = x -> dense(n)
  output a @ x
}
net outer {
  input x: [6]
  near = x -> dense(4)
  far = near -> twice(3)
  output far
}
"""
    known = partial_forward(parse_module(Source("bad.net", text)))
    failing = [u for u in known.unfinished if u.mistakes]
    assert [u.text for u in failing] == ["far = near -> twice(3)"]
    assert "dense 4" in drawn(text) and "E301" in drawn(text)


def test_a_net_of_which_nothing_is_known_still_draws_its_mistake() -> None:
    for view in ("layers", "operations"):
        dot = drawn("net n {\n  input x: [3]\n  output relu(nope)\n}\n", view)
        assert "E212" in dot


def test_text_of_the_user_is_escaped_on_the_node_of_a_mistake() -> None:
    dot = drawn('net n {\n  input x: [3]\n  y = x -> dense(3, init = "<B>&")\n  output y\n}\n')
    assert "&lt;B&gt;&amp;" in dot and '"<B>' not in dot


def test_a_partial_graph_of_a_sound_net_is_the_whole_one() -> None:
    text = "net n {\n  input x: [3]\n  output y = x -> dense(2)\n  loss sum(y)\n}\n"
    known = partial_forward(parse_module(Source("bad.net", text)))
    whole = forward(parse_module(Source("bad.net", text)))
    assert not known.unfinished and not known.mistakes
    assert [(o.kind, o.name) for o in known.graph.outputs] == [
        (o.kind, o.name) for o in whole.outputs
    ]


def test_draw_writes_the_picture_and_reports_the_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "bad.net"
    file.write_text(BAD)
    ran = CliRunner().invoke(cli, ["draw", str(file), "--format", "dot", "--out", str(tmp_path)])
    assert ran.exit_code == 2
    assert "E301" in (tmp_path / "layers.dot").read_text()
    assert "error[E301]" in ran.stderr and "3 mistakes" in ran.stderr


def test_the_backward_view_of_a_net_with_a_mistake_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.net"
    file.write_text(BAD)
    ran = CliRunner().invoke(cli, ["draw", str(file), "--view", "backward", "--out", str(tmp_path)])
    assert ran.exit_code == 2 and not list(tmp_path.glob("*.dot"))


def test_in_python_a_model_with_a_mistake_draws_and_tells_it(tmp_path: Path) -> None:
    file = tmp_path / "bad.net"
    file.write_text(BAD)
    picture = load(file).draw()
    assert [d.code for d in picture.mistakes] == ["E301", "E233", "E212"]
    assert picture._repr_svg_().startswith("<?xml") and "E301" in picture._repr_svg_()


def test_training_a_net_with_a_mistake_is_refused_as_before() -> None:
    with pytest.raises(Failure) as failure:
        forward(parse_module(Source("bad.net", BAD)))
    assert [d.code for d in failure.value.diagnostics] == ["E301", "E233", "E212"]
