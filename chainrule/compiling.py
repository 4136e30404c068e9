"""`compiling 37 of 104 kernels`: said on standard error when that takes a while.

In: what `runtime/waiting.py` tells. Out: on a terminal, one line that is taken away again; on a
pipe, a line now and then.
"""

from __future__ import annotations

import sys
import time

from .console import say_error
from .progress import QUIET_SPELL
from .runtime.waiting import compiling

PATIENCE = 1.0  # seconds until anything is said


class Watch:
    """Listens to one wait after another."""

    def __init__(self) -> None:
        self._since = self._said = 0.0
        self._shown = False

    def __call__(self, ready: int, total: int) -> None:
        now = time.monotonic()
        if ready == 0:
            self._since = self._said = now
        elif ready == total:
            self._wipe()
        elif sys.stderr.isatty():
            if now - self._since > PATIENCE:
                sys.stderr.write(f"\r\x1b[Kcompiling {ready} of {total} kernels")
                sys.stderr.flush()
                self._shown = True
        elif now - self._said > QUIET_SPELL:
            say_error(f"compiling {ready} of {total} kernels")
            self._said = now

    def _wipe(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        self._shown = False


def watch() -> None:
    """Say it from now on."""
    if not any(isinstance(listener, Watch) for listener in compiling):
        compiling.append(Watch())
