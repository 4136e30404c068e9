"""A picture too large for a slide is cut into pages, each of which can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import chainrule
from chainrule.viz.fit import paged, type_size
from chainrule.viz.style import SMALLEST

ROOT = Path(__file__).resolve().parents[2]
NODE = re.compile(r"(?m)^  (n\d+) \[label=", re.MULTILINE)


@pytest.mark.parametrize(("example", "view"), [("lenet", "operations"), ("vae", "backward")])
def test_the_pages_of_a_large_picture_can_be_read_and_have_all_of_it(
    example: str, view: str, tmp_path: Path
) -> None:
    picture = chainrule.load(ROOT / f"examples/{example}.net").draw(view)
    assert picture.warning and len(picture.pages) > 1
    assert all((type_size(page) or 0) >= SMALLEST for page in picture.pages)
    found = [node for page in picture.pages for node in NODE.findall(page)]
    assert len(found) == len(set(found)) >= 20  # each node once
    for k, page in enumerate(picture.pages):
        assert f", {k + 1} of {len(picture.pages)}" in page
    files = {p.name for p in picture.save(tmp_path / "net.svg")}
    assert {"net.svg", "net-1.svg", f"net-{len(picture.pages)}.svg"} <= files


def test_a_mark_that_leaves_a_page_comes_in_on_another() -> None:
    pages = chainrule.load(ROOT / "examples/lenet.net").draw("operations").pages
    marks: dict[str, int] = {}
    for page in pages:
        for number in re.findall(r"(?m)^  mark_(\d+)_\d+ \[", page):
            marks[number] = marks.get(number, 0) + 1
    assert marks and all(count >= 2 for count in marks.values())


def test_a_picture_that_fits_has_no_pages() -> None:
    picture = chainrule.load(ROOT / "examples/xor.net").draw("operations")
    assert not picture.warning and picture.pages == []


def test_what_no_number_of_rows_makes_readable_has_no_pages() -> None:
    asked = []

    def wide(count: int, groups: object) -> list[str]:
        asked.append(count)
        return ['digraph { a [label="a", width=40]; }']

    assert paged(100, wide) == []
    assert asked[0] == 8 and max(asked) <= 48
