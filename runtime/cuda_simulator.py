"""What Numba's CUDA simulator needs to run our kernels well.

In the simulator every CUDA thread is a Python thread. They should change places often, overflows
are part of the arithmetic, `math` must give infinities instead of exceptions, and a shared array
must really be made once. On a GPU, nothing here does anything.
"""

from __future__ import annotations

import importlib
import math
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from .cuda_toolkit import simulated

_running = threading.RLock()
_making = threading.Lock()


@contextmanager
def simulation() -> Iterator[None]:
    """Around launches."""
    if not simulated():
        yield
        return
    with _running, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            _guard_shared_arrays()
            yield
        finally:
            sys.setswitchinterval(interval)


def simulated_math() -> SimpleNamespace:
    """`math` as a device knows it."""
    names = ("exp", "expm1", "log", "log1p", "sqrt", "tanh", "sin", "cos", "floor")
    return SimpleNamespace(erf=math.erf, **{n: getattr(np, n) for n in names})


def _guard_shared_arrays() -> None:
    """Make `cuda.shared.array` safe between threads. The simulator looks a line up and, if nothing
    is there, makes an array: two threads of a block that do so at one time would work on two."""
    kernelapi: Any = importlib.import_module("numba.cuda.simulator.kernelapi")
    kernelapi.FakeCUDAShared.array = _shared_array


def _shared_array(self: Any, shape: Any, dtype: Any, alignment: int | None = None) -> Any:
    """The array of the calling line: the same for all threads of a block."""
    caller = sys._getframe(1)
    place = caller.f_code.co_filename, caller.f_lineno
    with _making:
        if place not in self._allocations:
            self._allocations[place] = np.empty(shape, dtype)
        return self._allocations[place]
