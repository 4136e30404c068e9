"""Blocks that get a second name where their author meant a layer: `D = critic` for `D = critic()`.

In: a module. Out: a warning for each name that means a block with parameters and is applied more
than once, since every such use has weights of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..dsl import syntax as s
from ..dsl.diagnostics import Diagnostic, Label
from ..dsl.source import Span
from .elaborate.instances import walk
from .elaborate.module import Module
from .elaborate.scope import BlockRef


def renamed_blocks(module: Module) -> list[Diagnostic]:
    """Warnings E295, for every block and net of the user's own."""
    found = []
    for block in (*module.blocks.values(), *module.nets.values()):
        for statement in walk(block.body):
            if not isinstance(statement, s.Equation) or len(statement.targets) != 1:
                continue
            name, value = statement.targets[0], statement.value
            if not isinstance(value, s.Name) or not _learns(module, value.id, set()):
                continue
            uses = [place for x in walk(block.body) for place in _applied(x, name.id)]
            if len(uses) > 1:
                found.append(_warning(name, value, uses))
    return found


def _warning(name: s.Ident, block: s.Name, uses: list[Span]) -> Diagnostic:
    return Diagnostic(
        "E295",
        f"`{name.id}` is another name of the block `{block.id}`: each use has weights of its own",
        block.span,
        labels=tuple(Label(place, "used here") for place in uses[:3]),
        help=f"to share weights write `{name.id} = {block.id}()`",
        severity="warning",
    )


def _learns(module: Module, word: str, seen: set[str]) -> bool:
    """Does a word name a block that holds parameters, itself or in the blocks it uses?"""
    if word in seen:
        return False
    seen.add(word)
    meaning = module.lookup(word)
    if not isinstance(meaning, BlockRef):
        return False
    return any(
        isinstance(x, s.Param | s.State)
        or any(isinstance(e, s.Name) and _learns(module, e.id, seen) for e in _expressions(x))
        for x in walk(meaning.block.body)
    )


def _applied(statement: s.Statement, name: str) -> Iterator[Span]:
    """Where a statement applies `name` as it is: `x -> D`, `D(x)`, and not `x -> D(3)`."""
    stages = {e.stage for e in _expressions(statement) if isinstance(e, s.Pipe)}
    for e in _expressions(statement):
        if isinstance(e, s.Pipe) and isinstance(e.stage, s.Name) and e.stage.id == name:
            yield e.stage.span
        if not isinstance(e, s.Call) or e in stages or not e.arguments:
            continue
        if isinstance(e.function, s.Name) and e.function.id == name:
            yield e.function.span


def _expressions(statement: s.Statement) -> Iterator[s.Expr]:
    """Every expression inside a statement, its own statements apart (`walk` gives those)."""
    waiting: list[Any] = [
        getattr(statement, f)
        for f in type(statement).__slots__
        if f not in ("span", "guard", "body", "otherwise")
    ]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, tuple):
            waiting[:0] = node
        elif isinstance(node, s.Expr | s.Argument | s.OutputItem):
            if isinstance(node, s.Expr):
                yield node
            waiting[:0] = [
                getattr(node, f)
                for k in type(node).__mro__
                for f in getattr(k, "__slots__", ())
                if f != "span"
            ]
