"""Writing rules: equations over pattern variables, laws with a guard, and reading products.

An equation is two values built with the ordinary operators over variables: `x - x` and `0`. A
variable matches any value, a number variable a number, a number itself. Commutative operations
match either way round; the ways are laid out once, when the rule is made, so that matching never
goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from .graph import leaf
from .op import Op, apply, constant
from .rewrite import COMMUTATIVE, Rule, Table
from .types import Type
from .value import Value

# ---------------------------------------------------------------- numbers


def number(v: Value) -> float | None:
    """The number that every element of `v` is, if it is known."""
    if v.op.name == "broadcast":
        v = v.args[0]
    if v.op.name == "constant":
        value: float = v.attrs["value"]
        return value
    return None


def filled(value: float, type: Type) -> Value:
    """`value` in every element of that type."""
    scalar = constant(value, type.dtype)
    if type.shape == () and not type.batched:
        return scalar
    return apply("broadcast", scalar, shape=type.shape, batch=type.batched)


def usable(value: float, dtype: str) -> bool:
    """Can this number be a constant without overflow or loss?"""
    limit = 1e30 if dtype == "f32" else 1e290
    return value == 0 or (isfinite(value) and 1 / limit < abs(value) < limit)


def split(v: Value) -> tuple[float, Value | None]:
    """(number, rest) of number · rest; the rest of a mere number is None."""
    if v.op.name == "neg":
        return -1.0, v.args[0]
    if v.op.name == "mul":
        n = number(v.args[0])
        if n is not None:
            return n, v.args[1]
    n = number(v)
    return (1.0, v) if n is None else (n, None)


def scaled(n: float, v: Value) -> Value:
    """n · v."""
    if n == 1:
        return v
    if n == -1:
        return -v
    return n * v


# ---------------------------------------------------------------- products and quotients

_LIMIT = 12  # factors: enough for every textbook form, and it bounds the work at each node


def factors(v: Value, quotients: bool = True) -> tuple[float, list[Value], list[Value]]:
    """(number, numerators, denominators) of a product of quotients; without `quotients`, a
    quotient is one factor."""
    n = 1.0
    above: list[Value] = []
    below: list[Value] = []
    stack = [(v, True)]
    while stack:
        x, up = stack.pop()
        name = x.op.name
        value = number(x)
        if value is not None and value != 0:
            n = n * value if up else n / value
        elif len(stack) + len(above) + len(below) >= _LIMIT:
            (above if up else below).append(x)
        elif name == "mul":
            stack += [(x.args[1], up), (x.args[0], up)]
        elif name == "div" and quotients:
            stack += [(x.args[1], not up), (x.args[0], up)]
        elif name == "neg":
            n = -n
            stack.append((x.args[0], up))
        elif name == "pow" and number(x.args[1]) == 2:
            stack += [(x.args[0], up), (x.args[0], up)]
        else:
            (above if up else below).append(x)
    return n, above, below


def inside(v: Value) -> set[Value]:
    """The products and quotients that `factors` takes apart."""
    seen: set[Value] = set()
    stack = [v]
    while stack and len(seen) < 2 * _LIMIT:
        x = stack.pop()
        if x.op.name in ("mul", "div", "neg"):
            seen.add(x)
            stack += x.args
    return seen


def product(n: float, above: Sequence[Value], below: Sequence[Value], dtype: str) -> Value:
    """The value of such factors: ((a · b) / c) / d, with the number in front."""
    result: Value | None = None
    for x in above:
        result = x if result is None else result * x
    if result is None:
        result, n = constant(n, dtype), 1.0
    for x in below:
        result = result / x
    return scaled(n, result)


def without(items: Sequence[Value], *drop: Value) -> list[Value]:
    """The items less one occurrence of each to drop."""
    rest = list(items)
    for x in drop:
        rest.remove(x)
    return rest


def common(a: Sequence[Value], b: Sequence[Value]) -> list[Value]:
    """What both hold, as often as both hold it."""
    rest, shared = list(b), []
    for x in a:
        if x in rest:
            rest.remove(x)
            shared.append(x)
    return shared


# ---------------------------------------------------------------- equations


def variables(names: str, dtype: str = "f32") -> tuple[Value, ...]:
    """Pattern variables: each matches any value, and the same value everywhere."""
    return tuple(leaf("input", n, Type((), dtype)) for n in names.split())


def numbers(names: str) -> tuple[Value, ...]:
    """Pattern variables that match numbers only."""
    return tuple(leaf("scalar", n, Type()) for n in names.split())


@dataclass(frozen=True, slots=True)
class _Pattern:
    kind: str  # any, number, constant, op
    name: str = ""
    value: float = 0.0
    op: Op | None = None
    args: tuple[_Pattern, ...] = ()


Binding = dict[str, Value]


def equation(
    name: str,
    before: Value,
    after: Value | float,
    reason: str,
    *,
    positive: str = "",
    stage: str = "simplify",
) -> Rule:
    """before = after for all values of the variables (of the `positive` ones: above zero)."""
    right = after if isinstance(after, Value) else constant(after)
    ways = tuple(_ways(before))

    def change(v: Value, table: Table) -> Value | None:
        for way in ways:
            binding: Binding = {}
            if _matches(way, v, binding):
                return _substituted(right, binding, v.type.dtype)
        return None

    return Rule(name, reason, (before.op.name,), change, lambda: _instances(before, positive),
                stage, before=before, after=right)  # fmt: skip


def law(
    name: str,
    on: str,
    reason: str,
    samples: Callable[[], Sequence[Value]],
    stage: str = "simplify",
) -> Callable[[Callable[[Value, Table], Value | None]], Rule]:
    """A rule that needs a guard: the decorated function gives the value after, or None."""

    def rule(change: Callable[[Value, Table], Value | None]) -> Rule:
        return Rule(name, reason, tuple(on.split()), change, samples, stage)

    return rule


def _ways(p: Value) -> Iterator[_Pattern]:
    """The pattern with the operands of its commutative operations in every order."""
    if p.op.name == "input":
        yield _Pattern("any", p.attrs["name"])
        return
    if p.op.name == "scalar":
        yield _Pattern("number", p.attrs["name"])
        return
    if p.is_constant:
        yield _Pattern("constant", value=p.attrs["value"])
        return
    if len(p.args) == 1:
        for inner in _ways(p.args[0]):
            yield _Pattern("op", op=p.op, args=(inner,))
        return
    parts = [tuple(_ways(a)) for a in p.args]
    for args in _choices(parts):
        yield _Pattern("op", op=p.op, args=args)
        if p.op.name in COMMUTATIVE and args[0] != args[1]:
            yield _Pattern("op", op=p.op, args=args[::-1])


def _choices(parts: list[tuple[_Pattern, ...]]) -> Iterator[tuple[_Pattern, ...]]:
    if not parts:
        yield ()
        return
    for first in parts[0]:
        for rest in _choices(parts[1:]):
            yield (first, *rest)


def _matches(p: _Pattern, v: Value, binding: Binding) -> bool:
    if p.kind == "op":
        if v.op is not p.op:
            return False
        return all(_matches(q, a, binding) for q, a in zip(p.args, v.args, strict=True))
    if p.kind == "any":
        return binding.setdefault(p.name, v) is v
    n = number(v)
    if p.kind == "constant":
        return n is not None and n == p.value
    return n is not None and number(binding.setdefault(p.name, v)) == n


def _substituted(template: Value, binding: Binding, dtype: str) -> Value:
    if template.op.name in ("input", "scalar"):
        return binding[template.attrs["name"]]
    if template.is_constant:
        return constant(template.attrs["value"], dtype)
    args: list[Value | float] = [
        a.attrs["value"] if a.is_constant else _substituted(a, binding, dtype)
        for a in template.args
    ]
    attrs: dict[str, Any] = dict(template.attrs)
    return apply(template.op.name, *args, **attrs)


# Types that a variable takes in the tests: per example or not, and sizes that broadcast.
_TYPES = (
    Type((3, 5), "f64", True),
    Type((5,), "f64"),
    Type((3, 1), "f64"),
    Type((), "f64", True),
    Type((1, 5), "f64", True),
)


def _instances(before: Value, positive: str) -> list[Value]:
    """The left side with the variables at several types; `positive` ones are named so."""
    found = []
    for turn in range(3):
        binding: Binding = {}
        names = sorted(_names(before))
        for k, (name, kind, dtype) in enumerate(names):
            if kind == "scalar":
                binding[name] = constant(0.75 + k, "f64")
                continue
            t = _TYPES[(turn + k) % len(_TYPES)]
            given = f"{name}_positive" if name in positive.split() else name
            binding[name] = leaf("input", given, t.with_(dtype="f64" if dtype == "f32" else dtype))
        found.append(_substituted(before, binding, "f64"))
    return found


def _names(p: Value) -> set[tuple[str, str, str]]:
    if not p.args:
        return set() if p.is_constant else {(p.attrs["name"], p.op.name, p.type.dtype)}
    return {name for a in p.args for name in _names(a)}
