"""Loops as CUDA kernels: which threads do which elements.

In: a `Loops` of the plan. Out: its `CudaKernel`s, nearly always one. Five ways, chosen by the
form of the kernel:

* elements: one stage without folds; threads stride over batch × elements;
* results: one stage with folds (and perhaps one that goes on with each result); a team of threads
  per result (see `cuda_fold`), results spread over blocks; where few results have very many terms,
  blocks fold parts of them and a second kernel joins the parts;
* pieces: several stages that write different places and read nothing of each other; threads stride
  over the elements of all of them;
* alone: several small stages; a thread does an example from beginning to end;
* together: several stages; a block does an example (or, unbatched, a single block does all), its
  threads meeting between stages.

Several stages of large arrays become several kernels (`cuda_stages`).
"""

from __future__ import annotations

from math import prod

from ..plan import Extent, Loops
from .cuda_fold import Accumulators, work_type
from .cuda_kernel import (
    CudaKernel,
    Launch,
    Tuning,
    accesses,
    apart,
    decode,
    merge,
)
from .cuda_nests import Finish, Nests, axes_of, count_of
from .cuda_stages import independent, kernels_of, results_alone
from .cuda_teams import Team, adders, choose_fold_parts, choose_team, power, team_of
from .cuda_text import Program

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
    if independent(kernel):
        return (_Writer(kernel, capacity, tuning).pieces(),)
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


class _Writer(Nests):
    """Writes one kernel, in one of the five ways."""

    def elements(self) -> CudaKernel:
        (program,) = self.programs
        stage, out = program.stage, self.out
        axes = axes_of(stage, batched=self.kernel.batched)
        size = prod(stage.axes)
        threads = min(self.tuning.threads, max(32, power(size * self.examples)))
        self.frame.bases_text(out)
        count = count_of(size, self.kernel.batched)
        with out.block(f"for i in range(cuda.grid(1), {count}, cuda.gridsize(1))"):
            groups = merge(axes, accesses(stage), apart(stage))
            index = decode(out, "i", groups, size * self.examples)
            self.element(program, index)
        launch = Launch(threads, ((Extent(size, self.kernel.batched), threads),), _GRID)
        doc = f"{self.space(stage)}: a thread takes every so many elements."
        return self.frame.finish("elements", doc, out, launch)

    def pieces(self) -> CudaKernel:
        out, batched = self.out, self.kernel.batched
        size = sum(prod(p.stage.axes) for p in self.programs)
        threads = min(self.tuning.threads, max(32, power(size * self.examples)))
        self.frame.bases_text(out)
        count = count_of(size, batched)
        with out.block(f"for i in range(cuda.grid(1), {count}, cuda.gridsize(1))"):
            if batched:
                short = size * self.examples < 2**31
                out.line(f"e = np.int64(np.uint32(i) // np.uint32({size}))" if short else
                         f"e = i // {size}")  # fmt: skip
            out.line(f"q = i - e * {size}" if batched else "q = i")
            start = 0
            for number, program in enumerate(self.programs):
                end = start + prod(program.stage.axes)
                word = "else" if end == size else f"{'elif' if number else 'if'} q < {end}"
                with out.block(word):
                    self.note(number, program)
                    out.line(f"r{program.tag} = q - {start}" if start else f"r{program.tag} = q")
                    self.one(program)
                start = end
        launch = Launch(threads, ((Extent(size, batched), threads),), _GRID)
        doc = f"{len(self.programs)} pieces: a thread takes every so many elements of all."
        return self.frame.finish("pieces", doc, out, launch)

    def results(self, team: Team) -> CudaKernel:
        """All terms of every result; or a part of them, which is left in the last slot."""
        first, *rest = self.programs
        out, parts = self.out, self.parts
        self.start(team.lanes, [first], team.lanes * team.columns)
        if parts.count == 1:
            # The fold's own results are what a following stage goes on with: by the same thread.
            finish = self.then(first, rest[0] if rest else None)
            blocks, text = _BLOCKS, f"{team.lanes} threads fold each of the results."
        else:
            out.line(f"part = int(cuda.blockIdx.x) % {parts.count}")
            blocks = (f"{_BLOCKS[0]} // {parts.count}", f"{_BLOCKS[1]} // {parts.count}")
            finish, text = self._leave(first), f"{team.lanes} threads fold a part of each result."
        self.frame.bases_text(out, "part")
        self.fold(first, team, spread=self.spread, blocks=blocks, finish=finish)
        launch = self._grid(team, Extent(parts.count))
        doc = f"{self.space(first.stage)}: {text}"
        return self.frame.finish("results", doc, out, launch, parts)

    def joined(self, team: Team) -> CudaKernel:
        """Join the parts that `results` left, in their order, and go on as it does."""
        first, *rest = self.programs
        out, parts = self.out, self.parts
        base = self._base(first)
        self.start(team.lanes, [first], team.lanes * team.columns)
        self.frame.bases_text(out, "0")
        finish = self.then(first, rest[0] if rest else None)

        def terms(sums: Accumulators, row: str, lane: str) -> None:
            with out.block(f"for q in range({lane}, {parts.count}, {team.lanes})"):
                for number, fold in enumerate(first.stage.folds):
                    start = number * parts.results // len(first.stage.folds)
                    dtype = work_type(first, fold)
                    place = f"{base} + {start} + {row} + q * {parts.results}"
                    sums.take_value(out, number, f"{dtype}[{place}]")

        self.fold(first, team, spread=self.spread, blocks=_BLOCKS, finish=finish, terms=terms)
        doc = f"Joins the {parts.count} parts of each result of {self.space(first.stage)}."
        return self.frame.finish("joined", doc, out, self._grid(team, Extent(1)), parts)

    def _grid(self, team: Team, parts: Extent) -> Launch:
        stage = self.kernel.stages[0]
        kept = prod(stage.axes[: len(stage.axes) - stage.folds[0].axes])
        factors = ((Extent(kept, self.spread), team.columns), (parts, 1))
        return Launch(team.lanes * team.columns, factors, _GRID)

    def _base(self, program: Program) -> str:
        """The slot of the parts."""
        dtype = work_type(program, program.stage.folds[0])
        return self.frame.base(len(self.kernel.slots), dtype)

    def _leave(self, program: Program) -> Finish:
        """Where the part of a result goes."""
        base, parts = self._base(program), self.parts

        def finish(sums: Accumulators, row: str, index: dict[int, str]) -> None:
            for number, fold in enumerate(program.stage.folds):
                start = number * parts.results // len(program.stage.folds)
                dtype = work_type(program, fold)
                self.out.line(f"{dtype}[{base} + {start} + {row}] = {sums.name(number)}")

        return finish

    def alone(self) -> CudaKernel:
        out, threads = self.out, min(self.tuning.threads, 64)
        self.frame.bases_text(out, "cuda.grid(1)")
        with out.block("for e in range(cuda.grid(1), batch, cuda.gridsize(1))"):
            for number, program in enumerate(self.programs):
                self.note(number, program)
                if program.stage.folds:
                    self.fold(program, Team(1, 1), finish=self.then(program, None))
                else:
                    self.stride(program, "0", 1)
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
        self.start(threads, folding, threads)
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
            self.note(number, program)
            if program.stage.folds:
                stage = program.stage
                kept = prod(stage.axes[: len(stage.axes) - stage.folds[0].axes])
                terms = prod(stage.axes) // max(1, kept)
                team = team_of(stage, kept, terms, self.kernel.over_batch, threads)
                self.fold(program, team, finish=self.then(program, None))
            else:
                self.stride(program, "t", threads)
            self.out.sync()
