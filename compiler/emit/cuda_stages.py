"""What of a `Loops` kernel goes into one CUDA kernel.

In: a `Loops`. Out: the same work as one or more `Loops` whose launches follow one another. On a
device a launch is the only barrier between blocks: stages of large arrays, each of which could
fill the device, become kernels of their own instead of being shared by the threads of one block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from ..plan import Access, Loops, Stage
from .cuda_kernel import Tuning, accesses

_EACH = 16  # elements for each thread of a block: stages with more are kernels of their own


def kernels_of(kernel: Loops, tuning: Tuning) -> list[Loops]:
    """The kernels that a `Loops` becomes."""
    stages = tuple(s for stage in kernel.stages for s in _one_depth(stage))
    kernel = replace(kernel, stages=stages)
    small = max(prod(s.axes) for s in stages) <= _EACH * tuning.threads
    if len(stages) == 1 or small or kernel.over_batch or private_slots(kernel):
        return [kernel]
    found: list[Loops] = []
    for stage in stages:
        pair = replace(kernel, stages=(*found[-1].stages, stage)) if found else None
        if pair is not None and results_alone(pair) and not _overwrites(pair):
            found[-1] = pair
        else:
            found.append(replace(kernel, stages=(stage,)))
    return found


def _one_depth(stage: Stage) -> Iterator[Stage]:
    """Split a stage whose folds do not all fold the same axes. Writes come last: one may overwrite
    what the folds read."""
    depths = sorted({f.axes for f in stage.folds})
    for depth in depths[:-1]:
        folds = tuple(f for f in stage.folds if f.axes == depth)
        yield replace(stage, writes=(), folds=folds)
    last = tuple(f for f in stage.folds if f.axes == depths[-1]) if depths else ()
    yield replace(stage, folds=last)


def results_alone(kernel: Loops) -> bool:
    """A stage of folds whose results are independent, also in the stage that follows, if any."""
    first, *rest = kernel.stages
    if not first.folds or len(rest) > 1:
        return False
    if kernel.over_batch or not rest:
        return True
    (then,) = rest
    if then.folds or then.axes != first.axes[: len(first.axes) - first.folds[0].axes]:
        return False
    if private_slots(kernel):
        return False
    made = {f.access.slot: f.access for f in first.folds}
    made |= {w.access.slot: w.access for w in first.writes}
    return all(_same_place(made[a.slot], a) for a in then.reads if a.slot in made)


def _overwrites(pair: Loops) -> bool:
    """Whether the second stage writes what other results of the first may still read."""
    first, then = pair.stages
    return bool({a.slot for a in first.reads} & {w.access.slot for w in then.writes})


def _same_place(a: Access, b: Access) -> bool:
    return (a.offset, a.strides, a.example) == (b.offset, b.strides, b.example)


def private_slots(kernel: Loops) -> set[int]:
    """Slots that may be scratch: handed from stage to stage of a batched kernel, one for all
    examples."""
    if not kernel.batched or kernel.over_batch or len(kernel.stages) == 1:
        return set()
    every = [a for s in kernel.stages for a in accesses(s)]
    written = {a.slot for s in kernel.stages for a in accesses(s)[len(s.reads) :]}
    return written - {a.slot for a in every if a.example}
