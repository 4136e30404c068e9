"""Why training broke down: the first step and the first node with NaN or infinity.

In: a program, its state before a run of steps, and that run. Out: a `Failure` E501 at the line of
the `.net` file whose value stopped being a number. The steps are run again one by one to find the
bad one; the plain interpreter then runs that step and looks at every value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compiler.pipeline import optimise
from ...compiler.value import Value
from ...dsl.diagnostics import Failure, Label, fail
from ..plain import first_not_finite
from ..session import Program
from .job import Array, finite


@dataclass(frozen=True)
class Stretch:
    """Consecutive steps: the arrays, the rows of their batches, the number of the first, and how
    many steps the sequences of each batch have."""

    fields: Mapping[str, Array]
    rows: NDArray[np.int64]
    batch: int
    scalars: Mapping[str, NDArray[np.float64]]
    first: int
    lengths: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return -(-len(self.rows) // self.batch)

    def one(self, index: int) -> Stretch:
        """Step number `index` of the stretch, alone."""
        rows = self.rows[index * self.batch : (index + 1) * self.batch]
        scalars = {n: s[index : index + 1] for n, s in self.scalars.items()}
        lengths = {c: each[index : index + 1] for c, each in self.lengths.items()}
        return Stretch(self.fields, rows, self.batch, scalars, self.first + index, lengths)


def run(program: Program, stretch: Stretch, seed: int) -> NDArray[np.float64]:
    """The recorded numbers of each step."""
    return program.run_steps(
        stretch.fields, stretch.rows, stretch.batch, stretch.scalars,
        seed=seed, step=stretch.first, lengths=stretch.lengths,
    )  # fmt: skip


def sound(program: Program, rows: NDArray[np.float64], steps: int) -> bool:
    """Did every step run, with finite numbers, and are the parameters still numbers?"""
    if len(rows) < steps or not np.all(np.isfinite(rows)):
        return False
    return all(finite(program.loaded.read(name)) for name in program.updated)


def breakdown(
    program: Program, before: Any, stretch: Stretch, seed: int, epoch: int, kept: Path | None
) -> Failure:
    """The report on a stretch that was not sound; the program is left as it was before the bad
    step."""
    program.loaded.restore(before)
    for index in range(stretch.steps):
        one = stretch.one(index)
        snapshot = program.loaded.snapshot()
        rows = run(program, one, seed)
        if sound(program, rows, 1):
            continue
        program.loaded.restore(snapshot)
        return _report(_first(program, one, seed), one, epoch, kept)
    # Alone, every step is sound: the bad number came and went within the run (a metric, say).
    return _report(None, stretch.one(stretch.steps - 1), epoch, kept)


def _first(program: Program, one: Stretch, seed: int) -> Value | None:
    given: dict[str, Any] = dict(program.pull(program.carried))
    given |= {n: float(s[0]) for n, s in one.scalars.items() if n in program.scalars}
    given |= {n: one.fields[n][one.rows] for n in program.inputs}
    # The graph that ran, not the one that was written: rewriting makes some formulas safer.
    graph = optimise(program.graph)
    return first_not_finite(graph, given, batch=len(one.rows), seed=seed, step=one.first)


def _report(node: Value | None, one: Stretch, epoch: int, kept: Path | None) -> Failure:
    where = f"step {one.first:,} (epoch {epoch})"
    saved = f"; the last good state is `{kept}`" if kept is not None else ""
    if node is None:
        message = f"training broke down in {where}: the loss or a parameter is no longer a number"
        return fail("E501", message, help=_HELP + saved)
    origin = node.origin
    what = f"`{origin.name}`" if origin.name else f"`{node.op.name}`"
    if node.op.name == "input":
        message = f"training broke down in {where}: the data hold NaN or infinity in {what}"
        return fail("E501", message, origin.span, help="clean the data, or leave such rows out")
    inside = f" of `{origin.instance}`" if origin.instance else ""
    pass_ = {"backward": " in the backward pass", "update": " in the update"}.get(origin.role, "")
    labels: tuple[Label, ...] = ()
    if origin.of is not None and origin.of.origin.span not in (None, origin.span):
        assert origin.of.origin.span is not None
        labels = (Label(origin.of.origin.span, "this is what was being differentiated"),)
    message = f"training broke down in {where}: {what}{inside} gave NaN or infinity first{pass_}"
    note = f"`{node.op.name}` of finite numbers is not finite here"
    return fail("E501", message, origin.span, note=note, labels=labels, help=_HELP + saved)


_HELP = "lower the learning rate, add `clip 1.0`, normalize the data, or keep logs away from 0"
