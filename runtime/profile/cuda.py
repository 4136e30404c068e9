"""Times of a plan's launches on a GPU: an event before and after each of them.

In: a plan on the device and steps to run. Out: `StepTimes`. In Numba's simulator the same runs, and
its times mean nothing but that every launch is there.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..cuda import CudaLoaded
from ..cuda_toolkit import simulated
from .steps import Steps, StepTimes


def on_cuda(loaded: CudaLoaded, steps: Steps, seconds: float) -> StepTimes:
    """Medians over runs. Where a GPU waits for the host's next launch, that is `calls`."""
    count = steps.a_run()
    watched = _Watched(loaded)
    plain: list[float] = []
    found, whole = [], []
    began = time.perf_counter()
    while not plain or time.perf_counter() - began < seconds:
        plain.append(steps.run(count))
        steps.run(count, watched.loaded)
        kernels, span = watched.taken()
        found.append(kernels)
        whole.append(span)
    times = np.median(np.concatenate(found), axis=0)
    gaps = max(0.0, float(np.median(np.concatenate(whole))) - float(times.sum()))
    step = float(np.median(plain))
    between = max(0.0, step - gaps - float(times.sum()))
    return StepTimes(
        loaded.plan, "cuda", 1, steps.batch, count * len(plain), times, 0.0, gaps, between, step
    )


class _Watched:
    """The same memory and kernels, whose launches are enclosed by events."""

    def __init__(self, loaded: CudaLoaded) -> None:
        self._cuda = loaded._cuda
        self._events: list[tuple[Any, Any]] = []
        self._real = not simulated()  # the simulator's events hold no times
        self._of = [call.of for call in loaded._program.run(1).calls]
        self._kernels = len(loaded.plan.kernels)
        self.loaded = copy.copy(loaded)
        self.loaded._functions = [_Function(f, self._enclosed) for f in loaded._functions]

    def _enclosed(self, launch: Callable[[], None]) -> None:
        start, end = (self._cuda.event(), self._cuda.event()) if self._real else (_Now(), _Now())
        start.record()
        launch()
        end.record()
        self._events.append((start, end))

    def taken(self) -> tuple[Any, Any]:
        """Seconds [steps, kernels], and of each step from its first event to its last."""
        events, self._events = self._events, []
        if events:
            events[-1][1].synchronize()
        launches = len(self._of)
        each = np.array([_seconds(a, b) for a, b in events]).reshape(-1, launches)
        kernels = np.zeros((len(each), self._kernels))
        for number, of in enumerate(self._of):  # some kernels are several launches
            kernels[:, of] += each[:, number]
        ends = zip(events[::launches], events[launches - 1 :: launches], strict=True)
        return kernels, np.array([_seconds(first[0], last[1]) for first, last in ends])


class _Now:
    """An event of the host's clock."""

    def __init__(self) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None: ...

    def elapsed_time(self, end: _Now) -> float:
        """Milliseconds, as an event tells them."""
        return 1000 * (end.at - self.at)


def _seconds(start: Any, end: Any) -> float:
    return float(start.elapsed_time(end)) / 1000


class _Function:
    """A compiled kernel: `function[grid](*args)`."""

    def __init__(self, function: Any, enclosed: Callable[[Callable[[], None]], None]) -> None:
        self._function, self._enclosed = function, enclosed

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        ready = self._function[grid]
        return lambda *args: self._enclosed(lambda: ready(*args))
