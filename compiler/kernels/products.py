"""Contractions as matrix products: which letters are rows, columns, depth and loop.

In: an einsum string, shapes, and where the operands lie. Out: a `Layout`, or None where the letters
of one role cannot be walked as a product needs it. The choice prefers a result and a second operand
whose columns are contiguous, because kernels load vectors along columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from ..plan import Extent
from .affine import collapse, contiguous

Sizes = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Letters:
    """The letters of a contraction by what they do. Those of size 1 do nothing, and are left out.

    `rows` are in x and the result, `columns` in y and the result, `loop` in all three, `depth` in
    both operands only, `alone` in one operand only. The batch is the letter `b`.
    """

    left: str
    right: str
    result: str
    sizes: Sizes
    rows: str
    columns: str
    depth: str
    loop: str
    alone: str

    @property
    def is_product(self) -> bool:
        return bool(self.rows and self.columns and self.depth) and not self.alone

    @property
    def over_batch(self) -> bool:
        return "b" in self.depth + self.alone

    @property
    def kept(self) -> str:
        """The result's letters that count, without the batch."""
        return "".join(c for c in self.result if c != "b" and self.size[c] != 1)

    @cached_property
    def size(self) -> dict[str, int]:
        return dict(self.sizes)

    @property
    def space(self) -> tuple[tuple[int, ...], tuple[tuple[int, ...], tuple[int, ...]]]:
        """Axes of the fold (kept, then folded letters) and each operand's strides over them."""
        order = self.kept + "".join(c for c in self.depth + self.alone if c != "b")
        strides = []
        for letters in (self.left, self.right):
            own = letters.lstrip("b")
            of = dict(zip(own, contiguous(tuple(self.size[c] for c in own)), strict=True))
            strides.append(tuple(of.get(c, 0) for c in order))
        return tuple(self.size[c] for c in order), (strides[0], strides[1])


@lru_cache(maxsize=1 << 12)
def letters_of(spec: str, x: tuple[int, ...], y: tuple[int, ...]) -> Letters:
    """The roles of the letters of `spec` for operands of these shapes."""
    operands, result = spec.split("->")
    left, right = operands.split(",")
    size = {**dict(zip(left.lstrip("b"), x, strict=True)),
            **dict(zip(right.lstrip("b"), y, strict=True))}  # fmt: skip
    roles: dict[str, str] = {"rows": "", "columns": "", "depth": "", "loop": "", "alone": ""}
    for c in dict.fromkeys(result + left + right):
        if size.get(c) == 1:
            continue
        roles[_role(c in left, c in right, c in result)] += c
    return Letters(left, right, result, tuple(size.items()), **roles)


def _role(left: bool, right: bool, result: bool) -> str:
    if left and right:
        return "loop" if result else "depth"
    if not result:
        return "alone"
    return "rows" if left else "columns"


@dataclass(frozen=True)
class Walk:
    """Strides of one operand: along the rows (or the depth), along the columns (or the depth), from
    product to product."""

    row: tuple[int, ...]
    column: tuple[int, ...]
    loop: int


@dataclass(frozen=True)
class Layout:
    """How a contraction is computed. `swapped`: the second operand is A.

    Rows and depth are nested axes, outermost first. `row_axes` has the axes of the result that each
    of the rows is made of, `column_axes` and `loop_axes` those of columns and loop, all outermost
    first; `batch` says which extent the batch is the outermost part of ("" if none).
    """

    swapped: bool
    rows: tuple[Extent, ...]
    columns: Extent
    depth: tuple[Extent, ...]
    loop: Extent
    a: Walk
    b: Walk
    row_axes: tuple[tuple[int, ...], ...]
    column_axes: tuple[int, ...]
    loop_axes: tuple[int, ...]
    batch: str

    @property
    def in_order(self) -> bool:
        """Whether (loop, row, column), counted through, is the order of the result in memory."""
        axes = self.loop_axes + sum(self.row_axes, ()) + self.column_axes
        first = "loop" if self.loop != Extent(1) else "rows"
        return axes == tuple(sorted(axes)) and self.batch in ("", first, "depth")


@lru_cache(maxsize=1 << 12)
def layout(letters: Letters, x: tuple[int, ...], x_example: int, y: tuple[int, ...],
           y_example: int) -> Layout | None:  # fmt: skip
    """The best layout for operands with these strides (per axis; from example to example)."""
    strides_x = {"b": x_example, **dict(zip(letters.left.lstrip("b"), x, strict=True))}
    strides_y = {"b": y_example, **dict(zip(letters.right.lstrip("b"), y, strict=True))}
    best: tuple[int, Layout | None] = (-1, None)
    for swapped in (False, True):
        rows, columns = letters.rows, letters.columns
        a, b = strides_x, strides_y
        if swapped:
            rows, columns, a, b = columns, rows, b, a
        choices = [(rows, columns, letters.loop)]
        if not letters.loop:
            choices += [(rows[1:], columns, rows[:1])] if len(rows) > 1 else []
            choices += [(rows, columns[1:], columns[:1])] if len(columns) > 1 else []
        for choice in choices:
            for depth in dict.fromkeys([_by_stride(letters.depth, b), letters.depth]):
                made = _layout(letters, swapped, *choice, depth, a, b)
                if made is not None and made[0] > best[0]:
                    best = made
    return best[1]


def _by_stride(depth: str, strides: dict[str, int]) -> str:
    return "".join(sorted(depth, key=lambda c: (c != "b", -abs(strides[c]))))


def _layout(letters: Letters, swapped: bool, rows: str, columns: str, loop: str, depth: str,
            a: dict[str, int], b: dict[str, int]) -> tuple[int, Layout] | None:  # fmt: skip
    size = letters.size
    shape = letters.result.lstrip("b")
    sizes = tuple(size[c] for c in shape)
    c = {"b": _product(sizes), **dict(zip(shape, contiguous(sizes), strict=True))}

    def walk(group: str, strides: dict[str, int]) -> int | None:
        return collapse([(None if k == "b" else size[k], strides.get(k, 0)) for k in group])

    found = [walk(loop, a), walk(columns, b), walk(loop, b), walk(columns, c), walk(loop, c)]
    row_groups, depth_groups = _joined(rows, size, a, c), _joined(depth, size, a, b)
    if any(s is None for s in found) or row_groups is None or depth_groups is None:
        return None
    al, bc, bl, cc, _ = (int(s or 0) for s in found)
    ar, ac, br = _last(row_groups, a), _last(depth_groups, a), _last(depth_groups, b)
    plain = len(row_groups) == 1 and len(depth_groups) == 1
    score = 16 * (cc == 1) + 8 * (bc == 1) + 4 * (not loop) + 2 * plain
    score += ac[-1] == 1 or ar[-1] == 1

    def extent(group: str) -> Extent:
        return Extent(_product(tuple(size[k] for k in group if k != "b")), "b" in group)

    def axes(group: str) -> tuple[int, ...]:
        return tuple(shape.index(k) for k in group if k != "b")

    where = [n for n, g in (("rows", rows), ("columns", columns), ("loop", loop), ("depth", depth))
             if "b" in g]  # fmt: skip
    return score, Layout(
        swapped, tuple(map(extent, row_groups)), extent(columns), tuple(map(extent, depth_groups)),
        extent(loop), Walk(ar, ac, al), Walk(br, (bc,), bl), tuple(map(axes, row_groups)),
        axes(columns), axes(loop), where[0] if where else "",
    )  # fmt: skip


def _joined(letters: str, size: dict[str, int], *strides: dict[str, int]) -> list[str] | None:
    """Nested axes as few as possible: neighbours are joined where every operand walks them with one
    stride. The batch can only be the outermost; without letters there is one axis of one turn."""
    if "b" in letters[1:]:
        return None
    groups = [letters[:1]]
    for k in letters[1:]:
        last = groups[-1][-1:]
        if all(s.get(last, 0) == s.get(k, 0) * size[k] for s in strides):
            groups[-1] += k
        else:
            groups.append(k)
    return groups


def _last(groups: list[str], strides: dict[str, int]) -> tuple[int, ...]:
    """The stride of each group: that of its innermost letter."""
    return tuple(strides.get(g[-1], 0) if g else 0 for g in groups)


def _product(sizes: tuple[int, ...]) -> int:
    total = 1
    for n in sizes:
        total *= n
    return total
