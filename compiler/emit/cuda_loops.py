"""Loops as CUDA kernels: which threads do which elements.

In: a `Loops` of the plan. Out: a `CudaKernel`. Four ways, chosen by the form of the kernel:

* elements: one stage without folds; threads stride over batch × elements;
* results: one stage with folds (and perhaps one that goes on with each result); a team of threads
  per result (see `cuda_fold`), results spread over blocks;
* alone: several small stages; a thread does an example from beginning to end;
* together: several stages; a block does an example (or, unbatched, a single block does all), its
  threads meeting between stages.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from math import prod

from ..plan import Access, Extent, Fold, Loops, Stage
from .cuda_fold import Accumulators, Team, shared_arrays
from .cuda_kernel import (
    BATCH,
    Axis,
    CudaKernel,
    Frame,
    Launch,
    Tuning,
    accesses,
    apart,
    decode,
    indices,
    merge,
)
from .cuda_text import Program
from .cuda_writer import Text

_ALONE = 32  # most elements of a stage that one thread does alone
_GRID = 65536  # most blocks of a kernel that strides
_WITH_SCRATCH = 528  # most blocks where each needs memory of its own


def emit_loops(kernel: Loops, capacity: int, tuning: Tuning) -> CudaKernel:
    """Text of a `Loops` kernel. `capacity` (the largest batch) only helps to choose sizes."""
    stages = tuple(s for stage in kernel.stages for s in _one_depth(stage))
    kernel = replace(kernel, stages=stages)
    writer = _Writer(kernel, capacity, tuning)
    if len(stages) == 1 and not stages[0].folds:
        return writer.elements()
    if _results_alone(kernel):
        return writer.results()
    if kernel.batched and all(prod(s.axes) <= _ALONE for s in stages):
        return writer.alone()
    return writer.together()


def _one_depth(stage: Stage) -> Iterator[Stage]:
    """Split a stage whose folds do not all fold the same axes. Writes come last: one may overwrite
    what the folds read."""
    depths = sorted({f.axes for f in stage.folds})
    for depth in depths[:-1]:
        folds = tuple(f for f in stage.folds if f.axes == depth)
        yield replace(stage, writes=(), folds=folds)
    last = tuple(f for f in stage.folds if f.axes == depths[-1]) if depths else ()
    yield replace(stage, folds=last)


def _results_alone(kernel: Loops) -> bool:
    """A stage of folds whose results are independent, also in the stage that follows, if any."""
    first, *rest = kernel.stages
    if not first.folds or len(rest) > 1:
        return False
    if kernel.over_batch or not rest:
        return True
    (then,) = rest
    if then.folds or then.axes != first.axes[: len(first.axes) - first.folds[0].axes]:
        return False
    made = {f.access.slot: f.access for f in first.folds}
    made |= {w.access.slot: w.access for w in first.writes}
    return all(_same_place(made[a.slot], a) for a in then.reads if a.slot in made)


def _same_place(a: Access, b: Access) -> bool:
    return (a.offset, a.strides, a.example) == (b.offset, b.strides, b.example)


def _power(n: int) -> int:
    """The smallest power of two that is not below n."""
    return 1 << max(0, n - 1).bit_length()


class _Writer:
    """Writes one kernel, in one of the four ways."""

    def __init__(self, kernel: Loops, capacity: int, tuning: Tuning) -> None:
        self.kernel, self.capacity, self.tuning = kernel, capacity, tuning
        self.frame = Frame(len(kernel.slots), kernel.stages, _private(kernel))
        several = len(kernel.stages) > 1
        self.programs = [
            Program(s, f"_{k}" if several else "") for k, s in enumerate(kernel.stages)
        ]
        self.out = Text()

    @property
    def examples(self) -> int:
        """Most examples that this kernel sees."""
        return self.capacity if self.kernel.batched else 1

    def elements(self) -> CudaKernel:
        (program,) = self.programs
        stage, out = program.stage, self.out
        axes = _axes(stage, batched=self.kernel.batched)
        size = prod(stage.axes)
        threads = min(self.tuning.threads, max(32, _power(size * self.examples)))
        self.frame.bases_text(out)
        count = _count(size, self.kernel.batched)
        with out.block(f"for i in range(cuda.grid(1), {count}, cuda.gridsize(1))"):
            index = decode(out, "i", merge(axes, accesses(stage), apart(stage)))
            self._element(program, index)
        launch = Launch(threads, ((Extent(size, self.kernel.batched), threads),), _GRID)
        doc = f"{self._space(stage)}: a thread takes every so many elements."
        return self.frame.finish("elements", doc, out, launch)

    def results(self) -> CudaKernel:
        first, *rest = self.programs
        stage, out, over = first.stage, self.out, self.kernel.over_batch
        depth = stage.folds[0].axes
        kept = prod(stage.axes[: len(stage.axes) - depth])
        terms = prod(stage.axes) // max(1, kept) * (self.capacity if over else 1)
        spread = self.kernel.batched and not over
        team = self._team(kept * (self.capacity if spread else 1), terms, over)
        threads = team.lanes * team.columns
        self._start(team.lanes, [first], threads)
        self.frame.bases_text(out)
        # The fold's own results are what a following stage goes on with: by the same thread.
        follow = rest[0] if rest else None
        blocks = ("cuda.blockIdx.x", "cuda.gridDim.x")
        self._fold(first, team, spread=spread, blocks=blocks, follow=follow)
        launch = Launch(threads, ((Extent(kept, spread), team.columns),), _GRID)
        doc = f"{self._space(stage)}: {team.lanes} threads fold each of the results."
        return self.frame.finish("results", doc, out, launch)

    def alone(self) -> CudaKernel:
        out, threads = self.out, min(self.tuning.threads, 64)
        self.frame.bases_text(out, "cuda.grid(1)")
        with out.block("for e in range(cuda.grid(1), batch, cuda.gridsize(1))"):
            for number, program in enumerate(self.programs):
                self._note(number, program)
                if program.stage.folds:
                    self._fold(program, Team(1, 1))
                else:
                    self._stride(program, "0", 1)
        limit = _WITH_SCRATCH if self.frame.private else _GRID
        launch = Launch(threads, ((Extent(1, True), threads),), limit, alone=True)
        doc = f"{len(self.programs)} small stages: a thread does an example."
        return self.frame.finish("alone", doc, out, launch)

    def together(self) -> CudaKernel:
        out = self.out
        most = max(prod(s.axes) for s in self.kernel.stages)
        ceiling = self.tuning.threads * (1 if self.kernel.batched else 4)
        threads = min(ceiling, max(32, _power(most)))
        folding = [p for p in self.programs if p.stage.folds]
        self._start(threads, folding, threads)
        self.frame.bases_text(out, "cuda.blockIdx.x")
        if self.kernel.batched:
            with out.block("for e in range(cuda.blockIdx.x, batch, cuda.gridDim.x)"):
                self._stages(threads)
        else:
            self._stages(threads)
        factors = ((Extent(1, True), 1),) if self.kernel.batched else ()
        launch = Launch(threads, factors, _WITH_SCRATCH if self.frame.private else _GRID)
        one = "a block does an example" if self.kernel.batched else "one block does all"
        return self.frame.finish(
            "together", f"{len(self.programs)} stages: {one}, meeting between them.", out, launch
        )

    def _stages(self, threads: int) -> None:
        for number, program in enumerate(self.programs):
            self._note(number, program)
            if program.stage.folds:
                stage = program.stage
                kept = prod(stage.axes[: len(stage.axes) - stage.folds[0].axes])
                lanes = min(threads, _power(prod(stage.axes) // max(1, kept)))
                self._fold(program, Team(lanes, threads // lanes))
            else:
                self._stride(program, "t", threads)
            self.out.sync()

    def _start(self, lanes: int, folding: list[Program], threads: int) -> None:
        """The thread's number and the arrays that lanes are joined in."""
        self.out.line("t = cuda.threadIdx.x")
        if lanes > 1:
            work = [(p, f) for p in folding for f in p.stage.folds]
            for line in shared_arrays(work, threads):
                self.out.line(line)

    def _team(self, results: int, terms: int, over: bool) -> Team:
        """How many threads share a result: more where there are few results and many terms."""
        threads, lanes = self.tuning.threads, _power(terms)
        if over:  # the batch is far apart in memory: neighbouring threads take neighbouring results
            columns = min(32, _power(results), threads)
            lanes = max(1, min(threads // columns, lanes))
            return Team(lanes, threads // lanes, row_first=False)
        if terms <= 4:
            return Team(1, threads)
        few = results <= 2 * self.tuning.blocks
        lanes = min(lanes, threads if few else 32, threads)
        return Team(lanes, threads // lanes)

    def _fold(
        self,
        program: Program,
        team: Team,
        spread: bool = False,
        blocks: tuple[str, str] | None = None,
        follow: Program | None = None,
    ) -> None:
        """A stage with folds. `spread`: the batch is among the results; `blocks`: (number, count)
        of the blocks that share them."""
        out, stage, tag = self.out, program.stage, program.tag
        cut = len(stage.axes) - stage.folds[0].axes
        inner = [(k, stage.axes[k]) for k in range(cut, len(stage.axes))]
        over = self.kernel.over_batch
        kept: list[Axis] = [(k, stage.axes[k]) for k in range(cut)]
        outer: list[Axis] = [(BATCH, None), *kept] if spread else kept
        folded: list[Axis] = [(BATCH, None), *inner] if over else list(inner)
        lane, column = f"lane{tag}", f"column{tag}"
        if team.lanes > 1:
            out.line(f"{lane} = {team.lane}")
        if team.columns > 1:
            out.line(f"{column} = {team.column}")
        results = prod(stage.axes[:cut])
        count = _count(results, spread)
        row = f"r{tag}"
        one_turn = blocks is None and not spread and results <= team.columns
        number, turns = blocks or ("0", "1")
        start, step = _times(number, team.columns), _times(turns, team.columns)
        base = f"b{tag}"
        header = None if one_turn else f"for {base} in range({start}, {count}, {step})"
        with _maybe(out, header):
            own = column if team.columns > 1 else "0"
            out.line(f"{row} = {own}" if one_turn else f"{row} = {_plus(base, own)}")
            index = decode(out, row, merge(outer, self._all(program, follow), self._apart(program)))
            if not spread and not over and self.kernel.batched:
                index = {BATCH: "e", **index}
            sums = Accumulators(program, team)
            sums.start(out)
            with _maybe(out, f"if {row} < {count}" if team.columns > 1 else None):
                terms = _count(prod(n for _, n in inner), over)
                first = lane if team.lanes > 1 else "0"
                with out.block(f"for q{tag} in range({first}, {terms}, {team.lanes})"):
                    reads = [*stage.reads, *(w.access for w in stage.writes)]
                    groups = merge(folded, reads, self._apart(program))
                    here = {**index, **decode(out, f"q{tag}", groups)}
                    at = indices(stage, here, self.kernel.batched or over)
                    program.lets(out, at, lambda a: self.frame.place(a, here))
                    program.writes(out, at, lambda a: self.frame.place(a, here))
                    sums.take(out, at, f"q{tag}")
            sums.join(out)
            self._finish(sums, team, row, count, index, follow)

    def _finish(
        self,
        sums: Accumulators,
        team: Team,
        row: str,
        count: str,
        index: dict[int, str],
        follow: Program | None,
    ) -> None:
        """Lane 0 of each column stores its result, and goes on with it."""
        conditions = [f"lane{sums.program.tag} == 0"] if team.lanes > 1 else []
        conditions += [f"{row} < {count}"] if team.columns > 1 else []
        with _maybe(self.out, f"if {' and '.join(conditions)}" if conditions else None):
            sums.store(self.out, lambda a: self.frame.place(a, index))
            if follow is not None:
                self._element(follow, index)
        if team.lanes > 1:
            self.out.sync()  # the shared arrays may be used again

    def _stride(self, program: Program, first: str, step: int) -> None:
        """A stage without folds, its elements shared by `step` threads."""
        out, stage, row = self.out, program.stage, f"r{program.tag}"
        size = prod(stage.axes)
        with out.block(f"for {row} in range({first}, {size}, {step})"):
            groups = merge(_axes(stage), accesses(stage), apart(stage) | {BATCH})
            index = decode(out, row, groups)
            if self.kernel.batched:
                index = {BATCH: "e", **index}
            self._element(program, index)

    def _element(self, program: Program, index: dict[int, str]) -> None:
        """Everything that a stage does for one element."""
        at = indices(program.stage, index, self.kernel.batched and not self.kernel.over_batch)
        program.lets(self.out, at, lambda a: self.frame.place(a, index))
        program.writes(self.out, at, lambda a: self.frame.place(a, index))

    def _all(self, program: Program, follow: Program | None) -> list[Access]:
        found = accesses(program.stage)
        return found + (accesses(follow.stage) if follow is not None else [])

    def _apart(self, program: Program) -> set[int]:
        """Every program must agree on merged axes: a following stage may ask for positions too."""
        wanted = set(apart(program.stage))
        for other in self.programs:
            wanted |= apart(other.stage)
        return wanted

    def _note(self, number: int, program: Program) -> None:
        self.out.line(f"# stage {number}: {self._space(program.stage)}")

    def _space(self, stage: Stage) -> str:
        shape = " × ".join(map(str, stage.axes)) or "one element"
        kinds = ", ".join(_told(f) for f in stage.folds)
        per = " an example" if self.kernel.batched else ""
        return shape + per + (f", folded: {kinds}" if kinds else "")


def _told(fold: Fold) -> str:
    return fold.kind + (" over the batch" if fold.batch else "")


def _private(kernel: Loops) -> set[int]:
    """Slots that may be scratch: handed from stage to stage of a batched kernel, one for all
    examples."""
    if not kernel.batched or kernel.over_batch or len(kernel.stages) == 1:
        return set()
    every = [a for s in kernel.stages for a in accesses(s)]
    written = {a.slot for s in kernel.stages for a in accesses(s)[len(s.reads) :]}
    return written - {a.slot for a in every if a.example}


def _axes(stage: Stage, batched: bool = False) -> list[Axis]:
    inside: list[Axis] = list(enumerate(stage.axes))
    return [(BATCH, None), *inside] if batched else inside


def _count(size: int, batched: bool) -> str:
    if not batched:
        return str(size)
    return "batch" if size == 1 else f"{size} * batch"


def _times(name: str, factor: int) -> str:
    if name in ("0", "1"):
        return str(int(name) * factor)
    return name if factor == 1 else f"{name} * {factor}"


def _plus(a: str, b: str) -> str:
    return a if b == "0" else f"{a} + {b}"


def _maybe(out: Text, header: str | None) -> AbstractContextManager[None]:
    return nullcontext() if header is None else out.block(header)
