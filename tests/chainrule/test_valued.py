"""Views with numbers through the command line: each example draws, or is refused with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import chainrule
from chainrule.cli import cli
from chainrule.dsl.diagnostics import Failure

EXAMPLES = Path(__file__).parents[2] / "examples"


def drawn(tmp_path: Path, name: str, *options: str) -> tuple[int, str]:
    given = ["draw", str(EXAMPLES / name), "--out", str(tmp_path), "--format", "dot", *options]
    result = CliRunner().invoke(cli, given)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


@pytest.mark.parametrize("view", ["circuit", "neurons", "flow"])
def test_a_view_with_numbers_is_written_and_says_where_they_are_from(
    tmp_path: Path, view: str
) -> None:
    assert drawn(tmp_path, "xor.net", "--view", view)[0] == 0
    assert "of table, initial weights" in (tmp_path / f"{view}.dot").read_text(encoding="utf-8")


def test_trained_weights_are_drawn_where_there_are_any(tmp_path: Path) -> None:
    model = chainrule.load(EXAMPLES / "xor.net")
    model.fit(epochs=2, out=tmp_path)
    assert drawn(tmp_path, "xor.net", "--view", "circuit", "--example", "3")[0] == 0
    text = (tmp_path / "circuit.dot").read_text(encoding="utf-8")
    assert "example 3 of table, trained weights" in text


def test_small_integers_need_no_data(tmp_path: Path) -> None:
    code, _ = drawn(tmp_path, "logistic_regression.net", "--view", "circuit", "--integers")
    assert code == 0
    assert "small integers" in (tmp_path / "circuit.dot").read_text(encoding="utf-8")


def test_an_example_that_is_missing_and_data_that_are_missing_have_a_way_out(
    tmp_path: Path,
) -> None:
    code, said = drawn(tmp_path, "xor.net", "--view", "circuit", "--example", "9")
    assert code != 0
    assert "E580" in said
    assert "0 to 3" in said
    elsewhere = tmp_path / "lone.net"
    elsewhere.write_text(
        "net lone {\n  input x: [3]\n  input y: []\n  p = (x -> dense(1))[0]\n  output p\n"
        "  loss squared_error(p, y)\n}\n"
    )
    with pytest.raises(Failure, match=r"E580[\s\S]*--integers"):
        chainrule.load(elsewhere).draw("circuit")
    assert "lone" in chainrule.load(elsewhere).draw("circuit", integers=True).dot
    assert "random inputs" in chainrule.load(elsewhere).draw("flow").dot
    assert "━" in chainrule.load(elsewhere).draw("neurons").dot


def test_the_same_file_gives_the_same_bytes() -> None:
    for view in ("circuit", "neurons", "flow"):
        first, again = (chainrule.load(EXAMPLES / "iris.net").draw(view).dot for _ in range(2))
        assert first == again


def test_columns_of_the_data_and_classes_are_named() -> None:
    dot = chainrule.load(EXAMPLES / "iris.net").draw("neurons").dot
    assert "setosa" in dot
    assert "petal" in dot


@pytest.mark.slow
@pytest.mark.parametrize("view", ["circuit", "neurons", "shapes", "flow"])
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.net")), ids=lambda p: p.stem)
def test_every_example_draws_or_is_refused_with_a_way_out(path: Path, view: str) -> None:
    module = (
        chainrule.load(path, net=_first_net(path)) if _first_net(path) else chainrule.load(path)
    )
    try:
        options = {} if view in ("shapes", "flow") else {"integers": True}
        assert module.draw(view, **options).dot.startswith("digraph")
    except Failure as failure:
        code = failure.diagnostics[0].code  # E4xx: sizes that are those of data that are not here
        assert code in ("E564", "E581", "E582", "E583") or code.startswith("E4")
        assert failure.diagnostics[0].help


def _first_net(path: Path) -> str | None:
    """The first net of a file with several."""
    names = [line.split()[1].partition("(")[0] for line in path.read_text().splitlines()
             if line.startswith("net ")]  # fmt: skip
    return names[0] if len(names) > 1 else None
