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
    """Medians over the steps, in seconds (of `step` and `alone` the best run: runs are long, and
    others use the machine too). `kernels[i]` is launch i of the plan.

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
        self.rates = tuple(n for n in scalars if n != "step")  # of each `schedule` line

    def run(self, count: int, loaded: Loaded | None = None) -> float:
        """So many steps, the first with number 1; the seconds they took."""
        rows = np.tile(np.arange(self.batch, dtype=np.int64), count)
        scalars = {name: np.full(count, self.rate) for name in self.rates}
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
    short = max(1, count // 4)  # the shorter a run, the likelier one that nothing disturbs
    plain: list[float] = []
    alone: list[float] = []
    parts: list[Floats] = []
    began = time.perf_counter()
    while not plain or time.perf_counter() - began < seconds:
        plain += [steps.run(short) for _ in range(4)]
        steps.run(count, stamped.loaded)
        parts.append(stamped.intervals())
        if stamped.threads > 1:
            alone.append(steps.run(short, single))
    table = np.concatenate(parts)
    kernels, waiting, calls, between = stamped.told_apart(table)
    return StepTimes(
        loaded.plan, "cpu", stamped.threads, steps.batch, len(table), kernels, waiting, calls,
        between, min(plain), min(alone, default=None),
    )  # fmt: skip


class _Stamped:
    """A loaded plan whose table has a time stamp between entries, made by every thread.

    From a stamp to the thread's next there is one kernel, one barrier, or nothing, which is what a
    stamp costs: a thread's intervals tile the step.
    """

    def __init__(self, loaded: CpuLoaded, steps: int) -> None:
        self.threads = loaded._threads
        self._own = addresses("f32", host().registers)
        before = loaded._table(self.threads)
        self._shared = before[:, 3] > 0
        table, kinds = _with_stamps(before, self._own, self.threads)
        self._kinds = np.array(kinds)
        stamps, width = len(kinds), loaded._rows.shape[1]
        self._ticks = np.ones((self.threads, steps, stamps), np.int64)  # the pages are there
        table[table[:, 1] < 0, 1] = width + 3 * np.arange(stamps)
        self.loaded = copy.copy(loaded)  # the same memory, walked by another table
        self.loaded._rows = np.concatenate([loaded._rows[: self.threads], self._rows()], axis=1)
        self.loaded._tables = {self.threads: table}
        self.loaded._sync = np.zeros(3 * ALIGN // 8 + len(table), np.int64)
        self._began = self._now()

    def _rows(self) -> NDArray[np.int64]:
        """What each thread's stamps are told: see `kernels.STAMP`."""
        ticks = self._ticks
        rows = np.ones((self.threads, ticks.shape[2], 3), np.int64)
        rows[:, :, 0] = ticks.ctypes.data + 8 * np.arange(ticks.shape[2])
        rows[:, :, 0] += ticks.strides[0] * np.arange(self.threads)[:, None]
        rows[:, :, 1] = ticks.strides[1]
        return rows.reshape(self.threads, -1)

    def _now(self) -> tuple[int, int]:
        """The clock of the stamps and the system's, at one moment."""
        place = np.zeros(1, np.int64)
        row = np.array([place.ctypes.data, 0, 0], np.int64)
        arena = np.zeros(2, np.int64)
        before = time.perf_counter_ns()
        KERNEL(self._own["stamp"])(arena.ctypes.data, row.ctypes.data, 0, 0, 1)
        return int(place[0]), (before + time.perf_counter_ns()) // 2

    def intervals(self) -> Floats:
        """[steps, threads, stamps]: ticks from a stamp to the thread's next, the last to the next
        step's first; the last step has none that follows."""
        flat = self._ticks.reshape(self.threads, -1)
        last = np.zeros((self.threads, 1), np.int64)
        found = np.concatenate([np.diff(flat, axis=1), last], axis=1)
        return found.reshape(self._ticks.shape)[:, :-1].transpose(1, 0, 2).astype(np.float64)

    def told_apart(self, ticks: Floats) -> tuple[Floats, float, float, float]:
        """Kernels, waiting, calls and what lies between steps, in seconds.

        A kernel that threads share takes the mean of what they spend in it, whoever did more of
        it. Beside one that thread 0 does alone, the others wait: that is its time, not theirs.
        """
        ticks_now, now = self._now()
        rate = (now - self._began[1]) * 1e-9 / max(1, ticks_now - self._began[0])
        times, kinds = ticks * rate, self._kinds
        stamp = float(np.median(times[:, :, kinds == "stamp"]))
        call = max(0.0, float(np.median(times[:, :, kinds == "nothing"])) - stamp)
        spent = times[:, :, kinds == "kernel"]
        each = np.where(self._shared, spent.mean(axis=1), spent[:, 0])
        kernels = np.maximum(np.median(each, axis=0) - stamp - call, 0.0)
        idle = times[:, :, kinds == "barrier"].sum(axis=2) - stamp * (kinds == "barrier").sum()
        ends = times[:, :, kinds == "between"][:, :, 0]
        late = ends.mean(axis=1) - ends.min(axis=1)  # who comes last to the step's end
        beside = kernels[~self._shared].sum() * (1 - 1 / self.threads)
        waiting = float(np.median(idle.mean(axis=1) + late)) - beside
        between = max(0.0, float(np.median(ends.min(axis=1))) - stamp)
        return kernels, max(0.0, waiting), call * len(kernels), between


def _with_stamps(
    program: NDArray[np.int64], own: Mapping[str, int], threads: int
) -> tuple[NDArray[np.int64], list[str]]:
    """The table with stamps, whose rows are yet unknown (−1), and what follows each stamp."""
    entries: list[list[int]] = []
    kinds: list[str] = []

    def stamp(kind: str, barrier: int = 0) -> None:
        entries.append([own["stamp"], -1, barrier, threads, 0])
        kinds.append(kind)

    for address, row, barrier, parts, frame in program.tolist():
        if barrier:
            stamp("barrier")
        stamp("kernel", barrier)
        entries.append([address, row, 0, parts, frame])
    stamp("stamp")
    stamp("nothing")
    entries.append([own["nothing"], 0, 0, threads, 0])
    stamp("between")
    return np.array(entries, np.int64), kinds
