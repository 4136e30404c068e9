"""The views of the compiler as `draw` gives them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import chainrule
from chainrule.commands.draw_ import command
from chainrule.compiled import VIEWS
from chainrule.dsl.diagnostics import Failure
from chainrule.viz.fit import type_size
from chainrule.viz.render import LIMIT, node_count
from chainrule.viz.style import SMALLEST

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PLAIN = """net plain {
  input x: [3]
  y = x -> dense(2) -> tanh
  output y
}
"""


@pytest.mark.parametrize("view", VIEWS)
def test_a_net_without_train_is_drawn_in_use(view: str, tmp_path: Path) -> None:
    (tmp_path / "plain.net").write_text(PLAIN)
    text = chainrule.load(tmp_path / "plain.net").draw(view).dot
    assert text.startswith("digraph") and "backward" not in text


@pytest.mark.parametrize("view", VIEWS)
def test_the_same_file_gives_the_same_text(view: str) -> None:
    one, two = (chainrule.load(EXAMPLES / "lenet.net").draw(view).dot for _ in range(2))
    assert one == two


@pytest.mark.parametrize("kind", ["svg", "png", "pdf", "dot"])
def test_memory_is_written_in_every_format(kind: str, tmp_path: Path) -> None:
    picture = chainrule.load(EXAMPLES / "digits.net").draw("memory", theme="dark")
    assert picture.warning == ""
    assert (tmp_path / f"memory.{kind}") in picture.save(tmp_path / f"memory.{kind}")


def test_the_command_draws_one_change_under_its_name(tmp_path: Path) -> None:
    arguments = [str(EXAMPLES / "digits.net"), "--view", "passes", "--rule", "like terms",
                 "--out", str(tmp_path), "--format", "dot"]  # fmt: skip
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert "rule “like terms”" in (tmp_path / "passes-like-terms.dot").read_text(encoding="utf-8")


def test_the_nodes_of_a_large_net_are_refused_with_a_suggestion() -> None:
    with pytest.raises(Failure, match="E560") as caught:
        chainrule.load(EXAMPLES / "gan.net").draw("kernels", depth=2)
    assert "--depth 1" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
def test_resnet_152_fits_a_slide(view: str) -> None:
    text = chainrule.load(EXAMPLES / "resnet.net", set={"depth": 152}).draw(view).dot
    assert node_count(text) <= LIMIT
    assert (type_size(text) or 0) >= SMALLEST
