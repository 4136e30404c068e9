"""How long each kernel of a step takes, within whole steps.

In: a loaded plan, examples, a batch. Out: `StepTimes`: seconds of each launch, of waiting for other
threads, of calls, of everything between two steps, and of a step without any time stamp. A kernel
is not timed in a loop of its own, where its numbers would lie in the nearest cache: on the CPU the
driver walks a table in which a time stamp stands before every entry, on a GPU an event stands
before and after every launch. What the times mean is left to `report.py`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...compiler.plan import ALIGN, Plan
from ...dsl.diagnostics import fail
from ..cpu import CpuLoaded, host
from ..device import Array, Feed, Loaded
from .kernels import addresses
from .peaks import KERNEL

SECONDS = 1.0  # of steps, with time stamps and without
FEWEST, MOST = 4, 500  # steps in one call of the driver
RUN = 0.05  # seconds of steps in one call, where that is more

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StepTimes:
    """Medians over the steps, in seconds. `kernels[i]` is launch i of the plan.

    `waiting`: at barriers, for other threads. `calls`: walking the table. `between`: from the last
    kernel to the next step's first, which is bringing the examples and recording the losses.
    `step`: a step without time stamps; `alone`: one on a single thread.
    """

    plan: Plan
    device: str
    threads: int
    batch: int
    steps: int
    kernels: Floats
    waiting: float
    calls: float
    between: float
    step: float
    alone: float | None = None

    @property
    def total(self) -> float:
        """The parts together, which is close to `step`."""
        return float(self.kernels.sum()) + self.waiting + self.calls + self.between


def profile(
    loaded: Loaded,
    fields: Mapping[str, Array],
    batch: int,
    *,
    rate: float = 0.0,
    seed: int = 0,
    seconds: float = SECONDS,
) -> StepTimes:
    """Time the launches of a plan. `fields`: input name -> `[batch, *shape]`.

    `rate` multiplies the learning rate: with 0 the parameters stay, however long this takes.
    Raises Failure E631 on a device without kernels.
    """
    steps = Steps(loaded, dict(fields), batch, rate, seed)
    if isinstance(loaded, CpuLoaded):
        return _on_cpu(loaded, steps, seconds)
    from ..cuda import CudaLoaded

    if isinstance(loaded, CudaLoaded):
        from .cuda import on_cuda

        return on_cuda(loaded, steps, seconds)
    raise fail("E631", "the plain device has no kernels to time",
               help="profile with `--device cpu`")  # fmt: skip


class Steps:
    """Steps on the same examples again and again; params and states are put back after each run."""

    def __init__(
        self, loaded: Loaded, fields: dict[str, Array], batch: int, rate: float, seed: int
    ) -> None:
        self.loaded, self.batch, self.seed, self.rate = loaded, batch, seed, rate
        names = {b.name for b in loaded.plan.buffers if b.kind == "input"}
        self.fields = {n: a for n, a in fields.items() if n in names}
        scalars = {b.name for b in loaded.plan.buffers if b.kind == "scalar"}
        self.has_rate = "rate" in scalars

    def run(self, count: int, loaded: Loaded | None = None) -> float:
        """So many steps, the first with number 1; the seconds they took."""
        rows = np.tile(np.arange(self.batch, dtype=np.int64), count)
        scalars = {"rate": np.full(count, self.rate)} if self.has_rate else {}
        feed = Feed(self.fields, rows, self.batch, scalars)
        chosen = loaded if loaded is not None else self.loaded
        before = chosen.snapshot()
        began = time.perf_counter()
        chosen.run_steps(feed, seed=self.seed, step=1)
        took = time.perf_counter() - began
        chosen.restore(before)
        return took / count

    def a_run(self) -> int:
        """How many steps fill one call of the driver."""
        count, took = FEWEST, self.run(1)
        while took * count < RUN / 2 and count < MOST:
            count = int(min(MOST, max(2 * count, RUN / max(took, 1e-9))))
            took = self.run(count)
        return count


# ------------------------------------------------------------------------------------ the CPU


def _on_cpu(loaded: CpuLoaded, steps: Steps, seconds: float) -> StepTimes:
    # A step that records what is not finite would end a run; the examples may well be random.
    steps.loaded = loaded = copy.copy(loaded)
    loaded._recorded = loaded._recorded[:0]
    single = copy.copy(loaded)
    single._threads = 1
    count = steps.a_run()
    stamped = _Stamped(loaded, count)
    plain: list[float] = []
    alone: list[float] = []
    parts: list[Floats] = []
    began = time.perf_counter()
    while not plain or time.perf_counter() - began < seconds:
        plain.append(steps.run(count))
        steps.run(count, stamped.loaded)
        parts.append(stamped.intervals())
        if stamped.threads > 1:
            alone.append(steps.run(max(1, count // 4), single))
    table = np.concatenate(parts)
    kernels, waiting, calls, between = stamped.told_apart(np.median(table, axis=0))
    return StepTimes(
        loaded.plan, "cpu", stamped.threads, steps.batch, len(table), kernels, waiting, calls,
        between, float(np.median(plain)), float(np.median(alone)) if alone else None,
    )  # fmt: skip


class _Stamped:
    """A loaded plan whose table has a time stamp between entries, made by thread 0.

    Thread 0 takes part in every kernel, so its times tile the step: from a stamp to the next there
    is one kernel, one barrier, or nothing, which is what a stamp costs.
    """

    def __init__(self, loaded: CpuLoaded, steps: int) -> None:
        self.threads = loaded._threads
        own = addresses("f32", host().registers)
        table, self._kinds = _with_stamps(loaded._table(self.threads), own)
        stamps = len(self._kinds)
        self._ticks = np.ones((steps, stamps), np.int64)  # written, so that the pages are there
        width = loaded._rows.shape[1]
        rows = [
            [self._ticks.ctypes.data + 8 * k, self._ticks.strides[0], 1] for k in range(stamps)
        ]
        numbers = iter(width + 3 * k for k in range(stamps))
        table[table[:, 1] < 0, 1] = [next(numbers) for _ in range(stamps)]
        more = np.array(rows, np.int64).reshape(1, -1).repeat(len(loaded._rows), axis=0)
        self.loaded = copy.copy(loaded)  # the same memory, walked by another table
        self.loaded._rows = np.ascontiguousarray(np.concatenate([loaded._rows, more], axis=1))
        self.loaded._tables = {self.threads: table}
        self.loaded._sync = np.zeros(2 * ALIGN // 8 + len(table), np.int64)
        self._own = own
        self._began = self._now()

    def _now(self) -> tuple[int, int]:
        """The clock of the stamps and the system's, at one moment."""
        place = np.zeros(1, np.int64)
        row = np.array([place.ctypes.data, 0, 0], np.int64)
        arena = np.zeros(2, np.int64)
        before = time.perf_counter_ns()
        KERNEL(self._own["stamp"])(arena.ctypes.data, row.ctypes.data, 0, 0, 1)
        return int(place[0]), (before + time.perf_counter_ns()) // 2

    def intervals(self) -> Floats:
        """Ticks from each stamp of a step to the next, the last to the following step's first; the
        last step has none that follows."""
        flat = self._ticks.reshape(-1).astype(np.float64)
        ends = np.append(flat[1:], np.nan)
        return (ends - flat).reshape(self._ticks.shape)[:-1]

    def told_apart(self, ticks: Floats) -> tuple[Floats, float, float, float]:
        """Kernels, waiting, calls and what lies between steps, in seconds."""
        ticks_now, now = self._now()
        rate = (now - self._began[1]) * 1e-9 / max(1, ticks_now - self._began[0])
        kinds = np.array(self._kinds)
        times = ticks * rate
        stamp = float(times[kinds == "stamp"][0])
        call = max(0.0, float(times[kinds == "nothing"][0]) - stamp)
        kernels = np.maximum(times[kinds == "kernel"] - stamp - call, 0.0)
        waiting = float(np.maximum(times[kinds == "barrier"] - stamp, 0.0).sum())
        between = max(0.0, float(times[kinds == "between"][0]) - stamp)
        return kernels, waiting, call * len(kernels), between


def _with_stamps(
    program: NDArray[np.int64], own: Mapping[str, int]
) -> tuple[NDArray[np.int64], list[str]]:
    """The table with stamps, whose rows are yet unknown (−1), and what follows each stamp."""
    entries: list[list[int]] = []
    kinds: list[str] = []

    def stamp(kind: str, barrier: int = 0) -> None:
        entries.append([own["stamp"], -1, barrier, 0])
        kinds.append(kind)

    for address, row, barrier, parts in program.tolist():
        if barrier:
            stamp("barrier")
        stamp("kernel", barrier)
        entries.append([address, row, 0, parts])
    stamp("stamp")
    stamp("nothing")
    entries.append([own["nothing"], 0, 0, 0])
    stamp("between")
    return np.array(entries, np.int64), kinds

