"""Random draws in the text of a CUDA kernel: Threefry-2x32-20, the generator of
`compiler/random.py`.

Written out in line, for a device function of its own would need a GPU to be compiled for. The
header of the arena (view `i64`) holds the seed at 0 and the step at 1. Every sum is cut to 32
bits by `np.uint32`, because Numba makes the sum of two uint32 a uint64.
"""

from __future__ import annotations

from math import factorial, pi

from ..random import PARITY, ROTATIONS
from .cuda_writer import Text

# sin 2πq / q = Σ (−1)ᵏ (2π)²ᵏ⁺¹ q²ᵏ / (2k + 1)!, cut at 6·10⁻¹⁰ for |q| ≤ ¼.
_SINE = tuple((-1) ** k * (2 * pi) ** (2 * k + 1) / factorial(2 * k + 1) for k in range(7))
_WORD24 = "np.uint32({word} >> np.uint32(8))"
_BITS24 = "np.float64(" + _WORD24 + ") * 5.9604644775390625e-08"  # 2^-24


def draw(out: Text, name: str, function: str, stream: int, counter: str, dtype: str) -> None:
    """`name` = a number from `uniform` or `normal` at that counter (an expression of an int64)."""
    _words(out, name, stream, counter)
    a, b = f"{name}_a", f"{name}_b"
    if function == "normal" and dtype == "f32":
        value = _normal_f32(out, name)
    elif function == "normal":  # Box and Muller, as the reference
        out.line(f"{name}_u = 1.0 - {_BITS24.format(word=a)}")
        out.line(f"{name}_v = {_BITS24.format(word=b)}")
        value = f"math.sqrt(-2.0 * math.log({name}_u)) * math.cos(6.283185307179586 * {name}_v)"
    elif dtype == "f32":
        value = f"np.float32({_WORD24.format(word=a)}) * np.float32(5.9604645e-08)"
    else:  # 53 bits: 27 of the first word, 26 of the second
        out.line(f"{name}_u = np.uint32({a} >> np.uint32(5)) * 67108864.0")
        out.line(f"{name}_v = np.uint32({b} >> np.uint32(6)) * 1.0")
        value = f"({name}_u + {name}_v) * 1.1102230246251565e-16"  # 2^-53
    out.line(f"{name} = {'np.float32' if dtype == 'f32' else 'np.float64'}({value})")


def _normal_f32(out: Text, name: str) -> str:
    """Box and Muller without a double, which many GPUs compute slowly.

    cos 2πv = −sin 2πq with q = ¼ − |v − ½|: exact for the 24 bits of v, and within a quarter turn,
    so that a short series is as good as the function (whose PTX has doubles for great angles).
    """
    q, s, p = f"{name}_q", f"{name}_s", f"{name}_p"
    scale = "np.float32(5.9604645e-08)"
    for word, number in ((f"{name}_a", "u"), (f"{name}_b", "v")):
        drawn = f"np.float32({_WORD24.format(word=word)}) * {scale}"
        out.line(f"{name}_{number} = {'np.float32(1.0) - ' if number == 'u' else ''}{drawn}")
    out.line(f"{q} = np.float32(0.25) - np.float32(abs({name}_v - np.float32(0.5)))")
    out.line(f"{s} = {q} * {q}")
    out.line(f"{p} = np.float32({_SINE[-1]!r})")
    for c in reversed(_SINE[:-1]):
        out.line(f"{p} = {p} * {s} + np.float32({c!r})")
    long = f"np.float32(math.sqrt(np.float32(-2.0) * np.float32(math.log({name}_u))))"
    return f"-({long} * ({q} * {p}))"


def _words(out: Text, name: str, stream: int, counter: str) -> None:
    """Two random words, `name_a` and `name_b`."""
    a, b, key = f"{name}_a", f"{name}_b", f"{name}_k"
    out.line(f"# Threefry-2x32, 20 rounds: key (seed, stream {stream}), counter (element, step)")
    out.line(f"{key}0 = np.uint32((i64[0] ^ (i64[0] >> 32)) & 0xFFFFFFFF)")
    out.line(f"{key}1 = np.uint32({stream & 0xFFFFFFFF})")
    out.line(f"{key}2 = np.uint32({key}0 ^ {key}1 ^ np.uint32({PARITY:#x}))")
    out.line(f"{a} = np.uint32(np.uint32(({counter}) & 0xFFFFFFFF) + {key}0)")
    out.line(f"{b} = np.uint32(np.uint32(i64[1] & 0xFFFFFFFF) + {key}1)")
    for r in range(20):
        turn = ROTATIONS[r % 8]
        out.line(f"{a} = np.uint32({a} + {b})")
        turned = f"({b} << np.uint32({turn})) | ({b} >> np.uint32({32 - turn}))"
        out.line(f"{b} = np.uint32(({turned}) ^ {a})")
        if r % 4 == 3:
            s = r // 4 + 1
            out.line(f"{a} = np.uint32({a} + {key}{s % 3})")
            out.line(f"{b} = np.uint32(np.uint32({b} + {key}{(s + 1) % 3}) + np.uint32({s}))")
