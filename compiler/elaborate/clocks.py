"""Clocks: the named first size of an input, which says how many steps a batch has.

`input text: tokens[T, k]` gives the value `text` the clock T, and what is computed step by step
from it has the same. Lengths of examples, and masks made of them, belong to an input with a clock.
"""

from __future__ import annotations

from collections.abc import Callable

from ...dsl import syntax as s
from ...dsl.diagnostics import fail
from ...dsl.source import Span
from ..graph import Leaf, leaf, topological
from ..op import apply
from ..types import Type
from ..value import Origin, Value, origin
from .calls import Options, made, only, value_of
from .scope import Meaning, Scope


def clock_declared(t: s.TypeExpr, scope: Scope) -> str:
    """The clock that a declared type gives an input: its first size, if it is a bare name that the
    data bind."""
    first: s.Expr | None = None
    if isinstance(t, s.TokensType):
        first = t.length
    elif isinstance(t, s.TensorType) and len(t.sizes) > 1:
        first = t.sizes[0]
    bare = isinstance(first, s.Name) and first.id in scope.sizes and first.id not in scope.names
    return first.id if bare and isinstance(first, s.Name) else ""


def clock_of(x: Value) -> str:
    """The clock of the first axis of a value; "" where its steps are always the same, or of two
    clocks."""
    source = source_of(x)
    return "" if source is None else _clock(source)


def source_of(x: Value) -> Value | None:
    """The input, or the yield of a scan, that a value takes its first axis from."""
    if not x.shape:
        return None
    steps = x.shape[0]
    waiting, seen = [x], {x}
    found: list[Value] = []
    while waiting:
        v = waiting.pop()
        if v.op.family == "part":
            found.append(v)
            continue
        if "clock" in v.attrs:
            found.append(v)
            continue
        for a in v.args:
            if a not in seen and a.shape[:1] == (steps,) and _keeps_steps(v):
                seen.add(a)
                waiting.append(a)
    clocks = {str(_clock(v)) for v in found}
    return found[0] if len(clocks) == 1 else None


def _clock(v: Value) -> str:
    own = v.args[0].attrs if v.op.family == "part" else v.attrs
    return str(own.get("clock", ""))


def _keeps_steps(v: Value) -> bool:
    """May the first axis of the result be that of an operand?"""
    if v.op.name == "transpose":
        return bool(v.attrs["perm"][0] == 0)
    if v.op.name == "slice":
        return bool(v.attrs["start"][0] == 0 and v.attrs["size"][0] == v.args[0].shape[0])
    if v.op.family == "reduction":
        return 0 not in v.attrs["axes"]
    return True


def _length(x: Value, span: Span, scope: Scope, word: str) -> Value:
    """The hidden input with the lengths of an input's examples."""
    source = x if "clock" in x.attrs and x.op.name == "input" else _input_of(x)
    if source is None:
        raise fail(
            "E285",
            f"`{word}` is for sequences whose length the data decide, got {x.type}",
            span,
            note=str(x.type),
            labels=made(x, span, scope),
            help="give the first size of the input a name: `input text: tokens[T, 65]`",
        )
    name = f"{source.attrs['name']}.length"
    known = scope.net.leaves.get(name)
    if known is None:
        value = leaf("input", name, Type((), "i32", True), source.origin.span)
        known = scope.net.leaves[name] = Leaf(value, "input", span=source.origin.span)
    return known.value


def _input_of(x: Value) -> Value | None:
    """The only input with the clock of a value."""
    clock = clock_of(x)
    if not clock:
        return None
    leaves = [v for v in topological([x]) if v.op.name == "input" and v.attrs.get("clock") == clock]
    return leaves[0] if len(leaves) == 1 else None


def mask(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """True at the steps that an example has, false where it is padded: [T, …] → [T]."""
    only("mask", positional, named, span, 1, 1)
    x = value_of(positional[0], span, scope)
    length = _length(x, span, scope, "mask")
    with origin(Origin(span, scope.path, scope.block)):
        numbers = apply("positions", shape=(x.shape[0],), dtype="i32")
        return apply("lt", numbers, length)


def length(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """How many steps each example has, as a number."""
    only("length", positional, named, span, 1, 1)
    x = value_of(positional[0], span, scope)
    found = _length(x, span, scope, "length")
    with origin(Origin(span, scope.path, scope.block)):
        return apply("cast", found, dtype=scope.net.dtype)


def classes(positional: list[Meaning], named: Options, span: Span, scope: Scope) -> Meaning:
    """The k of class[k] or tokens[T, k]."""
    only("classes", positional, named, span, 1, 1)
    x = value_of(positional[0], span, scope)
    if x.type.classes is None:
        raise fail(
            "E308",
            f"`classes` needs a label, got {x.type}",
            span,
            labels=made(x, span, scope),
            help="declare `input label: class[10]` or `input text: tokens[T, 65]`",
        )
    return x.type.classes


CLOCK_FUNCTIONS: dict[str, Callable[[list[Meaning], Options, Span, Scope], Meaning]] = {
    "mask": mask,
    "length": length,
    "classes": classes,
}
