"""Pictures that can be read on a slide: choosing among layouts, and saying when none will do.

In: DOT texts of the same picture, the plainest first. Out: the one whose smallest type is large
enough once the picture is scaled to a 16:9 slide. Sizes are measured by laying the pictures out;
where that fails, the first is as good as any, and `render` will say what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from ..dsl.diagnostics import Failure, fail
from .render import layout, node_count
from .style import SLIDE, SMALLEST

EASY = 10.0  # points: type that needs no better layout
CROWD = 120  # nodes; no layout makes more of them readable
ROW, MOST_ROWS = 12, 48  # of pictures on several pages: nodes of a row at first, rows in all
MOST_ON_PAGE = 4  # rows
SECONDS = 10.0  # for each layout that is tried

Draft = Callable[[], str]
# A picture cut into so many rows, so many of them on each page, or one.
Pages = Callable[[int, Sequence[int]], list[str]]


def fitted(drafts: Iterable[Draft]) -> str:
    """The first draft whose type is easy to read on a slide, else the best of them."""
    best, text = -1.0, ""
    for draft in drafts:
        dot = draft()
        size = type_size(dot) or 0.0  # some layouts are beyond the engine
        if size > best:
            best, text = size, dot
        if size >= EASY or node_count(dot) > CROWD:
            break
    return text


def paged(nodes: int, pages: Pages) -> list[str]:
    """The picture on as few pages as can be read, each a slide, cut into rows that can be read
    alone; empty where `MOST_ROWS` of them do not do."""
    count = max(2, nodes // ROW)
    while count <= MOST_ROWS:
        alone = pages(count, ())
        if all(map(_is_readable, alone)):
            return pages(count, _grouped(count, len(alone), pages))
        count += max(1, count // 3)
    return []


def _grouped(count: int, rows: int, pages: Pages) -> list[int]:
    """How many rows go on each page: as many as can be read."""
    groups = [1]
    for done in range(1, rows):
        tried = [*groups[:-1], groups[-1] + 1, *[1] * (rows - done - 1)]
        if groups[-1] < MOST_ON_PAGE and _is_readable(pages(count, tried)[len(groups) - 1]):
            groups[-1] += 1
        else:
            groups.append(1)
    return groups


def _is_readable(dot: str) -> bool:
    return (type_size(dot) or 0.0) >= SMALLEST


def type_size(dot: str) -> float | None:
    """Points of the smallest type, the picture scaled to fit a slide; None if it has no layout."""
    try:
        width, height, smallest = _measured(dot)
    except Failure:
        return None
    return smallest / max(width / SLIDE[0], height / SLIDE[1], 1.0)


@lru_cache(maxsize=64)
def _measured(dot: str) -> tuple[float, float, float]:
    """Width and height in inches, and the smallest type."""
    picture = layout(dot, "svg", SECONDS).decode()
    found = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', picture)
    sizes = [float(n) for n in re.findall(r'font-size="([\d.]+)"', picture)]
    if found is None or not sizes:
        raise fail("E561", "the picture has no size")
    return float(found[1]) / 72, float(found[2]) / 72, min(sizes)


def warning(dot: str, view: str) -> str:
    """What to say of a picture whose type is too small on a slide; empty if it is not."""
    size = type_size(dot)
    if size is None or size >= SMALLEST - 0.05:
        return ""
    advice = {
        "layers": "`--depth 1` draws nested blocks closed",
        "operations": "`--view layers` draws each block as one box",
        "passes": "`--rule NAME` draws one change",
        "kernels": "`--number N` opens one kernel; without `--depth` what repeats is one row",
        "circuit": "`--view flow` tells how large the gradients are, without their numbers",
    }.get(view, "`--view layers` is a smaller picture")
    return (
        f"on a {SLIDE[0]} × {SLIDE[1]} inch slide the smallest type is {size:.1f} pt,"
        f" less than {SMALLEST:g} pt: {advice}"
    )
