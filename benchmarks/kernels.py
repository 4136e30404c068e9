"""GFLOP/s of single products against NumPy's BLAS: `python -m benchmarks.kernels`.

The shapes are those of docs/performance.md. Both are measured in turn, and the best time of each is
shown: a shared machine only ever makes a kernel slower. Unset OPENBLAS_CORETYPE first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from chainrule.compiler.plan import (
    ALIGN,
    HEADER,
    Access,
    Buffer,
    Extent,
    Matrix,
    Plan,
    Product,
    Stage,
    Write,
)
from chainrule.compiler.scalar import Element
from chainrule.compiler.types import Type
from chainrule.runtime.cpu import CpuDevice

# rows × depth × columns; whether A is stored by columns (a weight's gradient)
SHAPES = [(64, 784, 128, False), (784, 64, 128, True), (64, 128, 10, False), (32, 128, 512, False),
          (64, 128, 128, False), (128, 784, 512, False), (784, 128, 512, True),
          (512, 512, 512, False), (1024, 1024, 1024, False)]  # fmt: skip
LONG = (
    2e7  # multiplications of one call: the call itself hardly counts, and a quiet moment is found
)


def plan(rows: int, depth: int, columns: int, transposed: bool, repeat: int) -> Plan:
    a_shape = (depth, rows) if transposed else (rows, depth)
    buffers: list[Buffer] = []
    end = HEADER
    for name, shape in (("a", a_shape), ("b", (depth, columns)), ("c", (rows, columns))):
        buffers.append(Buffer(name, "param", Type(shape), end))
        end += -(-buffers[-1].nbytes(1) // ALIGN) * ALIGN
    sum_, place = Access(-1, "f32", ()), Access(2, "f32", (columns, 1))
    kernel = Product(
        "product", (0, 1, 2), (), None, (0, 1), (2,), (Extent(rows),), Extent(columns),
        (Extent(depth),), Extent(1),
        Matrix(0, (1,), (rows,)) if transposed else Matrix(0, (depth,), (1,)),
        Matrix(1, (columns,), (1,)), "f32",
        Stage((-1, -1), (sum_,), (), (Write(place, Element(0)),)),
    )  # fmt: skip
    return Plan("one", (kernel,) * repeat, (True,) * repeat, tuple(buffers), end, 1, {}, {})


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    rng = np.random.default_rng(0)
    print("| rows × depth × columns | ours, 1 thread | ours, all | NumPy |  GFLOP/s")
    for rows, depth, columns, transposed in SHAPES:
        a = rng.random((rows, depth), np.float32)
        b = rng.random((depth, columns), np.float32)
        stored = np.ascontiguousarray(a.T) if transposed else a
        repeat = max(1, int(LONG / (rows * depth * columns)))
        made = plan(rows, depth, columns, transposed, repeat)
        loaded = [CpuDevice(threads=t).load(made) for t in (1, None)]
        for one in loaded:
            one.write("a", stored)
            one.write("b", b)
            one.run(1)
            np.testing.assert_allclose(one.read("c"), a @ b, rtol=1e-3)
        c = np.empty((rows, columns), np.float32)
        peer = stored.T if transposed else stored
        best = [float("inf")] * 3
        for _ in range(200):
            for k, one in enumerate(loaded):
                best[k] = min(best[k], seconds(partial(one.run, 1)) / repeat)
            best[2] = min(best[2], seconds(partial(np.matmul, peer, b, out=c)))
        work = 2e-9 * rows * depth * columns
        shown = " | ".join(f"{work / t:.0f}" for t in best)
        turned = "ᵀ" if transposed else ""
        print(f"| {rows} × {depth}{turned} × {columns} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
