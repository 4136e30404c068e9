"""A bar while data are made ready, at a terminal.

In: what `build_dataset` tells. Out: on standard error, where it is a terminal, a line that says
what is done and how far; nothing for what takes less than a second, and nothing on a pipe.
"""

from __future__ import annotations

import sys
import time
from typing import Any

PATIENCE = 1.0  # seconds before anything is shown


class Loading:
    """Use in a `with`; `told` is what `build_dataset` calls."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._began = time.monotonic()

    def __enter__(self) -> Loading:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def told(self, what: str, done: int, total: int) -> None:
        """So much of it is done."""
        if not sys.stderr.isatty() or time.monotonic() - self._began < PATIENCE:
            return
        if self._bar is None:
            self._start(what, total)
        self._bar.update(self._task, completed=done, description=what)

    def _start(self, what: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True, highlight=False)
        self._bar = Progress(*Progress.get_default_columns(), console=console, transient=True)
        self._bar.start()
        self._task = self._bar.add_task(what, total=total)
