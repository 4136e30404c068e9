"""Plans built by hand for the CUDA tests, and the way to run tests in the simulator.

`Arena` lays out buffers and makes a `Plan`; accesses are made from buffers, so that a test reads
like the loop it describes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from chainrule.compiler.plan import (
    ALIGN,
    HEADER,
    Access,
    AnyKernel,
    Buffer,
    Extent,
    Fold,
    Let,
    Loops,
    Matrix,
    Plan,
    Product,
    Stage,
    Temp,
    Write,
)
from chainrule.compiler.scalar import Call, Element, Literal, Scalar
from chainrule.compiler.types import Type

ONE = Extent(1)
SIMULATOR = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"


def run_simulated(file: str, *, slow: bool = False) -> None:
    """Run the tests of a file (those marked slow, or the others) in a process of its own, under
    Numba's simulator."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
               "-m", "slow" if slow else "not slow", file]  # fmt: skip
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, cwd=Path(file).parent
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@dataclass
class Arena:
    """Buffers, one behind the other."""

    capacity: int
    buffers: list[Buffer] = field(default_factory=list)
    end: int = HEADER

    def add(
        self,
        name: str,
        shape: tuple[int, ...] = (),
        kind: str = "output",
        dtype: str = "f32",
        *,
        batched: bool = False,
        order: tuple[int, ...] = (),
    ) -> int:
        """A buffer; gives its index."""
        place = 0 if kind == "scratch" else self.end
        self.buffers.append(Buffer(name, kind, Type(shape, dtype, batched), place, order))
        if kind != "scratch":
            size = self.buffers[-1].nbytes(self.capacity)
            self.end += -(-size // ALIGN) * ALIGN
        return len(self.buffers) - 1

    def plan(self, *kernels: AnyKernel, recorded: tuple[str, ...] = ()) -> Plan:
        named = {b.name: i for i, b in enumerate(self.buffers)}
        return Plan(
            "by_hand", kernels, (True,) * len(kernels), tuple(self.buffers), self.end,
            self.capacity, {n: named[n] for n in recorded},
            {b.name: i for i, b in enumerate(self.buffers) if b.kind == "output"}, seeded=True,
        )  # fmt: skip


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a C-ordered array."""
    strides: list[int] = []
    step = 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def whole(slot: int, shape: tuple[int, ...], dtype: str = "f32", batched: bool = True) -> Access:
    """Every element of a contiguous buffer."""
    size = 1
    for n in shape:
        size *= n
    return Access(slot, dtype, contiguous(shape), 0, size if batched else 0)


def loops(
    slots: tuple[int, ...], *stages: Stage, batched: bool = True, over: bool = False
) -> Loops:
    return Loops("by hand", slots, (), None, (), (), stages, batched, over)


def elementwise(
    slots: tuple[int, ...],
    shape: tuple[int, ...],
    reads: tuple[Access, ...],
    write: Access,
    *calls: tuple[Scalar, str],
    batched: bool = True,
) -> Loops:
    """One stage whose last let is stored."""
    lets = tuple(Let(c, d) for c, d in calls)
    stage = Stage(shape, reads, lets, (Write(write, Temp(len(lets) - 1)),))
    return loops(slots, stage, batched=batched)


def product(
    slots: tuple[int, ...],
    sizes: tuple[Extent, Extent, Extent],
    a: Matrix,
    b: Matrix,
    epilogue: Stage,
    *,
    loop: Extent = ONE,
    dtype: str = "f32",
) -> Product:
    rows, columns, depth = sizes
    return Product(
        "by hand", slots, (), None, (), (), (rows,), columns, (depth,), loop, a, b, dtype, epilogue
    )


def plain_epilogue(write: Access, dtype: str = "f32") -> Stage:
    """The sum, stored."""
    return Stage((-1, -1), (Access(-1, dtype, ()),), (), (Write(write, Element(0)),))


def affine_epilogue(bias: Access, write: Access, dtype: str = "f32") -> Stage:
    """max(sum + bias, 0), stored."""
    lets = (
        Let(Call("add", Element(0), Element(1)), dtype),
        Let(Call("max", Temp(0), Literal(0.0)), dtype),
    )
    return Stage((-1, -1), (Access(-1, dtype, ()), bias), lets, (Write(write, Temp(1)),))


def softmax_loops(classes: int, dtype: str = "f32") -> Loops:
    """max, exp(x − max), their sum, the quotient: slots scores, scratch max, output, scratch
    sum."""
    row = whole(0, (classes,), dtype)
    greatest, sum_ = Access(1, dtype, ()), Access(3, dtype, ())
    out = whole(2, (classes,), dtype)
    stages = (
        Stage((classes,), (row,), (), (), (Fold(greatest, Element(0), "max", 1),)),
        Stage(
            (classes,),
            (row, Access(1, dtype, (0,))),
            (Let(Call("sub", Element(0), Element(1)), dtype), Let(Call("exp", Temp(0)), dtype)),
            (Write(out, Temp(1)),),
            (Fold(sum_, Temp(1), "sum", 1),),
        ),
        Stage(
            (classes,),
            (out, Access(3, dtype, (0,))),
            (Let(Call("div", Element(0), Element(1)), dtype),),
            (Write(out, Temp(0)),),
        ),
    )
    return loops((0, 1, 2, 3), *stages)
