"""Files written whole or not at all.

In: a path and what to put there. Out: the file, complete, or the old one untouched. The new text
goes to a temporary file in the same folder, reaches the disk, and then takes the name in one step.
What the contents mean is left to the callers.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..dsl.diagnostics import Failure, fail


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Call `write` on a temporary file that becomes `path` when all of it is on the disk.

    Raises `Failure` E544 when that is not possible; `path` then still holds what it held.
    """
    if path.exists() and not path.is_file():
        raise fail("E544", f"cannot write `{path}`: it is not a regular file")
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode(path))
        os.replace(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # already gone when it took the name
    _flush_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """`write_atomically` for a text, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """`write_atomically` for what is already in memory."""

    def write(file: BinaryIO) -> None:
        file.write(data)

    write_atomically(path, write)


def append_text(path: Path, text: str) -> None:
    """Add whole lines at the end of a file, in one write."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(text.encode("utf-8"))
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> Failure:
    reason = error.strerror or str(error)
    return fail(
        "E544",
        f"cannot write `{path}`: {reason}",
        help="nothing was overwritten; free some space or choose another folder",
    )


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced, else those that `open` would give."""
    with contextlib.suppress(OSError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _flush_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system can (not on Windows)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
