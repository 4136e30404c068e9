"""Graphs print as `.net` text and read back as the same graph, at every stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import apply, constant
from chainrule.compiler.passes import lower, optimise
from chainrule.compiler.pipeline import forward, gradients, load_module, steps
from chainrule.compiler.text import decoded, encoded, parse_graph, print_graph, same_graph
from chainrule.compiler.types import Type
from chainrule.dsl.diagnostics import Failure

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.net"))


def assert_round_trip(graph: Graph) -> None:
    text = print_graph(graph)
    again = parse_graph(text)
    assert same_graph(again, graph)
    assert print_graph(again) == text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_every_stage_of_an_example_reads_back(path: Path) -> None:
    module = load_module(path)
    for net in module.nets:
        graph = gradients(forward(module, net, training=True))
        for stage in (graph, optimise(graph), lower(optimise(graph))):
            assert_round_trip(stage)
    for train in module.trains:
        for step, _ in steps(module, train):
            assert_round_trip(step)


@pytest.mark.parametrize("name", ["a.b", "a__b", "a_.b", "a._b", "___", "x y", "v1", "β.ŷ"])
def test_any_name_becomes_a_word_and_back(name: str) -> None:
    assert encoded(name).isidentifier()
    assert decoded(encoded(name)) == name


def by_hand() -> Graph:
    x = leaf("input", "x", Type((3,), "f64"))
    label = leaf("input", "k", Type((2,), "i32", True, classes=4))
    w = leaf("param", "net.W__1", Type((2, 3), "f64"))
    rate = leaf("scalar", "rate", Type((), "f64"))
    flag = apply("and", apply("gt", x, -1.5), apply("not", apply("lt", x, 2)))
    chosen = apply("where", flag, constant(1.0, "f32"), x)
    y = (w @ chosen).named("v3") * rate - 1e-30
    hot = apply("sum", apply("one_hot", label, dtype="f64"), axis=0)
    noise = apply("uniform", shape=(2,), stream=7, batched=True, dtype="f64")
    z = apply("sum", (y + noise) / constant(3.0, "f64", (2,)), over=("batch", 0))
    outputs = (
        Output("output", "y", apply("transpose", w)),
        Output("output", "hot", hot),
        Output("loss", "the loss", z),
        Output("update", "net.W__1", w * 0.5, w),
        Output("output", "two", constant(-2.0, "f64")),
    )
    leaves = {
        "x": Leaf(x, "input"),
        "k": Leaf(label, "input"),
        "net.W__1": Leaf(w, "param", None, "~ normal(std = 0.1)", True, 1e-4, "a.safetensors"),
        "rate": Leaf(rate, "scalar"),
        "unused": Leaf(leaf("state", "unused", Type((), "f64")), "state", None, "= 0"),
    }
    return Graph("by hand", outputs, leaves, True)


def test_everything_that_a_leaf_and_an_operation_can_say_reads_back() -> None:
    assert_round_trip(by_hand())


def test_graphs_that_differ_are_told_apart() -> None:
    a = by_hand()
    outputs = list(a.outputs)
    outputs[0] = replace(outputs[0], value=apply("transpose", a.outputs[0].value))
    assert not same_graph(a, a.with_outputs(outputs))
    assert not same_graph(a, a.with_outputs(a.outputs[:-1]))
    assert not same_graph(a, replace(a, training=False))
    frozen = replace(a.leaves["net.W__1"], frozen=False)
    assert not same_graph(a, replace(a, leaves={**a.leaves, "net.W__1": frozen}))


@pytest.mark.parametrize(
    "body",
    ["output tanh(x + 1)", "y = x -> relu", "y = nothing(x)", "y = sum(x, axis = [7])",
     "y = reshape(x)", "repeat 2 { y = x }"],
)  # fmt: skip
def test_other_text_is_refused_with_a_reason(body: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_graph(f"net g {{\n  input x: [2]\n  {body}\n}}\n")
    assert caught.value.diagnostics[0].code == "E290"
