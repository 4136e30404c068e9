"""Ctrl-C and the request to terminate: noticed at once, obeyed at the end of a step.

In: signals, while the context is open. Out: `asked`, which the loop reads between runs of steps.
Outside the main thread signals cannot be caught, and nothing is changed.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM") if hasattr(signal, name))


class Interrupts:
    """Collects the wish to stop; the handlers that were there before come back on leaving."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._notice)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before.clear()

    def _notice(self, number: int, frame: FrameType | None) -> None:
        # A second one changes nothing: the step and the checkpoint under way are a matter of a
        # moment, and leaving amid them is what would lose work.
        self.asked = True
