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


def label(
    results: Sequence[Value], updates: Sequence[str] = (), source: Value | None = None
) -> str:
    """The first result's equation. `updates`: names of the params and states that the kernel
    changes; `source`: the sum that it starts from, which then says more than the update rule."""
    if updates:
        params = [n for n in updates if not any(n.startswith(f"{m}.") for m in updates)]
        text = f"update {', '.join(params or updates)}"
        return _cut(f"{text} by {equation(source, _LEVELS - 1)}") if source is not None else text
    if not results:
        return ""
    first = min(results, key=lambda v: not v.origin.name)
    place = next((v.origin.instance for v in results if v.origin.instance), "")
    text = equation(first, _LEVELS)
    name = first.origin.name
    if name and name != text and first.origin.role == "forward":
        text = f"{name} = {text}"
    more = f" (+{len(results) - 1})" if len(results) > 1 else ""
    return f"{place}: {_cut(text)}{more}" if place else f"{_cut(text)}{more}"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


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
    """In brackets, if there is a space outside of any."""
    depth = 0
    for c in text:
        depth += (c == "(") - (c == ")")
        if c == " " and not depth:
            return f"({text})"
    return text
