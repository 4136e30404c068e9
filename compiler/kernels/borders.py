"""What a box leaves free: the border of a padded image.

In: where a box lies in a contiguous value. Out: the other elements as a few strided boxes, in flat
indices. Padding then writes its border alone, and not the whole of the memory first.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

Strip = tuple[int, tuple[int, ...], tuple[int, ...]]  # start, shape, steps


@lru_cache(maxsize=1 << 10)
def border(
    size: int, start: int, shape: tuple[int, ...], steps: tuple[int, ...]
) -> tuple[Strip, ...] | None:
    """Every element of `size` that is not `start + Σ steps·i` for i over `shape`.

    What lies before the box, after it, and between one row and the next: the gap behind a row's
    end and that before the next row's start are one. None where the rows are not in order.
    """
    axes = [(n, s) for n, s in zip(shape, steps, strict=True) if n != 1]
    spans = [1]  # elements from the first to the last of a row of the axes inside
    for n, s in reversed(axes):
        if s < spans[0]:
            return None
        spans.insert(0, s * (n - 1) + spans[0])
    strips: list[Strip] = []
    end = start + spans[0]
    for first, last in ((0, start), (end, size)):
        if last > first:
            strips.append((first, (last - first,), (1,)))
    for k, (n, s) in enumerate(axes):
        gap = s - spans[k + 1]
        if gap:
            sizes = (*(m for m, _ in axes[:k]), n - 1, gap)
            strips.append((start + spans[k + 1], sizes, (*(t for _, t in axes[: k + 1]), 1)))
    assert sum(prod(sizes) for _, sizes, _ in strips) == size - prod(shape)
    return tuple(strips)
