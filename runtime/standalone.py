"""Runs an exported plan. This file is copied into exported packages and needs numpy and numba
alone.

In: a folder with `plan.json`, `weights.npz`, `kernels/` and, beside this file, `simd/` and
`driver.py`. Out: a `Program` that takes arrays by name and gives arrays by name. One thread;
the kernels are those that chainrule runs itself, compiled at first use and kept by Numba beside
the package.
"""

from __future__ import annotations

import ctypes
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_CODES = {"f32": 0, "f64": 1, "i32": 2, "bool": 3}
_TYPES = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "bool": np.bool_}
_WALK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


class Program:
    """The plan in `folder`, with its weights in memory."""

    def __init__(self, folder: Path, package: str) -> None:
        facts = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        self.capacity: int = facts["capacity"]
        self.buffers: dict[str, dict[str, Any]] = facts["buffers"]
        self.outputs: dict[str, str] = facts["outputs"]
        self.recorded: dict[str, str] = facts["recorded"]
        self._bytes = np.zeros(facts["bytes"] + 64, np.uint8)
        shift = -self._bytes.ctypes.data % 64
        self._arena = self._bytes[shift:]
        importlib.import_module(f"{package}.simd").settings["disk_cache"] = True
        kernels = [
            importlib.import_module(f"{package}.kernels.k_{n}").run for n in range(facts["kernels"])
        ]
        self._walker = importlib.import_module(f"{package}.driver").compiled()
        self._walk = _WALK(self._walker.address)
        self._kernels = kernels  # keeps their machine code alive
        addresses = [*(k.address for k in kernels)]
        if facts["code"]:
            self._recurrence = importlib.import_module(f"{package}.recurrence").compiled()
            addresses.append(self._recurrence.address)  # number −1
        self._code = np.array(facts["code"] or [0], np.int64)
        for place, source in facts["sources"]:
            self._code[place] = addresses[source]
        self._rows = np.array(facts["rows"], np.int64)
        for row, place in facts["coded"]:
            self._rows[row] = self._code.ctypes.data + 8 * place
        self._table = np.array(
            [[addresses[k], row, 0, 0, frame] for k, row, frame in facts["launches"]], np.int64
        ).reshape(-1, 5)
        self._late = np.array(facts["late"], np.int64).reshape(-1, 3)
        self._steps = np.array([[1, *facts["steps"]]], np.int64)
        self._steps_done = 0
        for name, b in self.buffers.items():  # factors of the learning rate, until one is written
            if b["kind"] == "scalar":
                self.write(name, 1.0)
        with np.load(folder / "weights.npz", allow_pickle=False) as weights:
            for name in weights.files:
                self.write(name, weights[name])

    def _view(self, name: str, count: int) -> np.ndarray[Any, Any]:
        b = self.buffers[name]
        shape = tuple(b["shape"])
        shape = (count, *shape) if b["batched"] else shape
        if b["steps"]:  # step after step in memory, all examples of each
            shape = (b["steps"], *shape)
        dtype = np.dtype(_TYPES[b["dtype"]])
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        part = self._arena[b["offset"] : b["offset"] + size].view(dtype).reshape(shape)
        if b["steps"]:
            return part.swapaxes(0, 1)
        return part.transpose(np.argsort(b["order"])) if b["order"] else part

    def write(self, name: str, array: Any) -> None:
        """Set an input, parameter, state or scalar by name."""
        values = np.asarray(array)
        count = len(values) if self.buffers[name]["batched"] else 1
        view = self._view(name, count)
        if values.shape != view.shape:
            raise ValueError(f"`{name}` takes shape {list(view.shape)}, got {list(values.shape)}")
        view[...] = values

    def read(self, name: str, count: int = 1) -> np.ndarray[Any, Any]:
        """A copy of a buffer, `count` examples where there is one for each."""
        return np.array(self._view(name, count), order="C")

    def run(
        self, inputs: Mapping[str, Any], seed: int = 0, count: int = 1, *, anew: bool = False
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """The recorded numbers (means over the examples) and the outputs, for any number of them:
        `count` where there are no inputs.

        More examples than the program holds at once are taken in turns. `anew` counts these from
        the first, so that the draws of a seed are the same at every call.
        """
        if anew:
            self._steps_done = 0
        arrays = {name: np.asarray(a) for name, a in inputs.items()}
        wanted = {n for n, b in self.buffers.items() if b["kind"] == "input"}
        if wanted != arrays.keys():
            raise ValueError(f"the inputs are {sorted(wanted)}, got {sorted(arrays)}")
        counts = {len(a) for a in arrays.values()} or {count}
        if len(counts) > 1 or min(counts) == 0:
            raise ValueError("every input must have the same number of examples, at least one")
        total = counts.pop()
        sums = dict.fromkeys(self.recorded, 0.0)
        parts: dict[str, list[Any]] = {name: [] for name in self.outputs}
        for start in range(0, total, self.capacity):
            count = min(self.capacity, total - start)
            for name, array in arrays.items():
                self.write(name, array[start : start + count])
            for name, value in self._step(count, seed).items():
                sums[name] += value * count / total
            for name, buffer in self.outputs.items():
                parts[name].append(self.read(buffer, count))
        joined = {
            name: np.concatenate(found)
            if self.buffers[self.outputs[name]]["batched"]
            else found[-1]
            for name, found in parts.items()
        }
        return sums, joined

    def _step(self, count: int, seed: int) -> dict[str, float]:
        self._steps_done += 1
        self._arena[:8].view(np.int64)[0] = seed
        scalars = [n for n, b in self.buffers.items() if b["kind"] == "scalar" and n == "step"]
        places = np.array(
            [[self.buffers[n]["offset"], _CODES[self.buffers[n]["dtype"]]] for n in scalars],
            np.int64,
        ).reshape(-1, 2)
        numbers = np.array([float(self._steps_done)])
        found = [self.buffers[n] for n in self.recorded.values()]
        recorded = np.array([[b["offset"], _CODES[b["dtype"]]] for b in found], np.int64).reshape(
            -1, 2
        )
        records = np.zeros(max(1, len(found)))
        job = np.array(
            [
                self._arena.ctypes.data, self._table.ctypes.data, len(self._table),
                self._rows.ctypes.data, 0, 0, 0, count, count, self._steps_done,
                places.ctypes.data, len(places), numbers.ctypes.data, recorded.ctypes.data,
                len(found), records.ctypes.data, 0, 0, 1, 0, self._steps.ctypes.data,
                self._steps.shape[1], self._late.ctypes.data, len(self._late),
            ],
            np.int64,
        )  # fmt: skip
        self._walk(job.ctypes.data, 0)
        return dict(zip(self.recorded, records.tolist(), strict=False))
