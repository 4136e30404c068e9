"""Arrays as small pictures: each number a dot, many images side by side, as PNG in a data URI.

In: an array. Out: width, height and the URI; None where a picture would say nothing or be too
large. Blue is below nothing, orange above, white is nothing; numbers that are never negative go
from black to white. Pure NumPy and zlib, so that the same numbers are the same bytes.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 50_000  # dots
LEAST = 12  # numbers
GAP = 255  # the transparent colour between images
TOP = 254
COLD, WARM = (0, 90, 160), (213, 94, 0)


@dataclass(frozen=True)
class Pixels:
    """A picture. `signed` tells which colours it has, `reach` what the strongest one means."""

    width: int
    height: int
    uri: str
    signed: bool
    reach: float


def pixels(array: NDArray[Any]) -> Pixels | None:
    """The numbers as a picture."""
    sheet = _sheet(np.asarray(array, dtype=float))
    if sheet is None or not array.size >= LEAST or sheet.size > MOST:
        return None
    finite = np.isfinite(sheet)
    reach = float(np.max(np.abs(sheet), where=finite, initial=0.0))
    signed = bool(np.min(sheet, where=finite, initial=0.0) < 0)
    scaled = np.where(finite, sheet, 0.0) / (reach or 1.0)
    level = (scaled + 1) / 2 if signed else scaled
    index = np.where(finite, np.rint(level * TOP), GAP).astype(np.uint8)
    data = _png(index, _diverging() if signed else _grey())
    uri = "data:image/png;base64," + base64.b64encode(data).decode()
    return Pixels(index.shape[1], index.shape[0], uri, signed, reach)


def _sheet(a: NDArray[Any]) -> NDArray[Any] | None:
    """Two axes: images side by side, with gaps (NaN) between."""
    if a.ndim < 2:
        return a.reshape(1, -1) if a.ndim == 1 else None
    if a.ndim == 2:
        return a
    rows = a.shape[0] if a.ndim == 4 and a.shape[0] * a.shape[1] > 1 else None
    images = a.reshape(-1, *a.shape[-2:])
    count, high, wide = images.shape
    across = a.shape[1] if rows else math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    sheet = np.full((down * (high + 1) - 1, across * (wide + 1) - 1), np.nan)
    for k, image in enumerate(images):
        y, x = k // across * (high + 1), k % across * (wide + 1)
        sheet[y : y + high, x : x + wide] = image
    return sheet


def _grey() -> NDArray[np.uint8]:
    level = np.rint(np.linspace(0, 255, TOP + 1)).astype(np.uint8)
    return np.stack([level] * 3, axis=1)


def _diverging() -> NDArray[np.uint8]:
    """Blue, white, orange: told apart by the colour-blind too."""
    half = np.linspace(0, 1, TOP // 2 + 1)[:, None]
    below = np.array(COLD) * (1 - half) + 255 * half
    above = 255 * (1 - half) + np.array(WARM) * half
    found: NDArray[np.uint8] = np.rint(np.concatenate([below, above[1:]])).astype(np.uint8)
    return found


def _png(index: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    high, wide = index.shape
    colours = np.concatenate([palette, np.zeros((256 - len(palette), 3), np.uint8)])
    rows = np.concatenate([np.zeros((high, 1), np.uint8), index], axis=1)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, 3, 0, 0, 0)),
        (b"PLTE", colours.tobytes()),
        (b"tRNS", b"\xff" * GAP + b"\0"),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*p) for p in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
