"""GFLOP/s of single convolutions in all three directions: `python -m benchmarks.convolutions`.

Prints, for each shape and direction, GFLOP/s on one thread and on all, the part of the multiply-add
peak that this is (measured here, by a kernel that does nothing else), and the ratio to PyTorch's
time (channels last) where it can be imported. Words given as arguments choose shapes by name,
`--quick` measures less. Operations are those of the textbook's sum, also where fewer are done.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

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
from chainrule.runtime.profile.peaks import measure_peaks
from chainrule.runtime.threads import processors

DIRECTIONS = ("forward", "by data", "by weights")


@dataclass(frozen=True)
class Case:
    """A square convolution: images of `size` × `size`."""

    name: str
    batch: int
    size: int
    channels: int
    units: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1

    def __str__(self) -> str:
        step = f"/{self.stride}" if self.stride > 1 else ""
        window = f"{self.kernel}×{self.kernel}{step}"
        image = f"{self.batch}×{self.size}×{self.size}×{self.channels}"
        return f"{self.name}: {image} → {self.units}, {window}"

    @property
    def padded(self) -> int:
        return self.size + 2 * self.padding

    @property
    def out(self) -> int:
        return (self.padded - self.kernel) // self.stride + 1

    @property
    def flops(self) -> float:
        k = self.kernel
        return 2.0 * self.batch * self.out**2 * self.units * self.channels * k * k


CASES = (
    Case("conv2", 64, 32, 64, 64),
    Case("32-64", 64, 32, 32, 64),
    Case("64-128", 64, 16, 64, 128),
    Case("64-128/2", 64, 32, 64, 128, 3, 2, 1),
    Case("128", 32, 16, 128, 128),
    Case("256", 32, 8, 256, 256),
    Case("512", 32, 4, 512, 512),
    Case("imagenet64", 8, 56, 64, 64),
    Case("imagenet128", 8, 28, 128, 128),
    Case("imagenet256", 8, 14, 256, 256),
    Case("imagenet512", 8, 7, 512, 512),
    Case("1x1 down", 8, 56, 256, 64, 1, 1, 0),
    Case("1x1 up", 8, 56, 64, 256, 1, 1, 0),
    Case("1x1/2", 8, 28, 512, 1024, 1, 2, 0),
    Case("stem", 8, 224, 3, 64, 7, 2, 3),
    Case("stem3", 64, 32, 3, 64),
    Case("alexnet1", 8, 224, 3, 64, 11, 4, 2),
    Case("vgg224", 1, 224, 64, 64),
    Case("lenet1", 64, 28, 1, 6, 5, 1, 2),
    Case("lenet2", 64, 14, 6, 16, 5, 1, 0),
)


def plan(case: Case, direction: str, repeat: int = 1) -> Plan:
    """The convolution as a `Product`; by data the stride must be 1 (a strided one is several)."""
    b, c, o, k, s = case.batch, case.channels, case.units, case.kernel, case.stride
    out, wide = case.out, case.padded
    one, many = Extent(1), Extent(1, True)
    x_rows, x_depth = (wide * wide * c, s * wide * c, s * c), (wide * c, 1)
    if direction == "forward":
        shapes = {"a": (wide, wide, c), "b": (k, k, c, o), "c": (out, out, o)}
        rows, depth, columns = (many, Extent(out), Extent(out)), (Extent(k), Extent(k * c)), o
        a = Matrix(0, x_rows, x_depth)
        right = Matrix(1, (k * c * o, o), (1,))
        places = (out * out * o, out * o, o, 1)
    elif direction == "by weights":
        shapes = {"a": (wide, wide, c), "b": (out, out, o), "c": (k, k, c, o)}
        rows, depth, columns = (Extent(k), Extent(k * c)), (many, Extent(out), Extent(out)), o
        a = Matrix(0, x_depth, x_rows)
        right = Matrix(1, (out * out * o, out * o, o), (1,))
        places = (k * c * o, o, 1)
    else:
        edge = k - 1 - case.padding
        big = out + 2 * edge
        size = big - k + 1
        shapes = {"a": (big, big, o), "b": (k, k, c, o), "c": (size, size, c)}
        rows, depth, columns = (
            (many, Extent(size), Extent(size)),
            (Extent(k), Extent(k), Extent(o)),
            c,
        )
        a = Matrix(0, (big * big * o, big * o, o), (big * o, o, 1))
        right = Matrix(1, (-k * c * o, -c * o, 1), (o,), (k * k - 1) * c * o)
        places = (size * size * c, size * c, c, 1)
    batched = {"a": True, "b": direction == "by weights", "c": direction != "by weights"}
    buffers: list[Buffer] = []
    end = HEADER
    for name, shape in shapes.items():
        kind = "output" if name == "c" else "input" if batched[name] else "param"
        buffers.append(Buffer(name, kind, Type(shape, "f32", batched[name]), end))
        end += -(-buffers[-1].nbytes(b) // ALIGN) * ALIGN
    stage = Stage((-1,) * (len(rows) + 1), (Access(-1, "f32", ()),), (),
                  (Write(Access(2, "f32", places), Element(0)),))  # fmt: skip
    kernel = Product(
        direction, (0, 1, 2), (), None, (0, 1), (2,), rows, Extent(columns), depth, one, a, right,
        "f32", stage,
    )  # fmt: skip
    return Plan("one", (kernel,) * repeat, (True,) * repeat, tuple(buffers), end, b, {}, {"c": 2})


def filled(case: Case, made: Plan, threads: int | None) -> Callable[[], object]:
    """A run of a plan on random numbers."""
    loaded = CpuDevice(threads=threads).load(made)
    rng = np.random.default_rng(0)
    for buffer in made.buffers[:2]:
        shape = (*((case.batch,) if buffer.type.batched else ()), *buffer.type.shape)
        loaded.write(buffer.name, rng.random(shape, np.float32) - 0.5)
    return partial(loaded.run, case.batch)


def of_torch(case: Case, direction: str) -> Callable[[], object] | None:
    """The same in PyTorch, images and weights channels last; None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    last = torch.channels_last
    x = torch.rand(case.batch, case.channels, case.size, case.size).to(memory_format=last)
    w = torch.rand(case.units, case.channels, case.kernel, case.kernel).to(memory_format=last)
    if direction == "forward":
        return partial(torch.conv2d, x, w, stride=case.stride, padding=case.padding)
    g = torch.rand(case.batch, case.units, case.out, case.out).to(memory_format=last)
    asked = [direction == "by data", direction == "by weights", False]
    backward: Any = torch.ops.aten.convolution_backward
    pair = [case.stride] * 2, [case.padding] * 2, [1, 1]
    return partial(backward, g, x, w, [0], *pair, False, [0, 0], 1, asked)


def torch_threads(count: int) -> None:
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(count)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def best(runs: list[Callable[[], object]], span: float) -> list[float]:
    """The least time of each, measured in turn for `span` seconds: others use this machine too."""
    times = [float("inf")] * len(runs)
    for run in runs:
        run()
    end = time.perf_counter() + span
    while time.perf_counter() < end:
        for k, run in enumerate(runs):
            times[k] = min(times[k], seconds(run))
    return times


def main() -> None:
    words = [a for a in sys.argv[1:] if not a.startswith("-")]
    span = 0.5 if "--quick" in sys.argv else 2.0
    most = processors()
    peaks = {t: measure_peaks(t).flops / 1e9 for t in sorted({1, most})}
    print("multiply-add peak: " + ", ".join(f"{p:.0f} GFLOP/s on {t}" for t, p in peaks.items()))
    print("| shape | direction | threads | GFLOP/s | of the peak | PyTorch's time / ours |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        if words and case.name not in words:
            continue
        for direction in DIRECTIONS:
            if direction == "by data" and case.stride > 1:
                continue
            made = plan(case, direction)
            peer = of_torch(case, direction)
            for threads, peak in peaks.items():
                torch_threads(threads)
                ours = filled(case, made, threads)
                times = best([ours] + ([peer] if peer else []), span)
                speed = case.flops / times[0] / 1e9
                ratio = f"{times[1] / times[0]:.2f}" if peer else "-"
                print(f"| {case} | {direction} | {threads} | {speed:.0f} | {speed / peak:.0%} | "
                      f"{ratio} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
