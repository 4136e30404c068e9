"""A plan and its weights as a package that runs with numpy and numba alone.

In: a `Plan`, arrays by name, a folder. Out: `folder/<name>/` with the kernels' source, the
files they need and a function: `predict(**inputs)`, or `step(**inputs)` where the plan updates
parameters. Weights are an `.npz` of plain arrays. Names of the user's stand in `plan.json` and
the README, never in code.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..compiler.emit.cpu import Program, emit, plain_words
from ..compiler.plan import Buffer, Plan, written_out
from .cpu import host
from .device import Array
from .files import write_atomically, write_text

INIT = '''"""{title}

A program exported by chainrule. It needs numpy and numba; the first call compiles the kernels,
which Numba then keeps. See README.md for the inputs and outputs.
"""

from pathlib import Path as _Path

from .standalone import Program

_programs = []


def program():
    """The program, loaded once: `read(name)` and `write(name, array)` reach its weights."""
    if not _programs:
        _programs.append(Program(_Path(__file__).parent, __name__))
    return _programs[0]


def {signature}:
    """{doc}"""
    recorded, outputs = program().run({call})
    return {result}
'''
PREDICT = "Arrays by output name, from one array for each input, examples along the first axis."
SAMPLE = "Arrays by output name, `count` examples along the first axis, drawn anew for each seed."
STEP = "One training step on a batch: the recorded numbers (loss, metrics) by name."


def export(plan: Plan, weights: Mapping[str, Array], out: Path) -> list[Path]:
    """Write the package of a plan; gives the files written. Raises Failure E544."""
    folder = out / identifier(plan.name)
    program = emit(plan, host(), "..simd")
    updates = any(
        plan.buffers[k.slots[i]].kind in ("param", "state") for k in plan.kernels for i in k.writes
    )
    texts = {
        "__init__.py": _init(plan, updates),
        "README.md": _readme(plan, program, updates),
        "plan.json": json.dumps(_facts(plan, program), indent=1),
        "kernels/__init__.py": "",
    }
    for n, source in enumerate(program.sources):
        texts[f"kernels/k_{n}.py"] = source.text
    here = Path(__file__).parent
    own = [here / f"{name}.py" for name in ("driver", "recurrence", "standalone")]
    for path in (*own, *sorted((here / "simd").glob("*.py"))):
        texts[str(path.relative_to(here))] = path.read_text(encoding="utf-8")
    written = []
    for name, text in texts.items():
        write_text(folder / name, text)
        written.append(folder / name)
    data = _archive(plan, weights)
    write_atomically(folder / "weights.npz", lambda file: _write(file, data))
    return [*written, folder / "weights.npz"]


def identifier(name: str) -> str:
    """A name as that of a Python package."""
    word = re.sub(r"[^0-9A-Za-z_]", "_", name) or "net"
    return f"net_{word}" if word[0].isdigit() else word


def _write(file: Any, data: bytes) -> None:
    file.write(data)


def _archive(plan: Plan, weights: Mapping[str, Array]) -> bytes:
    """Params and states as plain arrays, in the user's orientation."""
    arrays = {}
    for buffer in plan.buffers:
        if buffer.kind in ("param", "state") and buffer.name in weights:
            arrays[buffer.name] = np.asarray(weights[buffer.name], buffer.type.numpy)
    memory = io.BytesIO()
    np.savez(memory, allow_pickle=False, **arrays)
    return memory.getvalue()


def _init(plan: Plan, updates: bool) -> str:
    if updates:
        own = ("step(*, seed=0, **inputs)", "inputs, seed", "recorded", STEP)
    elif _inputs(plan):
        own = ("predict(*, seed=0, **inputs)", "inputs, seed, anew=True", "outputs", PREDICT)
    else:
        own = ("predict(count=1, *, seed=0)", "{}, seed, count, anew=True", "outputs", SAMPLE)
    signature, call, result, doc = own
    return INIT.format(
        title=f"The net {identifier(plan.name)}.",
        signature=signature, call=call, result=result, doc=doc,
    )  # fmt: skip


def _facts(plan: Plan, program: Program) -> dict[str, Any]:
    """What `standalone.Program` reads."""
    tables = program.tables()
    launches = [
        [launch.source, start, launch.frame]
        for launch, start in zip(program.launches, tables.starts, strict=True)
    ]
    named = {name: plan.buffers[i] for name, i in plan.index_of.items()}
    unused = {b.name for b in plan.buffers if b.kind == "input"} - {b.name for b in _inputs(plan)}
    named = {name: b for name, b in named.items() if name not in unused}
    results = {**plan.outputs, **plan.recorded}
    names = {i: f"result {i}" for i in results.values()}
    named |= {names[i]: plan.buffers[i] for i in results.values()}
    return {
        "capacity": plan.capacity,
        "bytes": program.memory(1),
        "kernels": len(program.sources),
        "launches": launches,
        "rows": tables.rows,
        "code": tables.code,
        "coded": tables.coded,
        "late": tables.late,
        "sources": tables.sources,
        "steps": [frame.steps for frame in program.frames],
        "buffers": {name: _buffer(b) for name, b in named.items()},
        "outputs": {name: names[i] for name, i in plan.outputs.items()},
        "recorded": {name: names[i] for name, i in plan.recorded.items()},
    }


def _inputs(plan: Plan) -> list[Buffer]:
    """The inputs that some kernel reads: a label is not asked for where there is no loss."""
    read = {i for k in plan.kernels for i in k.slots}
    results = {*plan.outputs.values(), *plan.recorded.values()}
    return [b for i, b in enumerate(plan.buffers) if b.kind == "input" and i in read | results]


def _buffer(buffer: Buffer) -> dict[str, Any]:
    type = buffer.type
    return {"kind": buffer.kind, "shape": type.shape, "dtype": type.dtype, "batched": type.batched,
            "offset": buffer.offset, "order": buffer.order,
            "steps": type.frame.steps if type.frame is not None else 0}  # fmt: skip


def _readme(plan: Plan, program: Program, updates: bool) -> str:
    name = identifier(plan.name)
    inputs = _inputs(plan)
    example = ", ".join(f"{identifier(b.name)}=…" for b in inputs)
    function = "step" if updates else "predict"
    example = example or "count=16"
    lines = [
        f"# {plain_words(plan.name)}", "",
        "Exported by chainrule; runs with numpy and numba alone.", "",
        "```python", f"import {name}", "", f"result = {name}.{function}({example})", "```", "",
        "| | name | for each example | element |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    rows = [("input", b.name, b) for b in inputs]
    rows += [("output", n, plan.buffers[i]) for n, i in plan.outputs.items()]
    rows += [("number", n, plan.buffers[i]) for n, i in plan.recorded.items()]
    lines += [
        f"| {kind} | `{plain_words(n)}` | {list(b.user_shape)} | {b.type.dtype} |"
        for kind, n, b in rows
    ]
    lines += ["", "## Kernels, in the order they run", ""]
    for kernel, launch in zip(written_out(plan.kernels), program.written_out, strict=True):
        lines.append(f"* `kernels/k_{launch.source}.py`: `{plain_words(kernel.label)}`")
    return "\n".join(lines) + "\n"
