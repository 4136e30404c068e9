"""Whether two syntax trees say the same, wherever their words stand.

In: two files. Out: yes or no. Spans, the source and comments are left out. Loops only.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from .syntax import File

_PLACES = {"span", "op_span", "source", "comments"}


def same_syntax(a: File, b: File) -> bool:
    """Whether two files differ in nothing but layout and comments that document nothing."""
    return same(a, b)


def same(a: object, b: object) -> bool:
    """The same for any two nodes, or tuples of nodes."""
    waiting: list[tuple[object, object]] = [(a, b)]
    while waiting:
        left, right = waiting.pop()
        if type(left) is not type(right):
            return False
        if isinstance(left, tuple) and isinstance(right, tuple):
            if len(left) != len(right):
                return False
            waiting += zip(left, right, strict=True)
        elif is_dataclass(left):
            names = (f.name for f in fields(left) if f.name not in _PLACES)
            waiting += ((getattr(left, name), getattr(right, name)) for name in names)
        elif left != right:
            return False
    return True
