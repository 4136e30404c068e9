"""Curves and what the net made, on one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from chainrule.viz.progress import Shown, chosen, progress

SVG = "{http://www.w3.org/2000/svg}"


def rows(count: int) -> list[dict[str, Any]]:
    return [{"epoch": e, "split": "train", "loss": 0.8**e} for e in range(1, count + 1)]


def pictures(epochs: range, high: int = 32) -> Shown:
    draw = np.random.default_rng(3)
    return Shown("sampled", {e: draw.integers(0, 255, (high, 32, 3), np.uint8) for e in epochs})


def words(path: Path) -> list[str]:
    found = ElementTree.parse(path).iter(f"{SVG}text")
    return ["".join(t.itertext()).strip() for t in found]


def test_at_most_six_epochs_are_chosen_evenly_with_the_first_and_the_last() -> None:
    assert chosen(range(5, 45, 5)) == (5, 10, 20, 25, 35, 40)
    assert chosen([3, 1, 2]) == (1, 2, 3)
    assert chosen([]) == ()
    for count in range(7, 60):
        found = chosen(range(count))
        assert (len(found), found[0], found[-1]) == (6, 0, count - 1)


def test_each_picture_stands_under_its_epoch(tmp_path: Path) -> None:
    svg, png = progress(rows(10), [pictures(range(2, 11, 2))], tmp_path)
    assert (svg.name, png.name) == ("progress.svg", "progress.png")
    titles = [w for w in words(svg) if w.startswith("epoch ")]
    assert titles == [f"epoch {e}" for e in range(2, 11, 2)]
    assert len(list(ElementTree.parse(svg).iter(f"{SVG}image"))) == 5


def test_rows_are_named_where_there_are_several(tmp_path: Path) -> None:
    text = Shown("said", {1: "to be\nor $not", 2: "that is"})
    drawn = words(progress(rows(2), [pictures(range(1, 3)), text], tmp_path)[0])
    for word in ("sampled", "said", "or $not", "that is"):
        assert word in drawn
    assert "sampled" not in words(progress(rows(2), [pictures(range(1, 3))], tmp_path)[0])


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    def drawn(theme: str) -> list[bytes]:
        shown = [pictures(range(1, 9)), Shown("said", {1: "x" * 500})]
        return [p.read_bytes() for p in progress(rows(9), shown, tmp_path, theme=theme)]

    assert drawn("light") == drawn("light")
    assert drawn("light") != drawn("dark")


def test_type_stays_readable_on_a_slide_however_many_rows(tmp_path: Path) -> None:
    shown = [pictures(range(1, 7), high=64)] * 3
    svg = progress(rows(40), shown, tmp_path)[0]
    root = ElementTree.parse(svg).getroot()
    high = float(root.attrib["height"].removesuffix("pt"))
    sizes = [float(s.split("px")[0]) for t in root.iter(f"{SVG}text")
             if (s := t.attrib.get("style", "").partition("font-size: ")[2])]  # fmt: skip
    assert min(sizes) * 7.5 * 72 / max(high, 7.5 * 72) >= 9
