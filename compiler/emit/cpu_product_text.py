"""Small pieces of text that kernels of products are put together from."""

from __future__ import annotations

from math import prod

from ..plan import Extent, Matrix
from .cpu_body import indent
from .cpu_product_shape import Axis

SOON = 24  # rows ahead that a copy asks for: memory takes so long


def extent(extent: Extent) -> str:
    """The number of indices."""
    if not extent.batched:
        return str(extent.size)
    return "batch" if extent.size == 1 else f"batch * {extent.size}"


def times(factor: int) -> str:
    return "" if factor == 1 else f" * {factor}"


def product_of(*factors: str) -> str:
    """A product of texts, numbers multiplied out."""
    number = prod(int(f) for f in factors if f.isdigit())
    words = [f if f.isidentifier() else f"({f})" for f in factors if not f.isdigit()]
    if number != 1 or not words:
        words.append(str(number))
    text = " * ".join(words)
    return text if len(words) == 1 else f"({text})"


def parts(count: str, size: int) -> str:
    """How many parts of `size` it takes."""
    if count.isdigit():
        return str(-(-int(count) // size))
    return count if size == 1 else f"(({count} + {size - 1}) // {size})"


def sum_of(offset: int, *terms: tuple[str, int]) -> str:
    """offset + Σ step·name, without what is nothing."""
    texts = [name if step == 1 else f"{step} * {name}" for name, step in terms
             if step and name != "0"]  # fmt: skip
    if offset or not texts:
        texts.append(str(offset))
    return " + ".join(texts)


def bounds(loops: str, panels: str, width: int, columns: str, lanes: int) -> list[str]:
    """Where this thread's blocks begin and end. A last panel of fewer vectors is less work."""
    ends = (("begin", "thread"), ("end", "thread + 1"))
    across = -(-int(columns) // lanes) if columns.isdigit() else 0
    most = width // lanes
    whole, left = divmod(across, most)
    if loops != "1" or not whole or not left:
        total = product_of(loops, panels, "blocks")
        return [f"{name} = share({total}, {thread}, threads, 1)" for name, thread in ends]
    lines = [f"whole = blocks * {whole * most}"]
    for name, thread in ends:
        lines += [
            f"{name} = share(blocks * {across}, {thread}, threads, 1)",
            f"{name} = {name} // {most} if {name} < whole else "
            f"blocks * {whole} + ({name} - whole) // {left}",
        ]
    return lines


def units(loops: str, panels: str, width: int, columns: str, blocks: str, lanes: int) -> list[str]:
    """The loop over this thread's panels: for product `l` and the panel of columns from `j` on (`w`
    of them), its blocks are those from `start` to `to`."""
    column = "0" if panels == "1" else f"p % {panels} * {width}"
    product = "0" if loops == "1" else ("p" if panels == "1" else f"p // {panels}")
    return [
        f"blocks = {blocks}",
        *bounds(loops, panels, width, columns, lanes),
        "for p in range(begin // blocks, (end + blocks - 1) // blocks if end > begin else 0):",
        f"    l, j = {product}, {column}",
        f"    w = least({width}, {columns} - j)",
        "    start = begin - p * blocks if begin > p * blocks else 0",
        "    to = least(end - p * blocks, blocks)",
    ]


def packed(
    b: Matrix, origin: str, axes: tuple[Axis, ...], count: str, lanes: int, width: int, target: str
) -> list[str]:
    """Copy columns j … j + w of B to `own` from `target` on, so that rows become neighbours.

    `origin`: the place of its first row without the columns. `count`: the number of indices of the
    outermost of its axes.
    """
    column = b.column[0]
    place, flat = origin, []
    lines: list[str] = []
    for n, axis in enumerate(axes[:-1]):
        lines += indent([f"for k{n} in range({count if n == 0 else axis.size}):"], n)
        place += f" + {axis.places[0]} * k{n}"
        flat.append((f"k{n}", prod(a.size for a in axes[n + 1 :]) * width))
    last = axes[-1]
    count = count if len(axes) == 1 else str(last.size)
    source = sum_of(0, ("o", 1), ("k", last.places[0]), ("(j + s)", column))
    soon = f"{source} + {SOON * last.places[0]}"
    pointer, goal = f"p{b.slot}", f"own, q + k * {width} + s"
    copy = f"store({goal}, gather({pointer}, {source}, {column}, {lanes}, w - s))"
    if column == 1:
        copy = f"store({goal}, load({pointer}, {source}, {lanes}))"
    inner = [f"o = {place}", f"q = {sum_of(0, (target, 1), *flat)}"]
    if last.places[0] != 1:
        inner += [
            f"for k in range({count}):",
            f"    for s in range(0, w, {lanes}):",
            f"        ask({pointer}, {soon})",
            f"        {copy}",
        ]
    else:
        inner += [
            f"for s in range(0, w, {lanes}):",
            f"    for k in range(0, {count} - {lanes - 1}, {lanes}):",
            f"        transpose({lanes}, {pointer}, {source}, {column}, w - s, {goal}, {width})",
            f"    for k in range({count} - {count} % {lanes}, {count}):",
            f"        {copy}",
        ]
    return lines + indent(inner, len(axes) - 1)
