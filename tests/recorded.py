"""Numbers of other libraries, as `tests/reference/*.npz` hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
FOLDER = Path(__file__).parent / "reference"


def numbers(file: str, case: str) -> dict[str, Arrays]:
    """The arrays of a case by what they are: given, param, result, factor, grad."""
    with np.load(FOLDER / f"{file}.npz", allow_pickle=False) as archive:
        record = archive[case]
    found: dict[str, Arrays] = {}
    for name in record.dtype.names:
        part, _, own = name.partition("/")
        found.setdefault(part, {})[own] = record[name]
    return found
