"""Threefry-2x32-20 on vectors of counters (Salmon, Moraes, Dror & Shaw, SC 2011).

In: seed, stream, step as 64-bit integers, and a vector of element counters. Out: numbers in [0,
1) or standard normal. The definition is that of `compiler/random.py`: the same numbers on every
target.
"""

from __future__ import annotations

from math import factorial, pi
from typing import Any

from llvmlite import ir

from .functions import circle, horner, log
from .lanes import I32, I64, X, ramp, splat, vector

ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA
# sin 2πq / q = Σ (−1)ᵏ (2π)²ᵏ⁺¹ q²ᵏ / (2k + 1)!, cut at 6·10⁻¹⁰ for |q| ≤ ¼; highest power first
_SINE = [(-1) ** k * (2 * pi) ** (2 * k + 1) / factorial(2 * k + 1) for k in range(6, -1, -1)]


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
    """Box and Muller: √(−2 log u₁)·cos 2πu₂ with u₁ in (0, 1].

    In f32, cos 2πu = −sin 2πq with q = ¼ − |u − ½|: exact for the 24 bits of u, and within a
    quarter turn, so that a short series is enough. An angle rounded to f32 would cost its last
    digits.
    """
    u1 = 1 - _unsigned(pair[0] >> 8, dtype) * 2.0**-24
    u2 = _unsigned(pair[1] >> 8, dtype) * 2.0**-24
    radius = (log(u1) * -2).sqrt()
    if dtype == "f64":
        return radius * circle(u2 * 6.283185307179586, 1)
    q = 0.25 - (u2 - 0.5).magnitude()
    return -radius * (horner(q * q, _SINE) * q)
