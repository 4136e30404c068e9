"""Loops as CUDA kernels: which threads do which elements.

In: a `Loops` of the plan. Out: its `CudaKernel`s, nearly always one. Four ways, chosen by the
form of the kernel:

* elements: one stage without folds; threads stride over batch × elements;
* results: one stage with folds (and perhaps one that goes on with each result); a team of threads
  per result (see `cuda_fold`), results spread over blocks; where few results have very many terms,
  blocks fold parts of them and a second kernel joins the parts;
* alone: several small stages; a thread does an example from beginning to end;
* together: several stages; a block does an example (or, unbatched, a single block does all), its
  threads meeting between stages.

Several stages of large arrays become several kernels (`cuda_stages`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from math import prod

from ..plan import Access, Extent, Fold, Loops, Stage
from .cuda_fold import Accumulators, shared_arrays, work_type
from .cuda_kernel import (
    BATCH,
    WHOLE,
    Axis,
    CudaKernel,
    Frame,
    Launch,
    Parts,
    Tuning,
    accesses,
    apart,
    decode,
    indices,
    merge,
)
from .cuda_stages import kernels_of, private_slots, results_alone
from .cuda_teams import Team, adders, choose_fold_parts, choose_team, power, team_of
from .cuda_text import Program
from .cuda_writer import Text

_ALONE = 32  # most elements of a stage that one thread does alone
_GRID = 65536  # most blocks of a kernel that strides
_WITH_SCRATCH = 528  # most blocks where each needs memory of its own
_BLOCKS = ("cuda.blockIdx.x", "cuda.gridDim.x")


def emit_loops(kernel: Loops, capacity: int, tuning: Tuning) -> tuple[CudaKernel, ...]:
    """Texts of a `Loops` kernel. `capacity` (the largest batch) only helps to choose sizes."""
    texts: list[CudaKernel] = []
    for part in kernels_of(kernel, tuning):
        texts += _emit(part, capacity, tuning)
    return tuple(texts)


def _emit(kernel: Loops, capacity: int, tuning: Tuning) -> tuple[CudaKernel, ...]:
    stages = kernel.stages
    if len(stages) == 1 and not stages[0].folds:
        return (_Writer(kernel, capacity, tuning).elements(),)
    if results_alone(kernel):
        return _results(kernel, capacity, tuning)
    if kernel.batched and all(prod(s.axes) <= _ALONE for s in stages):
        return (_Writer(kernel, capacity, tuning).alone(),)
    return (_Writer(kernel, capacity, tuning).together(),)


def _results(kernel: Loops, capacity: int, tuning: Tuning) -> tuple[CudaKernel, ...]:
    """Folds whose results are independent, in parts where that pays."""
    whole = _Writer(kernel, capacity, tuning)
    stage, over = kernel.stages[0], kernel.over_batch
    cut = len(stage.axes) - stage.folds[0].axes
    results = prod(stage.axes[:cut]) * (capacity if kernel.batched and not over else 1)
    terms = prod(stage.axes[cut:]) * (capacity if over else 1)
    team = choose_team(stage, results, terms, over, tuning)
    dtypes = {work_type(whole.programs[0], f) for f in stage.folds}
    parts = choose_fold_parts(stage, results, terms, team, tuning, dtypes)
    if parts.count == 1:
        return (whole.results(team),)
    return (
        _Writer(kernel, capacity, tuning, parts).results(team),
        _Writer(kernel, capacity, tuning, parts).joined(adders(results, parts, tuning)),
    )


_Finish = Callable[[Accumulators, str, dict[int, str]], None]  # sums, row, indices
_Terms = Callable[[Accumulators, str, str], None]  # sums, row, lane


class _Writer:
    """Writes one kernel, in one of the four ways."""

    def __init__(self, kernel: Loops, capacity: int, tuning: Tuning, parts: Parts = WHOLE) -> None:
        self.kernel, self.capacity, self.tuning, self.parts = kernel, capacity, tuning, parts
        slots, private = len(kernel.slots), private_slots(kernel)
        if parts.count > 1:  # parts of folds lie in a slot of their own, behind the others
            slots, private = slots + 1, private | {slots}
        self.frame = Frame(slots, kernel.stages, private)
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
        threads = min(self.tuning.threads, max(32, power(size * self.examples)))
        self.frame.bases_text(out)
        count = _count(size, self.kernel.batched)
        with out.block(f"for i in range(cuda.grid(1), {count}, cuda.gridsize(1))"):
            groups = merge(axes, accesses(stage), apart(stage))
            index = decode(out, "i", groups, size * self.examples)
            self._element(program, index)
        launch = Launch(threads, ((Extent(size, self.kernel.batched), threads),), _GRID)
        doc = f"{self._space(stage)}: a thread takes every so many elements."
        return self.frame.finish("elements", doc, out, launch)

    def results(self, team: Team) -> CudaKernel:
        """All terms of every result; or a part of them, which is left in the last slot."""
        first, *rest = self.programs
        out, parts = self.out, self.parts
        self._start(team.lanes, [first], team.lanes * team.columns)
        if parts.count == 1:
            # The fold's own results are what a following stage goes on with: by the same thread.
            finish = self._then(first, rest[0] if rest else None)
            blocks, text = _BLOCKS, f"{team.lanes} threads fold each of the results."
        else:
            out.line(f"part = int(cuda.blockIdx.x) % {parts.count}")
            blocks = (f"{_BLOCKS[0]} // {parts.count}", f"{_BLOCKS[1]} // {parts.count}")
            finish, text = self._leave(first), f"{team.lanes} threads fold a part of each result."
        self.frame.bases_text(out, "part")
        self._fold(first, team, spread=self._spread, blocks=blocks, finish=finish)
        launch = self._grid(team, Extent(parts.count))
        doc = f"{self._space(first.stage)}: {text}"
        return self.frame.finish("results", doc, out, launch, parts)

    def joined(self, team: Team) -> CudaKernel:
        """Join the parts that `results` left, in their order, and go on as it does."""
        first, *rest = self.programs
        out, parts = self.out, self.parts
        base = self._base(first)
        self._start(team.lanes, [first], team.lanes * team.columns)
        self.frame.bases_text(out, "0")
        finish = self._then(first, rest[0] if rest else None)

        def terms(sums: Accumulators, row: str, lane: str) -> None:
            with out.block(f"for q in range({lane}, {parts.count}, {team.lanes})"):
                for number, fold in enumerate(first.stage.folds):
                    start = number * parts.results // len(first.stage.folds)
                    dtype = work_type(first, fold)
                    place = f"{base} + {start} + {row} + q * {parts.results}"
                    sums.take_value(out, number, f"{dtype}[{place}]")

        self._fold(first, team, spread=self._spread, blocks=_BLOCKS, finish=finish, terms=terms)
        doc = f"Joins the {parts.count} parts of each result of {self._space(first.stage)}."
        return self.frame.finish("joined", doc, out, self._grid(team, Extent(1)), parts)

    @property
    def _spread(self) -> bool:
        """Whether every example has results of its own."""
        return self.kernel.batched and not self.kernel.over_batch

    def _grid(self, team: Team, parts: Extent) -> Launch:
        stage = self.kernel.stages[0]
        kept = prod(stage.axes[: len(stage.axes) - stage.folds[0].axes])
        factors = ((Extent(kept, self._spread), team.columns), (parts, 1))
        return Launch(team.lanes * team.columns, factors, _GRID)

    def _base(self, program: Program) -> str:
        """The slot of the parts."""
        dtype = work_type(program, program.stage.folds[0])
        return self.frame.base(len(self.kernel.slots), dtype)

    def _leave(self, program: Program) -> _Finish:
        """Where the part of a result goes."""
        base, parts = self._base(program), self.parts

        def finish(sums: Accumulators, row: str, index: dict[int, str]) -> None:
            for number, fold in enumerate(program.stage.folds):
                start = number * parts.results // len(program.stage.folds)
                dtype = work_type(program, fold)
                self.out.line(f"{dtype}[{base} + {start} + {row}] = {sums.name(number)}")

        return finish

    def _then(self, program: Program, follow: Program | None) -> _Finish:
        """Store a result, and go on with it."""

        def finish(sums: Accumulators, row: str, index: dict[int, str]) -> None:
            sums.store(self.out, lambda a: self.frame.place(a, index))
            if follow is not None:
                self._element(follow, index)

        return finish

    def alone(self) -> CudaKernel:
        out, threads = self.out, min(self.tuning.threads, 64)
        self.frame.bases_text(out, "cuda.grid(1)")
        with out.block("for e in range(cuda.grid(1), batch, cuda.gridsize(1))"):
            for number, program in enumerate(self.programs):
                self._note(number, program)
                if program.stage.folds:
                    self._fold(program, Team(1, 1), finish=self._then(program, None))
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
        threads = min(ceiling, max(32, power(most)))
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
                terms = prod(stage.axes) // max(1, kept)
                team = team_of(stage, kept, terms, self.kernel.over_batch, threads)
                self._fold(program, team, finish=self._then(program, None))
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

    def _fold(
        self,
        program: Program,
        team: Team,
        *,
        finish: _Finish,
        spread: bool = False,
        blocks: tuple[str, str] | None = None,
        terms: _Terms | None = None,
    ) -> None:
        """A stage with folds. `spread`: the batch is among the results; `blocks`: (number, count)
        of the blocks that share them; `terms` writes the loop over terms, `finish` what lane 0 of
        a column does with the result."""
        out, stage, tag = self.out, program.stage, program.tag
        cut = len(stage.axes) - stage.folds[0].axes
        kept: list[Axis] = [(k, stage.axes[k]) for k in range(cut)]
        outer: list[Axis] = [(BATCH, None), *kept] if spread else kept
        lane, column = f"lane{tag}", f"column{tag}"
        if team.lanes > 1:
            out.line(f"{lane} = {team.lane}")
        if team.columns > 1:
            out.line(f"{column} = {team.column}")
        results = prod(stage.axes[:cut])
        count, most = _count(results, spread), results * (self.capacity if spread else 1)
        row, base = f"r{tag}", f"b{tag}"
        one_turn = blocks is None and not spread and results <= team.columns
        number, turns = blocks or ("0", "1")
        start, step = _times(number, team.columns), _times(turns, team.columns)
        header = None if one_turn else f"for {base} in range({start}, {count}, {step})"
        with _maybe(out, header):
            own = column if team.columns > 1 else "0"
            out.line(f"{row} = {own}" if one_turn else f"{row} = {_plus(base, own)}")
            groups = merge(outer, self._all(), self._apart())
            index = decode(out, row, groups, most)
            if not spread and not self.kernel.over_batch and self.kernel.batched:
                index = {BATCH: "e", **index}
            sums = Accumulators(program, team)
            sums.start(out)
            with _maybe(out, f"if {row} < {count}" if team.columns > 1 else None):
                first = lane if team.lanes > 1 else "0"
                if terms is None:
                    self._terms(program, team, sums, index, first)
                else:
                    terms(sums, row, first)
            sums.join(out)
            conditions = [f"{lane} == 0"] if team.lanes > 1 else []
            conditions += [f"{row} < {count}"] if team.columns > 1 else []
            with _maybe(out, f"if {' and '.join(conditions)}" if conditions else None):
                finish(sums, row, index)
            if team.lanes > 1:
                out.sync()  # the shared arrays may be used again

    def _terms(
        self, program: Program, team: Team, sums: Accumulators, index: dict[int, str], lane: str
    ) -> None:
        """The loop over the terms of a result: all of them, or those of a part."""
        out, stage, tag, over = self.out, program.stage, program.tag, self.kernel.over_batch
        cut = len(stage.axes) - stage.folds[0].axes
        inner: list[Axis] = [(k, stage.axes[k]) for k in range(cut, len(stage.axes))]
        folded: list[Axis] = [(BATCH, None), *inner] if over else inner
        size = prod(stage.axes[cut:])
        first, last = lane, _count(size, over)
        if self.parts.count > 1:
            out.line(f"begin = part * {self.parts.length}")
            first, last = _plus("begin", lane), f"min(begin + {self.parts.length}, {last})"
        with out.block(f"for q{tag} in range({first}, {last}, {team.lanes})"):
            reads = [*stage.reads, *(w.access for w in stage.writes)]
            groups = merge(folded, reads, self._apart())
            most = size * (self.capacity if over else 1)
            here = {**index, **decode(out, f"q{tag}", groups, most)}
            at = indices(stage, here, self.kernel.batched or over)
            program.lets(out, at, lambda a: self.frame.place(a, here))
            program.writes(out, at, lambda a: self.frame.place(a, here))
            sums.take(out, at, f"q{tag}")

    def _stride(self, program: Program, first: str, step: int) -> None:
        """A stage without folds, its elements shared by `step` threads."""
        out, stage, row = self.out, program.stage, f"r{program.tag}"
        size = prod(stage.axes)
        with out.block(f"for {row} in range({first}, {size}, {step})"):
            groups = merge(_axes(stage), accesses(stage), apart(stage) | {BATCH})
            index = decode(out, row, groups, size)
            if self.kernel.batched:
                index = {BATCH: "e", **index}
            self._element(program, index)

    def _element(self, program: Program, index: dict[int, str]) -> None:
        """Everything that a stage does for one element."""
        at = indices(program.stage, index, self.kernel.batched and not self.kernel.over_batch)
        program.lets(self.out, at, lambda a: self.frame.place(a, index))
        program.writes(self.out, at, lambda a: self.frame.place(a, index))

    def _all(self) -> list[Access]:
        """What the merging of results must suit: a stage that follows uses their indices, too."""
        return [a for p in self.programs for a in accesses(p.stage)]

    def _apart(self) -> set[int]:
        """Every program must agree on merged axes: a following stage may ask for positions too."""
        return set().union(*(apart(p.stage) for p in self.programs))

    def _note(self, number: int, program: Program) -> None:
        self.out.line(f"# stage {number}: {self._space(program.stage)}")

    def _space(self, stage: Stage) -> str:
        shape = " × ".join(map(str, stage.axes)) or "one element"
        kinds = ", ".join(_told(f) for f in stage.folds)
        per = " an example" if self.kernel.batched else ""
        return shape + per + (f", folded: {kinds}" if kinds else "")


def _told(fold: Fold) -> str:
    return fold.kind + (" over the batch" if fold.batch else "")


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
