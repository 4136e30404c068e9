"""The CPU device: a plan's kernels compiled, its arena in memory, its steps run by the driver.

In: a `Plan`. Out: a `Loaded` program (see `device.py`). Text comes from `compiler/emit/cpu.py`,
compiled code from `kernel_cache.py`, the loop over kernels and steps from `driver.py`. Which
kernels are shared by threads is decided here from their estimated work; results do not depend
on it.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.emit.cpu import Program, Target, aligned, emit, plain_words
from ..compiler.emit.cpu_launch import Launch, Loop
from ..compiler.plan import ALIGN, HEADER, Buffer, Plan, written_out
from ..dsl.diagnostics import fail
from . import kernel_cache
from .device import Array, Feed
from .frames import Frames
from .threads import Crew, processors

SMALL = 2_500.0  # ns: a kernel that one thread does faster than two can meet
PART = 10_000.0  # ns: work that a thread takes at a time, where there is more
MOST_PARTS = 4  # for each thread
SMALL_STEP = 25_000.0  # ns: a step that is not worth the meetings of several threads
HUGE_PAGES = 1 << 22
# The compiled `walk(job, thread)` of driver.py; ctypes lets other Python threads run meanwhile.
_WALK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
CODES = {"f32": 0, "f64": 1, "i32": 2, "bool": 3}  # as driver.CODES
HEADER_COUNTER = 5  # as driver.HEADER_COUNTER


class CpuDevice:
    """The processors of this machine. `threads`: at most so many (default: all that we may use)."""

    name = "cpu"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = max(1, threads if threads is not None else processors())
        self._crew = Crew(self.threads)

    def load(self, plan: Plan) -> CpuLoaded:
        """Compile what is not in the cache; allocate. Raises Failure E510 if memory is short."""
        program = emit(plan, host(), kernel_cache.SIMD)
        needed = program.memory(self.threads)
        check_memory(needed)
        notes = _comments(plan, program)
        walkers = [kernel_cache.DRIVER, kernel_cache.RECURRENCE][: 1 + program.recurs]
        addresses = kernel_cache.compile_all(
            [*(s.text for s in program.sources), *walkers], [*notes, *("" for _ in walkers)],
            helpers=min(self.threads - 1, 7),
        )  # fmt: skip
        return CpuLoaded(plan, program, addresses, needed, self.threads, self._crew)


def host() -> Target:
    """How many vectors of 16 f32 the registers of this machine hold."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return Target(registers=32)
    if features.get("avx2") or features.get("neon"):
        return Target(registers=8)
    return Target(registers=4)


def check_memory(needed: int) -> None:
    """Refuse what the machine cannot hold, before anything is allocated."""
    available = available_memory()
    if available is None or needed <= available:
        return
    raise fail(
        "E510",
        f"this plan needs {_size(needed)} of memory, and {_size(available)} are available",
        help="take a smaller batch, or a smaller net",
    )


def available_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return None
    return None


def _size(count: int) -> str:
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


def _comments(plan: Plan, program: Program) -> list[str]:
    """For each source, the first kernel that uses it and its line: for whoever reads the text."""
    notes = [""] * len(program.sources)
    kernels = written_out(plan.kernels)
    for kernel, launch in zip(kernels, program.written_out, strict=True):
        if not notes[launch.source]:
            where = f" ({kernel.span})" if kernel.span is not None else ""
            notes[launch.source] = plain_words(f"first made for {kernel.label}{where}")
    return notes


def _memory(size: int) -> Array:
    """Zeroed bytes on page boundaries, on huge pages where they are offered and worth it."""
    pages = mmap.mmap(-1, size)
    if size >= HUGE_PAGES and hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            pages.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            return np.frombuffer(pages, np.uint8)
    return np.frombuffer(pages, np.uint8)


class CpuLoaded:
    """A plan in memory."""

    def __init__(
        self, plan: Plan, program: Program, addresses: Sequence[int], size: int, threads: int,
        crew: Crew,
    ) -> None:  # fmt: skip
        self.plan, self.program, self._crew = plan, program, crew
        self._walk = _WALK(kernel_cache.driver())
        self._arena = _memory(size)
        self._base = self._arena.ctypes.data
        self._launches = program.launches
        self._addresses = [addresses[launch.source] for launch in program.launches]
        tables = [program.tables(t) for t in range(threads)]
        self._starts = tables[0].starts
        self._code = np.array(tables[0].code or [0], np.int64)
        for place, source in tables[0].sources:
            self._code[place] = addresses[source]
        for table in tables:
            for row, place in table.coded:
                table.rows[row] = self._code.ctypes.data + 8 * place
        self._rows = np.array([table.rows for table in tables], np.int64)
        self._late = np.array(tables[0].late, np.int64).reshape(-1, 3)
        # The barriers' counters in cache lines of their own, then one counter for each launch.
        self._sync = np.zeros(3 * ALIGN // 8 + len(program.launches), np.int64)
        self._most, self._small = threads, SMALL
        self._tables: dict[int, NDArray[np.int64]] = {}
        work = sum(launch.work for launch in program.launches)
        self._threads = threads if work > SMALL_STEP else 1
        self._recorded = np.array(
            [
                [b.offset, CODES[b.type.dtype]]
                for b in map(plan.buffers.__getitem__, plan.recorded.values())
            ],
            np.int64,
        ).reshape(-1, 2)
        self._scalars = {b.name: b for b in plan.buffers if b.kind == "scalar"}
        self._frames = Frames(program.frames)

    # ------------------------------------------------------------------------------------- tables

    def _table(self, threads: int) -> NDArray[np.int64]:
        """Barriers where the plan asks for one and more than one thread is concerned."""
        program = np.zeros((len(self._launches), 5), np.int64)
        ran_alone = ran_shared = asked = False
        for k, launch in enumerate(self._launches):
            alone = threads == 1 or not self._is_shared(launch) or launch.work < self._small
            parts = self._parts(launch, threads)
            asked = asked or launch.barrier
            barrier = asked and (ran_shared or (ran_alone and not alone))
            if barrier:
                ran_alone = ran_shared = asked = False
            ran_alone, ran_shared = ran_alone or alone, ran_shared or not alone
            row, parts = self._starts[k], 0 if alone else parts
            program[k] = self._addresses[k], row, barrier, parts, launch.frame
        return program

    def _is_shared(self, launch: Launch) -> bool:
        """Whether threads can share a launch, all of it or group by group."""
        if launch.code is not None:
            return launch.groups != 1
        return self.program.sources[launch.source].shared

    def _parts(self, launch: Launch, threads: int) -> int:
        """In how many parts a launch is done by so many threads."""
        if isinstance(launch.code, Loop):
            return max(launch.groups, threads)
        if launch.code is not None:
            return threads
        most = MOST_PARTS if self.program.sources[launch.source].divisible else 1
        return threads * min(max(1, int(launch.work / (threads * PART))), most)

    def share_everything(self) -> None:
        """Let all threads take part in every kernel, however small: for tests and measurements."""
        self._threads, self._small = self._most, 0.0
        self._tables.clear()

    # --------------------------------------------------------------------------------- the arena

    def _view(self, buffer: Buffer, rows: int | None = None) -> Array:
        """A buffer's memory in its own orientation."""
        type = buffer.type
        count = self.plan.capacity if rows is None else rows
        shape = type.shape
        lead = (count,) if type.batched else ()
        if type.frame is not None:
            lead = (type.frame.steps, *lead)
        part = self._arena[buffer.offset : buffer.offset + buffer.nbytes(count)].view(type.numpy)
        return part.reshape((*lead, *shape))

    def write(self, name: str, array: Array) -> None:
        """Set an input, param, state or scalar. Raises ValueError on another shape."""
        buffer = self.plan.buffer(name)
        type = buffer.type
        values = np.asarray(array)
        if type.batched:
            shape = buffer.user_shape
            fits = values.shape[1:] == shape and values.ndim == len(shape) + 1
            if not fits or len(values) > self.plan.capacity:
                raise ValueError(_wrong(name, shape, values.shape, self.plan.capacity))
            self._view(buffer, len(values))[...] = values if type.frame is None else (
                np.moveaxis(values, 1, 0))  # fmt: skip
            return
        wanted = buffer.user_shape
        if values.shape != wanted:
            raise ValueError(_wrong(name, wanted, values.shape, None))
        self._view(buffer)[...] = buffer.stored(values)

    def read(self, name: str, batch: int | None = None) -> Array:
        """A copy in the user's orientation; what lies in a frame has zeros behind the last step
        that the last run had."""
        buffer = self.plan.buffer(name)
        if buffer.type.frame is not None:
            steps = self._frames.last(buffer.type.frame)
            found = np.array(np.moveaxis(self._view(buffer, batch), 0, 1), order="C")
            found[:, steps:] = 0
            return found
        view = self._view(buffer, batch if buffer.type.batched else None)
        return np.array(buffer.seen(view), order="C")

    def snapshot(self) -> list[tuple[int, Array]]:
        """Params and states: a copy of each stretch of memory they fill."""
        return [(start, self._arena[start:end].copy()) for start, end in self._kept()]

    def restore(self, snapshot: list[tuple[int, Array]]) -> None:
        """Put params and states back as they were."""
        for start, part in snapshot:
            self._arena[start : start + len(part)] = part

    def _kept(self) -> list[tuple[int, int]]:
        """Stretches of params and states, neighbours joined."""
        ends = sorted(
            (b.offset, b.offset + b.nbytes(self.plan.capacity))
            for b in self.plan.buffers
            if b.kind in ("param", "state")
        )
        joined: list[tuple[int, int]] = []
        for start, end in ends:
            if joined and start - joined[-1][1] < ALIGN:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined

    # ------------------------------------------------------------------------------------ running

    def run(
        self, batch: int, *, seed: int = 0, step: int = 1, lengths: Mapping[str, int] | None = None
    ) -> dict[str, float]:
        """One run on what was written."""
        if not 0 < batch <= self.plan.capacity:
            raise ValueError(f"a batch of {batch} does not fit a capacity of {self.plan.capacity}")
        fields = np.zeros((0, 5), np.int64)
        scalars, numbers = self._step_scalars(1, step, {})
        steps = self._frames.steps(1, {name: np.array([n]) for name, n in (lengths or {}).items()})
        records = self._go(fields, 0, batch, batch, seed, step, scalars, numbers, 1, steps)
        return dict(zip(self.plan.recorded, records[0].tolist(), strict=True))

    def run_steps(self, feed: Feed, *, seed: int, step: int) -> NDArray[np.float64]:
        """Consecutive steps; see `Loaded`."""
        if not 0 < feed.batch <= self.plan.capacity:
            raise ValueError(f"a batch of {feed.batch} exceeds a capacity of {self.plan.capacity}")
        rows = np.ascontiguousarray(feed.rows, np.int64)
        arrays = []
        fields = []
        for name, array in feed.fields.items():
            buffer = self.plan.buffer(name)
            values = np.ascontiguousarray(array, buffer.type.numpy)
            if values.shape[1:] != buffer.user_shape:
                raise ValueError(_wrong(name, buffer.user_shape, values.shape, None))
            if len(rows) and not (rows.min() >= 0 and rows.max() < len(values)):
                raise ValueError(f"`{name}` has {len(values)} examples, and others are asked for")
            arrays.append(values)
            size = buffer.type.size * buffer.type.numpy.itemsize
            frame, most = self._frames.of(buffer)
            fields.append([values.ctypes.data, buffer.offset, size, frame, most])
        scalars, numbers = self._step_scalars(feed.steps, step, feed.scalars)
        table = np.array(fields, np.int64).reshape(-1, 5)
        return self._go(
            table, rows.ctypes.data, len(rows), feed.batch, seed, step, scalars, numbers,
            feed.steps, self._frames.steps(feed.steps, feed.lengths),
        )  # fmt: skip

    def _step_scalars(self, steps: int, step: int, given: Any) -> tuple[Array, Array]:
        """Offsets and types of the scalars set at each step, and their numbers."""
        names = [n for n in self._scalars if n in given or n == "step"]
        places = [[self._scalars[n].offset, CODES[self._scalars[n].type.dtype]] for n in names]
        numbers = np.empty((steps, len(names)))
        for k, name in enumerate(names):
            numbers[:, k] = given[name] if name in given else np.arange(step, step + steps)
        return np.array(places, np.int64).reshape(-1, 2), numbers

    def _go(
        self, fields: Array, picked: int, total: int, batch: int, seed: int, step: int,
        scalars: Array, numbers: Array, steps: int, lengths: NDArray[np.int64],
    ) -> NDArray[np.float64]:  # fmt: skip
        """Run on as many threads as pay."""
        threads = self._threads
        if threads not in self._tables:
            self._tables[threads] = self._table(threads)
        program = self._tables[threads]
        head = self._arena[:HEADER].view(np.int64)
        head[0] = np.uint64(seed & (2**64 - 1)).astype(np.int64)
        records = np.empty((steps, len(self.plan.recorded)))
        counter = aligned(self._sync.ctypes.data)
        barrier = (counter - self._sync.ctypes.data) // 8
        # The barrier goes on from where it stands: a helper may not yet have seen its last number.
        # Claims start anew: all of them were made before the last barrier.
        goal = int(self._sync[barrier])
        self._sync[barrier + ALIGN // 8 :] = 0
        self._rows[:, 0] = 0
        head[HEADER_COUNTER] = counter + ALIGN
        job = np.array(
            [
                self._base, program.ctypes.data, len(program), self._rows.ctypes.data,
                fields.ctypes.data, len(fields), picked, total, batch, step, scalars.ctypes.data,
                len(scalars), numbers.ctypes.data, self._recorded.ctypes.data,
                len(self._recorded), records.ctypes.data, counter, goal, threads,
                self._rows.strides[0], lengths.ctypes.data, lengths.shape[1],
                self._late.ctypes.data, len(self._late),
            ],
            np.int64,
        )  # fmt: skip
        address = job.ctypes.data

        def task(thread: int) -> int:
            # Everything the job names stays alive with this closure, also in a slow helper.
            assert job is not None and numbers is not None and records is not None
            assert lengths is not None
            return int(self._walk(address, thread))

        done = task(0) if threads == 1 else self._crew.run(task, threads)
        assert isinstance(done, int)
        return records[:done]


def _wrong(name: str, want: tuple[int, ...], got: tuple[int, ...], capacity: int | None) -> str:
    most = f" and at most {capacity} examples" if capacity is not None else ""
    return f"`{name}` takes shape {list(want)}{most}, got {list(got)}"
