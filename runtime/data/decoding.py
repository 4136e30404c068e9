"""JPEG and PNG files as arrays of bytes, decoded by Pillow in several threads.

In: image files and how they are wanted. Out: u8 [n, C, H, W]: all at once, kept in the user's cache
folder where that took long, or (for a set that memory does not hold) as they are asked for. Pillow
releases Python's lock while it decodes.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .. import kernel_cache
from ..files import write_atomically
from .arguments import Given
from .arrays import map_npy
from .image_files import LARGEST, ImageFiles

Bytes = NDArray[np.uint8]
Progress = Callable[[str, int, int], None]  # what, how many are done, of how many

PIXELS = 1 << 26  # in one picture: 8192 × 8192
AT_ONCE = 64  # pictures that a thread decodes before it says so
WORTH_KEEPING = 3.0  # seconds of decoding
KEPT_FILE, KEPT_ALL = 2 << 30, 4 << 30  # bytes of one decoded set, and of all, in the cache
_FORMATS = ("JPEG", "PNG")


class BadPicture(Exception):
    """A file that is no picture; the text says why."""


@dataclass(frozen=True)
class Wanted:
    """How pictures are wanted; without a size they stay as they are."""

    channels: int
    size: tuple[int, int] | None  # height, width

    @property
    def mode(self) -> str:
        return "L" if self.channels == 1 else "RGB"


def picture(data: bytes, wanted: Wanted) -> Bytes:
    """One file as [C, H, W]. Raises BadPicture."""
    if len(data) > LARGEST:
        raise BadPicture("the file is too large")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
            width, height = opened.size
            if width * height > PIXELS:
                raise BadPicture(f"{width} × {height} pixels are too many")
            return _array(opened, wanted)
    except BadPicture:
        raise
    except PIL.UnidentifiedImageError:
        raise BadPicture("it is not a JPEG or PNG image") from None
    except Exception as error:  # the decoders raise at least eight kinds on damaged files
        raise BadPicture(" ".join(str(error).split())[:120] or type(error).__name__) from error


def _array(opened: Image.Image, wanted: Wanted) -> Bytes:
    image = opened
    if wanted.size is not None:
        most = 2 * max(wanted.size)
        opened.draft(wanted.mode, (most, most))  # JPEG decodes at 1/2, 1/4, 1/8 by itself
    if "exif" in opened.info:
        image = ImageOps.exif_transpose(opened)  # a camera held sideways
    if image.mode.startswith("I"):  # 16 bits: the upper eight
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode == "P":
        image = image.convert("RGBA")
    if image.mode != wanted.mode:
        image = image.convert(wanted.mode)
    if wanted.size is not None and image.size != wanted.size[::-1]:
        image = ImageOps.fit(image, wanted.size[::-1], Image.Resampling.BILINEAR)
    array: Bytes = np.asarray(image, np.uint8)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


class Decoder:
    """The pictures of a tree, decoded in threads."""

    def __init__(self, files: ImageFiles, wanted: Wanted, given: Given) -> None:
        self.files, self.wanted, self.given = files, wanted, given
        first = self.one(0)
        self.shape: tuple[int, int, int] = (first.shape[0], first.shape[1], first.shape[2])

    def one(self, k: int) -> Bytes:
        """Picture number k. Raises Failure E425."""
        try:
            return picture(self.files.tree.read(self.files.entries[k]), self.wanted)
        except (BadPicture, OSError, RuntimeError, ValueError) as error:
            message = f"cannot decode `{self.files.name(k)}`: {error}"
            way_out = "fetch the file again, or remove it"
            raise self.given.fail("E425", message, "path", help=way_out) from error
        except Exception as error:  # zipfile and zlib raise their own kinds on damaged archives
            message = f"cannot read `{self.files.name(k)}`: {error}"
            raise self.given.fail("E425", message, "path", help="fetch it again") from error

    def into(self, out: Bytes, numbers: NDArray[np.int64]) -> None:
        """Decode some pictures side by side. Raises Failure E424 where sizes differ."""
        for row, k in enumerate(numbers):
            found = self.one(int(k))
            if found.shape != out.shape[1:]:
                raise self._other_size(int(k), found)
            out[row] = found

    def _other_size(self, k: int, found: Bytes) -> Exception:
        (h, w), (height, width) = found.shape[1:], self.shape[1:]
        return self.given.fail(
            "E424",
            f"images differ in size: `{self.files.name(0)}` is {height} × {width}, "
            f"`{self.files.name(k)}` is {h} × {w}",
            "path",
            help=f"give all of them one size: `size = [{height}, {width}]`",
        )

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_threads(), thread_name_prefix="chainrule-decode")

    def each(self, out: Bytes, numbers: NDArray[np.int64]) -> Iterator[int]:
        """Fill `out` with many threads; yields how many are done, in order."""
        starts = range(0, len(numbers), AT_ONCE)
        tasks = [
            self._pool.submit(self.into, out[s : s + AT_ONCE], numbers[s : s + AT_ONCE])
            for s in starts
        ]
        try:
            for start, task in zip(starts, tasks, strict=True):
                task.result()
                yield min(start + AT_ONCE, len(numbers))
        finally:
            for task in tasks:
                task.cancel()

    def all(self, progress: Progress | None) -> Bytes:
        """Every picture, from the cache folder if they have been decoded before."""
        kept = self._place()
        count = len(self.files)
        whole = (count, *self.shape)
        found = _kept(kept, whole)
        if found is not None:
            return found
        out = np.empty(whole, np.uint8)
        began = time.monotonic()
        for done in self.each(out, np.arange(count)):
            if progress is not None:
                progress(f"decoding {self.files.tree.path.name}", done, count)
        if kept is not None and time.monotonic() - began > WORTH_KEEPING:
            _keep(kept, out)
        return out

    def _place(self) -> Path | None:
        """Where these pictures are kept: a name that changes when a file does."""
        facts = f"1 {PIL.__version__} {self.wanted} {self.files.digest()}"
        with suppress(OSError):
            return folder() / f"{hashlib.sha256(facts.encode()).hexdigest()[:32]}.npy"
        return None


class Lazy:
    """Pictures that are decoded when they are asked for."""

    dtype = np.dtype(np.uint8)

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.shape = (len(decoder.files), *decoder.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any, /) -> Bytes:
        numbers = np.arange(len(self), dtype=np.int64)[index]
        out = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        for _ in self._decoder.each(out, numbers):
            pass
        return out


def _threads() -> int:
    """As many as this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# ---------------------------------------------------------------- the cache folder


def folder() -> Path:
    """Where decoded sets are kept, for this user alone."""
    path = kernel_cache.root() / "images"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def _kept(path: Path | None, shape: tuple[int, ...]) -> Bytes | None:
    """A set decoded before, as a memory map; None where there is none that can be used."""
    if path is None or not path.is_file():
        return None
    try:
        found = map_npy(path, None)
    except Exception:  # damaged: it is decoded anew
        return None
    if found.shape != shape or found.dtype != np.uint8:
        return None
    with suppress(OSError):
        os.utime(path)  # used now: the oldest goes first
    return found


def _keep(path: Path, pictures: Bytes) -> None:
    """Put a set into the cache; the ones used least lately make room. Not being able to is no
    mistake of the user's."""
    if pictures.nbytes > KEPT_FILE:
        return
    with suppress(Exception):
        others = sorted(path.parent.glob("*.npy"), key=lambda p: p.stat().st_mtime)
        total = pictures.nbytes + sum(p.stat().st_size for p in others)
        for old in others:
            if total <= KEPT_ALL:
                break
            total -= old.stat().st_size
            old.unlink()
        write_atomically(path, lambda file: np.lib.format.write_array(file, pictures))
