"""Syntax nodes to text, each on one line, with no more parentheses than needed.

In: an expression, a type, a statement's or declaration's own line. Out: its canonical text. Where
lines break and columns line up is `format`'s. Loops over an explicit stack, so depth is no limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import operators as op
from .syntax import (
    Argument,
    Attribute,
    Binary,
    Binding,
    Bool,
    Call,
    Carry,
    ClassType,
    Ellipsis_,
    Expr,
    Ident,
    Index,
    List,
    Name,
    Number,
    OutputItem,
    Pipe,
    ScanInput,
    Setting,
    Slice,
    String,
    TokensType,
    Transpose,
    Tuple,
    TypeExpr,
    Unary,
)

# What is still to be written: text, or an expression and the binding that its place asks for.
_Piece = str | tuple[Expr, int]


def format_expr(expr: Expr, least: int = op.PIPE) -> str:
    """The text of an expression; in parentheses where it binds more loosely than `least`."""
    out: list[str] = []
    waiting: list[_Piece] = [(expr, least)]
    while waiting:
        piece = waiting.pop()
        if isinstance(piece, str):
            out.append(piece)
            continue
        node, wanted = piece
        if _binding(node) < wanted:
            waiting += (")", (node, op.PIPE), "(")
        else:
            waiting.extend(reversed(_pieces(node)))
    return "".join(out)


def _binding(node: Expr) -> int:
    if isinstance(node, Pipe):
        return op.PIPE
    if isinstance(node, Binary):
        return op.BINARY[node.op]
    if isinstance(node, Unary):
        return op.PREFIX[node.op]
    if isinstance(node, Number) and node.text.startswith("-"):  # made by a pass, never parsed
        return op.NEGATE
    return op.POSTFIX


def _pieces(node: Expr) -> list[_Piece]:
    if isinstance(node, Name):
        return [node.id]
    if isinstance(node, Number):
        return [node.text]
    if isinstance(node, String):
        escaped = node.value.replace("\\", "\\\\").replace('"', '\\"')
        return [f'"{escaped}"']
    if isinstance(node, Bool):
        return ["true" if node.value else "false"]
    if isinstance(node, Ellipsis_):
        return ["..."]
    if isinstance(node, Unary):
        return ["not " if node.op == "not" else "-", (node.operand, _binding(node))]
    if isinstance(node, Binary):
        return _binary(node)
    if isinstance(node, Pipe):
        return [(node.value, op.PIPE), " -> ", (node.stage, op.POSTFIX)]
    if isinstance(node, Transpose):
        return [(node.operand, op.POSTFIX), "'"]
    if isinstance(node, Attribute):
        return [(node.base, op.POSTFIX), f".{node.name}"]
    if isinstance(node, Call):
        return [(node.function, op.POSTFIX), "(", *_arguments(node.arguments), ")"]
    if isinstance(node, Index):
        return [(node.base, op.POSTFIX), "[", *_list(node.items), "]"]
    if isinstance(node, Slice):
        start: list[_Piece] = [(node.start, op.PIPE)] if node.start else []
        stop: list[_Piece] = [(node.stop, op.PIPE)] if node.stop else []
        return [*start, ":", *stop]
    if isinstance(node, Tuple):
        return ["(", *_list(node.items), ",)" if len(node.items) == 1 else ")"]
    if isinstance(node, List):
        return ["[", *_list(node.items), "]"]
    raise TypeError(f"no text for {type(node).__name__}")


def _binary(node: Binary) -> list[_Piece]:
    binding = op.BINARY[node.op]
    if binding == op.POWER:  # the base a name or call, the exponent perhaps another power
        return [(node.left, op.POSTFIX), "^", (node.right, op.NEGATE)]
    left = binding + (binding == op.COMPARE)
    return [(node.left, left), f" {node.op} ", (node.right, binding + 1)]


def _list(items: Iterable[Expr]) -> list[_Piece]:
    pieces: list[_Piece] = []
    for item in items:
        pieces += [", ", (item, op.PIPE)] if pieces else [(item, op.PIPE)]
    return pieces


def _arguments(arguments: Iterable[Argument]) -> list[_Piece]:
    pieces: list[_Piece] = []
    for argument in arguments:
        if pieces:
            pieces.append(", ")
        if argument.name is not None:
            pieces.append(f"{argument.name} = ")
        pieces.append((argument.value, op.PIPE))
    return pieces


# ---------------------------------------------------------------- parts of statements


def format_type(type_: TypeExpr) -> str:
    """`[784] f64`, `class[10]`, `tokens[T, 26]`."""
    if isinstance(type_, ClassType):
        return f"class[{format_expr(type_.count)}]"
    if isinstance(type_, TokensType):
        return f"tokens[{format_expr(type_.length)}, {format_expr(type_.count)}]"
    dtype = f" {type_.dtype}" if type_.dtype else ""
    return f"[{commas(map(format_expr, type_.sizes))}]{dtype}"


def commas(texts: Iterable[str]) -> str:
    return ", ".join(texts)


def expressions(items: Iterable[Expr]) -> str:
    return commas(map(format_expr, items))


def names(idents: Sequence[Ident]) -> str:
    return commas(ident.id for ident in idents)


def typed(idents: Sequence[Ident], type_: TypeExpr | None) -> str:
    """`a, b: [3]`, or the names alone."""
    return names(idents) + (f": {format_type(type_)}" if type_ else "")


def item(item: OutputItem) -> str:
    value = format_expr(item.value)
    return f"{item.name.id} = {value}" if item.name else value


def settings(given: Sequence[Setting]) -> str:
    if not given:
        return ""
    texts = (s.name.id + (f" = {format_expr(s.default)}" if s.default else "") for s in given)
    return f"({commas(texts)})"


def arguments(given: Sequence[Argument]) -> str:
    """`(a, b = 2)`, or nothing for none."""
    if not given:
        return ""
    texts = ((f"{a.name} = " if a.name else "") + format_expr(a.value) for a in given)
    return f"({commas(texts)})"


def bindings(given: Sequence[Binding]) -> str:
    if not given:
        return ""
    return " with " + commas(f"{b.input.id} = {b.field.id}" for b in given)


def scan_input(given: ScanInput) -> str:
    return f"{given.name.id} in {format_expr(given.sequence)}"


def carry(given: Carry) -> str:
    return f"{typed((given.name,), given.type)} = {format_expr(given.value)}"
