"""What stands inside closed blocks that branch (residual units), drawn once for all like it.

In: the equations of a net and the closed boxes that a picture shows. Out: for each kind of block
with a branch inside, the boxes of the first one, and how many there are like it. Blocks are of one
kind if they hold the same layers, whatever the sizes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..compiler.value import Value
from .blocks import Box, boxes, packed
from .equations import Equations
from .names import function_name

MOST = 12  # boxes of one block; larger ones stay closed
KINDS = 2  # that are drawn


@dataclass(frozen=True)
class Inside:
    """A closed box, the boxes in it, and a title."""

    box: Box
    boxes: tuple[Box, ...]
    title: str

    def shortcuts(self, is_sum: Callable[[Box], bool]) -> set[tuple[Value, Value]]:
        """The edges, as value and result, of the shorter way to each sum."""
        maker = {v: b for b in self.boxes for v in b.values}
        length: dict[Value, int] = {}
        for b in self.boxes:
            behind = max((length.get(v, 0) for v in b.inputs), default=0)
            length.update(dict.fromkeys(b.values, behind + 1))
        found = set()
        for b in filter(is_sum, self.boxes):
            v, end = min(b.inputs, key=lambda v: length.get(v, 0)), b.result
            found.add((v, end))
            while v in maker and len(maker[v].inputs) == 1:
                v, end = maker[v].inputs[0], maker[v].result
                found.add((v, end))
        return found


def insides(equations: Equations, shown: Sequence[Box], found: Sequence[Box]) -> list[Inside]:
    """The kinds of closed blocks that branch, in order; none where nothing is shown closed."""
    if not shown:
        return []
    opened = boxes(equations)
    kinds: dict[tuple[object, ...], tuple[Box, list[Box]]] = {}
    count: Counter[tuple[object, ...]] = Counter()
    for b in (b for b in found if b.composite):
        inner = _inner(equations, b, opened)
        if len(b.inputs) != 1 or not 2 < len(inner) <= MOST or not _branches(b, inner):
            continue
        kind = (b.block, *((x.block, *x.tails) for x in inner))
        kinds.setdefault(kind, (b, inner))
        count[kind] += 1
    chosen = list(kinds)[:KINDS]
    return [Inside(kinds[k][0], tuple(kinds[k][1]), _title(kinds[k][0], count[k])) for k in chosen]


def _title(box: Box, count: int) -> str:
    like = f" and {count - 1} like it" if count > 1 else ""
    return f"inside {box.block}: {box.path}{like}"


def _inner(equations: Equations, box: Box, opened: Sequence[Box]) -> list[Box]:
    given = [b for b in opened if b.path.startswith(f"{box.path}.")]
    names = {
        id(b): b.block or function_name(equations, b.result)
        for b in given
        if all(s.kind == "elementwise" or s.value in equations.inner for s in b.steps)
    }
    return packed(given, names, {box.result})


def _branches(box: Box, inner: Sequence[Box]) -> bool:
    users = Counter(v for b in inner for v in b.inputs)
    return any(n > 1 for v, n in users.items())
