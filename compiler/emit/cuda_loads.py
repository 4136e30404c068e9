"""How a block of a product brings its part of an operand into shared memory.

In: a `Matrix` whose rows and columns may be nested axes, the tile of a block. Out: lines in three
places of the kernel: before the depth is walked, where a slice is read into registers, and where
registers go to shared memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from math import prod

from ..plan import Access, Extent, Matrix, count
from .cuda_kernel import Axis, Group, Tile, decode, merge
from .cuda_writer import Text, literal, load, times, total

LINE = 4  # words added to a line of a tile: lines fall into different banks, fours stay aligned


class Side:
    """One operand, `name` "a" (lines: rows) or "b" (lines: columns).

    Load s of thread t is element t + s·threads of the tile, counted along the axis that lies side
    by side in memory. `lines[s]` and `terms[s]` name its line and its place in the depth: one name
    for all loads of a thread where they have one value.
    """

    def __init__(self, name: str, base: str, matrix: Matrix, across: tuple[Extent, ...],
                 depth: tuple[Extent, ...], tile: Tile, capacity: int) -> None:  # fmt: skip
        self.name, self.base, self.matrix, self.tile = name, base, matrix, tile
        self.depth = depth
        first = name == "a"
        self.side = tile.rows if first else tile.columns
        self.begin, self.bound = ("i0", "rows") if first else ("j0", "columns")
        self.strides = (matrix.row, matrix.column) if first else (matrix.column, matrix.row)
        self.groups = [
            groups_of(e, Access(matrix.slot, "", s))
            for e, s in zip((across, depth), self.strides, strict=True)
        ]
        self.most = [count(e, capacity) + 2 * self.side for e in (across, depth)]
        self.total = self.side * tile.depth
        self.loads = -(-self.total // tile.threads)
        along_line, along_depth = (
            _nearest(e, s) for e, s in zip((across, depth), self.strides, strict=True)
        )
        self.by_depth = along_depth < along_line
        self.width = tile.depth if self.by_depth else self.side
        moving = [f"{name}{s}" for s in range(self.loads)]
        fixed = [f"{name}0"] * self.loads if tile.threads % self.width == 0 else moving
        self.terms, self.lines = (fixed, moving) if self.by_depth else (moving, fixed)

    def places(self, out: Text, loop: str) -> None:
        """Before the depth is walked: what this thread brings, and where its lines begin."""
        offset = self.tile.depth * (self.tile.rows + LINE) if self.name == "b" else 0
        for s, (term, line) in enumerate(zip(self.terms, self.lines, strict=True)):
            number = f"(t + {s * self.tile.threads})" if s else "t"
            fast, slow = f"{number} % {self.width}", f"{number} // {self.width}"
            if term not in self.terms[:s]:
                out.line(f"k_{term} = {fast if self.by_depth else slow}")
            if line not in self.lines[:s]:
                out.line(f"m_{line} = {slow if self.by_depth else fast}")
                self._line(out, line, loop)
            place = total((str(offset), f"k_{term} * {self.side + LINE}", f"m_{line}"))
            out.line(f"into_{self.name}{s} = np.uint64({place})")

    def _line(self, out: Text, line: str, loop: str) -> None:
        """Where a row or column begins; beyond the edge, the last one stands for it."""
        out.line(f"at_{line} = min({self.begin} + m_{line}, {self.bound} - 1)")
        index = decode(out, f"at_{line}", self.groups[0], self.most[0])
        terms = [self.base, str(self.matrix.offset)]
        terms += [times(loop, self.matrix.loop)] if loop != "0" and self.matrix.loop else []
        out.line(f"from_{line} = {total(terms + _steps(index, self.strides[0]))}")

    @property
    def whole(self) -> bool:
        """Whether the depth is whole slices."""
        return prod(e.size for e in self.depth) % self.tile.depth == 0

    def fetch(self, out: Text, k: str, dtype: str) -> None:
        """Into registers. Beyond the depth the last term stands in; no branch parts the loads."""
        for term in dict.fromkeys(self.terms):
            place = f"{k} + k_{term}"
            out.line(f"q_{term} = {place if self.whole else f'min({place}, stop - 1)'}")
            index = decode(out, f"q_{term}", self.groups[1], self.most[1])
            out.line(f"to_{term} = {total(_steps(index, self.strides[1]))}")
            for s in range(self.loads):
                if self.terms[s] == term:
                    place = f"np.uint64(from_{self.lines[s]} + to_{term})"
                    self._each(out, s, f"{self.name}_{s} = {load(place, dtype)}")

    def stow(self, out: Text, k: str, buffer: str, dtype: str) -> None:
        """From registers into a buffer; zeros beyond the depth. What is fetched is first used here,
        so that it may arrive while the slice before is multiplied."""
        for s, term in enumerate(self.terms):
            value = f"{self.name}_{s}"
            if not self.whole:
                value += f" if {k} + k_{term} < stop else {literal(0, dtype)}"
            self._each(out, s, f"tile[{buffer} + into_{self.name}{s}] = {value}")

    def _each(self, out: Text, s: int, text: str) -> None:
        """A line for the threads that have a load number s."""
        whole = (s + 1) * self.tile.threads <= self.total
        rest = f"if t < {self.total - s * self.tile.threads}"
        with nullcontext() if whole else out.block(rest):
            out.line(text)


def groups_of(
    extents: tuple[Extent, ...], *over: Access, apart: set[int] | None = None
) -> list[Group]:
    """Nested axes, joined where every access walks two of them as one."""
    axes: list[Axis] = [(n, None if e.batched else e.size) for n, e in enumerate(extents)]
    return merge(axes, over, apart or set())


def _nearest(extents: tuple[Extent, ...], strides: Sequence[int]) -> int:
    """How far apart neighbours along the innermost axis lie."""
    inner = [abs(s) for e, s in zip(extents, strides, strict=True) if e != Extent(1)]
    return inner[-1] if inner and inner[-1] else 2**62


def _steps(index: dict[int, str], strides: Sequence[int]) -> list[str]:
    return [times(name, strides[axis]) for axis, name in index.items() if strides[axis]]
