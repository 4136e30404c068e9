"""Random syntax trees: every node that the grammar can make, in every place that it may stand."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from chainrule.dsl import syntax as s
from chainrule.dsl.operators import BINARY
from chainrule.dsl.source import Source, Span

NOWHERE = Span(Source("", ""), 0, 0)
WORDS = (
    *("x", "W", "b1", "θ", "batch", "loss", "param", "grad", "state", "data", "frozen", "step"),
    *("input", "output", "class", "tokens", "decay", "map", "into", "with", "from", "over", "on"),
)

plain_words = st.sampled_from(WORDS)
# What begins a statement cannot be named like one.
targets = st.sampled_from(("x", "y", "h_1", "θ", "state", "update", "scan", "step", "grad"))
directive_words = st.sampled_from(("batch", "epochs", "augment", "optimizer", "clip", "freeze"))


def idents(words: st.SearchStrategy[str] = plain_words) -> st.SearchStrategy[s.Ident]:
    return words.map(lambda word: s.Ident(NOWHERE, word))


def some(items: st.SearchStrategy[Any], least: int = 1, most: int = 3) -> st.SearchStrategy[Any]:
    return st.lists(items, min_size=least, max_size=most).map(tuple)


names = plain_words.map(lambda word: s.Name(NOWHERE, word))
numbers = st.one_of(
    st.integers(0, 10**6).map(lambda n: s.Number(NOWHERE, n, str(n))),
    st.floats(1e-9, 1e9).map(lambda x: s.Number(NOWHERE, x, repr(x))),
    st.sampled_from([s.Number(NOWHERE, 1000, "1_000"), s.Number(NOWHERE, 1e-3, "1e-3")]),
)
strings = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), max_size=8).map(
    lambda text: s.String(NOWHERE, text)
)
bools = st.booleans().map(lambda value: s.Bool(NOWHERE, value))
ellipses = st.just(s.Ellipsis_(NOWHERE))


def _in_order(given: tuple[s.Argument, ...]) -> tuple[s.Argument, ...]:
    return tuple(sorted(given, key=lambda argument: argument.name is not None))


def _arguments(inner: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[Any]:
    argument = st.builds(s.Argument, st.just(NOWHERE), st.one_of(st.none(), plain_words), inner)
    return some(argument, least).map(_in_order)


def _stages(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What can be called and piped into: `f`, `net.f`, `f(1)(2)`."""
    dotted = st.builds(s.Attribute, st.just(NOWHERE), names, plain_words)
    once = st.builds(s.Call, st.just(NOWHERE), st.one_of(names, dotted), _arguments(inner))
    twice = st.builds(s.Call, st.just(NOWHERE), once, _arguments(inner))
    return st.one_of(names, dotted, once, twice)


def _compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    here = st.just(NOWHERE)
    maybe = st.one_of(st.none(), inner)
    index = st.one_of(inner, ellipses, st.builds(s.Slice, here, maybe, maybe))
    operators = st.sampled_from([op for op in BINARY if op != "->"])
    return st.one_of(
        st.builds(s.Unary, here, st.sampled_from(["-", "not"]), inner),
        st.builds(s.Binary, here, operators, inner, inner, here),
        st.builds(s.Transpose, here, inner),
        st.builds(s.Index, here, inner, some(index)),
        st.builds(s.Attribute, here, inner, st.one_of(plain_words, st.just("*"))),
        st.builds(s.Tuple, here, some(inner)),
        st.builds(s.List, here, some(inner, 0)),
        st.builds(s.Pipe, here, inner, _stages(inner)),
        _stages(inner),
    )


expressions = st.recursive(st.one_of(names, numbers, strings, bools), _compound, max_leaves=8)
sizes = some(st.one_of(expressions, ellipses), 0)
tensors = st.builds(s.TensorType, st.just(NOWHERE), sizes, st.sampled_from([None, "f64", "i32"]))
types = st.one_of(
    tensors,
    st.builds(s.ClassType, st.just(NOWHERE), expressions),
    st.builds(s.TokensType, st.just(NOWHERE), expressions, expressions),
)
guards = st.one_of(
    st.none(), st.builds(s.Guard, st.just(NOWHERE), st.one_of(st.none(), expressions))
)
optional = st.one_of(st.none(), expressions)
items = some(st.builds(s.OutputItem, st.just(NOWHERE), st.one_of(st.none(), idents()), expressions))


def statements(scan: bool = False, net: bool = False) -> st.SearchStrategy[Any]:
    here = st.just(NOWHERE)
    plain = [
        st.builds(s.Output, here, guards, items),
        st.builds(
            s.State,
            here,
            guards,
            some(idents()),
            st.one_of(st.none(), tensors),
            expressions,
            st.none(),
        ),
        st.builds(s.State, here, guards, some(idents()), tensors, st.none(), expressions),
        st.builds(s.Update, here, guards, idents(), expressions),
        st.builds(s.Equation, here, guards, some(idents(targets)), expressions),
    ]
    if net:
        named = st.one_of(st.none(), idents())
        plain += [st.builds(kind, here, guards, named, expressions) for kind in (s.Loss, s.Metric)]
    if scan:
        plain.append(st.builds(s.Yield, here, guards, items))
    else:
        plain.append(st.builds(s.Input, here, guards, some(idents()), types))
        for value, initialiser in ((expressions, st.none()), (st.none(), expressions)):
            plain.append(
                st.builds(
                    s.Param,
                    here,
                    guards,
                    some(idents()),
                    st.one_of(st.none(), tensors),
                    initialiser,
                    value,
                    st.booleans(),
                    optional,
                    optional,
                    optional,
                )
            )

    def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        body = some(inner, 0)
        return st.one_of(
            st.builds(s.When, here, st.none(), expressions, body, body),
            st.builds(s.Repeat, here, guards, expressions, body),
            st.builds(s.For, here, guards, idents(), expressions, body),
        )

    return st.recursive(st.one_of(plain), nested, max_leaves=4)


def scans() -> st.SearchStrategy[Any]:
    here = st.just(NOWHERE)
    inputs = some(st.builds(s.ScanInput, here, idents(), expressions))
    carries = some(
        st.builds(s.Carry, here, idents(), st.one_of(st.none(), tensors), expressions), 0
    )
    options = _arguments(expressions)
    return st.builds(s.Scan, here, guards, inputs, carries, options, some(statements(scan=True)))


def directives() -> st.SearchStrategy[Any]:
    here = st.just(NOWHERE)
    word = idents(directive_words)
    called = st.builds(
        lambda keyword, given: s.Directive(
            NOWHERE, keyword, (s.Call(NOWHERE, s.Name(NOWHERE, keyword.id), given),)
        ),
        word,
        _arguments(expressions),
    )
    pairs = some(st.tuples(strings, strings | names).map(lambda pair: s.Tuple(NOWHERE, pair)), 0)
    parts = st.builds(s.Attribute, here, names, plain_words | st.just("*"))
    return st.one_of(
        st.builds(s.Directive, here, word, some(expressions, 0), optional),
        called,
        st.builds(
            s.Minimize,
            here,
            st.just(s.Ident(NOWHERE, "minimize")),
            st.just(()),
            st.none(),
            idents(),
            some(expressions, 0),
            optional,
            optional,
        ),
        st.builds(
            s.LoadInto,
            here,
            st.just(s.Ident(NOWHERE, "load")),
            pairs,
            st.none(),
            strings | names | parts,
            st.none() | names | parts,
        ),
    )


def declarations() -> st.SearchStrategy[Any]:
    here, doc = st.just(NOWHERE), st.just("")
    setting = some(st.builds(s.Setting, here, idents(), optional), 0)
    block = some(st.one_of(statements(), scans()))
    binding = some(st.builds(s.Binding, here, idents(), idents()), 0)
    imports = strings.map(lambda path: s.Import(NOWHERE, s.Ident(NOWHERE, path.value), "", path))
    return st.one_of(
        st.builds(s.Block, here, idents(), doc, setting, block),
        st.builds(s.Net, here, idents(), doc, setting, some(statements(net=True))),
        st.builds(s.Optimizer, here, idents(), doc, setting, block),
        st.builds(s.Data, here, idents(), doc, expressions),
        st.builds(s.Const, here, idents(), doc, expressions),
        st.builds(
            s.Train,
            here,
            idents(),
            doc,
            _arguments(expressions),
            expressions,
            binding,
            some(directives(), 0),
        ),
        st.builds(s.Generate, here, idents(), doc, expressions, some(directives(), 0)),
        imports,
    )


def files() -> st.SearchStrategy[s.File]:
    return some(declarations()).map(lambda found: s.File(Source("", ""), found, ()))
