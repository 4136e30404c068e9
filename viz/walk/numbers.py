"""Arrays as HTML: shape, range and first elements; a picture; a small one whole.

In: an array, and whether its first axis counts examples. Out: markup. What is large is summarised,
so that a page stays small; every number is rounded as `short` does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dot import escape
from .pixels import pixels

FIRST = 6  # elements that stand in a line
WHOLE = 160  # elements of an array that is shown whole, when asked
WIDE = 10  # of a table
SCALE = 280  # a picture is at most so wide, in CSS pixels

Array = NDArray[Any]


def short(value: float) -> str:
    """Four digits, with a true minus: −0.01234."""
    if isinstance(value, np.bool_ | bool):
        return "true" if value else "false"
    number = float(value) + 0.0  # no −0
    return (
        f"{number:.4g}".replace("-", "−")
        .replace("e+0", "e")
        .replace("e+", "e")
        .replace("e−0", "e−")
    )


def first_elements(array: Array) -> str:
    """[1, 2, 3, …]"""
    flat = array.reshape(-1)
    shown = ", ".join(map(short, flat[:FIRST].tolist()))
    return shown if array.ndim == 0 else f"[{shown}{', …' if flat.size > FIRST else ''}]"


def line(array: Array) -> str:
    """The array in one line of text."""
    if array.size == 1:
        return short(array.reshape(-1)[0].item())
    return f"{list(array.shape)} {first_elements(array)}"


def card(array: Array, *, image: bool = False) -> str:
    """The array: what it is, what it looks like, and all of it where it is small. With `image` its
    vectors may be pixels, and are shown as squares."""
    if array.size == 1:
        return f'<p class="big number">{short(array.reshape(-1)[0].item())}</p>'
    found = array.astype(float)
    mean, reach = float(found.mean()), float(np.abs(found).max())
    mean = 0.0 if abs(mean) < 1e-14 * reach else mean  # a sum that is zero but for rounding
    facts = (("shape", str(list(array.shape))), ("least", short(found.min())),
             ("mean", short(mean)), ("greatest", short(found.max())))  # fmt: skip
    rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    parts = [f'<dl class="facts">{rows}</dl>', picture(_square(array) if image else array)]
    parts.append(f'<p class="number">{escape(first_elements(array))}</p>')
    if FIRST < array.size <= WHOLE:
        parts.append(
            f"<details><summary>all {array.size} numbers</summary>{table(array)}</details>"
        )
    return "".join(parts)


def _square(array: Array) -> Array:
    side = math.isqrt(array.shape[-1])
    is_square = side > 3 and side * side == array.shape[-1]
    return array.reshape(*array.shape[:-1], side, side) if is_square else array


def picture(array: Array) -> str:
    """The array as a picture, with what its colours mean."""
    squeezed = array.reshape([n for n in array.shape if n != 1] or [1])
    found = pixels(squeezed)
    if found is None:
        return ""
    scale = max(1, min(8, SCALE // found.width))
    tall = max(found.height * scale, 14)
    strongest = short(found.reach)
    colours = f"blue −{strongest}, white 0, orange {strongest}" if found.signed else (
        f"black 0, white {strongest}")  # fmt: skip
    return (
        f'<figure><img src="{found.uri}" width="{found.width * scale}" height="{tall}" '
        f'alt="the numbers as a picture, {found.width} by {found.height}">'
        f"<figcaption>{colours}</figcaption></figure>"
    )


def table(array: Array) -> str:
    """All numbers: rows and columns of a matrix, else in lines."""
    flat = array.reshape(-1)
    wide = array.shape[-1] if array.ndim > 1 and array.shape[-1] <= 2 * WIDE else WIDE
    rows = []
    for k in range(0, flat.size, wide):
        cells = "".join(f"<td>{short(x)}</td>" for x in flat[k : k + wide].tolist())
        rows.append(f"<tr>{cells}</tr>")
    return f'<div class="wide"><table class="numbers">{"".join(rows)}</table></div>'
