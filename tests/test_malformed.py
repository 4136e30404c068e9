"""Any text becomes a module or a `Failure`: no other exception, whatever is in the file.

Two sources of bad text: the examples with words deleted, doubled, exchanged or swapped; and nets
whose expressions are drawn at random from the grammar, operands and options of the wrong kind. The
campaign's size is `CHAINRULE_FUZZ=5000`, the number of texts of each kind.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.compiler.check import check
from chainrule.compiler.elaborate import parse_module
from chainrule.compiler.elaborate.limits import MAX_WORK, Budget
from chainrule.compiler.op import registry
from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.source import Source

CAMPAIGN = int(os.environ.get("CHAINRULE_FUZZ", "0"))
EXAMPLES = Path(__file__).parents[1] / "examples"
TEXTS = [p.read_text(encoding="utf-8") for p in sorted(EXAMPLES.glob("*.net"))]
WORD = re.compile(r"\w+|[^\w\s]|\n|[ \t]+")


def diagnosed(text: str) -> list[str]:
    """The codes of what is wrong with a text; any other exception is the test's failure."""
    try:
        found = check(parse_module(Source("fuzz.net", text)))
    except Failure as failure:
        found = failure.diagnostics
    for d in found:
        assert d.render() and d.as_json()
    return [d.code for d in found]


# ---------------------------------------------------------------- mutated examples


@st.composite
def mutated(draw: st.DrawFn) -> str:
    words = WORD.findall(draw(st.sampled_from(TEXTS)))
    other = WORD.findall(draw(st.sampled_from(TEXTS)))
    for _ in range(draw(st.integers(1, 4))):
        if not words:
            break
        k = draw(st.integers(0, len(words) - 1))
        j = draw(st.integers(0, len(words) - 1))
        kind = draw(st.sampled_from(["delete", "double", "exchange", "swap", "number"]))
        if kind == "delete":
            del words[k : k + draw(st.integers(1, 3))]
        elif kind == "double":
            words.insert(k, words[k])
        elif kind == "exchange":
            words[k] = draw(st.sampled_from(other))
        elif kind == "number":
            words[k] = draw(st.sampled_from(NUMBERS))
        else:
            words[k], words[j] = words[j], words[k]
    return "".join(words)


# ---------------------------------------------------------------- random meanings

NUMBERS = ["0", "1", "2", "3", "-1", "2.5", "1e9", "1e300", "7", "true", '"same"', "2^60", "1/3"]
VALUES = ["x", "y", "v", "m", "b", "c", "two", "pair", "D", "D.W", "lst", "n", "k"]
BLOCKS = ["dense", "relu", "softmax", "mlp", "dropout", "batchnorm", "mse", "cross_entropy", "own",
          "glorot", "residual", "prelu", "maxout", "accuracy", "top_k", "kl_normal"]  # fmt: skip
FUNCTIONS = ["grad", "mean", "size", "rank", "is_label", "flatten", "normal", "uniform",
             "bernoulli", "one_hot", "max", "min"]  # fmt: skip
WORDS = sorted({*registry(), *FUNCTIONS, *BLOCKS})
OPTIONS = ["axis", "over", "keep", "shape", "perm", "start", "size", "like", "dtype", "classes",
           "spec", "units", "bias", "rate", "low", "mean"]  # fmt: skip


def expressions() -> st.SearchStrategy[str]:
    leaves = st.one_of(
        st.sampled_from(VALUES), st.sampled_from(NUMBERS), st.sampled_from([*WORDS, "training"])
    )

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        option = st.builds("{} = {}".format, st.sampled_from(OPTIONS), inner)
        arguments = st.builds(
            lambda given, named: ", ".join(given + named),
            st.lists(inner, max_size=3),
            st.lists(option, max_size=1),
        )
        call = st.builds("{}({})".format, st.sampled_from(WORDS + VALUES), arguments)
        index = st.one_of(inner, st.builds("{}:{}".format, inner, inner), st.just("..."))
        operators = st.sampled_from(
            ["+", "-", "*", "/", "^", "@", "<", "==", "!=", ">=", "and", "or"]
        )
        return st.one_of(
            st.builds("({} {} {})".format, inner, operators, inner),
            call,
            st.builds("({} -> {})".format, inner, st.one_of(call, st.sampled_from(WORDS + VALUES))),
            st.builds("{}[{}]".format, st.sampled_from(VALUES), index),
            st.builds("{}'".format, st.sampled_from(VALUES)),
            st.builds("({}, {})".format, inner, inner),
            st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
            st.builds("(-{})".format, inner),
            st.builds("(not {})".format, inner),
        )

    return st.recursive(leaves, larger, max_leaves=6)


@st.composite
def nonsense(draw: st.DrawFn) -> str:
    """A net of well-formed statements that may mean nothing."""
    e = expressions()
    forms = [
        "{name} = {e}",
        "{name}, other{i} = {e}",
        "output {e}",
        "output r{i} = {e}",
        "loss l{i} = {e}",
        "metric m{i} = {e}",
        "param p{i}: [{e}] ~ {w}",
        "param p{i}: [2, 3] ~ {w}({e})",
        "param p{i}: [3] = {e}",
        "param p{i}: [3, n] tied to {e}",
        "param p{i}: [4] = 1 decay {e}",
        "state s{i}: [3] = {e}",
        "update s = {e}",
        "{name} = {e} when {e2}",
        "repeat {e} {{\n v = {e2}\n }}",
        "for u in {e} {{\n v = {e2}\n }}",
        "when {e} {{\n {name} = {e2}\n }} otherwise {{\n {name} = 1\n }}",
        "input i{i}: [{e}]",
        "input i{i}: class[{e}]",
    ]
    lines = []
    for i in range(draw(st.integers(1, 4))):
        form = draw(st.sampled_from(forms))
        word = draw(st.sampled_from(WORDS))
        lines.append(form.format(name=f"q{i}", i=i, e=draw(e), e2=draw(e), w=word))
    setting, update, data = draw(e), draw(e), draw(e)
    body = "\n  ".join(lines)
    return f"""
const c = 3
block two(k = 2) {{
  input a: [...]
  output low = a, high = 2 * a
}}
block own(units, f = relu) {{
  input a: [n]
  param W: [units, n] ~ glorot
  output f(W @ a)
}}
optimizer strange(lr = 0.1) {{
  state v = {draw(st.sampled_from(["0", "1", setting]))}
  update v = {draw(st.sampled_from(["grad", update]))}
  update param = param - lr * {draw(st.sampled_from(["v", "grad", update]))}
}}
net n(k = {draw(st.sampled_from(["2", setting]))}) {{
  input x: [4]
  input m: [2, 3]
  input y: class[3]
  state s: [3] = 0
  param W: [3, 4] ~ glorot
  param b: [3] = 0
  D = dense(3)
  v = x -> D
  pair = (x, v)
  lst = [3, 4]
  {body}
  loss cross_entropy(v, y)
}}
train n on {draw(st.sampled_from(["digits()", data]))} {{
  optimizer strange({draw(st.sampled_from(["", "lr = 1", setting]))})
  epochs 1
}}
"""


@settings(max_examples=CAMPAIGN or 50, deadline=None)
@given(mutated())
def test_an_example_with_words_changed_is_checked_or_refused(text: str) -> None:
    diagnosed(text)


@settings(max_examples=CAMPAIGN or 80, deadline=None)
@given(nonsense())
def test_well_formed_nonsense_is_refused_in_words(text: str) -> None:
    diagnosed(text)


# ---------------------------------------------------------------- what would exhaust the machine


def net(body: str, before: str = "") -> str:
    return f"{before}net n {{\n  input x: [8]\n{body}\n  loss sum(h)\n}}\n"


DOUBLING = "block b0 {\n  input x: [n]\n  output x + 1\n}\n" + "".join(
    f"block b{k} {{\n  input x: [n]\n  output x -> b{k - 1} -> b{k - 1}\n}}\n" for k in range(1, 40)
)
REPEATED = (
    net("  h = x -> dense(4)")
    + "train n on moons() {\n  repeat 1_000_000 minimize loss over h with sgd(0.1)\n  epochs 1\n}\n"
)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (net("  h = x\n  repeat 1e9 {\n    h = h + 1\n  }"), "E247"),
        (net("  repeat 100_000 {\n    repeat 100_000 {\n    }\n  }\n  h = x"), "E251"),
        (net("  h = x\n  repeat 100_000 {\n    repeat 100_000 {\n    h = h + 1\n }\n  }"), "E251"),
        (net("  h = x -> b39", DOUBLING), "E251"),
        (net("  h = sum(exp(x * x))\n  repeat 40 {\n    h = sum(grad(h, x))\n  }"), "E251"),
        (REPEATED, "E251"),
        (net("  h = x -> dense(2^60)"), "E307"),
        (net("  h = " + "- " * 100_000 + "x"), "E235"),
        (net("  h = x" + "'" * 100_000), "E235"),
        (net("  h = " + "x ^ " * 20_000 + "x"), "E235"),
        (net("  h = " + "(" * 300 + "x" + ")" * 300), "E121"),
        ("const c = 9^9^9^9\n" + net("  h = x * c"), "E228"),
    ],
)
def test_what_would_exhaust_the_machine_is_refused(
    text: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Budget, "__init__", _small)
    assert code in diagnosed(text)


def _small(self: Budget) -> None:
    """A tenth of the budget: the refusal is the same, and comes sooner."""
    self.left = MAX_WORK // 10
