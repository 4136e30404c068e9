"""Each mistake has its code, its line, and a way out; and several are told in one run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.parse import parse, parse_expression, parse_partial
from chainrule.dsl.source import Source
from chainrule.dsl.syntax import Block

from .texts import wrong

PAGES = Path(__file__).parents[2] / "docs" / "errors"

# code, line, part of the help, text
MISTAKES = [
    ("E100", 2, "a new line", "net n {\n output x ~ y\n}"),
    ("E101", 4, "missing `}`", "net n {\n x = 1\n\nblock b {\n}"),
    ("E101", 2, "missing `)`", "net n {\n x = f(1, 2\n y = 3\n}"),
    ("E101", 2, "missing `]`", "net n {\n x = [1, 2\n}"),
    ("E101", 2, "missing `}`", "net n {\n x = 1\n"),
    ("E102", 2, "remove it", "net n {\n x = 1)\n}"),
    ("E102", 3, "remove it", "net n {\n}\n}"),
    ("E102", 2, "write `)` instead", "net n {\n x = (1]\n}"),
    ("E103", 1, 'add the `"`', 'data d = csv("file)\n'),
    ("E104", 1, 'write `"file"`', "data d = csv('file')\n"),
    ("E105", 2, "write `->`", "net n {\n x = y → f\n}"),
    ("E105", 2, "remove it", "net n {\n x = $y\n}"),
    ("E106", 2, "`^` instead of `**`", "net n {\n x = y ** 2\n}"),
    ("E106", 2, "floor", "net n {\n x = y % 2\n}"),
    ("E106", 2, "begins with `#`", "net n {\n x = y // comment\n}"),
    ("E106", 2, "write `and`", "net n {\n x = y && z\n}"),
    ("E106", 2, "name of its own", "net n {\n x += 1\n}"),
    ("E107", 1, "did you mean `block`?", "blok b {\n output 1\n}"),
    ("E107", 1, "did you mean `net`?", "nett n {\n x = 1\n}"),
    ("E107", 1, "a declaration is one of", "wibble n {\n x = 1\n}"),
    ("E108", 2, "did you mean `output`?", "net n {\n ouput x\n}"),
    ("E108", 2, "did you mean `param`?", "net n {\n parm W: [3]\n}"),
    ("E108", 2, "an equation is", "net n {\n wibble W\n}"),
    ("E108", 2, "did you mean `minimize`?", "train n on d {\n minimise x over D\n}"),
    ("E109", 1, "block name", "def f(x):\n"),
    ("E109", 1, "block name", "class Net {\n}"),
    ("E109", 1, 'import "other.net"', "import numpy\n"),
    ("E109", 1, 'import "other.net"', "from numpy import x\n"),
    ("E109", 2, "write `output", "block b {\n return x\n}"),
    ("E109", 2, "write `when", "block b {\n if training {\n  x = 1\n }\n}"),
    ("E109", 2, "write `true`", "block b {\n x = f(bias = True)\n}"),
    ("E109", 2, "write a `block`", "block b {\n f = lambda x\n}"),
    ("E110", 2, "write `output expression`", "net n {\n output = x\n}"),
    ("E110", 2, "`loss expression`", "net n {\n loss = mse(x, y)\n}"),
    ("E111", 2, "write `=`", "net n {\n x == 3\n}"),
    ("E112", 2, "write the value", "net n {\n x = \n}"),
    ("E112", 2, "write the value", "net n {\n x = 1 +\n}"),
    ("E112", 2, "write the value", "net n {\n x = f(1, , 2)\n}"),
    ("E112", 2, "write `name = …`", "net n {\n dense(3)\n}"),
    ("E113", 2, "write `x: [", "net n {\n input x [3]\n}"),
    ("E113", 2, "write `[784]`", "net n {\n input x: 784\n}"),
    ("E113", 2, "with the sizes", "net n {\n input x\n}"),
    ("E113", 2, "`input x: …`", "net n {\n x: [784]\n}"),
    ("E113", 2, "param W: [sizes]", "net n {\n W ~ glorot\n}"),
    ("E114", 2, "write `1, 2`", "net n {\n x = f(1 2)\n}"),
    ("E114", 2, "statement of its own", "net n {\n loss a, b\n}"),
    ("E115", 2, "write `~ glorot`", "net n {\n param W: [3] = glorot\n}"),
    ("E116", 2, "or move the `loss`", "block b {\n loss x\n}"),
    ("E116", 2, "move it into `train", "net n {\n epochs 3\n}"),
    ("E116", 2, "move it into `train", "net n {\n optimizer adam()\n}"),
    ("E116", 1, "inside `net name", "input x: [3]\n"),
    ("E116", 1, "write `const x", "x = 3\n"),
    ("E116", 2, "write `output`", "block b {\n yield x\n}"),
    ("E116", 3, "above the scan", "block b {\n scan x in xs {\n  param W: [3]\n }\n}"),
    ("E117", 1, "write `net name", "net {\n x = 1\n}"),
    ("E117", 1, "write `{`", "net n\n"),
    ("E118", 2, "put the piped part", "net n {\n x = y -> f + b\n}"),
    ("E118", 2, "write `*`", "net n {\n x = 2(y)\n}"),
    ("E119", 2, "compare twice", "net n {\n x = a < b < c\n}"),
    ("E121", 1, "give the inner parts names", "const x = " + "(" * 300 + "1" + ")" * 300),
    ("E122", 1, "1.8e308", "const x = 1e999\n"),
    ("E122", 1, "write `5.0`", "const x = 5.\n"),
    ("E123", 2, "keep one", "net n {\n param W: [3] frozen frozen\n}"),
    ("E123", 2, "declare it with `param`", "net n {\n state W: [3] = 0 frozen\n}"),
    ("E124", 1, "name it too", "const x = f(a = 1, 2)\n"),
    ("E125", 2, "write `2 * x`", "net n {\n y = 2x\n}"),
    ("E125", 2, "write `a * b`", "net n {\n y = a b\n}"),
    ("E126", 2, "start a new line", "net n {\n x = 1; y = 2\n}"),
    ("E126", 2, "start a new line", "net n {\n x = 1 y = 2\n}"),
    ("E100", 2, "did you mean `over`?", "train n on d {\n minimize a ovr b with sgd(1)\n}"),
    ("E100", 2, "did you mean `with`?", "train n on d {\n minimize a over b wit sgd(1)\n}"),
    ("E100", 2, "did you mean `into`?", 'train n on d {\n load "w" int h\n}'),
    ("E127", 2, "`repeat 5 minimize …`", "train n on d {\n repeat minimize a over b\n}"),
    ("E127", 1, "write `n on d`", "train n d {\n batch 1\n}"),
    ("E127", 1, "write `d = …`", 'data d mnist("x")\n'),
    ("E127", 2, "write `p = …`", "optimizer o {\n update p + 1\n}"),
    ("E128", 2, "write `batch 64`", "train n on d {\n batch = 64\n}"),
    ("E128", 2, "write `optimizer adam`", "train n on d {\n optimizer: adam(lr = 1)\n}"),
    ("E127", 2, "write `c in xs`", "net n {\n for c xs {\n }\n}"),
]


@pytest.mark.parametrize(("code", "line", "hint", "text"), MISTAKES)
def test_a_mistake_has_its_code_line_and_way_out(
    code: str, line: int, hint: str, text: str
) -> None:
    (diagnostic,) = wrong(text)
    assert diagnostic.span is not None
    assert (diagnostic.code, diagnostic.span.line) == (code, line), diagnostic.render()
    assert hint in diagnostic.help, diagnostic.render()
    assert diagnostic.message and diagnostic.render().count("\n") >= 4


def test_an_unclosed_brace_points_to_the_one_whose_end_stands_at_another_indent() -> None:
    text = "net n {\n  when training {\n    x = 1\n  output x\n}\n\nnet m {\n  y = 1\n}\n"
    (diagnostic,) = wrong(text)
    assert diagnostic.code == "E101"
    assert diagnostic.labels[0].span.line == 2


def test_independent_mistakes_are_told_in_one_run_and_in_order() -> None:
    text = (
        "blok a(x) {\n  input x [3]\n  y = x ** 2\n  z = (x +\n  w = f(1, 2\n  ok = 1\n}\n"
        "net b {\n  loss 'abc'\n  x = a < b < c\n  y = 2x\n}\n"
        "train b d {\n  batch\n}\n"
    )
    found = [(d.code, d.span.line) for d in wrong(text) if d.span]
    assert found == [
        *(("E107", 1), ("E113", 2), ("E106", 3), ("E101", 4), ("E101", 5)),
        *(("E104", 9), ("E119", 10), ("E125", 11), ("E127", 13)),
    ]


def test_a_header_that_cannot_be_read_still_has_its_body_checked() -> None:
    found = [(d.code, d.span.line) for d in wrong("block b(x y) {\n  y = \n}\n") if d.span]
    assert found == [("E114", 1), ("E112", 2)]


def test_what_stands_around_a_mistake_is_kept() -> None:
    file, diagnostics = parse_partial(
        Source(
            "t", "const a = 1\nblock b {\n  x = 1\n  y = = 2\n  z = 3\n}\nconst c = )\nconst d = 4"
        )
    )
    assert [d.code for d in diagnostics] == ["E112", "E112", "E102"]
    assert [d.name.id for d in file.declarations] == ["a", "b", "d"]
    block = file.declarations[1]
    assert isinstance(block, Block) and len(block.body) == 2


def test_failure_carries_all_mistakes() -> None:
    with pytest.raises(Failure) as caught:
        parse(Source("t", "const a = \nconst b = \n"))
    assert [d.code for d in caught.value.diagnostics] == ["E112", "E112"]


def test_an_expression_has_its_mistakes_worded_too() -> None:
    with pytest.raises(Failure) as caught:
        parse_expression(Source("--set", "1 +"))
    assert caught.value.diagnostics[0].code == "E112"


def test_every_code_that_the_parser_uses_has_a_page() -> None:
    package = Path(__file__).parents[2] / "dsl"
    used = set()
    for path in package.glob("*.py"):
        used |= set(re.findall(r'"(E\d{3})"', path.read_text(encoding="utf-8")))
    assert len(used) > 20
    for code in sorted(used):
        page = PAGES / f"{code}.md"
        assert page.is_file(), code
        assert page.read_text(encoding="utf-8").startswith(f"# {code}: "), code


@pytest.mark.parametrize("page", sorted(PAGES.glob("E1*.md")), ids=lambda page: page.stem)
def test_the_examples_of_a_page_err_as_it_says_and_are_mended_as_it_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    examples = re.findall(r"```net\n(.*?)```", text, re.DOTALL)
    if page.stem in ("E120", "E121"):  # a file too large or too deep is not printed
        return
    erring, mended = examples
    assert page.stem in {d.code for d in wrong(erring)}
    assert wrong(mended) == []
