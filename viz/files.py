"""Pictures written whole or not at all.

In: a path and its bytes. Out: the file, complete, or the old one untouched. (`runtime` has the
same for what it writes; the two packages do not know each other.)
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..dsl.diagnostics import Failure, fail


def write(path: Path, data: bytes) -> Path:
    """All of it or nothing. Raises Failure."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from None
    return path


def _unwritable(path: Path, error: OSError) -> Failure:
    return fail("E544", f"cannot write `{path}`: {error.strerror}",
                help="choose another folder with `-o`")  # fmt: skip
