"""Numbers in a picture: short where they stand, whole in the tooltip.

In: arrays for one example. Out: text. `Amount` is what the front door hands to the views that show
numbers: a value and the gradient of the loss by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FEW = 4  # elements of a vector that is written whole
MOST = 256  # elements of an array that a tooltip writes whole
MINUS = "−"
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


class Amount(NamedTuple):
    """A value, and the gradient of the loss by it (None where it cannot be moved)."""

    value: Array
    gradient: Array | None


def number(x: float, digits: int = 3) -> str:
    """Three figures: 0.731, −12, 3.1·10⁻⁷; whole numbers whole."""
    x = float(x)
    if not np.isfinite(x):
        return "NaN" if np.isnan(x) else "∞" if x > 0 else f"{MINUS}∞"
    if x == 0:
        return "0"
    if x == round(x) and abs(x) < 1e5:
        text = str(round(x))
    elif 1e-3 <= abs(x) < 1e5:
        text = f"{x:.{digits}g}" if abs(x) < 10**digits else f"{x:.0f}"
    else:
        mantissa, _, power = f"{x:.{max(digits - 2, 0)}e}".partition("e")
        mantissa = mantissa.removesuffix(".0")
        raised = f"10{str(int(power)).translate(_RAISED)}"
        text = f"{mantissa}·{raised}" if mantissa.lstrip("-") != "1" else mantissa[:-1] + raised
    return text.replace("-", MINUS)


def brief(array: Array, mark: Callable[[str, int], str] | None = None, first: int = 2) -> str:
    """A scalar whole, a vector by its first elements and its last, more by what it ranges over.

    `mark` may change the text of an element, which it is told with the element's place.
    """
    array = np.asarray(array)
    marked = mark or (lambda text, _: text)
    if array.ndim == 0 or array.shape == (1,):
        text = marked(number(array.item()), 0)
        return f"[{text}]" if array.ndim else text
    if array.ndim == 1:
        return f"[{', '.join(_elements(array, marked, first))}]"
    if array.ndim == 2 and array.shape[0] <= FEW - 1 and array.shape[1] <= FEW - 1:
        rows = (", ".join(number(x, 2) for x in row) for row in array)
        return f"[{'; '.join(rows)}]"
    if array.ndim == 2:
        return f"[{', '.join(number(x, 2) for x in array[0][:first])}, …; …]"
    return f"{number(array.min(), 2)} … {number(array.max(), 2)}"


def _elements(array: Array, marked: Callable[[str, int], str], first: int) -> list[str]:
    if len(array) <= first + FEW // 2:
        return [marked(number(x, 2), k) for k, x in enumerate(array)]
    last = len(array) - 1
    ends = [marked(number(array[k], 2), k) for k in (*range(first), last)]
    return [*ends[:-1], "…", ends[-1]]


def whole(array: Array) -> str:
    """Every element, or of a large array the shape, the range, and the ends of each axis."""
    array = np.asarray(array)
    if array.ndim == 0:
        return number(array.item(), 6)
    options: dict[str, Any] = {"formatter": {"all": lambda x: number(x, 4)}}
    text = np.array2string(
        array, threshold=MOST, edgeitems=3, max_line_width=90, separator=", ", **options
    )
    if array.size <= MOST:
        return text
    shape = " × ".join(map(str, array.shape))
    return f"{shape}, from {number(array.min())} to {number(array.max())}\n{text}"
