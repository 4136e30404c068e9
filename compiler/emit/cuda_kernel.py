"""What both kinds of CUDA kernel share: tuning, launch, the function around the body, places in
memory.

A kernel is one function `kernel(views…, table, at, batch)`. The views are the arena as
one-dimensional arrays of f32, f64, i32, u8 (truth values) and i64 (the header): the same bytes,
only those that the kernel touches. `table[at : at + slots]` are the byte offsets of its slots in
the arena, and `table[at + slots : at + 2·slots]` how far apart the copies of a slot lie that
every worker (a block, or a thread where each does an example alone) has for itself: 0 but for
scratch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import prod

from ..plan import Access, Extent, Stage
from .cuda_text import Indices, counts_examples, draws, positions
from .cuda_writer import VIEWS, Text, times, total

BATCH = -1  # the batch, as an axis
VIEW_ORDER = ("f32", "f64", "i32", "u8", "i64")

Axis = tuple[int, int | None]  # number, size (None: the batch, known when it runs)


@dataclass(frozen=True, slots=True)
class Tile:
    """A block's part of a product: rows × columns of the result, `depth` terms at a time; each
    thread holds `tall` × `wide` of the sums in registers."""

    rows: int
    columns: int
    depth: int
    tall: int
    wide: int

    @property
    def threads(self) -> int:
        return (self.rows // self.tall) * (self.columns // self.wide)


@dataclass(frozen=True, slots=True)
class Tuning:
    """Sizes of blocks. `threads` is a power of two, the most a block of loops has; `tile` None: by
    shape. `blocks` is how many the device runs at a time.

    The order of sums follows from two numbers that are the same for every device: sums with few
    results are cut into parts until about `spread` blocks have work, if a thread would have more
    than `turns` terms otherwise.
    """

    threads: int = 256
    tile: Tile | None = None
    blocks: int = 132
    spread: int = 264
    turns: int = 64


SIMULATOR = Tuning(threads=4, tile=Tile(8, 8, 16, 4, 4), blocks=4, spread=6, turns=4)


@dataclass(frozen=True, slots=True)
class Parts:
    """Sums that several blocks share: `count` parts of `length` terms. Each leaves `results`
    numbers of `itemsize` bytes in memory behind the arena, where a second kernel adds them up."""

    count: int = 1
    length: int = 0
    results: int = 0
    itemsize: int = 4

    @property
    def apart(self) -> int:
        """Bytes from part to part."""
        return self.results * self.itemsize if self.count > 1 else 0

    @property
    def memory(self) -> int:
        return self.count * self.apart


WHOLE = Parts()


@dataclass(frozen=True, slots=True)
class Launch:
    """`threads` a block; as many blocks as the product of ceil(extent / per), `limit` at most."""

    threads: int
    factors: tuple[tuple[Extent, int], ...] = ()
    limit: int = 2**31 - 1
    alone: bool = False  # a thread, not a block, is the worker that owns scratch

    def blocks(self, batch: int) -> int:
        return max(1, min(self.limit, prod(-(-e.at(batch) // per) for e, per in self.factors)))

    def workers(self, batch: int) -> int:
        return self.blocks(batch) * (self.threads if self.alone else 1)


@dataclass(frozen=True)
class CudaKernel:
    """Text of one kernel. `name` is the function in `source`; `views` its first arguments. With
    `parts` of more than one, the last slot is the memory that parts of sums are kept in."""

    name: str
    source: str
    views: tuple[str, ...]
    slots: int
    launch: Launch
    parts: Parts = WHOLE
    shared: bool = field(compare=False, default=False)  # uses shared memory (for people)


class Frame:
    """The accesses of a kernel: which views it takes, what its slots are called, its head and
    tail."""

    def __init__(self, slots: int, stages: Sequence[Stage], private: Iterable[int] = ()) -> None:
        self.slots, self.stages, self.private = slots, stages, set(private)
        self.bases: dict[tuple[int, str], str] = {}
        for stage in stages:
            for access in accesses(stage):
                self.base(access.slot, access.dtype)

    def base(self, slot: int, dtype: str) -> str:
        """Name of a slot's first element, counted in elements of that type."""
        taken = any(s == slot for s, d in self.bases if d != dtype)
        return self.bases.setdefault((slot, dtype), f"p{slot}_{dtype}" if taken else f"p{slot}")

    def place(self, access: Access, index: dict[int, str]) -> str:
        """The element of an access where the axes stand at `index` (axes merged away are
        absent)."""
        terms = [self.base(access.slot, access.dtype)]
        if access.offset:
            terms.append(str(access.offset))
        for axis, name in index.items():
            stride = stride_of(access, axis)
            if stride:
                terms.append(times(name, stride))
        return total(terms)

    @property
    def views(self) -> tuple[str, ...]:
        used = {VIEWS[dtype][0] for _, dtype in self.bases}
        if any(draws(s) or counts_examples(s) for s in self.stages):
            used.add("i64")
        return tuple(v for v in VIEW_ORDER if v in used)

    def bases_text(self, out: Text, worker: str = "0") -> None:
        """Where each slot lies: one line a slot."""
        for (slot, dtype), name in sorted(self.bases.items()):
            offset, shift = f"int(table[at + {slot}])", VIEWS[dtype][1]
            if slot in self.private:
                offset = f"({offset} + {worker} * int(table[at + {self.slots + slot}]))"
            out.line(f"{name} = {offset} >> {shift}" if shift else f"{name} = {offset}")

    def finish(
        self, kind: str, doc: str, body: Text, launch: Launch, parts: Parts = WHOLE
    ) -> CudaKernel:
        """The whole module around a body. The name tells two texts apart (and nothing of the
        user)."""
        arguments = ", ".join((*self.views, "table", "at", "batch"))
        text = "\n".join("    " + line if line else "" for line in body.lines)
        digest = sha256(f"{arguments}\n{doc}\n{text}".encode()).hexdigest()[:16]
        name = f"{kind}_{digest}"
        source = (
            f'"""{doc}"""\n\nimport math\n\nimport numpy as np\nfrom numba import cuda\n\n\n'
            f"@cuda.jit(cache=True)\ndef {name}({arguments}):\n{text}\n"
        )
        return CudaKernel(name, source, self.views, self.slots, launch, parts, "shared" in text)


def accesses(stage: Stage) -> list[Access]:
    """Everything a stage reads and writes in memory (slot −1 is the sum of a product)."""
    reads = (a for a in stage.reads if a.slot >= 0)
    return [*reads, *(w.access for w in stage.writes), *(f.access for f in stage.folds)]


def stride_of(access: Access, axis: int) -> int:
    """From one element to the next along an axis; 0 along axes that a fold has folded."""
    if axis == BATCH:
        return access.example
    return access.strides[axis] if axis < len(access.strides) else 0


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring axes that every access walks as one; known by its innermost axis."""

    axis: int
    size: int | None


def merge(axes: Sequence[Axis], over: Sequence[Access], apart: set[int]) -> list[Group]:
    """Join neighbouring axes where all accesses allow it; axes of size 1 vanish. Outermost
    first."""
    groups: list[Group] = []
    for axis, size in reversed(axes):
        if size == 1 and axis not in apart:
            continue
        inner = groups[-1] if groups else None
        if inner is not None and not {axis, inner.axis} & apart and _walks(over, axis, inner):
            joined = None if size is None or inner.size is None else size * inner.size
            groups[-1] = Group(inner.axis, joined)
        else:
            groups.append(Group(axis, size))
    return groups[::-1]


def _walks(over: Sequence[Access], axis: int, inner: Group) -> bool:
    if inner.size is None:
        return False
    return all(stride_of(a, axis) == stride_of(a, inner.axis) * inner.size for a in over)


def decode(out: Text, linear: str, groups: Sequence[Group], most: int) -> dict[int, str]:
    """Write the index of each group of a linear index that stays below `most`; gives their names,
    by axis. Quotients are of unsigned 32-bit numbers where those suffice: by a constant, they
    cost a multiplication, those of 64 bits ten."""
    if len(groups) == 1:
        return {groups[0].axis: linear}
    index: dict[int, str] = {}
    short, below = most < 2**31, 1
    number = "np.uint32({})" if short else "{}"
    if short and groups:
        out.line(f"{linear}_u = np.uint32({linear})")
    for position, group in reversed(list(enumerate(groups))):
        name = f"{linear}_{'e' if group.axis == BATCH else group.axis}"
        text = f"{linear}_u" if short else linear
        text += f" // {number.format(below)}" if below > 1 else ""
        text += f" % {number.format(group.size)}" if position else ""
        out.line(f"{name} = np.int64({text})" if short else f"{name} = {text}")
        index[group.axis] = name
        below *= group.size or 1
    return dict(reversed(index.items()))


def apart(stage: Stage) -> set[int]:
    """Axes that must keep an index of their own, for the stage asks for positions."""
    wanted = positions(stage)
    return (wanted - {-1}) | ({BATCH} if -1 in wanted else set())


def indices(stage: Stage, index: dict[int, str], batched: bool) -> Indices:
    """Positions of the current element, from the names that `decode` gave."""
    below, terms = 1, []
    for axis in reversed(range(len(stage.axes))):
        if axis in index:
            terms.append(times(index[axis], below))
        below *= stage.axes[axis]
    flat = total(reversed(terms))
    example = index.get(BATCH, "0")
    counter = f"(i64[2] + {example}) * {below} + {flat}" if batched else flat
    axes = tuple(index.get(k, "0") for k in range(len(stage.axes)))
    return Indices(axes, f"({flat})", counter)
