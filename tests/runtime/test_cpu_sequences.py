"""Layers of sequences, compiled: PyTorch's numbers, the interpreter's, on one thread and on two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule.compiler.elaborate import forward, parse_module
from chainrule.compiler.graph import Graph
from chainrule.compiler.pipeline import gradients
from chainrule.dsl.source import Source
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.plain import evaluate
from chainrule.runtime.session import Program, compile_graph
from tests.compiler.netcase import random_values
from tests.sequencecases import BATCH, CELLS, EVERY, case

Array = NDArray[Any]
DEVICES = {1: CpuDevice(1), 2: CpuDevice(2)}
QUICK = [("rnn", "truncated"), ("lstm", "lengths"), ("gru", "both_lengths"), ("losses", "masked"),
         ("attention", "many_masked"), ("additive", "masked")]  # fmt: skip
SLOW = [pytest.param(*c, marks=pytest.mark.slow) for c in EVERY if c not in QUICK]


def run(program: Program, given: dict[str, Array], batch: int, steps: int) -> dict[str, Array]:
    program.push(given)
    for name in program.inputs:
        kept = program.graph.leaves[name].value.type.numpy
        program.loaded.write(name, np.ascontiguousarray(given[name], kept))
    program.loaded.run(batch, lengths={"T": steps})
    return {o.name: program.loaded.read(o.name, batch) for o in program.graph.outputs
            if o.kind in ("output", "gradient")}  # fmt: skip


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize(("file", "kind"), [*QUICK, *SLOW])
def test_a_compiled_layer_has_the_numbers_of_pytorch(file: str, kind: str, dtype: str) -> None:
    of = case(file, kind)
    graph = of.graph(dtype)
    exact = (1e-9, 1e-10) if dtype == "f64" else (2e-4, 2e-5)
    bits: dict[str, bytes] = {}
    for threads, device in DEVICES.items():
        found = run(compile_graph(graph, BATCH, device), of.given, BATCH, of.steps)
        assert set(of.expected) <= set(found)
        for name, expected in of.expected.items():
            np.testing.assert_allclose(found[name], expected, *exact, err_msg=f"{name}, {threads}")
            same = bits.setdefault(name, found[name].tobytes())
            assert same == found[name].tobytes(), f"{name} differs with {threads} threads"


# Encoders and decoders, for batches of any number of steps.
NETS = {
    "attention": """
  input xs: tokens[S, 7]
  input ys: tokens[T, 5]
  e = xs -> embedding(6) -> bidirectional(gru, 5, mask = mask(xs))
  scan y in ys -> embedding(4) with s: [5] = e.last -> dense(5) -> tanh {
    a = (s, e.hs, e.hs) -> additive_attention(6, mask = mask(xs))
    s = concat(s, y, a.context) -> dense(5) -> tanh
    yield s
  }
  scores = yielded -> dense(5)
  loss cross_entropy(scores, ys, mask = mask(ys))
""",
    "stacked": """
  input ys: tokens[T, 5]
  r = ys -> one_hot -> stacked(lstm, [6, 17], mask = mask(ys))
  scores = r.hs -> dense(5)
  loss cross_entropy(scores, ys, mask = mask(ys))
""",
    "addressing": """
  input ys: tokens[T, 5]
  scan y in ys -> embedding(6) with M: [8, 6] = 0.1, w: [8] = 0.125, h: [7] = 0 {
    h = concat(h, y, M' @ w) -> dense(7) -> tanh
    c = (h -> dense(6), h -> dense(1) -> sum, M) -> content_address
    v = (0.5 * c + 0.5 * w, h -> dense(3) -> softmax) -> circular_shift
    w = (v, 1 + (h -> dense(1) -> sum -> softplus)) -> sharpen
    M = M * (1 - w @ (h -> dense(6) -> sigmoid)') + w @ (h -> dense(6))'
    yield h
  }
  scores = yielded -> dense(5)
  loss cross_entropy(scores, ys, mask = mask(ys))
""",
}
LENGTHS = ((6, 7), (1, 1), (4, 2))  # longest of xs and of ys


def graph_of(text: str, dtype: str) -> Graph:
    module = parse_module(Source("net.net", f"net t {{{text}}}\n"))
    return gradients(forward(module, training=True, dtype=dtype, sizes={"S": 6, "T": 7}))


@pytest.mark.parametrize("dtype", ["f64", pytest.param("f32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NETS)
def test_a_compiled_net_agrees_with_the_interpreter_at_every_length(name: str, dtype: str) -> None:
    batch = 5
    graph, exact = graph_of(NETS[name], dtype), (1e-8, 1e-10) if dtype == "f64" else (1e-3, 1e-5)
    programs = {n: compile_graph(graph, batch, device) for n, device in DEVICES.items()}
    given = {
        n: 0.5 * x if x.dtype.kind == "f" else x for n, x in random_values(graph, batch).items()
    }
    rng = np.random.default_rng(1)
    wanted = [o for o in graph.outputs if o.kind == "gradient"]
    for S, T in LENGTHS:
        for leaf, longest in (("xs.length", S), ("ys.length", T)):
            if leaf in given:
                given[leaf] = rng.integers(1, longest + 1, batch).astype(np.int32)
                given[leaf][0] = longest
        expected = evaluate([o.value for o in wanted], given, batch=batch)
        bits: dict[str, bytes] = {}
        for threads, program in programs.items():
            program.push(given)
            for leaf in program.inputs:
                kept = graph.leaves[leaf].value.type.numpy
                program.loaded.write(leaf, np.ascontiguousarray(given[leaf], kept))
            program.loaded.run(batch, lengths={"S": S, "T": T})
            for o, value in zip(wanted, expected, strict=True):
                found = program.loaded.read(o.name, batch)
                np.testing.assert_allclose(found, value, *exact, err_msg=f"{o.name}, {threads}")
                assert bits.setdefault(o.name, found.tobytes()) == found.tobytes(), o.name


@pytest.mark.parametrize("cell", CELLS)
def test_steps_behind_the_longest_example_are_not_run(cell: str) -> None:
    """The numbers do not depend on how many steps a net could take."""
    found: list[dict[str, Array]] = []
    first: dict[str, Array] = {}
    for steps in (4, 9):
        module = parse_module(
            Source(
                "net.net",
                f"""
net t {{
  input xs: [T, 3]
  r = xs -> {cell}(4, mask = mask(xs))
  output last = r.last
  loss sum(r.last)
}}
""",
            )
        )
        graph = gradients(forward(module, training=True, dtype="f64", sizes={"T": steps}))
        given = first = first or random_values(graph, 3)
        given["xs"] = np.random.default_rng(2).normal(size=(3, 9, 3))[:, :steps]
        given["xs.length"] = np.array([4, 1, 3], np.int32)
        found.append(run(compile_graph(graph, 3, DEVICES[1]), given, 3, 4))
    for name, value in found[0].items():
        np.testing.assert_allclose(value, found[1][name], 1e-12, 1e-14, err_msg=name)
