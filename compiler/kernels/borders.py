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


@lru_cache(maxsize=1 << 8)
def apart(starts: tuple[int, ...], shape: tuple[int, ...], steps: tuple[int, ...]) -> bool:
    """Whether no element belongs to two of the boxes that begin at `starts`."""
    axes = tuple((n, s) for n, s in zip(shape, steps, strict=True) if n != 1)
    ordered = sorted(starts)
    return not any(_reached(q - p, axes) for k, p in enumerate(ordered) for q in ordered[k + 1 :])


def _reached(distance: int, axes: tuple[tuple[int, int], ...]) -> bool:
    """Whether Σ steps·d is `distance` for some |d| < the sizes. Where the steps are in order, only
    the two nearest multiples of each can lead there; where they are not, say yes."""
    if not axes:
        return distance == 0
    (size, step), inside = axes[0], axes[1:]
    if step <= sum((n - 1) * s for n, s in inside):
        return True
    near = distance // step
    return any(abs(d) < size and _reached(distance - d * step, inside) for d in (near, near + 1))
