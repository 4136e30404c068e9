"""Graphs that use every operation and every block, for comparing devices with the interpreter."""

from __future__ import annotations

import numpy as np

from chainrule.compiler.autodiff import gradient
from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import Op, apply, build, registry
from chainrule.compiler.passes import lower
from chainrule.compiler.schedule import plan
from chainrule.compiler.step import with_gradients
from chainrule.compiler.types import Type
from chainrule.compiler.value import Value
from chainrule.runtime.device import Device
from chainrule.runtime.plain import run_graph
from tests.compiler.netcase import net
from tests.compiler.test_ops import APART, all_cases
from tests.compiler.test_stdlib_gradients import IMAGES, LAYERS, LOSSES

BATCH = 3
# No kernel: `orthogonal` is drawn once, by the interpreter; leaves are given.
OPS = {
    op.name: op for op in registry().values() if op.family not in APART and op.name != "orthogonal"
}


def graph_of(op: Op, dtype: str) -> Graph:
    """All samples of one operation, each with the gradient of a weighted sum of it."""
    outputs: list[Output] = []
    leaves: dict[str, Leaf] = {}
    for number, (xs, attrs) in enumerate(all_cases(op)):
        fresh = tuple(renamed(x, f"x{number}_{k}", dtype) for k, x in enumerate(xs))
        leaves |= {x.attrs["name"]: Leaf(x, kind(x)) for x in fresh}
        more = {"dtype": dtype} if "dtype" in op.options and op.name != "cast" else {}
        y = build(op, fresh, {**attrs, **more})
        outputs.append(Output("output", f"y{number}", y))
        wrt = [x for x in fresh if x.type.is_float]
        if not y.type.is_float or not wrt or op.lowered:
            continue
        weight = leaf("input" if y.type.batched else "param", f"w{number}", y.type)
        leaves[f"w{number}"] = Leaf(weight, kind(weight))
        for k, g in enumerate(gradient(apply("sum", y * weight), wrt)):
            outputs.append(Output("output", f"g{number}_{k}", g))
    return Graph(op.name, tuple(outputs), leaves)


def kind(x: Value) -> str:
    return "input" if x.type.batched else "param"


def renamed(x: Value, name: str, dtype: str) -> Value:
    t = x.type.with_(dtype=dtype) if x.type.is_float else x.type
    return leaf(kind(x), name, t)


IMAGE_CALLS = [call for calls in IMAGES.values() for call in calls]


def graph_of_block(name: str, dtype: str) -> Graph:
    """One block of the library behind an affine map, or a convolution, with its gradients."""
    if name in IMAGE_CALLS:
        lines = f"  z = x -> conv(4, 1)\n  y = z -> {name}\n  loss sum(y * y * 0.5 + y)"
        return with_gradients(net(f"net t {{\n  input x: [2, 5, 6]\n{lines}\n}}", dtype=dtype))
    if name in LAYERS:
        lines = f"  z = x -> dense(5)\n  y = z -> {LAYERS[name]}\n  loss sum(y * y * 0.5 + y)"
    else:
        lines = f"  input y: [3]\n  s = x -> dense(3)\n  loss {LOSSES[name]}"
    return with_gradients(net(f"net t {{\n  input x: [7]\n{lines}\n}}", dtype=dtype))


def numbers(graph: Graph, low: float, high: float, seed: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    given = {}
    for f in graph.leaves.values():
        t: Type = f.value.type
        shape = (BATCH, *t.shape) if t.batched else t.shape
        values = rng.uniform(low, high, shape) if t.is_float else rng.integers(0, 2, shape)
        given[f.name] = values.astype(t.numpy)
    return given


def differences(device: Device, graph: Graph, given: dict[str, np.ndarray]) -> dict[str, float]:
    """Greatest difference of each output from the interpreter's, relative to its size."""
    expected = run_graph(graph, given, batch=BATCH, seed=5)
    loaded = device.load(plan(lower(graph), BATCH + 2))
    for name, value in given.items():
        if name in loaded.plan.index_of:
            loaded.write(name, value)
    loaded.run(BATCH, seed=5, step=1)
    found = {}
    for o in graph.outputs:
        if o.kind not in ("output", "gradient"):
            continue
        value = np.asarray(expected[(o.kind, o.name)], np.float64)
        ours = loaded.read(o.name, BATCH if o.value.type.batched else None).astype(np.float64)
        assert ours.shape == value.shape, o.name
        scale = max(1.0, float(np.abs(value).max(initial=0)))
        found[o.name] = float(np.abs(ours - value).max(initial=0)) / scale
    return found
