"""Arithmetic known at compile time: sizes, settings, conditions."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from ...dsl.diagnostics import fail
from ...dsl.source import Span

LARGEST = 1e300
NUMERIC: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "pow": operator.pow,
    "neg": operator.neg,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "not": operator.not_,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "floor": math.floor,
    "ceil": math.ceil,
    "abs": abs,
    "max": max,
    "min": min,
}

# The operators of the language by the words of their operations.
INFIX = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "^": "pow",
    "@": "matmul",
    "<": "lt",
    "<=": "le",
    ">": "gt",
    ">=": "ge",
    "==": "eq",
    "!=": "ne",
    "and": "and",
    "or": "or",
}


def is_number(meaning: Any) -> bool:
    """A plain number or truth value (words too: `==` compares settings like "same")."""
    return isinstance(meaning, int | float | str)


_SIGNS = {
    **dict(zip(("add", "sub", "mul", "div", "pow"), "+-*/^", strict=True)),
    **dict(zip(("lt", "le", "eq", "ne"), ("<", "<=", "==", "!="), strict=True)),
    **dict(zip(("ge", "gt"), (">=", ">"), strict=True)),
}


def _written(word: str, values: Sequence[Any]) -> str:
    """A call of `NUMERIC` with its numbers, as a user would write it."""
    shown = [f'"{v}"' if isinstance(v, str) else str(v) for v in values]
    if word in _SIGNS and len(shown) == 2:
        return f"{shown[0]} {_SIGNS[word]} {shown[1]}"
    return f"{word}({', '.join(shown)})"


def number_call(word: str, values: Sequence[Any], span: Span) -> int | float | bool | str:
    """Apply one of `NUMERIC`; whole results stay whole numbers, so that sizes can be computed.

    Raises Failure E228 for division by zero, overflow, roots of negative numbers, words.
    """
    words = any(isinstance(v, str) for v in values)
    if words and word not in ("eq", "ne"):
        raise fail(
            "E228",
            "words can only be compared with `==` and `!=`",
            span,
            note=_written(word, values),
            help="numbers are written without quotes",
        )
    try:
        if word == "pow" and abs(values[0]) > 1 and abs(values[1]) > 1e4:
            raise OverflowError
        result = NUMERIC[word](*values)
    except (ArithmeticError, ValueError, TypeError):
        shown = _written(word, values)
        raise fail(
            "E228",
            f"`{shown}` has no value",
            span,
            help="divide by something that is not 0" if word == "div" else "",
        ) from None
    beyond = abs(result) > LARGEST and not any(v in (math.inf, -math.inf) for v in values)
    if isinstance(result, complex) or beyond or result != result:
        raise fail("E228", f"`{_written(word, values)}` has no finite real value", span)
    if word == "div" and isinstance(result, float) and result.is_integer():
        return int(result)
    return result  # type: ignore[no-any-return]
