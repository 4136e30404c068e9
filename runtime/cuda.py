"""The CUDA device: a plan in a GPU's memory, its kernels launched in order on one stream.

In: a `Plan`. Out: a `Loaded` (see `device`). The kernels' text comes from `compiler/emit/cuda`;
this holds the arena, brings batches, scalars and the seed, and keeps what each step records. In
Numba's simulator (NUMBA_ENABLE_CUDASIM=1) it works alike, slowly, with small blocks.

`run_steps` does not wait for the GPU between steps. What is recorded stays there and is read once
per chunk of `CHUNK` steps, so after a step that is not finite some further steps may have run
before it is noticed: the rows that come back end with the bad one, as on the CPU, but params and
states are those after the chunk. Restore a snapshot to go back.

The steps of a recurrence are launches like all others, on places that move: for each number of
examples and of steps there is one table of places on the device, kept for the next time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.emit.cuda import emit
from ..compiler.emit.cuda_kernel import SIMULATOR, Tuning
from ..compiler.emit.cuda_launch import CudaCall
from ..compiler.emit.cuda_writer import VIEWS
from ..compiler.plan import Buffer, Plan
from .cuda_modules import VIEW_TYPES, load_kernel
from .cuda_simulator import simulation
from .cuda_toolkit import check_memory, device_errors, free_memory, ready, simulated
from .device import Array, Feed
from .frames import Frames

CHUNK = 256  # steps between two looks at what was recorded
TABLES = 64  # numbers of examples and steps whose tables stay on the device
FIELD_SHARE = 0.5  # of the free memory: a field larger than that is gathered on the host
_VIEW_BYTES = {"f32": 4, "f64": 8, "i32": 4, "u8": 1, "i64": 8}


class CudaDevice:
    """An NVIDIA GPU through `numba.cuda`, or its simulator."""

    name = "cuda"

    def __init__(self, tuning: Tuning | None = None) -> None:
        self.tuning = tuning

    def load(self, plan: Plan) -> CudaLoaded:
        """Compile (or find in the cache) and allocate. Raises Failure E520 to E523."""
        cuda = ready()
        tuning = self.tuning or (SIMULATOR if simulated() else _tuning(cuda))
        with device_errors(cuda):
            return CudaLoaded(plan, cuda, tuning)


def _tuning(cuda: Any) -> Tuning:
    return Tuning(blocks=int(cuda.get_current_device().MULTIPROCESSOR_COUNT))


class CudaLoaded:
    """A plan on the device: arena, kernels, launch list."""

    def __init__(self, plan: Plan, cuda: Any, tuning: Tuning) -> None:
        from . import cuda_kernels

        self.plan, self._cuda, self._own = plan, cuda, cuda_kernels
        self._program = emit(plan, tuning)
        self._threads = tuning.threads
        check_memory(cuda, self._program.memory, f"`{plan.name}` with {plan.capacity} examples")
        self._functions = [load_kernel(k) for k in self._program.kernels]
        arena = cuda.to_device(np.zeros(self._program.memory, np.uint8))
        self._views = {v: arena.view(np.dtype(VIEW_TYPES[v])) for v in _VIEW_BYTES}
        self._frames = Frames(self._program.frames)
        self._tables: OrderedDict[tuple[int, ...], tuple[Any, tuple[CudaCall, ...]]] = OrderedDict()
        self._fields: OrderedDict[int, tuple[Array, Any]] = OrderedDict()
        self._inputs = sum(b.kind == "input" for b in plan.buffers)

    # ------------------------------------------------------------ by name

    def write(self, name: str, array: Array) -> None:
        """Set an input, param, state or scalar. Raises ValueError on another shape."""
        buffer = self._named(name)
        values = np.asarray(array)
        wanted = buffer.user_shape
        framed = buffer.type.frame is not None
        rows = len(values) if buffer.type.batched and values.ndim else 1
        shape = values.shape[1:] if buffer.type.batched else values.shape
        if shape != wanted or rows > self.plan.capacity:
            raise ValueError(f"`{name}` takes {buffer.type}, got {list(values.shape)}")
        values = np.moveaxis(values, 1, 0) if framed else buffer.stored(values)
        with device_errors(self._cuda):
            self._put(buffer, np.ascontiguousarray(values.astype(buffer.type.numpy, copy=False)))

    def read(self, name: str, batch: int | None = None) -> Array:
        """A copy of an input, param, state, scalar or output, in the user's orientation; what lies
        in a frame has zeros behind the last step that the last run had."""
        buffer = self._named(name)
        lead: tuple[int, ...] = ()
        if buffer.type.batched:
            lead = (self.plan.capacity if batch is None else batch,)
        frame = buffer.type.frame
        if frame is not None:
            lead = (self._frames.last(frame), *lead)
        size = buffer.type.size * prod(lead)
        with device_errors(self._cuda):
            host = self._region(buffer, size).copy_to_host()
        values = host.astype(np.bool_) if buffer.type.dtype == "bool" else host
        if frame is not None:
            rows = np.moveaxis(values.reshape(lead + buffer.type.shape), 0, 1)
            found = np.zeros((lead[1], *buffer.user_shape), values.dtype)
            found[:, : lead[0]] = rows
            return found
        if buffer.order:
            return np.ascontiguousarray(buffer.seen(values.reshape(buffer.type.shape)))
        return np.array(values.reshape(lead + buffer.type.shape))

    def _named(self, name: str) -> Buffer:
        return self.plan.buffer(name)

    def _place(self, buffer: Buffer) -> tuple[Any, int]:
        """The view that a buffer's elements are in, and where it begins there."""
        view = VIEWS[buffer.type.dtype][0]
        return self._views[view], buffer.offset // _VIEW_BYTES[view]

    def _region(self, buffer: Buffer, size: int) -> Any:
        view, start = self._place(buffer)
        return view[start : start + size]

    def _put(self, buffer: Buffer, values: Array) -> None:
        flat = values.reshape(-1)
        if flat.dtype == np.bool_:
            flat = flat.astype(np.uint8)
        if flat.size:
            self._region(buffer, flat.size).copy_to_device(flat)

    # ------------------------------------------------------------ running

    def run(
        self, batch: int, *, seed: int = 0, step: int = 1, lengths: Mapping[str, int] | None = None
    ) -> dict[str, float]:
        """One run on what was written; gives the recorded scalars. `lengths`: clock -> steps."""
        if not 0 < batch <= self.plan.capacity:
            raise ValueError(f"a batch of {batch} does not fit: 1 to {self.plan.capacity}")
        with device_errors(self._cuda), simulation():
            given = {name: np.array([count]) for name, count in (lengths or {}).items()}
            steps = self._frames.steps(1, given)
            self._begin(seed, step, batch)
            self._launch(batch, steps[0])
            return {name: float(self.read(name)) for name in self.plan.recorded}

    def run_steps(self, feed: Feed, *, seed: int, step: int) -> NDArray[np.float64]:
        """Consecutive steps, the first with number `step`. A step whose recorded numbers are not
        finite ends the run: it is the last row (see the module's text for params and states)."""
        parts: list[NDArray[np.float64]] = []
        self._check(feed)
        lengths = self._frames.steps(feed.steps, feed.lengths)
        with device_errors(self._cuda), simulation():
            for first in range(0, feed.steps, CHUNK):
                last = min(first + CHUNK, feed.steps)
                rows = self._chunk(feed, lengths, first, last, seed, step)
                bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
                parts.append(rows[: bad[0] + 1] if len(bad) else rows)
                if len(bad):
                    break
        width = len(self.plan.recorded)
        return np.concatenate(parts) if parts else np.empty((0, width))

    def _chunk(
        self, feed: Feed, lengths: NDArray[np.int64], first: int, last: int, seed: int, step: int
    ) -> NDArray[np.float64]:
        """Steps first … last − 1 of a feed; waits for the device once, at the end."""
        cuda, width = self._cuda, len(self.plan.recorded)
        mine = feed.rows[first * feed.batch : last * feed.batch]
        sources = {name: self._source(array, mine) for name, array in feed.fields.items()}
        numbers = {
            name: cuda.to_device(np.ascontiguousarray(values[first:last], np.float64))
            for name, values in feed.scalars.items()
        }
        records = cuda.to_device(np.zeros(max(1, (last - first) * width)))
        for index in range(last - first):
            start = index * feed.batch
            batch, steps = min(feed.batch, len(mine) - start), lengths[first + index]
            self._begin(seed, step + first + index, batch)
            for name, column in numbers.items():
                self._own.put[1, 1](column, index, *self._place(self._named(name)))
            for name, (source, rows) in sources.items():
                self._gather(self._named(name), source, rows, start, batch, steps)
            self._launch(batch, steps)
            for number, buffer in enumerate(self.plan.recorded.values()):
                place = self._place(self.plan.buffers[buffer])
                self._own.keep[1, 1](*place, records, index * width + number)
        found = records.copy_to_host()[: (last - first) * width]
        return np.asarray(found, np.float64).reshape(last - first, width)

    def _check(self, feed: Feed) -> None:
        """Raises ValueError where the examples are not those that the plan takes."""
        if not 0 < feed.batch <= self.plan.capacity:
            raise ValueError(f"a batch of {feed.batch} does not fit: 1 to {self.plan.capacity}")
        for name, array in feed.fields.items():
            buffer = self._named(name)
            self._frames.of(buffer)  # the steps of a frame that no kernel knows are told, too
            if array.shape[1:] != buffer.user_shape:
                raise ValueError(f"`{name}` takes {buffer.type}, got {list(array.shape[1:])}")
            if len(feed.rows) and not 0 <= feed.rows.min() <= feed.rows.max() < len(array):
                raise ValueError(f"`{name}` has {len(array)} examples, and others are asked for")

    def _begin(self, seed: int, step: int, batch: int) -> None:
        """Header of the arena, and the scalar `step` where the plan has one."""
        signed = (seed + 2**63) % 2**64 - 2**63
        self._own.begin[1, 1](self._views["i64"], signed, step, batch)
        buffer = self._scalar_step
        if buffer is not None:
            view, place = self._place(buffer)
            self._own.set_number[1, 1](view, place, float(step))

    @property
    def _scalar_step(self) -> Buffer | None:
        index = self.plan.index_of.get("step")
        if index is None or self.plan.buffers[index].kind != "scalar":
            return None
        return self.plan.buffers[index]

    def _launch(self, batch: int, steps: NDArray[np.int64]) -> None:
        """Every kernel of the plan, in order; the stream keeps the order."""
        table, calls = self._run(batch, tuple(map(int, steps)))
        for call in calls:
            kernel = self._program.kernels[call.kernel]
            views = [self._views[v] for v in kernel.views]
            grid = kernel.launch.blocks(call.batch), kernel.launch.threads
            self._functions[call.kernel][grid](*views, table, call.at, call.batch)

    def _run(self, batch: int, steps: tuple[int, ...]) -> tuple[Any, tuple[CudaCall, ...]]:
        """The table of places, on the device, and the calls for so many examples and steps."""
        key = (batch, *steps)
        if key not in self._tables:
            run = self._program.run(batch, steps)
            self._tables[key] = self._cuda.to_device(run.table), run.calls
            while len(self._tables) > TABLES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(key)
        return self._tables[key]

    def _gather(
        self, buffer: Buffer, source: Any, rows: Any, start: int, batch: int,
        steps: NDArray[np.int64],
    ) -> None:  # fmt: skip
        size, (number, most) = buffer.type.size, self._frames.of(buffer)
        view, place = self._place(buffer)
        taken = int(steps[number])
        blocks = max(1, min(1024, -(-taken * batch * size // self._threads)))
        self._own.gather[blocks, self._threads](
            source, rows, start, batch, taken, most, size, view, place
        )

    def _source(self, array: Array, rows: NDArray[np.int64]) -> tuple[Any, Any]:
        """A field on the device, and the rows of a chunk in it. A field stays there between calls
        (known by identity: it must not be changed in place); one that is too large is gathered
        here."""
        cuda = self._cuda
        if id(array) in self._fields:
            self._fields.move_to_end(id(array))
            return self._fields[id(array)][1], cuda.to_device(rows)
        if array.nbytes > FIELD_SHARE * free_memory(cuda):
            return self._upload(array[rows]), cuda.to_device(np.arange(len(rows)))
        self._fields[id(array)] = array, self._upload(array)
        while len(self._fields) > 2 * self._inputs:
            self._fields.popitem(last=False)
        return self._fields[id(array)][1], cuda.to_device(rows)

    def _upload(self, array: Array) -> Any:
        flat = np.ascontiguousarray(array).reshape(-1)
        return self._cuda.to_device(flat.view(np.uint8) if flat.dtype == np.bool_ else flat)

    # ------------------------------------------------------------ snapshots

    def snapshot(self) -> Any:
        """Copies of params and states, on the device."""
        kept = [b for b in self.plan.buffers if b.kind in ("param", "state") and b.type.size]
        with device_errors(self._cuda):
            return [(b, self._copy(self._region(b, self._kept(b)))) for b in kept]

    def restore(self, snapshot: Any) -> None:
        """Put params and states back as they were."""
        with device_errors(self._cuda):
            for buffer, values in snapshot:
                self._region(buffer, self._kept(buffer)).copy_to_device(values)

    def _kept(self, buffer: Buffer) -> int:
        """Elements of a param or a state, of which there may be one for each example."""
        return buffer.type.size * (self.plan.capacity if buffer.type.batched else 1)

    def _copy(self, region: Any) -> Any:
        copy = self._cuda.device_array(region.shape, region.dtype)
        copy.copy_to_device(region)
        return copy
