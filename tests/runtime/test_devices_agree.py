"""Every operation, and every block of the library, on the CPU and in the CUDA simulator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.runtime.cpu import CpuDevice
from tests.runtime.opcases import (
    IMAGE_CALLS,
    LAYERS,
    LOSSES,
    OPS,
    differences,
    graph_of,
    graph_of_block,
    numbers,
)

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = {"f32": 2e-5, "f64": 1e-11}
BLOCKS = [*LAYERS, *LOSSES, *IMAGE_CALLS]


def agree(device, graph, domain, dtype: str) -> None:
    wrong = {
        name: d
        for name, d in differences(device, graph, numbers(graph, *domain)).items()
        if not d <= TOLERANCE[dtype]
    }
    assert wrong == {}, graph.name


@pytest.mark.parametrize("name", OPS)
def test_an_operation_on_the_cpu_equals_the_interpreter(name) -> None:
    agree(CpuDevice(threads=2), graph_of(OPS[name], "f64"), OPS[name].domain, "f64")


@pytest.mark.slow
@pytest.mark.parametrize("name", OPS)
def test_an_operation_in_f32_on_the_cpu_equals_the_interpreter(name) -> None:
    agree(CpuDevice(threads=2), graph_of(OPS[name], "f32"), OPS[name].domain, "f32")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_on_the_cpu_equals_the_interpreter(name, dtype) -> None:
    agree(CpuDevice(threads=2), graph_of_block(name, dtype), (-1.5, 1.5), dtype)


def simulated(*what: str) -> None:
    """This file again, in a process of its own: the simulator is chosen when numba is imported."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.test_devices_agree", *what],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_operation_in_the_cuda_simulator_equals_the_interpreter() -> None:
    simulated("ops", "f64")


@pytest.mark.slow
def test_every_operation_in_f32_in_the_cuda_simulator_equals_the_interpreter() -> None:
    simulated("ops", "f32")


@pytest.mark.slow
def test_every_block_in_the_cuda_simulator_equals_the_interpreter() -> None:
    simulated("blocks", "f64")


def main() -> None:
    from chainrule.runtime.cuda import CudaDevice

    what, dtype = sys.argv[1:]
    # Convolutions have a test file of their own; their samples take the simulator half a minute.
    quick = [n for n in OPS if OPS[n].family != "convolution" or dtype == "f32"]
    for name in quick if what == "ops" else BLOCKS:
        graph = graph_of(OPS[name], dtype) if what == "ops" else graph_of_block(name, dtype)
        agree(CudaDevice(), graph, OPS[name].domain if what == "ops" else (-1.5, 1.5), dtype)


if __name__ == "__main__":
    main()
