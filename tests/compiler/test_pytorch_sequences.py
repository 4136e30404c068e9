"""Recurrent layers, attention and losses of sequences against PyTorch's numbers.

`tests/reference/*.npz` hold them (`scripts/references.py` says how): what comes out, gradients by
parameters and by what is given; one and two layers, both directions, packed lengths, truncation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule.compiler.elaborate import forward, parse_module
from chainrule.compiler.graph import Graph, Output
from chainrule.compiler.pipeline import compile_plan, gradients
from chainrule.dsl.source import Source
from chainrule.runtime.cpu import CpuDevice
from chainrule.runtime.plain import evaluate
from tests.recorded import Arrays, numbers

KINDS = ("rnn", "lstm", "gru")
CALLS = {
    "one": "{}(4)",
    "started": "{}(4, start = start)",
    "two": "stacked({}, [4, 4])",
    "both": "bidirectional({}, 4)",
    "lengths": "{}(4, mask = mask(x))",
    "both_lengths": "bidirectional({}, 4, mask = mask(x))",
    "two_lengths": "stacked({}, [4, 4], mask = mask(x))",
    "truncated": "{}(4, truncate = 2)",
}
# The library's names of the parameters of two layers.
PATHS = {"0.": "layer.", "1.": "layer_2."}
ATTENTION = {
    "one": "attention",
    "many": "attention",
    "unscaled": "attention(scaled = false)",
    "masked": "attention(mask = mask(keys))",
    "many_masked": "attention(mask = mask(keys))",
}


def net(call: str, expected: dict[str, Arrays], takes: str) -> tuple[Graph, Arrays]:
    """A net `y = takes -> call` with the reference's loss, and its leaves.

    What is given is multiplied by a parameter of ones, by which there is a gradient: Σₑ x ∂L/∂x.
    """
    given, results = expected["given"], expected["result"]
    floats = {n: x for n, x in given.items() if x.dtype == np.float64}
    lines, leaves = [], dict[str, NDArray[Any]]()
    for name, x in floats.items():
        shape = sizes_of(name, x.shape[1:])
        lines += [f"input {name}_given: {shape}", f"param S_{name}: {list(x.shape[1:])} = 1"]
        lines += [f"{name} = {name}_given * S_{name}"]
        leaves |= {f"{name}_given": x, f"S_{name}": np.ones(x.shape[1:])}
    lines.append(f"y = {takes} -> {call}")
    terms = []
    for name in results:
        factor = expected["factor"][name]
        lines.append(f"input F_{name}: {list(factor.shape)}")
        leaves[f"F_{name}"] = np.broadcast_to(factor, results[name].shape)
        terms.append(f"sum(F_{name} * y.{name})")
    lines += [f"output {', '.join(f'{n} = y.{n}' for n in results)}", f"loss {' + '.join(terms)}"]
    text = "net t {\n  " + "\n  ".join(lines) + "\n}\n"
    graph = forward(
        parse_module(Source("t.net", text)), training=True, dtype="f64", sizes={"T": 5, "S": 5}
    )
    for name, value in expected.get("param", {}).items():
        leaves[f"y.{path_of(name)}"] = value
    lengths = given.get("lengths", given["mask"].sum(1) if "mask" in given else None)
    for name in graph.leaves:
        if name.endswith(".length"):
            assert lengths is not None
            leaves[name] = lengths.astype(np.int32)
    assert set(leaves) == set(graph.leaves)
    return gradients(graph), leaves


def sizes_of(name: str, shape: tuple[int, ...]) -> str:
    clock = {"x": "T", "keys": "S", "values": "S"}.get(name)
    return f"[{clock}, {shape[1]}]" if clock else str(list(shape))


def path_of(name: str) -> str:
    return PATHS.get(name[:2], name[:2]) + name[2:]


def check(found: dict[str, NDArray[Any]], expected: dict[str, Arrays], rtol: float = 1e-9) -> None:
    """Outputs and gradients by name."""
    wanted = dict(expected["result"])
    for name, g in expected["grad"].items():
        if name in expected["given"]:
            wanted[f"S_{name}"] = (expected["given"][name] * g).sum(0)
        else:
            wanted[f"y.{path_of(name)}"] = g
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=rtol, atol=rtol, err_msg=name)


def interpreted(graph: Graph, leaves: Arrays) -> Arrays:
    outputs = [o for o in graph.outputs if o.kind in ("output", "gradient")]
    results = evaluate([o.value for o in outputs], leaves, batch=3)
    return {o.name.removeprefix("grad "): r for o, r in zip(outputs, results, strict=True)}


def recurrent(kind: str, case: str) -> tuple[Graph, Arrays, dict[str, Arrays]]:
    expected = numbers(kind, case)
    call = CALLS[case].format(kind)
    if case == "started" and kind == "lstm":
        call = call.replace(")", ", start_cell = start_cell)")
    return (*net(call.replace("mask(x)", "mask(x_given)"), expected, "x"), expected)


@pytest.mark.parametrize("case", CALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_recurrent_layer_and_its_gradients_are_those_of_pytorch(kind: str, case: str) -> None:
    graph, leaves, expected = recurrent(kind, case)
    check(interpreted(graph, leaves), expected)


@pytest.mark.parametrize("case", ATTENTION)
def test_attention_and_its_gradients_are_those_of_pytorch(case: str) -> None:
    expected = numbers("attention", case)
    call = ATTENTION[case].replace("mask(keys)", "mask(keys_given)")
    check(interpreted(*net(call, expected, "(query, keys, values)")), expected)


@pytest.mark.parametrize("case", ["one", "masked"])
def test_additive_attention_and_its_gradients_are_those_of_pytorch(case: str) -> None:
    expected = numbers("additive", case)
    call = "additive_attention(7" + (", mask = mask(keys_given))" if case == "masked" else ")")
    check(interpreted(*net(call, expected, "(query, keys, values)")), expected)


@pytest.mark.parametrize("case", ["one", "masked"])
def test_the_loss_of_a_sequence_and_its_gradient_are_those_of_pytorch(case: str) -> None:
    expected = numbers("losses", case)
    mask = ", mask = mask(labels)" if case == "masked" else ""
    text = f"""
net t {{
  input scores: [T, 6]
  input labels: tokens[T, 6]
  param S_scores: [5, 6] = 1
  each = cross_entropy(scores * S_scores, labels{mask})
  output loss = each
  loss each * {float(expected["factor"]["loss"])}
}}
"""
    module = parse_module(Source("t.net", text))
    graph = gradients(forward(module, training=True, dtype="f64", sizes={"T": 5}))
    leaves = {n: x for n, x in expected["given"].items() if n != "lengths"}
    leaves["S_scores"] = np.ones((5, 6))
    if mask:
        leaves["labels.length"] = expected["given"]["lengths"].astype(np.int32)
    check(interpreted(graph, leaves), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_both_directions_of_packed_sequences_agree_on_the_cpu(kind: str) -> None:
    graph, leaves, expected = recurrent(kind, "both_lengths")
    outputs = [o for o in graph.outputs if o.kind in ("output", "gradient")]
    named = [Output("output", f"o{k}", o.value) for k, o in enumerate(outputs)]
    loaded = CpuDevice().load(compile_plan(graph.with_outputs(named), 3))
    for name, value in leaves.items():
        loaded.write(name, np.ascontiguousarray(value))
    loaded.run(3)
    found = {
        o.name.removeprefix("grad "): loaded.read(n.name, 3)
        for o, n in zip(outputs, named, strict=True)
    }
    check(found, expected)
