"""What a training process will need of the machine's memory, before it is started.

In: a model, the plan of its step. Out: a `Training` with the arena by what lies in it, the data
as they are held, and the peak of the whole process on the CPU. The process itself (Python, NumPy,
LLVM, graphs and plans) is measured: this one has loaded the same. Compiling kernels that are not
in the cache yet comes on top, once. `benchmarks/memory.py` compares all this with a real run.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .compiler.emit.cpu import aligned, emit
from .compiler.graph import Graph
from .compiler.pipeline import compile_plan
from .compiler.plan import Plan
from .compiler.plan_report import arena_parts
from .console import table
from .dsl.diagnostics import Failure
from .project import bind_inputs
from .runtime.cpu import host
from .runtime.data import Dataset, Part
from .runtime.data.memory import readable
from .runtime.data.windows import Windows
from .runtime.feeding import PIECE, Feeder
from .runtime.kernel_cache import SIMD
from .runtime.session import evaluation_batch, part_of, requests_for
from .runtime.threads import processors

if TYPE_CHECKING:
    from .model import Model

DRAW = 24  # bytes for each element of a parameter while it is drawn: its bits, then f64
LINKED = 12_000_000  # bytes of the linker with its first kernels, measured
# Blocks below this size glibc's allocator keeps when they are freed: about one of the largest that
# parameters are drawn in, f32 or f64, as measured.
HEAP = 32 << 20
PIECES = 3  # of a streamed part in memory: one in use, one ready, one being made


@dataclass(frozen=True)
class Training:
    """Bytes. `arena`: by what lies in it, at `batch`; `scratch` for all threads. `values`: copies
    of parameters and states beside the arena: as they began, as they were after the last epoch,
    and before the steps under way. `data`: as the source has them, and as they are fed; None where
    they cannot be read. `validation`: the arena of the net in use."""

    batch: int
    threads: int
    arena: dict[str, int]
    scratch: int
    values: int
    validation: int
    data: dict[str, int] | None
    process: int
    peak: int | None

    def __str__(self) -> str:
        each = f"{self.threads} threads" if self.threads > 1 else "1 thread"
        rows = [[f"memory of training, batch {self.batch}", ""]]
        rows += [[f"  {name}", readable(size)] for name, size in self.arena.items()]
        rows.append([f"  scratch of {each}", readable(self.scratch)])
        rows.append(["  copies of parameters and states", readable(self.values)])
        rows.append(["  validation", readable(self.validation)])
        rows += [[f"  data, {name}", readable(size)] for name, size in (self.data or {}).items()]
        rows.append(["  the process itself", readable(self.process)])
        peak = readable(self.peak) if self.peak is not None else "unknown: the data are not here"
        rows.append(["peak of a training process", peak])
        return table(rows, right={1} if self.peak is not None else set(), head=False)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def training(model: Model, plan: Plan, graph: Graph) -> Training:
    """The memory of training a model as its `train` declaration says."""
    own = {leaf.name for leaf in (*model.evaluation.params, *model.evaluation.states)}
    threads = model.settings.threads or processors()
    arena = arena_parts(plan, own)
    kept = [b for b in plan.buffers if b.kind in ("param", "state")]
    carried = {b.name: b.nbytes(plan.capacity) for b in kept}
    scratch = _scratch(plan, threads)
    values = sum(carried.values())
    began = sum(p.value.type.size * p.value.type.numpy.itemsize for p in model.evaluation.params)
    copies = 2 * values + began
    sizes = [leaf.value.type.size for leaf in graph.params]
    drawn = max(sizes, default=0) * DRAW
    dataset = _dataset(model)
    raw = _raw(dataset) if dataset is not None else 0
    process = max(0, resident() - raw) + LINKED
    if dataset is None:
        validation = _validation(model, evaluation_batch(model.evaluation), threads)
        return Training(
            plan.capacity, threads, arena, scratch, copies, validation, None, process, None
        )
    count = len(dataset.valid)
    validation = (
        _validation(model, min(count, evaluation_batch(model.evaluation)), threads) if count else 0
    )
    bound = bind_inputs(model.evaluation, dataset, model.declaration)
    requests = requests_for(graph, bound), requests_for(model.evaluation, bound)
    fed = Feeder(dataset.train, requests[0], seed=model.settings.seed)
    checked = Feeder(dataset.valid, requests[1]) if count else None
    data = {"as read": raw, "as fed": _held(fed) + (_held(checked) if checked else 0)}
    fixed = process + raw
    running = fixed + sum(arena.values()) + scratch
    looked_at = max(carried.values(), default=0)  # a parameter, read to see that it is finite
    running += max((b * n for n in sizes for b in (4, 8) if b * n < HEAP), default=0)
    peak = max(
        fixed + began + drawn,
        running + values + _held(fed) + _gathered(fed),
        running + 2 * values + _held(fed) + looked_at,
    )
    if _epochs(model, len(dataset.train)) > 1:
        peak = max(peak, running + copies + data["as fed"] + validation + looked_at)
    return Training(plan.capacity, threads, arena, scratch, copies, validation, data, process, peak)


def _epochs(model: Model, examples: int) -> float:
    settings = model.settings
    if settings.steps is None:
        return settings.epochs or 1
    return settings.steps * (settings.batch or examples) / max(1, examples)


def _scratch(plan: Plan, threads: int) -> int:
    program = emit(plan, host(), SIMD)
    return program.memory(threads) - aligned(plan.arena)


def _validation(model: Model, batch: int, threads: int) -> int:
    """The arena that scores are computed in."""
    scored = part_of(model.evaluation, "loss", "metric")
    if not scored.outputs:
        return 0
    return emit(compile_plan(scored, batch), host(), SIMD).memory(threads)


# ------------------------------------------------------------------------------------ the data


def _dataset(model: Model) -> Dataset | None:
    """The data of the declaration, where they are to be had."""
    try:
        return model.dataset
    except Failure:
        return None


def _raw(dataset: Dataset) -> int:
    """Bytes that the source itself keeps in memory; pages of mapped files can be given back."""
    arrays = {id(a): a for part in dataset.parts.values() for a in _arrays(part)}
    return sum(a.nbytes for a in arrays.values())


def _arrays(part: Part) -> Iterable[np.ndarray[Any, Any]]:
    for column in part.columns.values():
        raw = column.raw
        if isinstance(raw, Windows):
            raw = raw.numbers
        while isinstance(raw, np.ndarray) and isinstance(raw.base, np.ndarray):
            raw = raw.base
        if isinstance(raw, np.ndarray) and not isinstance(raw, np.memmap):
            yield raw


def _held(feeder: Feeder) -> int:
    """What a part takes on its way into the steps."""
    whole = feeder.row_bytes * len(feeder)
    return min(whole, PIECES * PIECE) if feeder.streams else whole


def _gathered(feeder: Feeder) -> int:
    """Rows of the source side by side, as long as they are turned into what is held."""
    if feeder.streams:
        return 0
    part, found = feeder.part, 0
    apart = len(part) > 1 and bool(np.any(np.diff(part.indices) != 1))
    for name in {r.field for r in feeder.requests.values()}:
        column = part.column(name)
        row = int(np.prod(column.raw.shape[1:], dtype=np.int64)) * column.raw.dtype.itemsize
        found = max(found, row * len(part) if apart and not column.plain else 0)
    return found


def resident() -> int:
    """Bytes of this process that are in memory; where the system does not tell, the most that
    were."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
