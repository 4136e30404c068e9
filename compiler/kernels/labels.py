"""Words for kernels: the block instance and the equation, as a person would write it.

In: the values that a kernel leaves in memory. Out: `dense_1: relu(W @ x + b)`, cut to a readable
length. Never used as code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..value import Value

_WIDTH = 72
_LEVELS = 4


def label(results: Sequence[Value]) -> str:
    """The first result's equation; the names of the others behind it."""
    if not results:
        return ""
    first = results[0]
    place = next((v.origin.instance for v in results if v.origin.instance), "")
    text = equation(first, _LEVELS)
    name = first.origin.name
    if name and name != text and first.origin.role == "forward":
        text = f"{name} = {text}"
    text = text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
    more = f" (+{len(results) - 1})" if len(results) > 1 else ""
    return f"{place}: {text}{more}" if place else f"{text}{more}"


def equation(v: Value, levels: int) -> str:
    """A value written out `levels` operations deep; below that, by name."""
    attrs: Any = v.attrs
    if v.op.family == "leaf":
        return str(attrs.get("name", "")).rsplit(".", 1)[-1] or _number(attrs)
    if levels == 0 or (levels < _LEVELS and v.origin.name and v.origin.role == "forward"):
        return v.origin.name or "…"
    args = [equation(a, levels - 1) for a in v.args]
    if v.op.family == "contraction" and len(args) == 2:
        return " @ ".join(_wrapped(a) for a in args)
    if v.op.infix and len(args) == 2:
        return f" {v.op.infix} ".join(_wrapped(a) for a in args)
    if v.op.infix and len(args) == 1:
        return f"{v.op.infix}{_wrapped(args[0])}"
    if v.op.family == "view" and args:
        return args[0]
    if v.op.family == "reduction" and attrs.get("batch"):
        return f"{v.op.name}_batch({', '.join(args)})"
    return f"{v.op.name}({', '.join(args)})"


def _number(attrs: Any) -> str:
    return f"{attrs['value']:g}" if "value" in attrs else "m"


def _wrapped(text: str) -> str:
    simple = " " not in text or (text.endswith(")") and text.count("(") == 1 and text[0] != "(")
    return text if simple else f"({text})"
