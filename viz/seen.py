"""What a value is, seen past the bookkeeping around it: numbers, quotients, shifts, equal values.

In: values. Out: answers, for the recognisers of `formula` and `pooling`.
"""

from __future__ import annotations

from ..compiler.value import Value


def bare(v: Value) -> Value:
    """Without the views and marks that a formula does not show."""
    while v.op.name in ("broadcast", "reshape", "cast", "stop_gradient"):
        v = v.args[0]
    return v


def from_library(v: Value) -> bool:
    """Whether the value's equation stands in the standard library, not in the user's file."""
    span = v.origin.span
    return span is not None and span.source.name.startswith("<chainrule>")


def ratio_of(v: Value) -> tuple[Value, Value] | None:
    """What stands above and below the line, where v is a quotient."""
    if v.op.name == "div":
        return v.args[0], bare(v.args[1])
    if v.op.name == "mul":
        for x, y in (v.args, v.args[::-1]):
            inverse = inverse_of(bare(y))
            if inverse is not None:
                return x, bare(inverse)
    return None


def inverse_of(v: Value) -> Value | None:
    """x, where v is 1 / x."""
    if v.op.name == "div" and number_of(v.args[0]) == 1:
        return v.args[1]
    if v.op.name == "pow" and number_of(v.args[1]) == -1:
        return v.args[0]
    return None


def number_of(v: Value) -> float | None:
    """The number that v is in every element, if it is one."""
    v = bare(v)
    return float(v.attrs["value"]) if v.is_constant else None


def same(a: Value, b: Value) -> bool:
    """The same value, or the same operation on the same operands."""
    a, b = bare(a), bare(b)
    return a is b or (bool(a.args) and a.key() == b.key())


def is_total_of(below: Value, above: Value) -> bool:
    """Whether `below` adds all elements of `above`."""
    return below.op.name == "sum" and not below.attrs["batch"] and same(below.args[0], above)


def is_sum_of_exponentials(v: Value, x: Value) -> bool:
    """Whether v is Σ exp x."""
    v = bare(v)
    if v.op.name != "sum" or v.attrs["batch"]:
        return False
    inner = bare(v.args[0])
    return inner.op.name == "exp" and same(inner.args[0], x)


def unshifted(v: Value) -> Value:
    """z of z − max(z): softmax does not see the shift."""
    v = bare(v)
    if v.op.name == "sub":
        shift = bare(v.args[1])
        if shift.op.name == "max" and same(shift.args[0], v.args[0]):
            return bare(v.args[0])
    return v
