"""Lookups as rows and columns: sizes, strides, and the layout of what follows a lookup.

In: shapes of tables and ids. Out: how many rows and columns there are, and one stride for each.
"""

from __future__ import annotations

from math import prod

from ..plan import Extent
from ..types import Type
from .affine import collapse
from .products import Layout, Walk

_STILL = Walk((0,), (0,), 0)


def table_places(
    shape: tuple[int, ...], strides: tuple[int, ...], leading: int
) -> tuple[int, int] | None:
    """The stride of the first `leading` axes together, and that of the others; None where one does
    not do."""
    terms: list[tuple[int | None, int]] = list(zip(shape, strides, strict=True))
    row, column = collapse(terms[:leading]), collapse(terms[leading:])
    return None if row is None or column is None else (row, column)


def scattered_sizes(ids: tuple[int, ...], added: tuple[int, ...]) -> tuple[int, int]:
    """Ids of an example, columns of a row."""
    return prod(ids), prod(added[len(ids) :])


def gathered_layout(result: Type, leading: int) -> Layout:
    """The result of a lookup as that of a product: its first `leading` axes, those of the ids, are
    the rows (the batch the outermost), the others the columns; nothing is summed."""
    shape = result.shape
    axes = tuple(range(len(shape)))
    rows = Extent(prod(shape[:leading]), result.batched)
    return Layout(
        False, (rows,), Extent(prod(shape[leading:])), (), Extent(1), _STILL, _STILL,
        (axes[:leading],), axes[leading:], (), "rows" if result.batched else "",
    )  # fmt: skip
