"""Every construct of the language page parses to the tree that a reader expects."""

from __future__ import annotations

import pytest

from chainrule.dsl import syntax as s
from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.format import format_expr, format_statement
from chainrule.dsl.parse import parse_expression
from chainrule.dsl.source import Source

from .texts import file, statements

DIGITS = """\
# digits.net: the two-layer classifier of every first lecture
net digits {
  input  image: [784]
  input  digit: class[10]

  h      = image -> dense(128) -> relu
  scores = h -> dense(10)

  output softmax(scores)
  loss   cross_entropy(scores, digit)
  metric accuracy(scores, digit)
}

data mnist10 = mnist("data/mnist") -> split(valid = 0.1, seed = 1)

train digits on mnist10 {
  optimizer adam(lr = 1e-3)
  batch     64
  epochs    5
  stop_early(patience = 3)
}
"""

LSTM = """\
block lstm(units) {
  # Long short-term memory (Hochreiter & Schmidhuber, 1997), with forget gate.
  input xs: [T, n]
  param Wf, Wi, Wo, Wc: [units, units + n] ~ glorot
  param bf: [units] = 1
  param bi, bo, bc: [units] = 0

  scan x in xs with h: [units] = 0, c: [units] = 0 {
    hx = concat(h, x)
    f  = sigmoid(Wf @ hx + bf)          # forget gate
    c  = f * c + i * tanh(Wc @ hx + bc)
    yield h
  }
  output hs = yielded, last = h
}
"""


def grouped(text: str) -> str:
    """The expression with parentheses around every operation."""

    def show(e: s.Expr) -> str:
        if isinstance(e, s.Binary):
            return f"({show(e.left)} {e.op} {show(e.right)})"
        if isinstance(e, s.Pipe):
            return f"({show(e.value)} -> {show(e.stage)})"
        if isinstance(e, s.Unary):
            return f"({e.op} {show(e.operand)})"
        if isinstance(e, s.Transpose):
            return f"({show(e.operand)} T)"
        return format_expr(e)

    return show(parse_expression(Source("e", text)))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b * c", "(a + (b * c))"),
        ("a - b - c", "((a - b) - c)"),
        ("a / b * c", "((a / b) * c)"),
        ("a * W @ x", "(a * (W @ x))"),
        ("-W @ x", "((- W) @ x)"),
        ("-x^2", "(- (x ^ 2))"),
        ("2^-x^2", "(2 ^ (- (x ^ 2)))"),
        ("2^3^2", "(2 ^ (3 ^ 2))"),
        ("W' @ x''", "((W T) @ ((x T) T))"),
        ("x'^2", "((x T) ^ 2)"),
        ("a + b == c and not d or e", "((((a + b) == c) and (not d)) or e)"),
        ("not a == b", "(not (a == b))"),
        ("a + b -> f -> g(1)", "(((a + b) -> f) -> g(1))"),
        ("(a, b) -> f", "((a, b) -> f)"),
        ("(a -> f) + b", "((a -> f) + b)"),
        ("a - -b", "(a - (- b))"),
    ],
)
def test_operators_bind_as_in_a_textbook(text: str, tree: str) -> None:
    assert grouped(text) == tree


@pytest.mark.parametrize(
    "text",
    [
        *("1e-3", "2^16", "1_000", ".5", '"a \\"quoted\\" \\\\ text"', "true", "θ", "x₁"),
        *("x[i]", "x[2:5]", "x[..., 0]", "x[:, -1]", "f(x, axis = 1)", "dense(3)(x)", "net.f(x)"),
        *("mean(x, over = (batch, 1, 2))", "mean(x, over = (batch,))", "[64, 128]", "[]", "head.*"),
        *("f(\n  a,\n  b = 2,\n)", "param - lr * grad / step", "grad(grad(y, x), x)"),
    ],
)
def test_values_parse(text: str) -> None:
    parse_expression(Source("e", text))


def test_numbers_keep_their_text_and_have_their_value() -> None:
    for text, value in (("1e-3", 0.001), ("1_000", 1000), ("2.50", 2.5), ("0", 0)):
        number = parse_expression(Source("e", text))
        assert isinstance(number, s.Number)
        assert (number.text, number.value, type(number.value)) == (text, value, type(value))


def test_the_first_example_of_the_language_page() -> None:
    net, data, train = file(DIGITS).declarations
    assert isinstance(net, s.Net)
    assert [type(x).__name__ for x in net.body] == [
        *("Input", "Input", "Equation", "Equation", "Output", "Loss", "Metric"),
    ]
    assert net.doc == "digits.net: the two-layer classifier of every first lecture"
    assert isinstance(data, s.Data)
    assert isinstance(data.value, s.Pipe)
    assert isinstance(train, s.Train)
    assert [line.keyword.id for line in train.body] == [
        "optimizer",
        "batch",
        "epochs",
        "stop_early",
    ]
    assert train.body[3].called is not None
    assert train.body[1].called is None


def test_the_lstm_of_the_language_page() -> None:
    (block,) = file(LSTM).declarations
    assert isinstance(block, s.Block)
    assert block.doc.startswith("Long short-term memory")
    scan = block.body[4]
    assert isinstance(scan, s.Scan)
    assert [c.name.id for c in scan.carries] == ["h", "c"]
    assert isinstance(scan.body[-1], s.Yield)
    output = block.body[5]
    assert isinstance(output, s.Output)
    assert [item.name.id for item in output.items if item.name] == ["hs", "last"]


def test_scan_options_stand_apart_from_the_last_value() -> None:
    plain, number, call = statements(
        "scan x in xs (reverse = true) { yield x }\n"
        "scan x in xs with h = 0(reverse = true, truncate = 32) { yield x }\n"
        "scan x in xs with h = zeros(3) { yield x }"
    )
    assert isinstance(plain, s.Scan) and isinstance(number, s.Scan) and isinstance(call, s.Scan)
    assert [option.name for option in plain.options] == ["reverse"]
    assert [option.name for option in number.options] == ["reverse", "truncate"]
    assert isinstance(call.carries[0].value, s.Call)
    assert not call.options


def test_parameters_take_their_modifiers_in_any_order() -> None:
    one, two, three = statements(
        'param W, V: [a, b] ~ glorot frozen decay 1e-4 from "f.safetensors" when bias\n'
        'param W, V: [a, b] ~ glorot from "f.safetensors" decay 1e-4 frozen when bias\n'
        "param U tied to other.W"
    )
    assert isinstance(one, s.Param) and isinstance(two, s.Param) and isinstance(three, s.Param)
    assert one.frozen and two.frozen and one.guard and two.guard
    assert [name.id for name in one.names] == ["W", "V"]
    assert isinstance(one.from_file, s.String) and isinstance(two.from_file, s.String)
    assert three.type is None
    assert isinstance(three.tied_to, s.Attribute)


def test_when_chains_and_guards() -> None:
    block, guarded, rest = statements(
        "when training { y = x } otherwise when deep {\n y = 1\n}\notherwise { y = 2 }\n"
        "output x when bias\noutput y otherwise"
    )
    assert isinstance(block, s.When)
    (inner,) = block.otherwise
    assert isinstance(inner, s.When) and len(inner.otherwise) == 1
    assert guarded.guard and guarded.guard.condition
    assert rest.guard and rest.guard.condition is None


def test_words_of_the_language_are_names_elsewhere() -> None:
    (optimizer,) = file(
        "optimizer o(lr = 1) {\n state state = 0\n update state = state + grad * step\n"
        " update = loss + data + frozen + input\n update param = param - lr * update\n}\n"
    ).declarations
    assert isinstance(optimizer, s.Optimizer)
    assert [type(x).__name__ for x in optimizer.body] == ["State", "Update", "Equation", "Update"]


def test_lines_continue_where_they_cannot_end() -> None:
    (one, two, three) = statements("y = x\n  -> f\n  -> g\nz = a +\n  b\noutput p = y,\n  q = z")
    assert isinstance(one, s.Equation) and isinstance(one.value, s.Pipe)
    assert isinstance(two, s.Equation) and isinstance(two.value, s.Binary)
    assert isinstance(three, s.Output) and len(three.items) == 2


def test_train_lines() -> None:
    (train,) = file(
        "train gan(units = 3) on mnist10 -> take(9) with image = pixels, digit = target {\n"
        "  repeat 5 minimize d_loss over D, enc.* with adam(lr = 2e-4)\n"
        "  minimize g_loss\n"
        '  load "w.safetensors" into encoder map "a.*" = "b.*", "c" = none\n'
        "  optimizer sgd(lr = 1) for head.*\n"
        "  augment rotate(10), shift(2)\n"
        "  batch (2 + 3) * 4\n"
        "}\n"
    ).declarations
    assert isinstance(train, s.Train)
    first, second, load, optimizer, augment, batch = train.body
    assert isinstance(first, s.Minimize) and first.turns and len(first.over) == 2
    assert first.optimizer is not None
    assert isinstance(second, s.Minimize) and second.turns is None and not second.over
    assert isinstance(load, s.LoadInto) and isinstance(load.source, s.String)
    assert load.source.value == "w.safetensors"
    assert [format_expr(e) for e in load.arguments] == ['("a.*", "b.*")', '("c", none)']
    assert isinstance(optimizer.target, s.Attribute) and optimizer.target.name == "*"
    assert len(augment.arguments) == 2
    assert isinstance(batch.arguments[0], s.Binary)
    assert [(b.input.id, b.field.id) for b in train.bindings] == [
        ("image", "pixels"),
        ("digit", "target"),
    ]


@pytest.mark.parametrize(
    ("text", "source", "into"),
    [
        ("load lenet", "lenet", None),
        ("load lenet into features", "lenet", "features"),
        ("load lenet.features into net.inner", "lenet.features", "net.inner"),
        ("load lenet.a_2.* into b.*", "lenet.a_2.*", "b.*"),
        ("load into into map", "into", "map"),
        ('load "a.safetensors" map "x" = none', '"a.safetensors"', None),
    ],
)
def test_a_load_line_names_a_file_or_a_trained_net_and_perhaps_a_part(
    text: str, source: str, into: str | None
) -> None:
    (train,) = file(f"train n on d {{\n {text}\n}}").declarations
    assert isinstance(train, s.Train)
    (load,) = train.body
    assert isinstance(load, s.LoadInto) and load.source is not None
    assert format_expr(load.source) == source
    assert (format_expr(load.into) if load.into else None) == into
    assert format_statement(load) == text


def test_generate_import_and_const() -> None:
    generate, load, const = file(
        'generate text from net(3) {\n temperature 0.8\n}\nimport "a/b.net"\nconst n = 2^16'
    ).declarations
    assert isinstance(generate, s.Generate) and generate.body[0].keyword.id == "temperature"
    assert isinstance(load, s.Import) and load.name.id == "a/b.net"
    assert isinstance(const, s.Const)


def test_documentation_is_the_comment_directly_above_or_else_the_first_within() -> None:
    above, within, neither = file(
        "# old\n\n# About a,\n# in two lines.\nblock a { # side\n # not this\n output 1\n}\n"
        "block b(\n  n,  # a size\n) {\n  # About b.\n\n  # other\n  output 1\n}\n"
        "# far\n\nblock c {\n  output 1\n  # late\n}\n"
    ).declarations
    assert above.doc == "About a,\nin two lines."
    assert within.doc == "About b."
    assert neither.doc == ""


def test_spans_cover_exactly_what_was_written() -> None:
    (equation,) = statements("y = (a + b) * f(c)  # comment")
    assert isinstance(equation, s.Equation) and isinstance(equation.value, s.Binary)
    assert equation.span.text == "y = (a + b) * f(c)"
    assert equation.value.left.span.text == "(a + b)"
    assert equation.value.op_span.text == "*"
    assert equation.value.right.span.text == "f(c)"


def test_an_expression_with_something_after_it_is_refused() -> None:
    for text in ("1 2", "x = 3", "", "(", "x)"):
        with pytest.raises(Failure):
            parse_expression(Source("--set", text))
