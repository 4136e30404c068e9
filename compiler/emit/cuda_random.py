"""Random draws in the text of a CUDA kernel: Threefry-2x32-20, the generator of
`compiler/random.py`.

Written out in line, for a device function of its own would need a GPU to be compiled for. The
header of the arena (view `i64`) holds the seed at 0 and the step at 1. Every sum is cut to 32
bits by `np.uint32`, because Numba makes the sum of two uint32 a uint64.
"""

from __future__ import annotations

from ..random import PARITY, ROTATIONS
from .cuda_writer import Text

_WORD24 = "np.uint32({word} >> np.uint32(8))"
_BITS24 = "np.float64(" + _WORD24 + ") * 5.9604644775390625e-08"  # 2^-24


def draw(out: Text, name: str, function: str, stream: int, counter: str, dtype: str) -> None:
    """`name` = a number from `uniform` or `normal` at that counter (an expression of an int64)."""
    _words(out, name, stream, counter)
    a, b = f"{name}_a", f"{name}_b"
    if function == "normal":  # Box and Muller, in f64 and rounded once, as the reference does
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
