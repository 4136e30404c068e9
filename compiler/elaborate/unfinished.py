"""What of a net is known where it has mistakes: for pictures, which show both.

In: the statements of a net that were given up. Out: a graph of everything before and beside them,
and for each of them its mistakes, the values it takes and the names it leaves without a meaning.
Statements inside a block count as the line of the net that applies it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from ...dsl import syntax as s
from ...dsl.diagnostics import Diagnostic
from ..graph import Graph, Output
from ..value import Value
from .scope import POISON, Scope

KNOWN = "known"  # the kind of an output that stands for a value nothing else leads to


@dataclass(frozen=True)
class Unfinished:
    """A statement that could not be run, and why; without `mistakes`, because it uses what another
    one should have defined. `known`: the values it takes, by name; `missing`: names without."""

    statement: s.Statement
    mistakes: tuple[Diagnostic, ...]
    known: tuple[tuple[str, Value], ...]
    missing: tuple[str, ...]
    defines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The line as it was written."""
        return " ".join(self.statement.span.text.split())


@dataclass(frozen=True)
class Partial:
    """A graph without what is unfinished."""

    graph: Graph
    unfinished: tuple[Unfinished, ...]
    mistakes: tuple[Diagnostic, ...]


def unfinished(
    statement: s.Statement, scope: Scope, mistakes: Sequence[Diagnostic], defines: Sequence[str]
) -> Unfinished:
    """The statement, with what its names mean so far."""
    known: dict[str, Value] = {}
    missing: list[str] = []
    for word in dict.fromkeys(_words(statement)):
        if word not in scope.names or word in defines:
            continue
        meaning = scope.names[word]
        if isinstance(meaning, Value):
            known[word] = meaning
        elif meaning is POISON:
            missing.append(word)
    values = tuple(known.items())
    return Unfinished(statement, tuple(mistakes), values, tuple(missing), tuple(defines))


def partial_graph(name: str, scope: Scope) -> Graph:
    """All results there are; as outputs of the kind `known` what the unfinished statements take
    (`0.x` is the x of the first), and all named values that lead to nothing."""
    net = scope.net
    taken = [
        Output(KNOWN, f"{number}.{word}", value)
        for number, one in enumerate(net.unfinished)
        for word, value in one.known
    ]
    computed = [o for o in taken if o.value.op.family != "leaf"]
    reached = set(Graph(name, (*computed, *net.outputs)).nodes)
    outputs = [*(o for o in taken if o.value in reached), *net.outputs]
    for word, meaning in reversed(scope.names.items()):
        if isinstance(meaning, Value) and meaning.op.family != "leaf" and meaning not in reached:
            end = Output(KNOWN, word, meaning)
            outputs.append(end)
            reached.update(Graph(name, (end,)).nodes)
    return Graph(name, tuple(outputs), net.leaves, net.training, net.places)


def _words(node: Any) -> Iterator[str]:
    """Every name that is used somewhere below, in order."""
    if isinstance(node, s.Name):
        yield node.id
    elif isinstance(node, tuple):
        for part in node:
            yield from _words(part)
    elif is_dataclass(node) and type(node).__module__ == s.__name__:
        for field in fields(node):
            yield from _words(getattr(node, field.name))
