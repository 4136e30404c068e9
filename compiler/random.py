"""Counter-based random numbers: Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror & Shaw, 2011).

A number depends on (seed, stream, counter, step) alone, so that CPU, CUDA and this reference draw
the same ones with any number of threads. The key is (seed low ⊕ seed high, stream), the counter
(element mod 2³², step): two words come out. Element i of example e counts e·size + i.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import pi, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .types import DTYPES, ShapeError

Words = NDArray[np.uint32]
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA
_MASK = 0xFFFFFFFF
_PART = 1 << 14  # elements drawn at a time
_MANY = 64  # parts from which on threads pay


def threefry2x32(key: tuple[int, int], x0: Words, x1: Words) -> tuple[Words, Words]:
    """Encrypt the counters (x0, x1) under `key`."""
    keys = [np.uint32(k & _MASK) for k in (*key, key[0] ^ key[1] ^ PARITY)]
    with np.errstate(over="ignore"):
        a, b = x0 + keys[0], x1 + keys[1]
        for r in range(20):
            turn = np.uint32(ROTATIONS[r % 8])
            a = a + b
            b = (b << turn) | (b >> np.uint32(32 - turn))
            b = b ^ a
            if r % 4 == 3:
                s = r // 4 + 1
                a = a + keys[s % 3]
                b = b + keys[(s + 1) % 3] + np.uint32(s)
    return a, b


def words(counter: NDArray[np.uint64], stream: int, seed: int, step: int) -> tuple[Words, Words]:
    """Two random words for every counter."""
    key = ((seed ^ (seed >> 32)) & _MASK, stream)
    steps = np.full(counter.shape, step & _MASK, np.uint32)
    return threefry2x32(key, counter.astype(np.uint32), steps)


def _drawn(sample: Callable[[Words, Words], NDArray[np.float64]], shape: tuple[int, ...],
           stream: int, dtype: str, seed: int, step: int) -> NDArray[Any]:  # fmt: skip
    """`sample` of the words of every element of an array (a batch axis leading).

    Part by part, so that the two dozen intermediate arrays of the generator stay in the cache: the
    weights of a large net are drawn three times faster. On all processors, as the counters do not
    depend on each other.
    """
    count = prod(shape)
    result = np.empty(count, DTYPES[dtype])

    def draw(start: int) -> None:
        counter = np.arange(start, min(start + _PART, count), dtype=np.uint64)
        result[start : start + _PART] = sample(*words(counter, stream, seed, step))

    starts = range(0, count, _PART)
    if len(starts) < _MANY:
        for start in starts:
            draw(start)
    else:
        with ThreadPoolExecutor() as pool:
            list(pool.map(draw, starts))
    return result.reshape(shape)


def uniform(shape: tuple[int, ...], stream: int, dtype: str, seed: int, step: int) -> NDArray[Any]:
    """In [0, 1): 24 random bits in f32, 53 in f64."""

    def long(first: Words, second: Words) -> NDArray[np.float64]:
        high, low = first >> np.uint32(5), second >> np.uint32(6)
        return np.asarray((high * 67108864.0 + low) / 9007199254740992.0)

    short = dtype == "f32"
    return _drawn(
        lambda a, b: _bits24(a) if short else long(a, b), shape, stream, dtype, seed, step
    )


def normal(shape: tuple[int, ...], stream: int, dtype: str, seed: int, step: int) -> NDArray[Any]:
    """Standard normal by Box and Muller, √(−2 log u₁) cos 2πu₂, with u₁ in (0, 1].

    Both types use the same 24-bit u₁ and u₂; the arithmetic is f64 here, and rounded once.
    """

    def sample(first: Words, second: Words) -> NDArray[np.float64]:
        u1, u2 = 1 - _bits24(first), _bits24(second)
        return np.asarray(np.sqrt(-2 * np.log(u1)) * np.cos(2 * pi * u2))

    return _drawn(sample, shape, stream, dtype, seed, step)


def orthogonal(
    shape: tuple[int, ...], stream: int, dtype: str, seed: int, step: int
) -> NDArray[Any]:
    """Uniform over orthogonal matrices: QR of normals, with the signs of R moved into Q."""
    if len(shape) != 2:
        raise ShapeError(f"`orthogonal` makes matrices, not {list(shape)}", code="E327")
    rows, columns = shape
    tall = (max(shape), min(shape))
    q, r = np.linalg.qr(normal(tall, stream, "f64", seed, step))
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return np.ascontiguousarray(q if rows >= columns else q.T).astype(DTYPES[dtype])


def _bits24(word: Words) -> NDArray[np.float64]:
    return (word >> np.uint32(8)).astype(np.float64) * 2.0**-24
