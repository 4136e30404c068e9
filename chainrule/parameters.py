"""A net's parameters and states as a dictionary of arrays, read and written by name."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .dsl.diagnostics import did_you_mean, fail

if TYPE_CHECKING:
    from .runtime.session import Session


class Parameters(MutableMapping[str, NDArray[Any]]):
    """`model.parameters["h.W"]` is a copy; assigning one of the same shape changes the net.

    Names cannot be added or removed: the `.net` file says which there are.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getitem__(self, name: str) -> NDArray[Any]:
        return np.array(self._session.values[self._known(name)])

    def __setitem__(self, name: str, array: Any) -> None:
        held = self._session.values[self._known(name)]
        values = np.asarray(array)
        if values.shape != held.shape:
            message = f"`{name}` has shape {list(held.shape)}, got {list(values.shape)}"
            raise fail("E610", message)
        self._session.values[name] = values.astype(held.dtype)

    def __delitem__(self, name: str) -> None:
        raise TypeError("parameters cannot be removed: the .net file says which there are")

    def __iter__(self) -> Iterator[str]:
        return iter(self._session.values)

    def __len__(self) -> int:
        return len(self._session.values)

    def __repr__(self) -> str:
        rows = [f"  {n}: {list(a.shape)} {a.dtype}" for n, a in self._session.values.items()]
        return "\n".join(["parameters", *rows])

    def _known(self, name: str) -> str:
        if name not in self._session.values:
            near = did_you_mean(name, self._session.values)
            known = ", ".join(f"`{n}`" for n in list(self._session.values)[:12])
            raise fail("E610", f"there is no parameter `{name}`", help=near or f"there are {known}")
        return name
