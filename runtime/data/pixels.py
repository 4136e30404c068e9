"""Pixels on their way into a net: moved, lit, normalised, by one compiled loop.

In: pictures [N, C, H, W] as bytes or f32, which of them, and what is drawn for each. Out: f32
[n, C, h, w], `(value − shift) / scale`. Whole-pixel moves copy; other maps read four neighbours
(bilinear), and what lies outside a picture is 0. The loop runs without Python's lock, so that a
thread prepares examples while a net learns.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernel_cache, machine_code
from .transforms import Drawn

Array = NDArray[Any]
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma of red, green, blue
_NONE = np.zeros(0)
ARGUMENTS = 19  # of `work`: int64 each, addresses and sizes alike


def render(
    pictures: Array, which: NDArray[np.int64], drawn: Drawn, shift: Array, scale: Array
) -> NDArray[np.float32]:
    """Pictures [N, C, H, W] at `which`, changed as drawn. `shift` and `scale`, in the units of
    the pictures, are [1], [C] or [C·h·w]. A cut hole is 0 in the result."""
    dtype = "u8" if pictures.dtype == np.uint8 else "f32"
    raw = np.ascontiguousarray(pictures, np.uint8 if dtype == "u8" else np.float32)
    rows = np.ascontiguousarray(which, np.int64)
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(raw)):
        raise IndexError("no such picture")
    channels, height, width = raw.shape[1:]
    h, w = drawn.extent
    out = np.empty((len(rows), channels, h, w), np.float32)
    per = shift.size
    if per not in (1, channels, channels * h * w):
        raise ValueError(f"{per} means for pictures of {channels} × {h} × {w}")
    maps = np.ascontiguousarray(drawn.maps, np.float64)
    shifts, scales = (np.ascontiguousarray(a.ravel(), np.float32) for a in (shift, scale))
    light = np.ascontiguousarray(_NONE if drawn.light is None else drawn.light, np.float32)
    holes = np.ascontiguousarray(_NONE if drawn.holes is None else drawn.holes, np.int32)
    _kernel(dtype)(
        raw.ctypes.data, rows.ctypes.data, len(rows), channels, height, width,
        out.ctypes.data, h, w, maps.ctypes.data, int(drawn.exact),
        light.ctypes.data, int(drawn.light is not None),
        holes.ctypes.data, int(drawn.holes is not None),
        shifts.ctypes.data, scales.ctypes.data, per, 255 if dtype == "u8" else 0,
    )  # fmt: skip
    return out


# ---------------------------------------------------------------- the loop


def _define(element: str) -> Any:
    """The loop for pictures of bytes or of f32, compiled.

    Bare pointers, and nothing that can raise: such code stands without Numba, and is kept.
    """
    import numba
    from numba import types

    red, green, blue = (np.float32(g) for g in GREY)
    zero, one = np.float32(0), np.float32(1)
    # Inlined, so that no call is left whose failure would have to be told.
    word: Callable[[Any], Any] = numba.njit(error_model="numpy", forceinline=True)

    @word
    def copy(src: Any, at: int, dst: Any, to: int, size: Any, m: Any, row: int) -> None:
        """Whole pixels: row y is row a·y + c of the source, where it has one."""
        channels, height, width, h, w = size
        a, c = int(m[row]), int(np.rint(m[row + 2]))
        e, f = int(m[row + 4]), int(np.rint(m[row + 5]))
        left, right = (-f, width - f) if e > 0 else (f - width + 1, f + 1)
        left = min(max(left, 0), w)
        right = max(min(right, w), left)
        for k in range(channels):
            for y in range(h):
                sy, new = a * y + c, to + (k * h + y) * w
                if sy < 0 or sy >= height:
                    for x in range(w):
                        dst[new + x] = zero
                    continue
                old = at + (k * height + sy) * width + f
                for x in range(left):
                    dst[new + x] = zero
                for x in range(right, w):
                    dst[new + x] = zero
                if e > 0:
                    for x in range(left, right):
                        dst[new + x] = np.float32(src[old + x])
                else:
                    for x in range(left, right):
                        dst[new + x] = np.float32(src[old - x])

    @word
    def bend(src: Any, at: int, dst: Any, to: int, size: Any, m: Any, row: int) -> None:
        """Bilinear: the weighted mean of the four pixels around a place."""
        channels, height, width, h, w = size
        plane = height * width
        for y in range(h):
            for x in range(w):
                new = to + y * w + x
                sy = m[row] * y + m[row + 1] * x + m[row + 2]
                sx = m[row + 3] * y + m[row + 4] * x + m[row + 5]
                if not (sy > -1.0 and sy < height and sx > -1.0 and sx < width):
                    for k in range(channels):
                        dst[new + k * h * w] = zero
                    continue
                iy, ix = int(sy + 1.0) - 1, int(sx + 1.0) - 1  # floor, as sy + 1 > 0
                v, u = np.float32(sy - iy), np.float32(sx - ix)
                if iy >= 0 and ix >= 0 and iy < height - 1 and ix < width - 1:
                    for k in range(channels):
                        old = at + k * plane + iy * width + ix
                        p, q = np.float32(src[old]), np.float32(src[old + 1])
                        r, s = np.float32(src[old + width]), np.float32(src[old + width + 1])
                        top, low = p + u * (q - p), r + u * (s - r)
                        dst[new + k * h * w] = top + v * (low - top)
                    continue
                for k in range(channels):
                    total = zero
                    for dy in range(2):
                        for dx in range(2):
                            if 0 <= iy + dy < height and 0 <= ix + dx < width:
                                weight = (v if dy else one - v) * (u if dx else one - u)
                                old = at + k * plane + (iy + dy) * width + ix + dx
                                total += weight * np.float32(src[old])
                    dst[new + k * h * w] = total

    @word
    def within(value: Any, limit: Any) -> Any:
        """A byte's range, where the source is bytes."""
        return min(max(value, zero), limit) if limit > zero else value

    @word
    def relight(dst: Any, to: int, channels: int, n: int, bright: Any, more: Any, top: Any) -> None:
        """value·b, then mean + c·(value − mean), where mean is the picture's mean grey."""
        for p in range(to, to + channels * n):
            dst[p] = within(dst[p] * bright, top)
        if more == one:
            return
        total = 0.0
        for p in range(to, to + n):
            if channels == 3:
                total += red * dst[p] + green * dst[p + n] + blue * dst[p + 2 * n]
            else:
                for k in range(channels):
                    total += dst[p + k * n] / np.float32(channels)
        mean = np.float32(total / n)
        for p in range(to, to + channels * n):
            dst[p] = within(mean + more * (dst[p] - mean), top)

    @word
    def norm(dst: Any, to: int, channels: int, n: int, shift: Any, scale: Any, per: int) -> None:
        """(value − shift) / scale, with one of each for all, for a channel, or for a pixel."""
        for k in range(channels):
            start = to + k * n
            if per <= channels:
                less, by = shift[k % per], scale[k % per]
                for p in range(start, start + n):
                    dst[p] = (dst[p] - less) / by
            else:
                for p in range(n):
                    dst[start + p] = (dst[start + p] - shift[k * n + p]) / scale[k * n + p]

    @word
    def cut(dst: Any, to: int, size: Any, holes: Any, row: int) -> None:
        channels, _, _, h, w = size
        for k in range(channels):
            for y in range(holes[row], holes[row + 2]):
                for x in range(holes[row + 1], holes[row + 3]):
                    dst[to + (k * h + y) * w + x] = zero

    def work(
        raw: Any, which: Any, n: int, channels: int, height: int, width: int,
        out: Any, h: int, w: int, maps: Any, exact: int, light: Any, lit: int,
        holes: Any, holed: int, shift: Any, scale: Any, per: int, limit: int,
    ) -> None:  # fmt: skip
        size = (channels, height, width, h, w)
        top = np.float32(limit)
        for i in range(n):
            at, to = which[i] * channels * height * width, i * channels * h * w
            if exact:
                copy(raw, at, out, to, size, maps, 6 * i)
            else:
                bend(raw, at, out, to, size, maps, 6 * i)
            if lit:
                relight(out, to, channels, h * w, light[2 * i], light[2 * i + 1], top)
            norm(out, to, channels, h * w, shift, scale, per)
            if holed:
                cut(out, to, size, holes, 4 * i)

    at: Any = types.CPointer
    size = types.int64
    real = at(types.float32)
    signature = types.void(
        at(types.uint8) if element == "u8" else real, at(size), size, size, size, size,
        real, size, size, at(types.float64), size, real, size,
        at(types.int32), size, real, real, size, size,
    )  # fmt: skip
    return numba.cfunc(signature, error_model="numpy")(work)


_compiled: list[Any] = []  # what Numba compiled lives as long as its objects


@cache
def _kernel(element: str) -> Callable[..., None]:
    """The loop, from the disk where it has been compiled before. ctypes lets other threads run."""
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * ARGUMENTS)
    text = Path(__file__).read_bytes()
    digest = hashlib.sha256(element.encode() + text).hexdigest()[:24]
    code = kernel_cache.folder() / f"pixels_{digest}.o"
    try:
        return kind(machine_code.link(code))
    except (OSError, ValueError, RuntimeError):
        function = _define(element)
        _compiled.append(function)
        machine_code.keep(code, function)
        return kind(int(function.address))
