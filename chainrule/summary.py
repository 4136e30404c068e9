"""What a net consists of: a row for each layer with its shape, parameters and work, and the memory.

In: a model. Out: a `Summary` that prints as a table of 80 columns, and as JSON. Work is counted for
one example, products and sums each; the backward pass costs about twice as much again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .compiler.graph import Graph
from .compiler.pipeline import compile_plan, forward, step
from .compiler.value import Value
from .console import table

if TYPE_CHECKING:
    from .memory import Training
    from .model import Model


@dataclass
class Layer:
    """One application of a block at the top of the net (or, deeper, inside others)."""

    name: str
    block: str
    shape: str = ""
    parameters: int = 0
    shared: int = 0  # parameters that an earlier layer counts
    flops: int = 0


@dataclass(frozen=True)
class Summary:
    """A net in numbers. `memory`: bytes of one training step at the given batch."""

    net: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    layers: tuple[Layer, ...]
    parameters: int
    frozen: int
    flops: int
    batch: int
    memory: dict[str, int] = field(default_factory=dict)
    kernels: int = 0
    training: Training | None = None

    def __str__(self) -> str:
        rows = [["layer", "block", "output", "parameters", "work"]]
        for layer in self.layers:
            count = f"{layer.parameters:,}" if layer.parameters else ""
            if layer.shared:
                count = f"{count} (+{layer.shared:,} shared)".strip()
            rows.append([_cut(layer.name), layer.block, layer.shape, count, work(layer.flops)])
        head = f"net {self.net}: " + ", ".join(f"{n}: {t}" for n, t in self.inputs.items())
        head += " -> " + ", ".join(f"{n}: {t}" for n, t in self.outputs.items())
        frozen = f" ({self.frozen:,} frozen)" if self.frozen else ""
        lines = [head, "", table(rows, right={3, 4}), ""]
        lines.append(f"parameters       {self.parameters:,}{frozen}")
        lines.append(f"work, forward    {work(self.flops)} an example")
        for what, size in self.memory.items():
            lines.append(f"memory, {what:<8} {readable(size)} at batch {self.batch}")
        if self.kernels:
            lines.append(f"kernels          {self.kernels} different ones in a training step")
        if self.training is not None:
            lines += ["", str(self.training)]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        return {
            "net": self.net,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "layers": [vars(layer) for layer in self.layers],
            "parameters": self.parameters,
            "frozen": self.frozen,
            "flops": self.flops,
            "batch": self.batch,
            "memory": self.memory,
            "kernels": self.kernels,
            "training": self.training.as_json() if self.training is not None else None,
        }


def _cut(name: str) -> str:
    return name if len(name) <= 24 else "…" + name[-23:]


def work(count: int) -> str:
    """1234567 as `1.23 MFLOP`."""
    if count == 0:
        return ""
    for size, unit in ((1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"), (1e3, "kFLOP")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} FLOP"


def readable(size: int) -> str:
    """Bytes for people."""
    from .runtime.data.memory import readable

    return readable(size)


def summarise(model: Model, depth: int = 1, batch: int | None = None) -> Summary:
    """The summary of a model; `depth` says how many levels of blocks are told apart."""
    graph = forward(model.module, model.name, dtype=model.dtype, sizes=model.sizes)
    size = batch or model.settings.batch or 32
    memory, kernels, training = _memory(model, graph, size)
    layers = layers_of(graph, depth)
    params = graph.params
    return Summary(
        model.name,
        {i.name: str(i.value.type) for i in graph.inputs},
        {o.name: str(o.value.type) for o in graph.of_kind("output")},
        tuple(layers),
        sum(p.value.type.size for p in params),
        sum(p.value.type.size for p in params if p.frozen),
        sum(layer.flops for layer in layers),
        size, memory, kernels, training,
    )  # fmt: skip


def layers_of(graph: Graph, depth: int = 1) -> list[Layer]:
    """Rows in the order in which values are computed; of losses and metrics only the layers that
    learn and that no output needs, as a discriminator."""
    rows: dict[object, Layer] = {}
    counted: set[Value] = set()
    # What is computed of parameters and running statistics alone has no place in the order.
    for v in sorted(_counting(graph, depth), key=lambda v: not v.type.batched):
        if v.op.family == "leaf":
            continue
        path = _path(v, depth)
        key: object = path or v  # an equation outside of all blocks has a row of its own
        row = rows.get(key)
        if row is None:
            block = _block(graph, path, v) if path else v.op.name
            row = rows[key] = Layer(path or v.origin.name, block)
        if v.origin.instance == path and path:
            row.block = v.origin.block
        if v.type.batched or not row.shape:
            row.shape = str(v.type)
        row.flops += v.op.flops(v)
        for a in v.args:
            if a.op.name != "param":
                continue
            if a not in counted:
                row.parameters += a.type.size
            elif not _within(a, path):
                row.shared += a.type.size
            counted.add(a)
    return list(rows.values())


def _counting(graph: Graph, depth: int) -> list[Value]:
    """The values that rows are made of."""
    wanted = [o for o in graph.outputs if o.kind == "output"]
    if not wanted:
        return list(graph.nodes)
    shown = list(graph.with_outputs(wanted).nodes)
    seen = set(shown)
    hidden = {_path(p.value, depth) for p in graph.params if p.value not in seen} - {""}
    return shown + [v for v in graph.nodes if v not in seen and _path(v, depth) in hidden]


def _path(v: Value, depth: int) -> str:
    return ".".join(v.origin.instance.split(".")[:depth])


def _block(graph: Graph, path: str, v: Value) -> str:
    """The word by which a layer was made; `stage` where all values are of blocks inside it."""
    place = graph.places.get(path)
    return place.text.partition("(")[0] if place is not None else v.origin.block


def _within(param: Value, path: str) -> bool:
    return param.origin.instance == path or param.origin.instance.startswith(f"{path}.")


def _memory(model: Model, graph: Graph, batch: int) -> tuple[dict[str, int], int, Training | None]:
    """Arenas as planned, how many different kernels a training step has, and a training process."""
    from .memory import training

    found = {"predict": compile_plan(model.evaluation, batch).arena}
    if model.declaration is None or not graph.of_kind("loss"):
        return found, 0, None
    learning = step(model.module, model.declaration, dtype=model.dtype, sizes=model.sizes)
    plan = compile_plan(learning, batch)
    found["train"] = plan.arena
    return found, len(set(plan.distinct)), training(model, plan, learning)
