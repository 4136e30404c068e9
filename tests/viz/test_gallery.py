"""docs/gallery.md tells the truth: its table is what drawing the examples gives."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from chainrule.pictures import VIEWS
from chainrule.viz.render import engine

ROOT = Path(__file__).resolve().parents[2]


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "scripts/make_gallery.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gallery"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


G = maker()


def same_engine() -> None:
    recorded = re.search(r"<!-- laid out by (.*) -->", G.PAGE.read_text(encoding="utf-8"))
    assert recorded is not None
    if recorded[1] != engine():
        pytest.skip(f"laid out by {recorded[1]}, here is {engine()}")


def test_every_view_of_draw_is_a_column() -> None:
    assert {view.options["view"] for view in G.VIEWS} == set(VIEWS)


def test_every_example_is_a_row_and_the_page_is_what_the_script_writes() -> None:
    rows = G.known_rows()
    missing = re.findall(r"\w+(?=[,.])", G.missing(rows))
    assert sorted([*rows, *missing]) == G.examples()
    same_engine()
    assert G.PAGE.read_text(encoding="utf-8") == G.page(rows)


def test_every_view_is_shown_by_a_picture() -> None:
    for view in G.VIEWS:
        assert any((ROOT / f"docs/images/{name}.svg").exists() for name in view.images), view.name


@pytest.mark.parametrize("example", ["perceptron", "linear_regression"])
def test_the_row_of_a_small_example_is_what_drawing_it_gives(example: str, tmp_path: Path) -> None:
    same_engine()
    cells = G.row(example, tmp_path)
    assert G.table_row(example, cells) == G.known_rows()[example]
    for c in cells:
        assert (tmp_path / c.file).is_file() if not c.code else c.reason
        assert c.code or f"{example}-" in G.index(tmp_path)


def test_a_recurrent_example_has_pictures_where_a_dense_one_is_refused(tmp_path: Path) -> None:
    folded = [view for view in G.VIEWS if view.name == "folded"]
    (dense,) = G.row("xor", tmp_path, folded)
    (recurrent,) = G.row("sequences_mnist", tmp_path, folded)
    assert dense.code == "E567" and "no recurrence" in dense.reason
    assert recurrent.points >= G.SMALLEST and "<svg" in (tmp_path / recurrent.file).read_text()


def test_a_net_that_computes_a_gradient_itself_is_refused_as_a_circuit() -> None:
    (cell,) = G.row("wgan", None, [view for view in G.VIEWS if view.name == "circuit"])
    assert cell.code == "E581" and "computes a gradient itself" in cell.reason


def test_small_type_is_bold_in_the_table() -> None:
    assert str(G.Cell("layers", 9.0)) == "9.0"
    assert str(G.Cell("layers", 8.94)) == "**8.9**"
    assert str(G.Cell("layers", code="E567")) == "[E567](errors/E567.md)"


@pytest.mark.slow
@pytest.mark.parametrize("example", list(G.known_rows()))
def test_the_row_of_an_example_is_what_drawing_it_gives(example: str) -> None:
    same_engine()
    assert G.table_row(example, G.row(example, None)) == G.known_rows()[example]
