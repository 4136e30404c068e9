"""Padding writes its border alone: every other element exactly once."""

from __future__ import annotations

from itertools import product

import pytest

from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.kernels.affine import contiguous
from chainrule.compiler.kernels.borders import apart, border
from chainrule.compiler.op import apply
from chainrule.compiler.plan import Loops
from chainrule.compiler.types import Type
from tests.compiler.plancase import assert_plan_is_right


def flat(start: int, shape: tuple[int, ...], steps: tuple[int, ...]) -> list[int]:
    return [
        start + sum(s * i for s, i in zip(steps, index, strict=True))
        for index in product(*map(range, shape))
    ]


@pytest.mark.parametrize(
    ("whole", "start", "box"),
    [
        ((5,), (1,), (3,)),
        ((6, 7, 3), (1, 2, 0), (4, 3, 3)),
        ((6, 7, 3), (0, 0, 1), (6, 7, 1)),
        ((4, 5, 6, 2), (1, 0, 2, 0), (2, 5, 1, 2)),
        ((3, 4), (0, 0), (3, 4)),
        ((3, 4), (2, 3), (1, 1)),
    ],
)
@pytest.mark.parametrize("stretch", [1, 2])
def test_a_box_and_its_border_are_everything(
    whole: tuple[int, ...], start: tuple[int, ...], box: tuple[int, ...], stretch: int
) -> None:
    """Also where the elements of the box stand apart."""
    whole = tuple(stretch * n for n in whole)
    own = contiguous(whole)
    first = sum(s * i for s, i in zip(own, start, strict=True))
    steps = tuple(stretch * s for s in own)
    size = whole[0] * own[0]
    strips = border(size, first, box, steps)
    assert strips is not None
    found = flat(first, box, steps) + [i for s in strips for i in flat(*s)]
    assert sorted(found) == list(range(size))


def test_rows_out_of_order_have_no_border() -> None:
    assert border(12, 0, (3, 4), (1, 3)) is None


@pytest.mark.parametrize("batched", [True, False])
def test_a_padded_image_is_written_once(batched: bool) -> None:
    x = leaf("input" if batched else "param", "x", Type((5, 4, 3), "f64", batched))
    y = apply("pad", x + 1.0, start=(1, 1, 0), shape=(7, 6, 3))
    graph = Graph("pad", (Output("output", "y", y * y),), {"x": Leaf(x, x.op.name)})
    made = assert_plan_is_right(graph)
    stages = [s for k in made.kernels if isinstance(k, Loops) for s in k.stages]
    sizes = [s.axes for s in stages if not s.reads]
    assert sizes == [(21,), (4, 6)]  # both ends at once, and what is between the rows


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "disjoint"),
    [((6, 8, 3), 2, 2, True), ((7, 9, 3), 2, 2, True), ((7, 9, 3), 2, 3, True),
     ((7, 9, 3), 3, 2, False), ((5, 5, 1), 3, 1, False), ((6, 6, 2), 3, 3, True)],
)  # fmt: skip
def test_windows_side_by_side_are_written_and_others_added(
    shape: tuple[int, ...], kernel: int, stride: int, disjoint: bool
) -> None:
    rows, columns = ((n - kernel) // stride + 1 for n in shape[:2])
    g = leaf("input", "g", Type((rows, columns, shape[2], kernel, kernel), "f64", True))
    y = apply("overlap_add", g + 1.0, shape=shape, axes=(0, 1), stride=(stride, stride))
    starts = tuple(b.start for b in y.op.boxes(y))
    box = y.op.boxes(y)[0]
    taken = [flat(s, box.shape, box.steps) for s in starts]
    assert (len({i for t in taken for i in t}) == sum(map(len, taken))) is disjoint
    assert apart(starts, box.shape, box.steps) is disjoint
    graph = Graph("windows", (Output("output", "y", y),), {"g": Leaf(g, "input")})
    made = assert_plan_is_right(graph)
    (stages,) = [k.stages for k in made.kernels if isinstance(k, Loops)]
    read = {a.slot for s in stages for a in s.reads}
    assert disjoint is not any(w.access.slot in read for s in stages for w in s.writes)


def test_what_goes_into_windows_is_computed_where_it_is_written() -> None:
    """The gradient of max pooling: each place of the window chooses for itself, nothing between."""
    x = leaf("input", "x", Type((6, 8, 3), "f64", True))
    y, g = (leaf("input", name, Type((3, 4, 3), "f64", True)) for name in "yg")
    y_, g_ = (apply("reshape", v, shape=(3, 4, 3, 1, 1)) for v in (y, g))
    seen = apply("windows", x, kernel=2, stride=2, axes=(0, 1))
    part = apply("where", apply("le", seen, y_), g_, 0.0)
    result = apply("overlap_add", part, shape=(6, 8, 3), axes=(0, 1), stride=2)
    leaves = {str(v.attrs["name"]): Leaf(v, "input") for v in (x, y, g)}
    made = assert_plan_is_right(Graph("pool", (Output("output", "o", result),), leaves))
    assert [b.name for b in made.buffers if b.kind in ("temp", "scratch")] == []
