"""Normal forms: the ten kinds of work that values are, whatever operation made them.

* `Given`   a leaf in memory: input, param, state, scalar
* `Point`   each element from one element of each operand (elementwise, views, draws, constants)
* `Fold`    a reduction, or a contraction too thin to be a matrix product
* `Pieces`  boxes of operands written, or added, into one result (concat, pad, windows)
* `Matmul`  a matrix product (`products.Layout`)
* `Gathered`   rows of a table by whole numbers
* `Scattered`  sums of rows by whole numbers
* `Scanned`  a scan, which computes its `Result`s
* `Stepped`  rows of a frame as an axis of each example
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..graph import Graph, Output
from ..op import Box
from ..scalar import Element, Scalar
from ..types import Frame
from ..value import Value
from .products import Layout

# What evaluating a function costs, in additions; the others cost 1.
COSTS = {
    "exp": 8, "expm1": 8, "log": 8, "log1p": 8, "tanh": 8, "sigmoid": 8, "erf": 10, "sin": 10,
    "cos": 10, "pow": 16, "uniform": 20, "normal": 40, "div": 3, "sqrt": 3, "rsqrt": 3,
    "reciprocal": 3,
}  # fmt: skip
EXPENSIVE = 8  # recomputing this much is worse than a load and a store
HOIST = 6  # computing this much again for every element of something bigger is worse
LIMIT = 24  # operations that may be computed again in each user; longer chains are stored


@dataclass(frozen=True, slots=True)
class Operand:
    """A value read at `offset + Σ strides·i` over the indices of its user."""

    value: Value
    offset: int
    strides: tuple[int, ...]
    same: bool  # same element of the same number of elements: flat index = flat index


@dataclass(frozen=True, slots=True)
class Given:
    value: Value
    name: str
    example: int  # elements from one example to the next
    operands: tuple[Operand, ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    value: Value
    operands: tuple[Operand, ...]
    expression: Scalar
    cost: int
    draws: bool = False

    @property
    def moves_only(self) -> bool:
        return isinstance(self.expression, Element)


@dataclass(frozen=True, slots=True)
class Fold:
    """Folds the last `folded` of `axes` (and the batch)."""

    value: Value
    operands: tuple[Operand, ...]
    expression: Scalar
    axes: tuple[int, ...]
    folded: int
    batch: bool
    kind: str

    @property
    def kept(self) -> tuple[int, ...]:
        return self.axes[: len(self.axes) - self.folded]


@dataclass(frozen=True, slots=True)
class Pieces:
    """Operand k, read over the indices of its box, goes to `start + Σ steps·i` of the result."""

    value: Value
    operands: tuple[Operand, ...]
    boxes: tuple[Box, ...]
    covered: bool  # nothing is left to be `fill`
    fill: float
    adds: bool  # to what the boxes before have put there


@dataclass(frozen=True, slots=True)
class Matmul:
    value: Value
    operands: tuple[Operand, ...]  # A, B; places over their own letters
    layout: Layout


@dataclass(frozen=True, slots=True)
class Gathered:
    """Operands: the table, over (row, column); the ids, contiguous. `layout`: the ids of all
    examples are the rows of the result, what is left of the table's axes its columns."""

    value: Value
    operands: tuple[Operand, ...]
    layout: Layout


@dataclass(frozen=True, slots=True)
class Scattered:
    """Operands: the ids, contiguous; what is added, over (id, column)."""

    value: Value
    operands: tuple[Operand, ...]
    places: int  # ids of an example
    columns: int


@dataclass(frozen=True, slots=True)
class Scanned:
    """Operands: those of the scan, each whole."""

    value: Value
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """Result `index` of a scan."""

    value: Value
    operands: tuple[Operand, ...]  # the scan
    index: int


@dataclass(frozen=True, slots=True)
class Stepped:
    value: Value
    operands: tuple[Operand, ...]  # the rows


Form = (
    Given | Point | Fold | Pieces | Matmul | Gathered | Scattered | Scanned | Result | Stepped
)  # fmt: skip


def example_of(form: Form) -> int:
    """Elements from one example of a value in memory to the next."""
    if isinstance(form, Given):
        return form.example
    return form.value.type.size if form.value.type.batched else 0


def frame_of(form: Form) -> Frame | None:
    """The frame that the examples of a form's loops are counted in."""
    types = [form.value.type, *(o.value.type for o in form.operands)]
    return next((t.frame for t in types if t.batched), None)


@dataclass
class Normal:
    """`forms` in topological order, aliases left out; `rep` gives the value that an alias is."""

    graph: Graph
    forms: dict[Value, Form] = field(default_factory=dict)
    rep: dict[Value, Value] = field(default_factory=dict)
    stored: set[Value] = field(default_factory=set)  # must lie in memory
    hoisted: set[Value] = field(default_factory=set)  # stored, and read by users of other shapes
    rigid: set[Value] = field(default_factory=set)  # draws: computed in their own order only
    opaque: set[Value] = field(default_factory=set)  # computing it needs indices along its axes
    results: set[Value] = field(default_factory=set)  # what the graph is asked for
    outputs: list[tuple[Output, Value]] = field(default_factory=list)
    cost: dict[Value, int] = field(default_factory=dict)  # of an element, from memory
    given: dict[str, Value] = field(default_factory=dict)
    updated: set[str] = field(default_factory=set)
    seeded: bool = False
    after: dict[Value, tuple[Value, ...]] = field(default_factory=dict)  # see Graph.after
    spread: Mapping[Value, int] = field(default_factory=dict)  # see `normalise`
    parts: dict[tuple[Value, int], Value] = field(default_factory=dict)  # results of scans
