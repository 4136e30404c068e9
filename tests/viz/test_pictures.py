"""The pictures that README.md and docs/ show are those that the sources give."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import chainrule
from chainrule.viz.render import engine

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
# Curves and plots come from trainings, which the script of diagrams does not repeat.
COMMITTED = sorted(
    p.stem
    for p in IMAGES.glob("*.svg")
    if not p.stem.endswith("-loss") and not p.stem.startswith("plot-")
)


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "scripts/make_pictures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_picture_of_the_script_is_committed() -> None:
    assert sorted(maker().DIAGRAMS) == COMMITTED
    assert (IMAGES / "digits-loss.svg").stat().st_size > 1000


@pytest.mark.parametrize("name", COMMITTED)
def test_a_committed_picture_is_what_the_script_gives(name: str) -> None:
    committed = (IMAGES / f"{name}.svg").read_text(encoding="utf-8")
    recorded = re.search(r"<!-- laid out by (.*) -->", committed)
    assert recorded is not None
    if recorded[1] != engine():
        pytest.skip(f"laid out by {recorded[1]}, here is {engine()}")
    assert maker().diagram(name) == committed


def test_the_backward_picture_of_a_model_is_that_of_training(tmp_path: Path) -> None:
    (tmp_path / "n.net").write_text(
        "net n {\n  input x: [4]\n  input y: [2]\n  z = x -> dense(3) -> batchnorm\n"
        "  out = z -> dense(2)\n  output out\n  loss mse(out, y)\n}\n"
    )
    model = chainrule.load(tmp_path / "n.net")
    assert "μ" in model.draw("backward").dot
    assert "running_mean" not in model.draw("backward").dot


def test_every_picture_in_the_documents_exists() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
