"""Threefry-2x32-20 on vectors of counters (Salmon, Moraes, Dror & Shaw, SC 2011).

In: seed, stream, step as 64-bit integers, and a vector of element counters. Out: numbers in [0,
1) or standard normal. The definition is that of `compiler/random.py`: the same numbers on every
target.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from .functions import circle, log
from .lanes import I32, I64, X, convert, ramp, splat, vector

ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA


def _rotate(x: X, bits: int) -> X:
    return (x << bits) | (x >> (32 - bits))


def encrypt(key: tuple[X, X], x0: X, x1: X) -> tuple[X, X]:
    """Twenty rounds; the key is added before, and after every fourth."""
    keys = (*key, key[0] ^ key[1] ^ PARITY)
    a, b = x0 + keys[0], x1 + keys[1]
    for r in range(20):
        a = a + b
        b = _rotate(b, ROTATIONS[r % 8]) ^ a
        if r % 4 == 3:
            s = r // 4 + 1
            a = a + keys[s % 3]
            b = b + keys[(s + 1) % 3] + s
    return a, b


def words(
    b: ir.IRBuilder, lanes: int, seed: Any, stream: Any, step: Any, first: Any
) -> tuple[X, X]:
    """Two words for each of the counters first, first + 1, …; the arguments are int64."""
    folded = b.xor(seed, b.lshr(seed, ir.Constant(I64, 32)))
    key = (splat(b, b.trunc(folded, I32), lanes), splat(b, b.trunc(stream, I32), lanes))
    counter = splat(b, b.trunc(first, I32), lanes) + ramp(b, lanes)
    return encrypt(key, counter, splat(b, b.trunc(step, I32), lanes))


def _unsigned(word: X, dtype: str) -> X:
    return X(word.b, word.b.uitofp(word.v, vector(dtype, word.lanes)))


def uniform(dtype: str, pair: tuple[X, X]) -> X:
    """24 bits of the first word for f32, 53 bits of both for f64."""
    first, second = pair
    if dtype == "f32":
        return _unsigned(first >> 8, "f32") * 2.0**-24
    return _unsigned(first >> 5, "f64").fma(67108864.0, _unsigned(second >> 6, "f64")) * 2.0**-53


def normal(dtype: str, pair: tuple[X, X]) -> X:
    """Box and Muller: √(−2 log u₁)·cos 2πu₂ with u₁ in (0, 1]."""
    u1 = 1 - _unsigned(pair[0] >> 8, dtype) * 2.0**-24
    turn = _unsigned(pair[1] >> 8, "f64") * (2.0**-24 * 6.283185307179586)
    # In f64 for both types: an angle rounded to f32 would cost its last digits.
    return (log(u1) * -2).sqrt() * convert(circle(turn, 1), dtype)
