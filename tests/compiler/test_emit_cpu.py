"""The text of CPU kernels: what stands where, and that no word of the user gets into it."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from chainrule.compiler.emit.cpu import Target, emit, plain_words
from chainrule.compiler.emit.cpu_nest import nest
from chainrule.compiler.pipeline import compile_plan, parse_module, step
from chainrule.compiler.plan import Access, Loops, Plan, Stage, Write
from chainrule.compiler.scalar import FUNCTIONS, Element
from chainrule.compiler.types import DTYPES
from chainrule.dsl.source import Source

TEXT = """
net tiny {
  input x: [20]
  input y: class[5]
  h = x -> dense(33) -> tanh
  z = h -> dense(5)
  loss cross_entropy(z, y)
}
train tiny on digits() {
  optimizer adam(lr = 0.001)
  batch 8
}
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    module = parse_module(Source("tiny.net", TEXT))
    graph = step(module, module.trains[0])
    return compile_plan(graph, 8)


def words() -> set[str]:
    """What `from simd import *` gives."""
    path = Path(__file__).parents[2] / "runtime" / "simd" / "__init__.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    raise AssertionError("simd has no __all__")


def test_every_kernel_is_python_that_uses_the_vector_words_alone(plan: Plan) -> None:
    known = words()
    for source in emit(plan, Target(), "simd").sources:
        tree = ast.parse(source.text)
        assert isinstance(tree.body[0], ast.Expr)
        assert isinstance(tree.body[1], ast.ImportFrom)
        assert isinstance(tree.body[-1], ast.FunctionDef)
        for word in tree.body[2:-1]:  # words made for this kernel's sizes
            assert isinstance(word, ast.Assign)
            assert isinstance(word.value, ast.Call)
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        made = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)
                and isinstance(n.ctx, ast.Store)}  # fmt: skip
        given = {"arena", "row", "batch", "thread", "threads", "range"}
        assert names - made - given <= known


def test_the_same_plan_gives_the_same_text(plan: Plan) -> None:
    assert emit(plan, Target(), "simd") == emit(plan, Target(), "simd")


def test_equal_kernels_share_their_text_whatever_they_are_called(plan: Plan) -> None:
    hostile = 'x"""\nimport os\nos.system("true") #'
    renamed = tuple(replace(k, label=hostile) for k in plan.kernels)
    doubled = replace(plan, kernels=plan.kernels + renamed, barriers=plan.barriers * 2)
    first, second = emit(plan, Target(), "simd"), emit(doubled, Target(), "simd")
    assert first.sources == second.sources
    assert len(second.launches) == 2 * len(first.launches)
    assert all("system" not in s.text for s in second.sources)


def test_words_of_the_user_are_plain_in_comments() -> None:
    assert plain_words('a"""\nimport os\r\x0b\\u2028é') == "a'''?import os??/u2028?"
    assert len(plain_words("x" * 1000)) == 100


def test_what_no_element_changes_is_worked_out_once(plan: Plan) -> None:
    """The bias corrections of Adam are outside all loops, the reciprocals of divisors as well."""
    texts = [s.text for s in emit(plan, Target(), "simd").sources]
    updates = [t for t in texts if "sqrt" in t and "Product" in t]
    assert updates
    for text in updates:
        before = text[: text.index("    for ")]
        assert "power(" not in text.removeprefix(before)
        assert "_inverse = 1.0 / " in before or "reciprocal(" in before
        assert text.count(" / ") - before.count(" / ") <= 1


def test_contiguous_axes_become_one_loop_and_single_elements_none() -> None:
    access = Access(0, "f32", (35, 35, 7, 1))
    stage = Stage((4, 1, 5, 7), (access,), (), (Write(replace(access, slot=1), Element(0)),))
    assert [loop.size for loop in nest(stage).loops] == [140]
    strided = replace(access, strides=(70, 70, 7, 1))
    stage = Stage((4, 1, 5, 7), (strided,), (), (Write(replace(access, slot=1), Element(0)),))
    assert [loop.size for loop in nest(stage).loops] == [4, 35]


def test_a_batch_of_contiguous_examples_is_one_long_row() -> None:
    access = Access(0, "f32", (1,), 0, 12)
    stage = Stage((12,), (access,), (), (Write(replace(access, slot=1), Element(0)),))
    (loop,) = nest(stage, batch=True).loops
    assert (loop.size, loop.per, loop.extent) == (None, 12, "batch * 12")


def test_every_function_has_a_word(plan: Plan) -> None:
    from chainrule.compiler.plan import Let, Temp
    from chainrule.compiler.scalar import Call, Position

    for name, count in FUNCTIONS.items():
        args = [0, Position(-1)] if name in ("uniform", "normal") else [Element(0)] * count
        dtype = name if name in DTYPES else "f32"
        if name in ("lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"):
            dtype = "bool"
        x = Access(0, "f32", (1,))
        stage = Stage((40,), (x,), (Let(Call(name, *args), dtype),),
                      (Write(Access(1, dtype, (1,)), Temp(0)),))  # fmt: skip
        kernel = Loops("one", (0, 1), (), None, (), (), (stage,), False)
        (source,) = emit(replace(plan, kernels=(kernel,), barriers=(False,)), Target(), "s").sources
        called = {n.func.id for n in ast.walk(ast.parse(source.text)) if isinstance(n, ast.Call)
                  and isinstance(n.func, ast.Name)}  # fmt: skip
        assert called - {"range"} <= words()
