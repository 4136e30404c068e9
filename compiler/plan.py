"""The plan: what runs, in which order, in which memory. The last stage before kernel text.

Made by `fuse` (values -> kernels) and `schedule` (order, barriers, buffers in one arena); read by
the emitters of both targets, by `summary` and by the diagrams. Nothing here knows a target.

A kernel never holds an address. It names *slots*; slot i of a kernel is `kernel.slots[i]`, an
index into `plan.buffers` (two slots may be the same buffer: a parameter read through one and
updated in place through the other). Two kernels whose `key` is equal run the same compiled code
on other offsets.

Index spaces. A stage loops over the examples of the batch (if `batched`) and, for each, over
`axes`. An `Access` says where an element lies: `offset + example·e + Σ strides[k]·i[k]` elements
into its slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

from numpy.typing import NDArray

from ..dsl.source import Span
from .scalar import Scalar
from .types import Frame, Type
from .value import Value

ALIGN = 64  # bytes: a cache line, and the widest vector
# The first bytes of every arena: int64 seed, int64 step (from 1), int64 first example of the batch
# in the step's counter space (0 unless the batch is split over devices), which random draws read;
# int64 examples of the batch; and, where the runtime wants it, the address of the steps of each of
# the plan's frames.
HEADER = 64


@dataclass(frozen=True, slots=True)
class Buffer:
    """A region of the arena. `kind`: input, param, state, scalar, output, temp, scratch, view
    (a result read in another shape than its memory was written in; no kernel uses it).

    `offset` in bytes. A batched buffer holds `capacity` examples one after another, each
    contiguous in C order. With a frame there are as many for each step: step after step, packed by
    the examples that a batch really has. `name` is unique for every kind but temp, scratch and
    view. Where the compiler chose another layout than the user's, `order` is not empty: axis k of
    memory is axis `order[k]` of the user's array, and `type.shape` is the stored one; reading gives
    the user's orientation back.
    Scratch: `type.size` elements per thread (`capacity` does not count).
    A framed buffer may be a part of the buffer `within`, `lead` steps from its beginning: as many
    examples as the batch has lie in a step, so where it begins is known when that is.
    """

    name: str
    kind: str
    type: Type
    offset: int
    order: tuple[int, ...] = ()
    within: int = -1
    lead: int = 0

    @property
    def ahead(self) -> int:
        """Bytes from `offset` to where it begins, for each example of the batch."""
        return self.lead * self.type.size * self.type.numpy.itemsize

    def nbytes(self, capacity: int) -> int:
        rows = capacity if self.type.batched else 1
        steps = self.type.frame.steps if self.type.frame is not None else 1
        return rows * steps * self.type.size * self.type.numpy.itemsize

    @property
    def user_shape(self) -> tuple[int, ...]:
        """The shape of one example in the user's orientation."""
        if self.type.frame is not None:
            return (self.type.frame.steps, *self.type.shape)
        if not self.order:
            return self.type.shape
        return tuple(self.type.shape[self.order.index(k)] for k in range(len(self.order)))

    def stored(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array in the user's orientation as it lies in memory (a view)."""
        return array.transpose(self.order) if self.order else array

    def seen(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array as it lies in memory in the user's orientation (a view)."""
        if not self.order:
            return array
        return array.transpose([self.order.index(k) for k in range(len(self.order))])


@dataclass(frozen=True, slots=True)
class Temp(Scalar):
    """The result of instruction `index` of a program."""

    index: int


@dataclass(frozen=True, slots=True)
class Access:
    """Where the elements of one operand or result lie, in elements of its slot's type."""

    slot: int
    dtype: str
    strides: tuple[int, ...]  # per stage axis; 0 repeats
    offset: int = 0
    example: int = 0  # from one example to the next; 0 where there is only one


@dataclass(frozen=True, slots=True)
class Let:
    """`Temp(position)` = one `Call` of scalar.py over `Element` (a read), `Temp`, `Literal`,
    `Position` (index along a stage axis; −1: flat index in the example).

    Draws always count with `Position(−1)`, and their elements are those of the stage: the counter
    is example·(product of the axes) + flat index; in an epilogue it is
    (loop index·rows + row)·columns + column, whichever of these the batch is part of (row is the
    flat index over all row axes).
    """

    expression: Scalar
    dtype: str


@dataclass(frozen=True, slots=True)
class Write:
    """Store `value` (Temp, Element or Literal) for every element."""

    access: Access
    value: Scalar


@dataclass(frozen=True, slots=True)
class Fold:
    """Reduce `value` over the last `axes` stage axes (0: none) and over the batch if `batch`.

    The access has strides only for the axes that stay. kind: sum, max, min, argmax (i32 result: the
    first greatest along the folded axes, flat). Sums are in a fixed order that does not depend on
    the number of threads.
    """

    access: Access
    value: Scalar
    kind: str
    axes: int
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """One loop nest: reads, a straight-line program, writes and folds.

    For one element, all reads come before all writes (a slot may be read and written at one place).
    """

    axes: tuple[int, ...]
    reads: tuple[Access, ...]  # Element(i) reads reads[i]
    lets: tuple[Let, ...]
    writes: tuple[Write, ...] = ()
    folds: tuple[Fold, ...] = ()


@dataclass(frozen=True, slots=True)
class Kernel:
    """What every kernel has. `values` are the nodes it computes, for comments and profiles.

    With a `frame`, what it takes for the examples of the batch are the examples of each of that
    frame's steps, one step after another."""

    label: str  # a word for people: `dense_1: relu(W @ x + b)`; never used as code
    slots: tuple[int, ...]  # buffer index of each slot
    values: tuple[Value, ...] = field(compare=False)
    span: Span | None = field(compare=False)
    reads: tuple[int, ...]  # slots read
    writes: tuple[int, ...]  # slots written (a slot may be in both: in-place update)
    frame: Frame | None = field(default=None, kw_only=True)

    @property
    def flops(self) -> int:
        """For one example (products and sums; elementwise counted as one each)."""
        return sum(v.op.flops(v) for v in self.values)


@dataclass(frozen=True, slots=True)
class Loops(Kernel):
    """Stages that run one after another for each example (batched) or once (not batched).

    Batched: examples are independent, so any split over threads is allowed and no barrier is needed
    between stages; a value written by one stage and read by the next lives in an ordinary slot.
    Not batched, one of three forms:
    * one stage without folds: the elements are independent;
    * a first stage whose folds all have the same `axes` (and it writes nothing else), then at most
      one stage over the axes that stay, without folds, whose element i uses of the first stage only
      result i: the results (elements of the axes that stay) are independent;
    * else: the stages run in order.
    `over_batch`: of the second form, and all folds have `batch`; the stage after them has no batch.
    """

    stages: tuple[Stage, ...]
    batched: bool
    over_batch: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        return ("loops", self.stages, self.batched, self.over_batch)


@dataclass(frozen=True, slots=True)
class Extent:
    """`size` elements, times the batch if `batched`."""

    size: int
    batched: bool = False

    def at(self, batch: int) -> int:
        return self.size * batch if self.batched else self.size


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix operand whose rows and columns may each be several nested axes.

    Element (i, j) lies at offset + loop·l + Σ row[n]·i[n] + Σ column[n]·j[n], where i[n] is the
    index along axis n of the rows, outermost first.
    """

    slot: int
    row: tuple[int, ...]
    column: tuple[int, ...]
    offset: int = 0
    loop: int = 0


@dataclass(frozen=True, slots=True)
class Product(Kernel):
    """C[i, j] = Σₖ A[i, k]·B[k, j], for each l of `loop`, then the epilogue on every element.

    Rows and depth may be several nested axes, outermost first, of which only the first may be
    batched: a convolution is a product whose rows are (example, height, width) and whose depth is
    (kernel height, kernel width and channels), read in place through the strides of A.

    The epilogue is a stage over axes (*rows, columns), all −1, whose `Element(0)` is the sum
    (`reads[0]` stands for it: slot −1, element type, no strides); its other reads, and all its
    writes, have strides (*rows, column) and `example` = stride of `loop`. `Position(n)` is the
    index along axis n of the rows, `Position(len(rows))` the column.
    With no other work the epilogue just writes Element(0). Sums over k are in ascending order of
    the nested axes. How a target splits them depends on the shape alone, and parts are added in
    order: results must not depend on the number of threads. In f32 a target may multiply a 3×3
    window in a transformed space (Winograd), which rounds differently: about 1e-6 of the largest
    result.
    """

    rows: tuple[Extent, ...]
    columns: Extent
    depth: tuple[Extent, ...]
    loop: Extent  # Extent(1) where there is only one product
    a: Matrix  # row along `rows`, column along `depth`
    b: Matrix  # row along `depth`, column along `columns`
    dtype: str
    epilogue: Stage

    @property
    def key(self) -> tuple[object, ...]:
        return ("product", self.rows, self.columns, self.depth, self.loop, self.a, self.b,
                self.dtype, self.epilogue)  # fmt: skip

    def row_count(self, batch: int) -> int:
        return count(self.rows, batch)

    def depth_count(self, batch: int) -> int:
        return count(self.depth, batch)


@dataclass(frozen=True, slots=True)
class Lookup(Kernel):
    """C[r, j] = table[ids[r], j], then the epilogue on every element.

    The rows are the ids of all examples, `rows.size` of each. `table` has strides (row, column) and
    `count` rows; `ids` has one stride; where their `example` is 0, all examples share them. An id
    outside of 0…count−1 is taken for the nearest row. The epilogue is that of a `Product` with one
    axis of rows.
    """

    rows: Extent
    columns: int
    count: int
    table: Access
    ids: Access
    epilogue: Stage

    @property
    def key(self) -> tuple[object, ...]:
        return ("lookup", self.rows, self.columns, self.count, self.table, self.ids, self.epilogue)


@dataclass(frozen=True, slots=True)
class Scatter(Kernel):
    """target[k, j] = Σ source[r, j] over the rows r with ids[r] = k, in ascending order of r.

    The rows are the ids of all examples, `rows.size` of each; `each`: every example has a target of
    its own. `source` and `target` have strides (row, column), `ids` has one; the target has `count`
    rows and is contiguous. An id outside of 0…count−1 is taken for the nearest row. How a target
    machine shares the work must not change the order of a sum.
    """

    rows: Extent
    columns: int
    count: int
    ids: Access
    source: Access
    target: Access
    each: bool

    @property
    def key(self) -> tuple[object, ...]:
        return ("scatter", self.rows, self.columns, self.count, self.ids, self.source, self.target,
                self.each)  # fmt: skip


def count(extents: tuple[Extent, ...], batch: int) -> int:
    """The number of indices of nested axes."""
    return prod(e.at(batch) for e in extents)


@dataclass(frozen=True, slots=True)
class Along(Kernel):
    """Rows of the frame `over` (slot 0) become an axis of each example (slot 1): `[steps, *shape]`,
    zero behind the last step that the batch has. `type` is that of a row."""

    over: Frame
    type: Type

    @property
    def key(self) -> tuple[object, ...]:
        return ("along", self.over, self.type)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a slot of a recurrence's kernels lies: in slot `slot` of the recurrence,

    * `still`: always at the same place;
    * `rows`: at the rows of step t + `lead` of a frame (at `lead` > 0 before the first, the last);
    * `axis`: at element t of the first axis of each example;
    * `ring`: in the first or second half, turn after turn: `lead` 0 what the turn before has left,
      1 what this one leaves.

    `type` is what lies there at one step, `example` the elements from one example to the next.
    """

    slot: int
    kind: str
    type: Type
    example: int
    lead: int = 0


@dataclass(frozen=True, slots=True)
class Recurrence(Kernel):
    """Kernels that run again for each step of `over`, in order or `reverse`.

    Slots of the kernels inside are `spots`, which move from step to step. `before` runs once, as at
    the first turn; `after` once, as at the turn that would come next. `waits`: barriers of each
    list, as in a plan; another one stands between any two turns. `apart`: all work is per example,
    so that examples may be taken in groups, each through all steps on its own.
    """

    over: Frame
    reverse: bool
    spots: tuple[Spot, ...]
    before: tuple[AnyKernel, ...]
    turns: tuple[AnyKernel, ...]
    after: tuple[AnyKernel, ...]
    waits: tuple[tuple[bool, ...], ...]
    apart: bool

    @property
    def key(self) -> tuple[object, ...]:
        return ("recurrence", self.over, self.reverse, self.spots, self.apart, self.waits,
                *((*(k.key for k in part),) for part in self.parts))  # fmt: skip

    @property
    def parts(self) -> tuple[tuple[AnyKernel, ...], ...]:
        return self.before, self.turns, self.after

    @property
    def inside(self) -> tuple[AnyKernel, ...]:
        return (*self.before, *self.turns, *self.after)


AnyKernel = Loops | Product | Lookup | Scatter | Along | Recurrence

GROUP = 16  # examples that a recurrence takes through its steps at a time


def group_of(capacity: int) -> int:
    """How many examples a recurrence that works on each apart takes at a time: a matter of the plan
    alone, so that results do not depend on threads."""
    if capacity >= 2 * GROUP:
        return GROUP
    return max(4, -(-capacity // 8) * 4) if capacity > 8 else capacity


def written_out(kernels: Iterable[AnyKernel]) -> Iterator[AnyKernel]:
    """Kernels and those inside them, where they are made of others."""
    for k in kernels:
        if isinstance(k, Recurrence):
            yield from written_out(k.inside)
        elif not isinstance(k, Along):
            yield k


@dataclass(frozen=True)
class Plan:
    """A whole step. `capacity` is the largest batch; a run may use fewer examples.

    `barriers[i]`: all threads must have finished everything before kernel i may start.
    `contents[i]`: the value that each slot of kernel i holds, for diagrams.
    `results`: name -> buffer index of the scalars recorded at every step (losses, metrics) and of
    the named outputs read on request.
    """

    name: str
    kernels: tuple[AnyKernel, ...]
    barriers: tuple[bool, ...]
    buffers: tuple[Buffer, ...]
    arena: int  # bytes, at `capacity`, scratch not counted
    capacity: int
    recorded: Mapping[str, int]  # "loss", "accuracy" -> buffer index of a scalar
    outputs: Mapping[str, int]  # named outputs -> buffer index
    seeded: bool = False  # draws random numbers: needs the scalars `seed` and `step`
    contents: tuple[tuple[Value, ...], ...] = field(default=(), compare=False)

    def buffer(self, name: str) -> Buffer:
        """The input, param, state, scalar or output of that name. Raises KeyError."""
        return self.buffers[self.index_of[name]]

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Names of results give way to those of leaves, where they are the same."""
        named = ("input", "param", "state", "scalar")
        own = {b.name: i for i, b in enumerate(self.buffers) if b.kind in named}
        return {**self.outputs, **self.recorded, **own}

    @property
    def distinct(self) -> dict[tuple[object, ...], AnyKernel]:
        """One kernel of each key: what has to be compiled."""
        return {k.key: k for k in reversed([*written_out(self.kernels)])}
