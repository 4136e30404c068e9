"""Graphs print as `.net` text and read back as the same graph, at every stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chainrule.compiler.graph import Graph, Leaf, Output, leaf
from chainrule.compiler.op import apply, constant
from chainrule.compiler.passes import lower, optimise
from chainrule.compiler.pipeline import forward, gradients, load_module, parse_module, step
from chainrule.compiler.text import decoded, encoded, parse_graph, print_graph, same_graph
from chainrule.compiler.types import Type
from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.source import Source
from tests.randomscans import SIZES as SCAN_SIZES
from tests.randomscans import random_scans

SIZES = {"S": 6, "T": 5, "k": 7, "n": 9, "m": 3}  # where only the data fix them
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
        graph = gradients(forward(module, net, training=True, sizes=SIZES))
        for stage in (graph, optimise(graph), lower(optimise(graph))):
            assert_round_trip(stage)
    for train in module.trains:
        assert_round_trip(step(module, train, sizes=SIZES))


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


# ---------------------------------------------------------------- scans


def recurrent(body: str) -> Graph:
    text = "net t {\n  input xs: [T, 3]\n" + body + "\n}\n"
    return forward(parse_module(Source("t.net", text)), training=True, sizes={"T": 4})


@pytest.mark.parametrize("seed", range(6))
def test_every_stage_of_a_random_recurrent_net_reads_back(seed: int) -> None:
    module = parse_module(Source("random.net", random_scans(seed)))
    graph = gradients(forward(module, "random", training=True, dtype="f64", sizes=SCAN_SIZES))
    for stage in (graph, optimise(graph), lower(optimise(graph))):
        assert_round_trip(stage)


def test_a_scan_prints_with_its_body() -> None:
    text = print_graph(recurrent("  r = xs -> rnn(2)\n  loss sum(r.last)"))
    assert "clock_T" in text
    lines = [line.strip() for line in text.splitlines()]
    start = next(k for k, line in enumerate(lines) if line.startswith("scan "))
    assert lines[start].startswith("scan r__x in xs with r__h = ")
    assert 'clock = "T"' in lines[start] and "steps = 4" in lines[start]
    end = lines.index("}", start)
    assert lines[end - 1].startswith("yield r__h = ")
    assert any(line.startswith("r__h_2 = tanh(") for line in lines[start:end])


STEP = "  scan x in xs with h: [3] = 0 ({}) {{\n    h = {}\n  }}\n  loss sum(h)"


def test_scans_that_differ_are_told_apart() -> None:
    plain = recurrent(STEP.format("truncate = 0", "tanh(h + x)"))
    assert same_graph(plain, recurrent(STEP.format("truncate = 0", "tanh(h + x)")))
    for options, formula in (
        ("truncate = 2", "tanh(h + x)"),
        ("reverse = true", "tanh(h + x)"),
        ("truncate = 0", "tanh(h - x)"),
        ("truncate = 0", "tanh(x + x)"),
    ):
        assert not same_graph(plain, recurrent(STEP.format(options, formula)))


@pytest.mark.parametrize(
    ("old", "new"),
    [("steps = 4", "steps = 5"), ("yield r__h", "yield more = xs, r__h"),
     ("index = 0", "index = 7"), ("steps = 4", "steps = nothing"), ("r__x in xs", "r__x in r__W")],
)  # fmt: skip
def test_a_scan_that_cannot_be_read_is_refused(old: str, new: str) -> None:
    text = print_graph(recurrent("  r = xs -> rnn(2)\n  loss sum(r.last)"))
    assert old in text
    with pytest.raises(Failure) as failure:
        parse_graph(text.replace(old, new))
    assert failure.value.diagnostics[0].code == "E290"
