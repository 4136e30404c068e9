"""Helper threads that wait for compiled work.

In: a function for each thread's number. Out: all of them run side by side, the caller's own
part in the caller's thread. The functions release the interpreter; how they meet inside is
their own affair.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

Task = Callable[[int], object]


def processors() -> int:
    """CHAINRULE_THREADS, or the number of processors that this process may use."""
    chosen = os.environ.get("CHAINRULE_THREADS", "")
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Crew:
    """Threads 1 … size−1, started when first needed; thread 0 is whoever calls."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._tasks: list[SimpleQueue[Task | None]] = []
        self._lock = threading.Lock()

    def run(self, task: Task, threads: int) -> object:
        """`task(i)` for i below `threads`; gives what task(0) gave."""
        with self._lock:
            self._start(threads)
            for queue in self._tasks[: threads - 1]:
                queue.put(task)
            return task(0)

    def _start(self, threads: int) -> None:
        while len(self._tasks) < threads - 1:
            queue: SimpleQueue[Task | None] = SimpleQueue()
            number = len(self._tasks) + 1
            worker = threading.Thread(
                target=_work, args=(queue, number), name=f"chainrule-{number}", daemon=True
            )
            worker.start()
            self._tasks.append(queue)

    def __del__(self) -> None:
        for queue in self._tasks:
            queue.put(None)


def _work(queue: SimpleQueue[Task | None], number: int) -> None:
    while (task := queue.get()) is not None:
        task(number)
        del task  # a waiting thread holds no program alive
