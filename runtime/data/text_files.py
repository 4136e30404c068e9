"""Text files, plain or packed by gzip, as one text or line by line.

In: a path. Out: text in one form (NFC, `\\n`), or E427 for what is no text (with its line) and E428
for a packed file that grows beyond all reason. Every size is checked before memory is taken.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from .arguments import Given
from .memory import check_fits, readable
from .places import unreadable
from .vocabulary import cleaned

LARGEST = 2 << 30  # bytes of a text
UNCHECKED = 16 << 20  # bytes that a packed file may grow to without a look at how much that is
RATIO = 200  # text shrinks to a quarter when packed, tables of numbers to a tenth
LONGEST_LINE = 1 << 20  # characters
IN_MEMORY = 16  # bytes for each byte of the file: the text, and its tokens on the way to numbers
_GZIP = b"\x1f\x8b"
_STEP = 1 << 20


def read_text(path: Path, given: Given, at: str, lower: bool = False) -> str:
    """A whole file, cleaned; `at` is the argument that complaints point at."""
    data = read_bytes(path, given, at)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise given.fail(
            "E427",
            f"`{path}`, line {line}: byte {data[error.start]:#04x} is not UTF-8",
            at,
            help="save the file as UTF-8",
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise given.fail("E427", f"`{path}`, line {line}: a zero byte: this is not a text", at)
    return cleaned(text, lower)


def read_lines(path: Path, given: Given, at: str, lower: bool = False) -> list[str]:
    """The lines of a file; the end of the last one may be missing."""
    text = read_text(path, given, at, lower)
    if not text.strip():
        raise given.fail("E427", f"`{path}` is empty", at)
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        if len(line) > LONGEST_LINE:
            message = f"`{path}`, line {number} has {len(line):,} characters"
            raise given.fail("E427", message, at, help="one sentence on each line is expected")
    return lines


def read_bytes(path: Path, given: Given, at: str) -> bytes:
    """The bytes of a file, unpacked."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
            if packed:
                return _unpacked(path, size, given, at)
            _check_size(path, size, given, at)
            file.seek(0)
            return file.read(LARGEST)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        reason = "it ends too early" if isinstance(error, EOFError) else str(error)
        raise given.fail(
            "E405",
            f"`{path}` is a damaged gzip file: {reason}",
            at,
            help="fetch the file again; a broken download is the usual cause",
        ) from error
    except OSError as error:
        raise unreadable(given, at, path, error) from error


def _check_size(path: Path, size: int, given: Given, at: str) -> None:
    if size > LARGEST:
        message = f"`{path}` is {readable(size)}, and a text is at most {readable(LARGEST)}"
        raise given.fail("E427", message, at, help="take a part of it")
    check_fits(IN_MEMORY * size, f"`{path.name}` as numbers", given.place(at), "take a part of it")


def _unpacked(path: Path, packed: int, given: Given, at: str) -> bytes:
    """The contents of a gzip file, read in pieces: nobody knows how long it is before."""
    found = bytearray()
    with gzip.open(path) as file:
        while piece := file.read(_STEP):
            found += piece
            if len(found) > UNCHECKED and len(found) > RATIO * packed:
                raise given.fail(
                    "E428",
                    f"`{path}` is {readable(packed)} and unpacks to more than "
                    f"{readable(len(found))}: no text shrinks so much",
                    at,
                    help="if it is meant to be so, unpack it and name the plain file",
                )
            if len(found) > UNCHECKED:
                _check_size(path, len(found), given, at)
    return bytes(found)
