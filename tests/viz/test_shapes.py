"""The shapes view: volumes to scale, windows on them, and boxes whose corners are where they
belong."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import chainrule
from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import forward
from chainrule.dsl.diagnostics import Failure
from chainrule.viz.fit import warning
from chainrule.viz.render import layout
from chainrule.viz.shapes import shapes, stations
from chainrule.viz.solids import Look, Scene
from chainrule.viz.style import theme

from .nets import DIGITS, net

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "viz"


def example(name: str) -> Graph:
    model = chainrule.load(ROOT / "examples" / f"{name}.net")
    return forward(model.module, model.name, sizes=model.sizes)


def test_lenet_is_the_figure_of_its_paper() -> None:
    found = [(s.shape, s.words[0]) for s in stations(example("lenet"))]
    assert found[1:] == [
        ((6, 28, 28), "conv 5×5, 6"), ((6, 14, 14), "avg_pool 2×2"),
        ((16, 10, 10), "conv 5×5, 16"), ((16, 5, 5), "avg_pool 2×2"), ((400,), "flat"),
        ((120,), "dense 120"), ((84,), "dense 84"), ((10,), "dense 10"),
    ]  # fmt: skip


def test_equal_layers_and_stages_are_drawn_once() -> None:
    found = {(s.shape, s.times) for s in stations(example("resnet")) if s.kind == "conv"}
    assert {((256, 56, 56), 3), ((512, 28, 28), 4), ((1024, 14, 14), 6)} < found


def test_sides_are_to_scale() -> None:
    squares = fronts(shapes(example("lenet")))
    assert squares[28] / squares[14] == pytest.approx(2, rel=0.01)
    assert squares[28] / squares[5] == pytest.approx(5.6, rel=0.01)


def fronts(dot: str) -> dict[int, float]:
    """Widths of the first squares that are as large as a map: 28, 14, 10, 5 for LeNet."""
    found = re.findall(r"width=([\d.]+), height=([\d.]+), fixedsize=true", dot)
    squares = sorted({float(w) for w, h in found if w == h}, reverse=True)
    return dict(zip((28, 14, 10, 5), squares, strict=False))


@pytest.mark.parametrize("name", ["lenet", "alexnet", "vgg", "resnet", "dcgan"])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_nets_of_images_can_be_read_on_a_slide(name: str, colours: str) -> None:
    assert warning(shapes(example(name), colours), "shapes") == ""


@pytest.mark.parametrize(("w", "dx", "dy"), [(100, 15, 9), (40, 60, 30), (9, 51, 32)])
def test_the_faces_of_a_box_meet(w: float, dx: float, dy: float) -> None:
    scene, look = Scene(theme("light")), Look("#f1f1f1", "#eeeeee", "#dddddd", "#000000")
    scene.rectangle(0, 0, w, w, look.front, look.line)
    scene.top(0, w, w, dx, dy, look)
    scene.side(w, 0, w, dx, dy, look)
    picture = layout(scene.dot.text(), "svg").decode()
    drawn = re.findall(r'<polygon fill="#(f1|ee|dd)\w+"[^>]* points="([^"]*)"', picture)
    corners: dict[str, list[tuple[float, float]]] = {"f": [], "e": [], "d": []}
    for kind, points in drawn:
        corners[kind[0]] += [(float(x), float(y)) for x, y in
                          (p.split(",") for p in points.split())]  # fmt: skip
    front = corners["f"]
    left, low = min(x for x, _ in front), max(y for _, y in front)
    for kind, ends in (("e", (left, low - w - dy)), ("d", (left + w, low - w - dy))):
        assert min(x for x, _ in corners[kind]) == pytest.approx(ends[0], abs=0.3)
        assert max(x for x, _ in corners[kind]) == pytest.approx(left + w + dx, abs=0.3)
        assert min(y for _, y in corners[kind]) == pytest.approx(ends[1], abs=0.3)


def test_a_net_without_images_is_refused_with_a_way_out() -> None:
    with pytest.raises(Failure, match=r"E583.*no feature maps"):
        shapes(net(DIGITS))


def test_dot_of_shapes_is_what_it_was() -> None:
    """UPDATE_GOLDEN=1 writes it anew after a change that was meant."""
    text = shapes(example("lenet"))
    path = GOLDEN / "lenet-shapes.dot"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
