"""Syntax nodes to the lines of a formatted file, before any line is broken or lined up.

In: declarations, or statements. Out: `Row`s in order, each with its place in the source, so that
`format` can put comments and blank lines back where they were.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from . import syntax as s
from . import write as w
from .source import Source

_BRACE = re.compile(r"#[^\n]*|[{}]")


@dataclass(slots=True)
class Row:
    """One line: `cells` that may line up with those of its neighbours of the same family."""

    cells: tuple[str, ...]
    start: int
    stop: int
    family: str = ""
    guard: str = ""
    depth: int = 0
    opens: bool = False  # ends with `{`
    closes: bool = False  # begins with `}`
    in_net: bool = False
    top: bool = False
    comments: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(filter(None, (*self.cells, self.guard)))


_Todo = s.Statement | s.Directive | Row


class Rows:
    """Lays out nodes one after the other; nested bodies wait on a stack of their own."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.in_net = False

    def file(self, declarations: Iterable[s.Declaration]) -> Iterator[Row]:
        for declaration in declarations:
            self.in_net = isinstance(declaration, s.Net)
            for row in self._declaration(declaration):
                row.top = row.depth == 0
                yield row

    def body(self, todo: Iterable[_Todo], depth: int) -> Iterator[Row]:
        """The rows of statements and directives, with those of the bodies within them."""
        waiting: list[tuple[_Todo, int]] = [(node, depth) for node in todo][::-1]
        while waiting:
            node, depth = waiting.pop()
            if isinstance(node, Row):
                node.depth = depth
                yield node
            elif isinstance(node, s.When | s.Repeat | s.For | s.Scan):
                waiting += [(part, depth + inner) for part, inner in self._nested(node)][::-1]
            else:
                row = _directive(node) if isinstance(node, s.Directive) else _statement(node)
                row.depth, row.in_net = depth, self.in_net
                yield row

    # ------------------------------------------------------------ declarations

    def _declaration(self, d: s.Declaration) -> Iterator[Row]:
        start, stop = d.span.start, d.span.end
        if isinstance(d, s.Block):
            word = type(d).__name__.lower()
            header = f"{word} {d.name.id}{w.settings(d.settings)}"
            last = (d.settings[-1] if d.settings else d.name).span.end
            return self._braced(header, d.body, start, last, stop)
        if isinstance(d, s.Train):
            header = f"train {d.name.id}{w.arguments(d.settings)} on {w.format_expr(d.data)}"
            header += w.bindings(d.bindings)
            last = (d.bindings[-1].span if d.bindings else d.data.span).end
            return self._braced(header, d.body, start, last, stop)
        if isinstance(d, s.Generate):
            header = f"generate {d.name.id} from {w.format_expr(d.net)}"
            return self._braced(header, d.body, start, d.net.span.end, stop)
        if isinstance(d, s.Import):
            return iter([Row((f"import {w.format_expr(d.path)}",), start, stop)])
        if isinstance(d, s.Data | s.Const):
            word = "data" if isinstance(d, s.Data) else "const"
            cells = (f"{word} {d.name.id}", f"= {w.format_expr(d.value)}")
            return iter([Row(cells, start, stop, word)])
        raise TypeError(f"no text for {type(d).__name__}")

    def _braced(
        self, header: str, body: Iterable[_Todo], start: int, last: int, stop: int
    ) -> Iterator[Row]:
        brace = self._brace("{", last)
        yield Row((header, "{"), start, brace + 1, opens=True)
        yield from self.body(body, 1)
        yield Row(("}",), stop - 1, stop, closes=True)

    # ------------------------------------------------------------ statements with bodies

    def _nested(self, node: s.Statement) -> list[tuple[_Todo, int]]:
        """Header, body and closing brace, each with its depth inside the statement."""
        if isinstance(node, s.When):
            return self._when(node)
        assert isinstance(node, s.Repeat | s.For | s.Scan)
        header, last = _header(node)
        brace = self._brace("{", last)
        body: tuple[s.Statement, ...] = node.body
        end = self._brace("}", body[-1].span.end if body else brace + 1)
        stop = node.guard.span.end if node.guard else end + 1
        parts: list[tuple[_Todo, int]] = [
            (Row((header, "{"), node.span.start, brace + 1, opens=True), 0)
        ]
        parts += [(inner, 1) for inner in body]
        parts.append((Row(("}",), end, stop, guard=_guard(node), closes=True), 0))
        return parts

    def _when(self, node: s.When) -> list[tuple[_Todo, int]]:
        parts: list[tuple[_Todo, int]] = []
        start, opening = node.span.start, ""
        while True:
            header = f"{opening}when {w.format_expr(node.condition)}"
            brace = self._brace("{", node.condition.span.end)
            parts.append(
                (Row((header, "{"), start, brace + 1, opens=True, closes=bool(opening)), 0)
            )
            parts += [(inner, 1) for inner in node.body]
            start = self._brace("}", node.body[-1].span.end if node.body else brace + 1)
            only = node.otherwise[0] if len(node.otherwise) == 1 else None
            if not isinstance(only, s.When):
                break
            node, opening = only, "} otherwise "
        if node.otherwise:
            brace = self._brace("{", start)
            row = Row(("} otherwise {",), start, brace + 1, opens=True, closes=True)
            parts.append((row, 0))
            parts += [(inner, 1) for inner in node.otherwise]
            start = self._brace("}", node.otherwise[-1].span.end)
        parts.append((Row(("}",), start, start + 1, closes=True), 0))
        return parts

    def _brace(self, sign: str, offset: int) -> int:
        """Where the next such brace stands; the offset itself for nodes that no text has."""
        for match in _BRACE.finditer(self.source.text, offset):
            if match.group() == sign:
                return match.start()
        return offset


def _header(node: s.Repeat | s.For | s.Scan) -> tuple[str, int]:
    """The header's text, and where its last part ends."""
    if isinstance(node, s.Repeat):
        return f"repeat {w.format_expr(node.count)}", node.count.span.end
    if isinstance(node, s.For):
        header = f"for {node.variable.id} in {w.format_expr(node.items)}"
        return header, node.items.span.end
    header = "scan " + w.commas(map(w.scan_input, node.inputs))
    if node.carries:
        header += " with " + w.commas(map(w.carry, node.carries))
    if node.options:
        header += f" {w.arguments(node.options)}"
    last = (node.options or node.carries or node.inputs)[-1]
    return header, last.span.end


def _guard(node: s.Statement) -> str:
    if node.guard is None:
        return ""
    if node.guard.condition is None:
        return "otherwise"
    return f"when {w.format_expr(node.guard.condition)}"


def _statement(node: s.Statement) -> Row:
    family, cells = _cells(node)
    return Row(cells, node.span.start, node.span.end, family, _guard(node))


def _cells(node: s.Statement) -> tuple[str, tuple[str, ...]]:
    if isinstance(node, s.Input):
        return "input", ("input", f"{w.names(node.names)}:", w.format_type(node.type))
    if isinstance(node, s.Yield):
        return "yield", ("yield", w.commas(map(w.item, node.items)))
    if isinstance(node, s.Output):
        return "result", ("output", w.commas(map(w.item, node.items)))
    if isinstance(node, s.Loss | s.Metric):
        word = "loss" if isinstance(node, s.Loss) else "metric"
        return "result", (word, w.item(s.OutputItem(node.span, node.name, node.value)))
    if isinstance(node, s.Param | s.State):
        return "variable", _variable(node)
    if isinstance(node, s.Update):
        return "update", (f"update {node.name.id}", f"= {w.format_expr(node.value)}")
    if isinstance(node, s.Equation):
        return "equation", (w.names(node.targets), f"= {w.format_expr(node.value)}")
    raise TypeError(f"no text for {type(node).__name__}")


def _variable(node: s.Param | s.State) -> tuple[str, ...]:
    word = "param" if isinstance(node, s.Param) else "state"
    rest = []
    if node.initialiser:
        rest.append(f"~ {w.format_expr(node.initialiser)}")
    if node.value:
        rest.append(f"= {w.format_expr(node.value)}")
    if isinstance(node, s.Param):
        if node.from_file:
            rest.append(f"from {w.format_expr(node.from_file)}")
        if node.tied_to:
            rest.append(f"tied to {w.format_expr(node.tied_to)}")
        if node.frozen:
            rest.append("frozen")
        if node.decay:
            rest.append(f"decay {w.format_expr(node.decay)}")
    head = f"{word} {w.typed(node.names, node.type)}"
    return (head, " ".join(rest)) if rest else (head,)


def _directive(node: s.Directive) -> Row:
    start, stop = node.span.start, node.span.end
    if isinstance(node, s.Minimize):
        text = f"repeat {w.format_expr(node.turns)} " if node.turns else ""
        text += f"minimize {node.loss.id if node.loss else ''}"
        text += f" over {w.expressions(node.over)}" if node.over else ""
        text += f" with {w.format_expr(node.optimizer)}" if node.optimizer else ""
        return Row((text,), start, stop)
    if isinstance(node, s.LoadInto):
        text = w.format_expr(node.source) if node.source else ""
        text += f" into {w.format_expr(node.into)}" if node.into else ""
        text += f" map {w.commas(map(_pair, node.arguments))}" if node.arguments else ""
        return Row(("load", text), start, stop, "directive")
    if node.called:
        return Row((w.format_expr(node.arguments[0]),), start, stop)
    target = f"for {w.format_expr(node.target)}" if node.target else ""
    values = w.expressions(node.arguments)
    rest = " ".join(filter(None, (values, target)))
    cells = (node.keyword.id, rest) if rest else (node.keyword.id,)
    return Row(cells, start, stop, "directive")


def _pair(pair: s.Expr) -> str:
    assert isinstance(pair, s.Tuple)
    return " = ".join(map(w.format_expr, pair.items))
