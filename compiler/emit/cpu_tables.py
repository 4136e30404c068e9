"""What varies along the vectors alone is worked out once, not once for every row.

In: a stage and its loops. Out: the same stage reading small local arrays (tables) in place of the
values that outer loops repeat, and the stage that fills them: γ/√(σ² + ε) of a normalisation is
one number for each channel, and its loop over the channels stands inside that over the pixels.
A division by such a value becomes a product with its reciprocal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from ..plan import Access, Let, Stage, Temp, Write
from ..scalar import Call, Element, Literal, Position, Scalar
from ..types import FLOATS
from .cpu_nest import Nest

WORTH = 4  # times that a value would be worked out anew
MOST = 4096  # elements of a table
ROOM = 24 << 10  # bytes of all tables of a stage: half of the first cache
SPARE = 128  # elements behind a table: its last vector is read whole


@dataclass(frozen=True)
class Tables:
    """`fill` has the writes of the tables, over its own axes; `stage` reads them. `sizes`: elements
    of each, by slot, with its element type. `examples`: they differ from example to example."""

    fill: Stage
    stage: Stage
    sizes: dict[int, tuple[str, int]]
    examples: bool


def tables(space: Nest, slots: Iterator[int]) -> Tables | None:
    """The tables that pay for the stage of a nest; `slots` has numbers for them."""
    found = _Search(space)
    return found.tables([next(slots) for _ in found.roots]) if found.roots else None


class _Search:
    """Which values become tables: `roots`, each an operand of the stage or its reciprocal."""

    def __init__(self, space: Nest) -> None:
        self.space, self.stage = space, space.stage
        self.roots: dict[Scalar, tuple[str, frozenset[int]]] = {}  # element type, loops
        self.lets = list(self.stage.lets)
        self.places: list[frozenset[int]] = []
        for let in self.stage.lets:
            self.places.append(self._loops(let.expression))
        self.left = ROOM
        self.examples: bool | None = None
        self._search()

    def _loops(self, item: Scalar) -> frozenset[int]:
        """The loops along which a value varies."""
        space = self.space
        every = frozenset(range(len(space.loops)))
        if isinstance(item, Element):
            strides = space.reads[item.slot].strides
            return frozenset(k for k, s in enumerate(strides) if s)
        if isinstance(item, Temp):
            return self.places[item.index]
        if isinstance(item, Position):
            return frozenset(k for k in every if item.axis < 0 or item.axis in space.loops[k].axes)
        if isinstance(item, Call):
            if item.function in ("uniform", "normal"):
                return every
            return frozenset().union(*map(self._loops, item.arguments))
        return frozenset()

    def _pays(self, loops: frozenset[int]) -> bool:
        space = self.space
        vector = space.vector
        if vector is None or vector not in loops or any(space.loops[k].per > 1 for k in loops):
            return False
        sizes = [space.loops[k].size for k in loops if space.loops[k].axes != (-1,)]
        known = [n for n in sizes if n is not None]
        if len(known) != len(sizes) or prod(known) > MOST:
            return False
        outside = [space.loops[k].size or WORTH for k in range(max(loops)) if k not in loops]
        return prod(outside) >= WORTH

    def _dtype(self, item: Scalar) -> str:
        if isinstance(item, Element):
            return self.space.reads[item.slot].dtype
        return self.stage.lets[item.index].dtype if isinstance(item, Temp) else ""

    def _takes(self, item: Scalar, dtype: str) -> bool:
        """Whether a table is made for a value, which may be there already."""
        if item in self.roots:
            return True
        loops = self._loops(item)
        if dtype not in FLOATS or not self._pays(loops):
            return False
        examples = any(self.space.loops[k].axes == (-1,) for k in loops)
        size = self._size(loops) * (8 if dtype == "f64" else 4)
        if size > self.left or self.examples not in (None, examples):
            return False
        self.left, self.examples = self.left - size, examples
        self.roots[item] = dtype, loops
        return True

    def _size(self, loops: frozenset[int]) -> int:
        return prod(self.space.loops[k].size or 1 for k in loops)

    def _search(self) -> None:
        """From the results backwards; what a table holds is not looked into."""
        stage = self.stage
        pending = [w.value for w in stage.writes] + [f.value for f in stage.folds]
        seen: set[int] = set()
        while pending:
            item = pending.pop()
            if not isinstance(item, Temp) or item.index in seen:
                continue
            seen.add(item.index)
            let = self.lets[item.index]
            if self._takes(item, let.dtype):
                continue
            inverse = self._inverse(let)
            if inverse is not None and self._takes(inverse, let.dtype):
                left = let.expression.arguments[0]  # type: ignore[attr-defined]
                self.lets[item.index] = Let(Call("mul", left, inverse), let.dtype)
                pending.append(left)
                continue
            pending += _parts(let.expression)

    def _inverse(self, let: Let) -> Call | None:
        """The reciprocal that a division is replaced by."""
        e = let.expression
        if not (isinstance(e, Call) and e.function == "div" and let.dtype in FLOATS):
            return None
        right = e.arguments[1]
        if not isinstance(right, Element | Temp) or self._dtype(right) != let.dtype:
            return None
        return Call("reciprocal", right)

    # ----------------------------------------------------------------------------- the two stages

    def tables(self, slots: list[int]) -> Tables:
        space, stage = self.space, self.stage
        loops = sorted(
            frozenset().union(*(found for _, found in self.roots.values())),
            key=lambda k: (k == space.vector, k),
        )
        axes = [a for k in loops for a in space.loops[k].axes if a >= 0]
        rank = len(stage.axes)
        reads, sizes, writes, lets = list(stage.reads), {}, [], list(stage.lets)
        for n, (item, (dtype, own)) in enumerate(self.roots.items()):
            mine = [a for a in axes if any(a in space.loops[k].axes for k in own)]
            steps, step = dict.fromkeys(range(rank), 0), 1
            for a in reversed(mine):
                steps[a] = step if stage.axes[a] > 1 else 0
                step *= stage.axes[a]
            sizes[slots[n]] = dtype, step
            place = Access(slots[n], dtype, tuple(steps[a] for a in range(rank)))
            reads.append(place)
            value = item
            if isinstance(item, Call):
                value = Temp(len(lets))
                lets.append(Let(item, dtype))
            writes.append(Write(_over(place, axes), value))
            self._replace(item, Element(len(stage.reads) + n), dtype)
        main = replace(stage, reads=tuple(reads), lets=tuple(self.lets))
        return Tables(_filling(stage, axes, lets, writes), main, sizes, bool(self.examples))

    def _replace(self, item: Scalar, element: Element, dtype: str) -> None:
        if isinstance(item, Temp):
            self.lets[item.index] = Let(Call(dtype, element), dtype)
            return
        for k, let in enumerate(self.lets):
            if isinstance(let.expression, Call) and item in let.expression.arguments:
                args = [element if a == item else a for a in let.expression.arguments]
                self.lets[k] = Let(Call(let.expression.function, *args), let.dtype)


def _filling(stage: Stage, axes: list[int], lets: list[Let], writes: list[Write]) -> Stage:
    """The stage that computes tables over `axes`, with the reads and lets that it needs."""
    needed: set[int] = set()
    pending: list[Scalar] = [w.value for w in writes]
    elements: dict[int, int] = {}
    while pending:
        item = pending.pop()
        if isinstance(item, Temp) and item.index not in needed:
            needed.add(item.index)
            pending.append(lets[item.index].expression)
        elif isinstance(item, Element):
            elements.setdefault(item.slot, len(elements))
        elif isinstance(item, Call):
            pending += item.arguments
    order = {k: n for n, k in enumerate(sorted(needed))}

    def moved(item: Scalar) -> Scalar:
        if isinstance(item, Temp):
            return Temp(order[item.index])
        if isinstance(item, Element):
            return Element(elements[item.slot])
        if isinstance(item, Position):
            return Position(axes.index(item.axis)) if item.axis in axes else Literal(0)
        return Call(item.function, *map(moved, item.arguments)) if isinstance(item, Call) else item

    return Stage(
        tuple(stage.axes[a] for a in axes),
        tuple(_over(stage.reads[k], axes) for k in elements),
        tuple(Let(moved(lets[k].expression), lets[k].dtype) for k in order),
        tuple(replace(w, value=moved(w.value)) for w in writes),
    )


def _parts(item: Scalar) -> Iterator[Scalar]:
    """The temporaries in an expression."""
    pending: list[Scalar] = [item]
    while pending:
        item = pending.pop()
        if isinstance(item, Temp):
            yield item
        elif isinstance(item, Call):
            pending += item.arguments


def _over(access: Access, axes: list[int]) -> Access:
    """The same place over some of the axes, at index 0 of the others."""
    steps = tuple(access.strides[a] if a < len(access.strides) else 0 for a in axes)
    return replace(access, strides=steps)
