"""Numba's CUDA, when it is there: import, simulator, free memory, and what is said when it is not.

In: nothing. Out: the module `numba.cuda`, or a `Failure` that names what is missing and the way
out. Numba is imported only when one of these functions is called.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from typing import Any

from ..dsl.diagnostics import Failure, fail

_HELP = "run on the CPU with `--device cpu`"


def toolkit() -> Any:
    """`numba.cuda` (which needs no GPU to be imported). Raises Failure E520 where it is missing."""
    if importlib.util.find_spec("numba_cuda") is None:
        raise fail(
            "E520",
            "CUDA needs the package `numba-cuda`, which is not installed",
            help=f"`pip install 'chainrule[cuda]'` adds it; or {_HELP}",
        )
    try:
        from numba import cuda
    except Exception as error:  # a broken installation fails in many ways
        raise fail(
            "E520",
            f"`numba-cuda` does not load: {_first_line(error)}",
            help=f"`pip install --upgrade 'chainrule[cuda]'` may mend it; or {_HELP}",
        ) from error
    return cuda


def simulated() -> bool:
    """Whether kernels run in Numba's simulator (NUMBA_ENABLE_CUDASIM=1 before Numba is
    imported)."""
    import numba

    config: Any = numba.config
    return bool(config.ENABLE_CUDASIM)


def ready() -> Any:
    """`numba.cuda` with a device to run on. Raises Failure E520 or E521."""
    cuda = toolkit()
    if simulated():
        return cuda
    try:
        found = cuda.is_available()
        devices = len(cuda.gpus) if found else 0
    except Exception as error:
        raise _no_device(_first_line(error)) from error
    if not found:
        raise _no_device("no NVIDIA driver answers on this machine")
    if not devices:
        raise _no_device("the NVIDIA driver finds no GPU")
    return cuda


def free_memory(cuda: Any) -> float:
    """Bytes that may be allocated; infinite in the simulator."""
    free = cuda.current_context().get_memory_info().free
    return float(free)


def check_memory(cuda: Any, needed: int, what: str) -> None:
    """Raises Failure E522 if that many bytes are not free on the device."""
    free = free_memory(cuda)
    if needed > free:
        raise fail(
            "E522",
            f"{what} needs {in_units(needed)} of GPU memory, {in_units(free)} are free",
            help=f"make `batch` smaller, or {_HELP}",
        )


def in_units(size: float) -> str:
    """Bytes for people."""
    if not isfinite(size):
        return "any number of bytes"
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


@contextmanager
def device_errors(cuda: Any) -> Iterator[None]:
    """What the driver reports becomes a Failure E523."""
    known: tuple[type[BaseException], ...] = ()
    if not simulated():
        from numba.cuda.cudadrv.driver import CudaAPIError

        known = (CudaAPIError,)
    try:
        yield
    except known as error:
        raise fail(
            "E523",
            f"the GPU reported an error: {_first_line(error)}",
            help=f"try again, or {_HELP}",
        ) from error


def _no_device(reason: str) -> Failure:
    return fail(
        "E521",
        f"there is no CUDA device: {reason}",
        help=f"{_HELP}, or set NUMBA_ENABLE_CUDASIM=1 to run kernels in Numba's simulator (slow)",
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__
