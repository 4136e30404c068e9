"""Index arithmetic: where the elements of a value lie, as an affine function of a loop's indices.

A place is (offset, strides): the flat index `offset + Σ strides[k]·i[k]` into one example, for the
indices i of some axes. Everything here is a pure function of small tuples, and remembered: a net of
a thousand equal layers asks the same questions a thousand times.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from math import prod

Place = tuple[int, tuple[int, ...]]
Digit = tuple[int, tuple[int, ...]]  # one axis of a value: offset and coefficient of each index


@lru_cache(maxsize=1 << 14)
def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a C-ordered array. An axis of one element does not move: stride 0."""
    strides, step = [], prod(shape)
    for n in shape:
        step = step // n if n else 0
        strides.append(step if n != 1 else 0)
    return tuple(strides)


@lru_cache(maxsize=1 << 14)
def repeated(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Strides that broadcast a contiguous value of `shape` to `wanted`, NumPy's way."""
    return (0,) * (len(wanted) - len(shape)) + contiguous(shape)


@lru_cache(maxsize=1 << 14)
def still(strides: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """`strides` with 0 for the axes of one element."""
    return tuple(s if n != 1 else 0 for s, n in zip(strides, shape, strict=True))


@lru_cache(maxsize=1 << 14)
def digits(offset: int, strides: tuple[int, ...], sizes: tuple[int, ...],
           shape: tuple[int, ...]) -> tuple[Digit, ...] | None:  # fmt: skip
    """The flat index as an index along each axis of `shape`, if each is affine on its own.

    Flat indices are numbers in the mixed radix of `shape`; the digits of a sum are the sums of the
    digits as long as none carries, and this is checked at the far corner.
    """
    if offset < 0 or any(s < 0 for s in strides):
        return None
    steps = [prod(shape[k + 1 :]) for k in range(len(shape))]
    result = []
    rest, remaining = offset, list(strides)
    for n, step in zip(shape, steps, strict=True):
        start, rest = divmod(rest, step) if step else (0, rest)
        along = []
        for k, s in enumerate(remaining):
            c, remaining[k] = divmod(s, step) if step and sizes[k] > 1 else (0, s)
            along.append(c)
        if start + sum(c * (m - 1) for c, m in zip(along, sizes, strict=True)) >= max(n, 1):
            return None
        result.append((start, tuple(along)))
    return tuple(result)


@lru_cache(maxsize=1 << 15)
def compose(offset: int, strides: tuple[int, ...], shape: tuple[int, ...], at: Place,
            axes: tuple[int, ...]) -> Place | None:  # fmt: skip
    """Where an operand lies, in terms of `axes`.

    The operand is read at (offset, strides) over the indices of its user, whose shape is `shape`
    and which is itself wanted at the place `at` over `axes`. None: not affine.
    """
    if offset == 0 and strides == contiguous(shape):
        return at
    if not any(strides):
        return offset, (0,) * len(axes)
    if at[0] == 0 and shape == axes and at[1] == contiguous(shape):
        return offset, strides
    found = digits(at[0], at[1], axes, shape)
    if found is None:
        return None
    along = [0] * len(axes)
    for s, (start, coefficients) in zip(strides, found, strict=True):
        if s:
            offset += s * start
            for k, c in enumerate(coefficients):
                along[k] += s * c
    return offset, tuple(along)


def collapse(terms: Sequence[tuple[int | None, int]]) -> int | None:
    """One stride for several nested loops (size, stride), outermost first; None if there is none.

    A size of None is the batch. Loops of one turn do not count.
    """
    real = [t for t in terms if t[0] != 1]
    for (_, outer), (size, inner) in pairwise(real):
        if size is None or outer != size * inner:
            return None
    return real[-1][1] if real else 0
