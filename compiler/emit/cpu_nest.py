"""Loop nests in normal form: what a stage iterates over, and where its elements lie.

In: a `Stage` and what stands around it. Out: a `Nest`: named loops in order, one of them in
vectors, and for every access an offset and a stride per loop. Axes of size 1 disappear and
neighbouring axes that are contiguous in every access become one, so that a matrix is one long
row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from ..plan import Access, Fold, Stage, Write
from ..scalar import Call, Position

ACROSS = 12  # instructions that join the lanes of a vector
FEW = 16  # turns of the loops of a fold: fewer are unrolled


@dataclass(frozen=True)
class Loop:
    """One loop: `size` turns, None for one per example of the batch, times `per`.

    `axes` are the stage axes it stands for (−1: the batch), so that positions can be named.
    """

    name: str
    size: int | None
    axes: tuple[int, ...]
    per: int = 1
    vector: bool = False

    @property
    def flat_batch(self) -> bool:
        return self.size is None and self.per > 1

    @property
    def extent(self) -> str:
        """The number of turns, as text."""
        if self.size is not None:
            return str(self.size)
        return "batch" if self.per == 1 else f"batch * {self.per}"


@dataclass(frozen=True)
class Place:
    """An access in terms of the loops: one stride for each."""

    slot: int
    dtype: str
    offset: int
    strides: tuple[int, ...]

    def index(self, loops: tuple[Loop, ...]) -> str:
        """The element's index, as text."""
        terms = [
            loop.name if s == 1 else f"{s} * {loop.name}"
            for s, loop in zip(self.strides, loops, strict=True)
            if s
        ]
        if self.offset or not terms:
            terms.append(str(self.offset))
        return " + ".join(terms)

    def depth(self) -> int:
        """How many of the loops, from outside, must stand before the place is known."""
        return max((k + 1 for k, s in enumerate(self.strides) if s), default=0)


@dataclass(frozen=True)
class Nest:
    """A stage over its loops. `kept` of fold f: the loops whose results stay apart."""

    stage: Stage
    loops: tuple[Loop, ...]
    reads: tuple[Place, ...]
    writes: tuple[Place, ...]
    folds: tuple[Place, ...]
    kept: tuple[int, ...]  # per fold: the number of outer loops that its result depends on
    size: int  # elements of one example
    lanes: int

    @property
    def vector(self) -> int | None:
        """Which loop runs in vectors."""
        return next((k for k, loop in enumerate(self.loops) if loop.vector), None)


@dataclass(frozen=True)
class _Axis:
    """A loop before it has a name; `places` holds the stride of every access."""

    size: int | None
    axes: tuple[int, ...]
    strides: tuple[int, ...]
    per: int = 1


def accesses(stage: Stage) -> list[Access]:
    """Reads, writes, folds: everything a stage touches."""
    return [*stage.reads, *(w.access for w in stage.writes), *(f.access for f in stage.folds)]


def calls(stage: Stage) -> Iterator[Call]:
    """Every call in a stage's program."""
    pending = [let.expression for let in stage.lets]
    while pending:
        item = pending.pop()
        if isinstance(item, Call):
            yield item
            pending += item.arguments


def positions(stage: Stage) -> set[int]:
    """Axes whose index the program asks for."""
    found: set[int] = set()
    for call in calls(stage):
        found |= {a.axis for a in call.arguments if isinstance(a, Position)}
    return found


def draws(stage: Stage) -> bool:
    return any(c.function in ("uniform", "normal") for c in calls(stage))


def lanes_of(stage: Stage) -> int:
    """16 numbers of 4 bytes or 8 of 8: a vector of the widest hosts, and the same everywhere."""
    dtypes = {a.dtype for a in accesses(stage)} | {let.dtype for let in stage.lets}
    return 8 if "f64" in dtypes else 16


def simplified(stage: Stage) -> Stage:
    """Folds over nothing become writes."""
    trivial = [f for f in stage.folds if not f.batch and f.axes == 0 and f.kind != "argmax"]
    if not trivial:
        return stage
    writes = (*stage.writes, *(Write(f.access, f.value) for f in trivial))
    return replace(stage, writes=writes, folds=tuple(f for f in stage.folds if f not in trivial))


def _axes(stage: Stage, batch: bool) -> list[_Axis]:
    """The stage's axes, the batch first where it is one of them."""
    everything = accesses(stage)
    rank = len(stage.axes)

    def stride(access: Access, k: int) -> int:
        return access.strides[k] if k < len(access.strides) else 0

    result = [
        _Axis(n, (k,), tuple(stride(a, k) for a in everything)) for k, n in enumerate(stage.axes)
    ]
    if batch:
        result.insert(0, _Axis(None, (-1,), tuple(a.example for a in everything)))
    assert len(result) == rank + batch
    return [a for a in result if a.size != 1]


def _merge(axes: list[_Axis], fixed: set[int], borders: set[int]) -> list[_Axis]:
    """Join neighbours that are contiguous in every access; `fixed` axes keep their index, and
    nothing is joined across a border (the first axis of a folded part)."""
    result: list[_Axis] = []
    for axis in axes:
        last = result[-1] if result else None
        if last is None or axis.size is None or not _joins(last, axis, fixed, borders):
            result.append(axis)
            continue
        size = None if last.size is None else last.size * axis.size
        per = last.per * axis.size if last.size is None else 1
        result[-1] = _Axis(size, (*last.axes, *axis.axes), axis.strides, per)
    return result


def _joins(left: _Axis, right: _Axis, fixed: set[int], borders: set[int]) -> bool:
    assert right.size is not None
    if fixed & {*left.axes, *right.axes} or right.axes[0] in borders:
        return False
    return all(p == q * right.size for p, q in zip(left.strides, right.strides, strict=True))


def _folded_axes(fold: Fold, rank: int) -> set[int]:
    return set(range(rank - fold.axes, rank)) | ({-1} if fold.batch else set())


def nest(
    stage: Stage, *, batch: bool = False, outer: Loop | None = None, lanes: int | None = None
) -> Nest:
    """The loops of a stage.

    `batch`: the batch is one of its loops. `outer`: a loop over the examples already stands around
    it. Loops that a fold goes over stand inside those of the axes that stay.
    """
    rank = len(stage.axes)
    asked = positions(stage)
    fixed = asked - {-1}
    if -1 in asked:
        fixed |= {-1} if not _counts_only(stage) else set()
    folded = [_folded_axes(f, rank) for f in stage.folds]
    borders = {min(f - {-1}) for f in folded if f - {-1}}
    axes = _axes(stage, batch)
    over_batch = any(f.batch for f in stage.folds)
    if over_batch:
        inside = folded[0]
        fixed = fixed | {-1}
        axes = [a for a in axes if not set(a.axes) & inside] + [
            a for a in axes if set(a.axes) & inside
        ]
    axes = _merge(axes, fixed, borders)
    width = lanes or lanes_of(stage)
    axes, chosen = _vectors(axes, stage, folded, over_batch, width)
    if chosen is None:
        width = 1
    elif lanes is None:
        width *= _side_by_side(axes, chosen, stage, folded, width)
    names = iter("ijklmnpq")
    loops = tuple(
        Loop("e" if a.axes == (-1,) else next(names), a.size, a.axes, a.per, vector=k == chosen)
        for k, a in enumerate(axes)
    )
    everything = accesses(stage)
    strides = [tuple(a.strides[n] for a in axes) for n in range(len(everything))]
    if outer is not None:
        loops = (outer, *loops)
        strides = [(a.example, *s) for a, s in zip(everything, strides, strict=True)]
    places = [Place(a.slot, a.dtype, a.offset, s) for a, s in zip(everything, strides, strict=True)]
    reads, writes = len(stage.reads), len(stage.writes)
    kept = tuple(sum(not set(loop.axes) & f or loop is outer for loop in loops) for f in folded)
    return Nest(
        stage, loops, tuple(places[:reads]), tuple(places[reads : reads + writes]),
        tuple(places[reads + writes :]), kept, prod(stage.axes), width,
    )  # fmt: skip


def turns(stage: Stage, batch: int = 0) -> float:
    """Vectors of 16 numbers that a stage goes through; with a `batch`, over all its examples."""
    space = nest(simplified(stage), batch=bool(batch))
    total = 1.0
    for loop in space.loops:
        size = batch * loop.per if loop.size is None else loop.size
        total *= -(-size // space.lanes) * max(1, space.lanes / 16) if loop.vector else size
    return total


def _counts_only(stage: Stage) -> bool:
    """Position(−1) occurs only in draws, whose counter goes on from example to example."""
    return all(
        c.function in ("uniform", "normal") or Position(-1) not in c.arguments for c in calls(stage)
    )


def _cost(axis: _Axis, lanes: int) -> float:
    """Of running this axis in vectors, for one element: waste in the tail, strided accesses."""
    size = 256 if axis.size is None else axis.size
    waste = -(-size // lanes) * lanes / size
    return waste * sum(1 if s in (0, 1) else lanes / 2 for s in axis.strides)


def _vectors(
    axes: list[_Axis], stage: Stage, folded: list[set[int]], over_batch: bool, lanes: int
) -> tuple[list[_Axis], int | None]:
    """The axes in the order of their loops, and which of them runs in vectors."""
    last = len(axes) - 1
    if not axes or (draws(stage) and not over_batch):
        return axes, last if axes else None
    stay = [k for k, a in enumerate(axes) if not any(set(a.axes) & f for f in folded)]
    if over_batch:
        inner = [k for k, a in enumerate(axes) if set(a.axes) & (folded[0] - {-1})]
        best = stay[-1] if stay else last
        if inner and not (stay and _cost(axes[best], lanes) < _cost(axes[inner[-1]], lanes)):
            best = inner[-1]
        return axes, best
    if not stay:
        return axes, last
    best = min(reversed(stay), key=lambda k: _cost(axes[k], lanes))
    if stage.folds and last not in stay:
        total = prod(a.size or 1 for k, a in enumerate(axes) if k not in stay)
        across = _cost(axes[last], lanes) + ACROSS * len(stage.folds) * lanes / total
        if across <= _cost(axes[best], lanes):
            return axes, last
    order = [k for k in stay if k != best] + [best]
    order += [k for k in range(len(axes)) if k not in stay]
    return [axes[k] for k in order], len(stay) - 1


def _side_by_side(
    axes: list[_Axis], chosen: int, stage: Stage, folded: list[set[int]], lanes: int
) -> int:
    """How many vectors of results are summed at once: a single one would wait for each addition,
    and would walk through memory in short steps. Bounded by the registers that the program needs.
    """
    inside = axes[chosen + 1 :]
    along = any(set(axes[chosen].axes) & f for f in folded)
    if not folded or along or prod(16 if a.size is None else a.size for a in inside) < FEW:
        return 1
    most = 4 if len(stage.lets) <= 4 and len(stage.folds) <= 3 else 2
    size = 0 if axes[chosen].per != 1 else axes[chosen].size or 0
    while most > 1 and size < most * lanes:
        most //= 2
    return most
