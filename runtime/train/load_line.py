"""A `load` line of `train` as what it asks for.

In: the syntax. Out: a `Load`, or a `Failure` E291 for a line that says nothing, and for names that
are no names. Whether files, nets and arrays of those names exist is found out where they are read.
"""

from __future__ import annotations

from dataclasses import replace

from ...dsl import syntax as ast
from ...dsl.diagnostics import fail
from ...dsl.source import Span
from .loading import Load, Rename

EXAMPLE = 'for example `load "encoder.safetensors" into encoder`'


def read_load(line: ast.Directive) -> Load:
    """What the line asks for."""
    if not isinstance(line, ast.LoadInto) or line.source is None:
        raise fail("E291", "`load` is followed by a file or the name of a trained net", line.span,
                   help=EXAMPLE)  # fmt: skip
    into = dotted(line.into) if line.into is not None else ""
    renames = tuple(map(_rename, line.arguments))
    for place, rename in enumerate(renames):
        if rename.theirs in (r.theirs for r in renames[:place]):
            message = f'`"{rename.theirs}"` is given twice'
            raise fail("E291", message, rename.span, help="remove one of the pairs")
    load = Load(
        into=into, renames=renames, span=line.span, source_span=line.source.span,
        into_span=line.into.span if line.into is not None else None,
    )  # fmt: skip
    if isinstance(line.source, ast.String):
        if not line.source.value.strip():
            raise fail("E291", "the name of the file is empty", line.source.span, help=EXAMPLE)
        return replace(load, file=line.source.value)
    net, _, part = dotted(line.source).partition(".")
    return replace(load, net=net, part=part)


def dotted(path: ast.Expr) -> str:
    """`encoder.inner`; a star at its end says the same."""
    names: list[str] = []
    e = path
    while isinstance(e, ast.Attribute):
        names.append(e.name)
        e = e.base
    assert isinstance(e, ast.Name)  # the grammar
    names = [e.id, *reversed(names)]
    if names[-1] == "*":
        names.pop()
    if "*" in names:
        raise fail("E291", "a `*` stands at the end of a path only", path.span,
                   help="name the part, and rename what is inside it with `map`")  # fmt: skip
    return ".".join(names)


def _rename(pair: ast.Expr) -> Rename:
    assert isinstance(pair, ast.Tuple)  # the grammar
    theirs, ours = pair.items
    assert isinstance(theirs, ast.String)
    if isinstance(ours, ast.Name) and ours.id != "none":
        raise fail("E291", "the names in a `map` stand in quotes", ours.span,
                   help=f'write `"{ours.id}"`, or `none` to leave out what matches')  # fmt: skip
    name = ours.value if isinstance(ours, ast.String) else None
    _check_pattern(theirs.value, theirs.span)
    if name is not None and isinstance(ours, ast.String):
        _check_pattern(name, ours.span)
        if name.count("*") != theirs.value.count("*"):
            message = f'`"{theirs.value}"` and `"{name}"` have different numbers of `*`'
            raise fail("E291", message, pair.span,
                       help="each `*` on the right is the text of one on the left")  # fmt: skip
    return Rename(theirs.value, name, pair.span)


def _check_pattern(text: str, span: Span) -> None:
    if not text or text.startswith(".") or text.endswith(".") or ".." in text or "**" in text:
        raise fail("E291", f'`"{text}"` is no name of an array', span,
                   help='names look like `"conv1.weight"`, patterns like `"conv1.*"`')  # fmt: skip
