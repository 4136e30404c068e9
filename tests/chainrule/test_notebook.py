"""A notebook shows the diagram of a model that is evaluated in it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from chainrule import load, loads

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples" / "digits.net"
BAD = "net bad {\n  input x: [3]\n  h = x -> dense(2)\n  output h @ x\n}\n"


def test_the_representation_of_a_model_is_its_layers_as_svg() -> None:
    text = load(DIGITS)._repr_svg_()
    root = ET.fromstring(text)  # one whole element, as a notebook needs it
    assert root.tag.endswith("svg") and "dense 128" in text


def test_a_picture_shows_the_view_that_was_asked_for() -> None:
    text = load(DIGITS).draw("backward", theme="dark")._repr_svg_()
    assert ET.fromstring(text).tag.endswith("svg") and "∂" in text


def test_a_model_with_a_mistake_is_shown_with_it() -> None:
    assert "E301" in loads(BAD)._repr_svg_()


def test_the_display_of_ipython_takes_the_svg() -> None:
    formatters = pytest.importorskip("IPython.core.formatters")
    data, _ = formatters.DisplayFormatter().format(load(DIGITS))
    assert "dense 128" in data["image/svg+xml"] and data["text/plain"].startswith("<net digits")


@pytest.mark.slow
def test_a_real_notebook_holds_the_diagram_after_its_run(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [nbformat.v4.new_code_cell(f"import chainrule\nchainrule.load({str(DIGITS)!r})")]
    book = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute(cwd=str(tmp_path))
    outputs = book.cells[0].outputs
    assert any("dense 128" in o.get("data", {}).get("image/svg+xml", "") for o in outputs)
