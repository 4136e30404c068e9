"""What a product does with its sums: the epilogue of a block, as lines of Python.

In: the kernel, its row axes, and how a block lies along the innermost of them. Out: the lines
that take each vector of sums from a tile through the kernel's program to where it belongs. What
depends on the column alone (a bias, the factors of a normalisation) is read once for a block.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ..plan import Access, Product
from .cpu_body import Body, Given, indent
from .cpu_nest import Loop, Place, draws
from .cpu_product_shape import Axis
from .cpu_product_text import extent, product_of, sum_of, times


@dataclass(frozen=True)
class Inside:
    """A row axis that blocks extend along: the index along it as text; the variable and bounds of
    its loop, if it has one; how far apart its indices lie in the rows of a tile."""

    name: str
    variable: str
    bounds: str
    step: int


class Finish:
    """The epilogue on tiles of `width` columns. Outside the block, `i0`, `i1` … are the indices of
    the row axes, `l` that of the product, `j` the first column, `w` how many there are. What is
    read for the next block, `height` further along the outermost of the axes inside, is asked for
    ahead of time; 0: nothing is."""

    def __init__(
        self, kernel: Product, rows: tuple[Axis, ...], inside: tuple[Inside, ...], lanes: int,
        width: int, height: int = 0,
    ) -> None:  # fmt: skip
        self.kernel, self.rows, self.inside = kernel, rows, inside
        self.lanes, self.width, self.height = lanes, width, height
        self.outer = len(rows) - len(inside)
        names = [*(f"i{n}" for n in range(self.outer)), *(i.name for i in inside)]
        loops = [Loop(name, None, a.axes or (-2,)) for name, a in zip(names, rows, strict=True)]
        loops.insert(self.outer, Loop("(j + s)", None, (len(kernel.rows),), vector=True))
        self.loops = (Loop("l", None, (-2,)), *loops)
        self.program = Body(
            kernel.epilogue, self.loops, self.places(kernel.epilogue.reads, 0), lanes,
            self.counter(names), fixed={0: Given("x", kernel.dtype, len(self.loops))},
            tail="(w - s)",
        )  # fmt: skip

    def places(self, accesses: tuple[Access, ...], first: int) -> tuple[Place, ...]:
        """Accesses, of which `first` come before, in the order of the loops: rows outside a block,
        columns, rows of the block."""
        result = []
        for n, access in enumerate(accesses, first):
            rows = [a.places[n] for a in self.rows]
            rows.insert(self.outer, access.strides[-1] if access.strides else 0)
            result.append(Place(access.slot, access.dtype, access.offset, (access.example, *rows)))
        return tuple(result)

    def counter(self, names: list[str]) -> str:
        """Where in its stream the draw of the first lane lies."""
        kernel = self.kernel
        product = f"(first_example{times(kernel.loop.size)} + l)" if kernel.loop.batched else "l"
        terms = []
        for n, (name, axis) in enumerate(zip(names, self.rows, strict=True)):
            if axis.batched:
                name = f"(first_example{times(axis.size)} + {name})"
            terms.append(name + times(prod(a.size for a in self.rows[n + 1 :])))
        rows = product_of(*(a.text for a in self.rows))
        columns = product_of(extent(kernel.columns))
        return f"({product} * {rows} + {' + '.join(terms)}) * {columns} + j + s"

    def first(self) -> list[str]:
        """What stands before all loops."""
        head = [
            "seed = header(arena, 0)",
            "step = header(arena, 1)",
            "first_example = header(arena, 2)",
        ]
        return [*(head if draws(self.kernel.epilogue) else []), *self.program.lines(0, False)]

    def of_product(self) -> list[str]:
        """What is the same for all of product l."""
        return self.program.lines(1, False)

    def of_block(self, pointer: str, place: str) -> list[str]:
        """Everything for a block whose sums lie at `place` of `pointer`."""
        columns, stage = self.kernel.columns, self.kernel.epilogue
        part = columns.batched or columns.size % self.lanes != 0
        lines = [line for n in range(self.outer) for line in self.program.lines(2 + n, False)]
        lines += [
            f"for s in range(0, w, {self.lanes}):",
            *indent(self.program.lines(2 + self.outer, part)),
        ]
        depth = 1
        row = sum_of(0, *((i.variable, i.step) for i in self.inside if i.variable))
        for n, inside in enumerate(self.inside):
            if inside.variable:
                lines += indent([f"for {inside.variable} in range({inside.bounds}):"], depth)
                depth += 1
            if n == len(self.inside) - 1:
                load = f"x = load({pointer}, {place} + ({row}) * {self.width} + s, {self.lanes})"
                lines += indent([load], depth)
            lines += indent(self.program.lines(3 + self.outer + n, part), depth)
        lines += indent(self.coming(), depth)
        places = self.places(tuple(w.access for w in stage.writes), len(stage.reads))
        writes = [
            self.program.write(place, self.program.vector_of(w.value, place.dtype), part)
            for w, place in zip(stage.writes, places, strict=True)
        ]
        return [*lines, *indent(writes, depth)]

    def coming(self) -> list[str]:
        """Ask for what the next block reads in this place, to come while its sums are made.

        A weight and its optimizer's states were last used a step ago; a block takes too little of
        each of their rows for the processor to foresee the next.
        """
        if not self.height:
            return []
        cut, lines = self.outer + 2, []
        for place in self.program.reads[1:]:
            if place.strides[cut] and place.strides[self.outer + 1] == 1:
                ahead = place.strides[cut] * self.height
                lines.append(f"ask(p{place.slot}, {place.index(self.loops)} + {ahead})")
        return lines
