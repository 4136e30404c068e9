"""The pages of the data and checkpoint errors: present, and true where they can be run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.parse import parse_expression
from chainrule.dsl.source import Source
from chainrule.runtime.data import SOURCES, STEPS, build_dataset

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "errors"
OWN = [*(ROOT / "runtime" / "data").glob("*.py"), *(ROOT / "runtime").glob("*.py")]
USED = sorted({code for path in OWN for code in re.findall(r'"(E4\d\d|E54\d)"', path.read_text())})


def declarations(page: str) -> list[str]:
    """The right-hand sides of `data` declarations: refused ones before right ones."""
    return re.findall(r"^data \w+ = ([^#\n]+)", page, re.MULTILINE)


@pytest.mark.parametrize("code", USED)
def test_every_code_in_use_has_its_page(code: str) -> None:
    page = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {code}: ")
    assert "This is refused:" in page and "This is right:" in page


@pytest.mark.parametrize("code", ["E401", "E402", "E403", "E408", "E409", "E412", "E416", "E434"])
def test_the_refused_example_of_a_page_is_refused_with_its_code(code: str, tmp_path: Path) -> None:
    wrong, right = declarations((PAGES / f"{code}.md").read_text(encoding="utf-8"))
    with pytest.raises(Failure) as caught:
        build_dataset(parse_expression(Source("page.net", wrong)), base=tmp_path)
    assert caught.value.diagnostics[0].code == code
    if '("' not in right:  # those with a path need the reader's own file
        build_dataset(parse_expression(Source("page.net", right)), base=tmp_path)


def test_every_source_and_step_is_in_the_page_about_data() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    rows = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
    for name, found in (*SOURCES.items(), *STEPS.items()):
        assert re.search(rf"`{name}\(", rows), name
        assert found.doc.strip(), name
