"""Constants: `const`, arguments of data sources, `--set`.

In: an expression, and the module whose constants it may name. Out: a number, word, truth value or
list, known without any net.
"""

from __future__ import annotations

from typing import Any, cast

from ...dsl import syntax as s
from ...dsl.diagnostics import did_you_mean, fail
from .numbers import INFIX, NUMERIC, number_call
from .scope import Meaning


def constant_value(e: s.Expr, module: Any) -> Meaning:
    """A number, word, truth value or list. Raises Failure E227 for anything else."""
    if isinstance(e, s.Number | s.String | s.Bool):
        return e.value
    if isinstance(e, s.Name):
        meaning = module.consts.get(e.id) if module is not None else None
        if meaning is None:
            known = module.consts if module is not None else ()
            raise fail(
                "E227",
                f"`{e.id}` is not a constant",
                e.span,
                note="not known here",
                help=did_you_mean(e.id, known) or f"declare it above: `const {e.id} = 10`",
            )
        return cast(Meaning, meaning)
    if isinstance(e, s.Unary):
        return number_call(
            "neg" if e.op == "-" else "not", [constant_value(e.operand, module)], e.span
        )
    if isinstance(e, s.Binary):
        chain: list[s.Binary] = []
        first: s.Expr = e
        while isinstance(first, s.Binary):
            chain.append(first)
            first = first.left
        result = constant_value(first, module)
        for link in reversed(chain):
            result = number_call(
                INFIX[link.op], [result, constant_value(link.right, module)], link.span
            )
        return result
    if isinstance(e, s.Tuple | s.List):
        return tuple(constant_value(i, module) for i in e.items)
    if isinstance(e, s.Call) and isinstance(e.function, s.Name) and e.function.id in NUMERIC:
        values = [constant_value(a.value, module) for a in e.arguments]
        return number_call(e.function.id, values, e.span)
    raise fail(
        "E227",
        "a constant is made of numbers, words, lists and arithmetic on them",
        e.span,
        help="move this into a net or a block, as an equation",
    )
