"""From syntax to graph: names, settings, sharing, sizes, and what each mistake is told."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.compiler.elaborate import forward, load_module, parse_module
from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.source import Source
from chainrule.runtime.plain import evaluate
from tests.compiler.netcase import mistakes, module, net, random_values


def value_of(text: str, x: np.ndarray, name: str = "output") -> np.ndarray:
    """Output of a net of one input `x: [3]` on a batch."""
    graph = net(f"net t {{\n  input x: [3]\n{text}\n}}")
    given = {**random_values(graph, len(x)), "x": x}
    (output,) = [o for o in graph.outputs if o.name == name]
    return evaluate([output.value], given, batch=len(x))[0]


X = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 4.0]])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("x + 1", X + 1),
        ("2 * x - x / 4", 2 * X - X / 4),
        ("-x^2", -(X**2)),
        ("x[0]", X[:, 0]),
        ("x[-1]", X[:, 2]),
        ("x[1:3]", X[:, 1:3]),
        ("x[..., 0]", X[:, 0]),
        ("max(x, 1)", np.maximum(X, 1)),
        ("max(x, axis = 0)", X.max(1)),
        ("mean(x)", X.mean(1)),
        ("x - mean(x, over = batch)", X - X.mean(0)),
        ("x' @ x", (X * X).sum(1, keepdims=True)),
        ("x @ x'", X[:, :, None] * X[:, None, :]),
        ("concat(x, 2 * x)", np.concatenate([X, 2 * X], 1)),
        ("x -> max(0.5)", np.maximum(X, 0.5)),
        ("where(x > 1, x, 0)", np.where(X > 1, X, 0)),
        ("flatten(x @ x')", (X[:, :, None] * X[:, None, :]).reshape(2, 9)),
        ("reshape(x, [3, 1])", X.reshape(2, 3, 1)),
        ("grad(sum(x^3), x)", 3 * X**2),
        ("grad(sum(grad(sum(x^3), x)), x)", 6 * X),
    ],
)
def test_an_expression_means_what_a_reader_guesses(expression, expected) -> None:
    np.testing.assert_allclose(value_of(f"  output {expression}", X), expected, rtol=1e-12)


def test_a_layer_named_and_applied_twice_shares_its_weights() -> None:
    graph = net("net t {\n  input x: [4]\n  D = dense(4)\n  output D(D(x))\n}")
    assert [p.name for p in graph.params] == ["D.W", "D.b"]


def test_a_layer_written_twice_has_weights_of_its_own() -> None:
    graph = net("net t {\n  input x: [4]\n  h = x -> dense(4) -> dense(4)\n  output h\n}")
    assert [p.name for p in graph.params] == ["h.W", "h.b", "h_2.W", "h_2.b"]


def test_blocks_inside_a_shared_block_are_shared_too() -> None:
    graph = net("""
block pair(n) {
  input x: [n]
  inner = x -> dense(n)
  output inner -> dense(n)
}
net t {
  input x: [4]
  P = pair(4)
  output P(P(x))
}
""")
    assert [p.name for p in graph.params] == ["P.inner.W", "P.inner.b", "P.dense.W", "P.dense.b"]


def test_each_turn_of_repeat_has_fresh_parameters() -> None:
    graph = net("""
net t {
  input x: [4]
  h = x
  repeat 3 {
    h = h -> dense(4) -> relu
  }
  for units in [7, 5] {
    h = h -> dense(units)
  }
  output h
}
""")
    shapes = [p.value.shape for p in graph.params if p.name.endswith("W")]
    assert shapes == [(4, 4), (4, 4), (4, 4), (7, 4), (5, 7)]


def test_when_chooses_at_compile_time() -> None:
    text = """
block two(wide, deep = false) {
  input x: [n]
  when deep {
    y = x -> dense(2) -> dense(wide)
  } otherwise {
    y = x -> dense(wide)
  }
  output y
}
net t(deep = false) {
  input x: [4]
  output x -> two(3, deep = deep)
}
"""
    assert len(net(text).params) == 2
    assert len(net(text, deep="true").params) == 4


@pytest.mark.parametrize(("deep", "found"), [("true", [2.0, 20.0]), ("false", [1.0, 10.0])])
def test_otherwise_belongs_to_the_statements_about_the_same_name(deep, found) -> None:
    text = f"""
net t(deep = {deep}) {{
  input x: [2]
  a = 3  when deep and not deep
  a = 2  when deep
  b = 10 when not deep
  a = 1  otherwise
  b = 20 otherwise
  output a + 0 * x[0:1], second = b + 0 * x[0:1]
}}
"""
    graph = net(text)
    values = evaluate([o.value for o in graph.outputs], {"x": np.ones((1, 2))}, batch=1)
    assert [float(v[0, 0]) for v in values] == found


def test_a_name_without_a_value_in_this_case_is_told_with_its_condition() -> None:
    (found,) = mistakes("""
net t(depth = 4) {
  input x: [2]
  k = 1 when depth == 2
  k = 2 when depth == 3
  y = k * x
  output k + y
}
""")
    assert found.code == "E212" and "none of its conditions holds" in found.message
    assert found.labels[0].text == "does not hold, where depth is 4"


def test_words_and_infinity_have_a_meaning_unless_the_file_gives_them_one() -> None:
    text = """
block pick(how = same) {
  input x: [n]
  output x + 1    when how == same
  output x + 2    when how == (1, 2)
  output x + 3    otherwise
}
net t {
  input x: [3]
  valid = pick(x, (1, 2))
  output valid + pick(x) + pick(x, "other") + max(x, -inf)
}
"""
    (value,) = evaluate([net(text).of_kind("output")[0].value], {"x": X}, batch=2)
    np.testing.assert_allclose(value, 4 * X + 6)


def test_space_stands_for_the_axes_of_an_image_but_its_channels() -> None:
    image = np.random.default_rng(0).normal(size=(5, 2, 3, 4))
    graph = net("""
net t {
  input x: [2, 3, 4]
  mu = mean(x, over = space)
  whole = mean(x, over = (batch, space)) + 0 * mu
  output whole = whole, each = mu, shaped = per_channel(mu, like = x) + 0 * x
}
""")
    whole, each, shaped = evaluate([o.value for o in graph.outputs], {"x": image}, batch=5)
    np.testing.assert_allclose(whole, np.tile(image.mean((0, 2, 3)), (5, 1)))
    np.testing.assert_allclose(each, image.mean((2, 3)))
    np.testing.assert_allclose(shaped, image.mean((2, 3), keepdims=True) + 0 * image)


@pytest.mark.parametrize(
    ("call", "frame"),
    [
        ("pad(2)", ((2, 2), (2, 2))),
        ("pad((1, 0))", ((1, 1), (0, 0))),
        ("pad(((1, 0), 2))", ((1, 0), (2, 2))),
        ("pad(0)", ((0, 0), (0, 0))),
    ],
)
def test_padding_is_written_for_all_sides_or_for_each(call, frame) -> None:
    image = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    graph = net(f"net t {{\n  input x: [3, 4, 5]\n  output x -> {call}\n}}")
    (value,) = evaluate([graph.outputs[0].value], {"x": image}, batch=2)
    np.testing.assert_array_equal(value, np.pad(image, ((0, 0), (0, 0), *frame)))


def test_an_orthogonal_kernel_has_orthonormal_units() -> None:
    graph = net("net t {\n  input x: [3, 5, 5]\n  output x -> conv(8, 3, init = orthogonal)\n}")
    (kernel,) = evaluate([graph.leaves["conv.W"].initial], {})
    rows = kernel.reshape(8, -1)
    np.testing.assert_allclose(rows @ rows.T, np.eye(8), atol=1e-6)  # drawn in f32


def test_the_fans_of_a_kernel_count_the_receptive_field() -> None:
    graph = net("net t {\n  input x: [64, 5, 5]\n  output x -> conv(256, 3)\n}")
    (kernel,) = evaluate([graph.leaves["conv.W"].initial], {})
    assert kernel.std() == pytest.approx(np.sqrt(2 / (64 * 9)), rel=0.01)


def test_a_setting_can_name_the_initialiser() -> None:
    graph = net("net t {\n  input x: [3]\n  output x -> dense(2, init = normal)\n}")
    assert graph.leaves["dense.W"].initialiser == "~ normal"


def test_dropout_acts_only_in_training() -> None:
    text = "net t {\n  input x: [4]\n  output x -> dropout(0.5)\n}"
    assert any(v.op.name == "uniform" for v in net(text, training=True).nodes)
    assert not any(v.op.name == "uniform" for v in net(text, training=False).nodes)


def test_named_outputs_are_reached_by_name_and_by_destructuring() -> None:
    text = """
block two {
  input x: [n]
  output low = x - 1, high = x + 1
}
net t {
  input x: [3]
  r = two(x)
  a, b = two(x)
  output r.low + b
}
"""
    graph = net(text)
    (value,) = evaluate([graph.of_kind("output")[0].value], {"x": X}, batch=2)
    np.testing.assert_allclose(value, 2 * X)


def test_tied_parameters_are_one() -> None:
    graph = net("""
block decoder(n, source) {
  input z: [k]
  param W: [n, k] tied to source.W'
  output W @ z
}
net t {
  input x: [5]
  E = dense(2, bias = false)
  output E(x) -> decoder(5, E)
}
""")
    assert [p.name for p in graph.params] == ["E.W"]


def test_f64_inputs_make_the_whole_net_f64() -> None:
    graph = net("net t {\n  input x: [3] f64\n  output x -> dense(2) -> gelu\n}", dtype="f32")
    assert {v.type.dtype for v in graph.nodes} == {"f64"}


def test_settings_and_constants_can_be_set_from_outside() -> None:
    text = """
const width = 3
net t(classes = 10) {
  input x: [4]
  output x -> dense(width) -> dense(classes)
}
"""
    assert net(text).outputs[0].value.shape == (10,)
    assert net(text, classes="100", width="2 + 3").outputs[0].value.shape == (100,)
    assert net(text, width="2 + 3").params[0].value.shape == (5, 4)


def test_an_override_nobody_answers_to_is_known() -> None:
    m = module("net t {\n  input x: [4]\n  output x\n}", clases="3")
    assert m.unused_overrides() == ["clases"]


def test_imports_are_read_once_and_cycles_end(tmp_path) -> None:
    (tmp_path / "a.net").write_text(
        'import "b.net"\nnet t {\n  input x: [2]\n  output x -> twice\n}\n'
    )
    (tmp_path / "b.net").write_text(
        'import "a.net"\nblock twice {\n  input x: [n]\n  output 2 * x\n}\n'
    )
    assert set(load_module(tmp_path / "a.net").blocks) == {"t", "twice"}


def test_a_missing_file_suggests_its_neighbour(tmp_path) -> None:
    (tmp_path / "digits.net").write_text("")
    with pytest.raises(Failure) as caught:
        load_module(tmp_path / "digit.net")
    (found,) = caught.value.diagnostics
    assert (found.code, found.help) == ("E120", "did you mean `digits.net`?")


def test_several_independent_mistakes_are_told_in_one_run() -> None:
    found = mistakes("""
net t {
  input x: [4]
  a = x -> dens(3)
  b = a + 1
  c = x @ x
  output b + nothing
}
""")
    assert [(d.code, d.span.line) for d in found] == [("E212", 4), ("E301", 6), ("E212", 7)]


def test_a_mistake_in_a_block_used_three_times_is_told_once() -> None:
    found = mistakes("""
block bad {
  input x: [n]
  output x + missing
}
net t {
  input x: [4]
  a = x -> bad
  b = x -> bad
  output a + b
}
""")
    assert len(found) == 1


def test_a_size_conflict_names_both_facts() -> None:
    (found,) = mistakes(
        "block one {\n  input x: [n]\n  output x\n}\n"
        "net t {\n  input x: [28, 28]\n  output x -> one\n}"
    )
    assert found.code == "E312"
    assert "[28, 28]" in found.message
    assert "flatten" in found.help


def test_a_shared_layer_cannot_take_two_sizes() -> None:
    (found,) = mistakes("""
net t {
  input x: [4]
  input y: [5]
  D = dense(2)
  output D(x) + D(y)
}
""")
    assert found.code == "E315"


def test_a_block_that_uses_itself_is_refused() -> None:
    (found,) = mistakes("""
block loop {
  input x: [n]
  output x -> loop
}
net t {
  input x: [4]
  output x -> loop
}
""")
    assert found.code == "E235"


def test_a_loss_must_be_a_number() -> None:
    (found,) = mistakes("net t {\n  input x: [4]\n  loss x^2\n}")
    assert (found.code, found.span.line) == ("E316", 3)


def test_a_long_sum_and_a_long_pipe_do_not_exhaust_the_stack() -> None:
    terms = " + ".join(["x"] * 3000)
    pipe = " -> ".join(["x"] + ["relu"] * 3000)
    graph = net(f"net t {{\n  input x: [2]\n  output sum({terms}) + sum({pipe})\n}}")
    assert len(graph.nodes) > 3000


def test_an_output_may_have_the_name_of_its_value() -> None:
    text = "net n {\n  input x: [3]\n  y = 2 * x\n  output y = y, twice = 2 * y\n}\n"
    graph = forward(parse_module(Source("n.net", text)))
    assert [o.name for o in graph.of_kind("output")] == ["y", "twice"]


def test_names_of_a_file_do_not_reach_into_the_library() -> None:
    text = (
        "const n = 5\nconst units = 7\nblock glorot(shape) {\n  output 1\n}\n"
        "net n2 {\n  input x: [3]\n  output x -> dense(2)\n}\n"
    )
    graph = forward(parse_module(Source("n.net", text)))
    assert [p.value.shape for p in graph.params] == [(2, 3), (2,)]
    assert graph.params[0].initial is not None and not graph.params[0].initial.is_constant


def test_a_size_may_have_the_name_of_its_net() -> None:
    text = (
        "net n {\n  input x: [3]\n  output x -> own\n}\n"
        "block own {\n  input a: [n]\n  output a[0]\n}\n"
    )
    assert forward(parse_module(Source("n.net", text))).outputs[0].value.shape == ()
