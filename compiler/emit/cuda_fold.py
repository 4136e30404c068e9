"""Folds in the text of a CUDA kernel: accumulate in a register, join the lanes of a block as a
tree.

The threads of a block stand as `columns` results × `lanes` that share the terms of one result
(`cuda_teams` chooses how many). Lane j takes terms j, j + lanes, …; then lanes are joined in
halves, in shared memory. The order is that of the text alone, so a result does not depend on how
many blocks run.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..plan import Fold
from .cuda_teams import Team
from .cuda_text import Indices, Place, Program
from .cuda_writer import NUMPY, Text, convert, greater, literal, store

_FIRST = {"sum": 0.0, "max": float("-inf"), "min": float("inf"), "argmax": float("-inf")}
_I32 = {"sum": 0, "max": -(2**31), "min": 2**31 - 1, "argmax": -(2**31)}
_NOWHERE = 2**31 - 1


def work_type(program: Program, fold: Fold) -> str:
    """Element type in which a fold accumulates."""
    dtype = fold.access.dtype
    if fold.kind == "argmax":
        dtype = program.kind(fold.value) or "f32"
    return "i32" if dtype == "bool" else dtype


def shared_arrays(work: Iterable[tuple[Program, Fold]], threads: int) -> list[str]:
    """Lines that make the shared arrays of some folds: one of each type, used by all in turn.
    Each on a line of its own, for that is how the simulator tells them apart."""
    names: dict[str, str] = {}
    for program, fold in work:
        dtype = work_type(program, fold)
        names[f"part_{dtype}"] = NUMPY[dtype]
        if fold.kind == "argmax":
            names["part_place"] = NUMPY["i32"]
    return [f"{n} = cuda.shared.array({threads}, dtype={d})" for n, d in sorted(names.items())]


class Accumulators:
    """The running results of one stage's folds, in the registers of a thread."""

    def __init__(self, program: Program, team: Team) -> None:
        self.program, self.team = program, team
        self.folds = program.stage.folds

    def name(self, number: int) -> str:
        return f"f{number}{self.program.tag}"

    def start(self, out: Text) -> None:
        """Before the first term."""
        for number, fold in enumerate(self.folds):
            dtype = work_type(self.program, fold)
            first = _I32[fold.kind] if dtype == "i32" else _FIRST[fold.kind]
            out.line(f"{self.name(number)} = {literal(first, dtype)}")
            if fold.kind == "argmax":
                out.line(f"{self.name(number)}_at = {literal(_NOWHERE, 'i32')}")

    def take(self, out: Text, at: Indices, position: str) -> None:
        """One more term; `position` is its place among the terms."""
        for number, fold in enumerate(self.folds):
            value = self.program.value(fold.value, work_type(self.program, fold), at)
            self.take_value(out, number, value, position)

    def take_value(self, out: Text, number: int, value: str, position: str = "0") -> None:
        """One more term of one fold."""
        fold, name = self.folds[number], self.name(number)
        if fold.kind == "sum":
            added, whole = f"{name} + {value}", work_type(self.program, fold) == "i32"
            out.line(f"{name} = np.int32({added})" if whole else f"{name} = {added}")
            return
        out.line(f"{name}_v = {value}")
        if fold.kind == "argmax":  # terms come in ascending order: the first greatest stays
            with out.block(f"if {name}_v > {name} or {name}_at == {literal(_NOWHERE, 'i32')}"):
                out.line(f"{name} = {name}_v")
                out.line(f"{name}_at = np.int32({position})")
        else:
            out.line(f"{name} = {greater(f'{name}_v', name, fold.kind)}")

    def join(self, out: Text) -> None:
        """Join the lanes: lane 0 of every column then holds the result."""
        if self.team.lanes == 1:
            return
        for number, fold in enumerate(self.folds):
            part, name = f"part_{work_type(self.program, fold)}", self.name(number)
            out.line(f"{part}[t] = {name}")
            if fold.kind == "argmax":
                out.line(f"part_place[t] = {name}_at")
            out.sync()
            half = self.team.lanes // 2
            while half:
                with out.block(f"if lane{self.program.tag} < {half}"):
                    self._pair(out, fold, part, name, half * self.team.apart)
                out.sync()
                half //= 2

    def _pair(self, out: Text, fold: Fold, part: str, name: str, far: int) -> None:
        """Add the lane `far` threads away to this one; both sums stand in shared memory."""
        other = f"{part}[t + {far}]"
        if fold.kind == "sum":
            added = f"{name} + {other}"
            out.line(f"{name} = np.int32({added})" if part == "part_i32" else f"{name} = {added}")
        else:
            out.line(f"{name}_v = {other}")
        if fold.kind == "argmax":
            out.line(f"{name}_w = part_place[t + {far}]")
            first = f"{name}_v == {name} and {name}_w < {name}_at"
            with out.block(f"if {name}_v > {name} or {first}"):
                out.line(f"{name} = {name}_v")
                out.line(f"{name}_at = {name}_w")
            out.line(f"part_place[t] = {name}_at")
        elif fold.kind != "sum":
            out.line(f"{name} = {greater(f'{name}_v', name, fold.kind)}")
        out.line(f"{part}[t] = {name}")

    def store(self, out: Text, place: Place) -> None:
        """Write the results."""
        for number, fold in enumerate(self.folds):
            dtype, name = work_type(self.program, fold), self.name(number)
            if fold.kind == "argmax":  # only where every term is a NaN is no place found
                name, dtype = f"{name}_at", "i32"
            value = convert(name, dtype, fold.access.dtype)
            out.line(store(place(fold.access), value, fold.access.dtype))
