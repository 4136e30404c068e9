"""What of a `Loops` kernel goes into one CUDA kernel.

In: a `Loops`. Out: the same work as one or more `Loops` whose launches follow one another. On a
device a launch is the only barrier between blocks: stages of large arrays, each of which could
fill the device, become kernels of their own instead of being shared by the threads of one block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..plan import Access, Loops, Stage
from .cuda_kernel import Tuning, accesses

_EACH = 16  # elements for each thread of a block: stages with more are kernels of their own
_COUNTED = 2**22  # most elements of pieces that are looked at one by one


def kernels_of(kernel: Loops, tuning: Tuning) -> list[Loops]:
    """The kernels that a `Loops` becomes."""
    stages = tuple(s for stage in kernel.stages for s in _one_depth(stage))
    kernel = replace(kernel, stages=stages)
    small = max(prod(s.axes) for s in stages) <= _EACH * tuning.threads
    if len(stages) == 1 or small or kernel.over_batch or private_slots(kernel):
        return [kernel]
    if independent(kernel):
        return [kernel]
    found: list[Loops] = []
    for stage in stages:
        pair = replace(kernel, stages=(*found[-1].stages, stage)) if found else None
        goes_on = pair is not None and results_alone(pair) and not _overwrites(pair)
        if pair is not None and (goes_on or independent(pair)):
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
    return bool(_buffers(pair, first.reads) & _buffers(pair, [w.access for w in then.writes]))


def independent(kernel: Loops) -> bool:
    """Whether the stages may run side by side: the pieces of a result, which none of them reads."""
    stages = kernel.stages
    if len(stages) == 1 or any(s.folds for s in stages) or private_slots(kernel):
        return False
    for stage in stages:
        read = _buffers(kernel, stage.reads)
        others = [w.access for s in stages if s is not stage for w in s.writes]
        if read & _buffers(kernel, others):
            return False
    return all(_disjoint(group) for group in _shared_results(kernel))


def _shared_results(kernel: Loops) -> list[list[tuple[Access, tuple[int, ...]]]]:
    """The writes to each buffer, with the axes they walk."""
    found: dict[int, list[tuple[Access, tuple[int, ...]]]] = {}
    for stage in kernel.stages:
        for write in stage.writes:
            found.setdefault(kernel.slots[write.access.slot], []).append((write.access, stage.axes))
    return [w for w in found.values() if len(w) > 1]


def _disjoint(writes: list[tuple[Access, tuple[int, ...]]]) -> bool:
    """Whether no element is written twice; counted, since interleaved pieces are no boxes."""
    if len({a.example for a, _ in writes}) > 1 or sum(prod(x) for _, x in writes) > _COUNTED:
        return False
    places = [_places(*w) for w in writes]
    taken = np.zeros(1 + max(int(p.max()) for p in places), np.bool_)
    for place in places:
        if taken[place].any():
            return False
        taken[place] = True
    return True


def _places(access: Access, axes: tuple[int, ...]) -> NDArray[np.int64]:
    """The elements of one example that an access meets."""
    place = np.full((), access.offset, np.int64)
    for size, stride in zip(axes, access.strides, strict=True):
        place = np.add.outer(place, np.arange(size, dtype=np.int64) * stride)
    return place.reshape(-1)


def _buffers(kernel: Loops, over: Iterable[Access]) -> set[int]:
    """The buffers behind accesses: two slots may be one buffer."""
    return {kernel.slots[a.slot] for a in over}


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
