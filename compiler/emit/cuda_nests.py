"""Loop nests in the text of a CUDA kernel: folds by teams of threads, stages by striding threads.

In: a `Loops`, the sizes of blocks. Out: the lines of one stage at a time; `cuda_loops` puts them
together to kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from math import prod

from ..plan import Access, Fold, Loops, Stage
from .cuda_fold import Accumulators, shared_arrays
from .cuda_kernel import (
    BATCH,
    WHOLE,
    Axis,
    Frame,
    Parts,
    Tuning,
    accesses,
    apart,
    decode,
    indices,
    merge,
)
from .cuda_stages import private_slots
from .cuda_teams import Team
from .cuda_text import Program
from .cuda_writer import Text

Finish = Callable[[Accumulators, str, dict[int, str]], None]  # sums, row, indices
Terms = Callable[[Accumulators, str, str], None]  # sums, row, lane


class Nests:
    """Writes the stages of one kernel."""

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

    @property
    def spread(self) -> bool:
        """Whether every example has results of its own."""
        return self.kernel.batched and not self.kernel.over_batch

    def start(self, lanes: int, folding: list[Program], threads: int) -> None:
        """The thread's number and the arrays that lanes are joined in."""
        self.out.line("t = cuda.threadIdx.x")
        if lanes > 1:
            work = [(p, f) for p in folding for f in p.stage.folds]
            for line in shared_arrays(work, threads):
                self.out.line(line)

    def fold(
        self,
        program: Program,
        team: Team,
        *,
        finish: Finish,
        spread: bool = False,
        blocks: tuple[str, str] | None = None,
        terms: Terms | None = None,
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
        count, most = count_of(results, spread), results * (self.capacity if spread else 1)
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
        first, last = lane, count_of(size, over)
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

    def stride(self, program: Program, first: str, step: int) -> None:
        """A stage without folds, its elements shared by `step` threads."""
        size = prod(program.stage.axes)
        with self.out.block(f"for r{program.tag} in range({first}, {size}, {step})"):
            self.one(program)

    def one(self, program: Program) -> None:
        """Element `r` of example `e` of a stage."""
        stage, row = program.stage, f"r{program.tag}"
        groups = merge(axes_of(stage), accesses(stage), apart(stage) | {BATCH})
        index = decode(self.out, row, groups, prod(stage.axes))
        if self.kernel.batched:
            index = {BATCH: "e", **index}
        self.element(program, index)

    def element(self, program: Program, index: dict[int, str]) -> None:
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

    def note(self, number: int, program: Program) -> None:
        self.out.line(f"# stage {number}: {self.space(program.stage)}")

    def space(self, stage: Stage) -> str:
        shape = " × ".join(map(str, stage.axes)) or "one element"
        kinds = ", ".join(_told(f) for f in stage.folds)
        per = " an example" if self.kernel.batched else ""
        return shape + per + (f", folded: {kinds}" if kinds else "")

    def then(self, program: Program, follow: Program | None) -> Finish:
        """Store a result, and go on with it."""

        def finish(sums: Accumulators, row: str, index: dict[int, str]) -> None:
            sums.store(self.out, lambda a: self.frame.place(a, index))
            if follow is not None:
                self.element(follow, index)

        return finish


def _told(fold: Fold) -> str:
    return fold.kind + (" over the batch" if fold.batch else "")


def axes_of(stage: Stage, batched: bool = False) -> list[Axis]:
    inside: list[Axis] = list(enumerate(stage.axes))
    return [(BATCH, None), *inside] if batched else inside


def count_of(size: int, batched: bool) -> str:
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
