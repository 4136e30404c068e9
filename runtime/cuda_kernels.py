"""What the CUDA device runs around a plan's kernels: bring the batch, set the scalars, keep the
results.

Imported only when CUDA is used (it imports Numba's). Views are one-dimensional arrays over the
arena; places are in elements. The scalars are converted to the element type of their view by the
store.
"""

from __future__ import annotations

import importlib
from typing import Any

cuda: Any = importlib.import_module("numba.cuda")  # untyped, and not always installed


@cuda.jit(cache=True)  # type: ignore[untyped-decorator]
def gather(
    source: Any, rows: Any, first: int, batch: int, steps: int, most: int, size: int, target: Any,
    at: int,
) -> None:  # fmt: skip
    """Rows of examples, or of the first `steps` of `most` steps of each, step after step:
    target[at + (t·batch + e)·size + k] = source[(rows[first + e]·most + t)·size + k]."""
    for i in range(cuda.grid(1), steps * batch * size, cuda.gridsize(1)):
        r = i // size
        t = r // batch
        row = rows[first + r - t * batch] * most + t
        target[at + i] = source[row * size + (i - r * size)]


@cuda.jit(cache=True)  # type: ignore[untyped-decorator]
def begin(header: Any, seed: int, step: int, batch: int) -> None:
    """The header of the arena: seed, step, first example, examples."""
    header[0] = seed
    header[1] = step
    header[2] = 0
    header[3] = batch


@cuda.jit(cache=True)  # type: ignore[untyped-decorator]
def put(numbers: Any, index: int, target: Any, at: int) -> None:
    """One scalar of this step."""
    target[at] = numbers[index]


@cuda.jit(cache=True)  # type: ignore[untyped-decorator]
def keep(source: Any, at: int, records: Any, index: int) -> None:
    """One recorded number of this step."""
    records[index] = source[at]


@cuda.jit(cache=True)  # type: ignore[untyped-decorator]
def set_number(target: Any, at: int, number: float) -> None:
    """A scalar that comes from the host."""
    target[at] = number
