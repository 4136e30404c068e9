"""Signs and numbers move outwards: (−a)·b = −(a·b), (2a)·(3b) = 6(a·b), a/2 = ½a.

So a term reads `number · rest`, and terms that differ only in their number meet.
"""

from __future__ import annotations

from ..graph import leaf
from ..op import apply
from ..patterns import filled, law, number, scaled, split, usable
from ..rewrite import Table, first_samples
from ..types import Type
from ..value import Value

_x = leaf("input", "x", Type((3, 5), "f64", True))
_y = leaf("input", "y_positive", Type((5,), "f64"))


@law(
    "numbers and signs of a product",
    "mul",
    "numbers are multiplied first and written in front",
    first_samples([(2 * _x) * _y, -_x * (3 * _y), _x * 2, 2 * (3 * _x), 1 * _x, -1 * _x, 0 * _x]),
)
def of_product(v: Value, table: Table) -> Value | None:
    a, b = v.args
    (n, x), (k, y) = split(a), split(b)
    if x is None and y is None:
        return None  # folded by `numbers are computed`
    if x is None or y is None:
        return _number_times(v, n, k, x, y)
    if (n, k) == (1, 1) or not usable(n * k, v.type.dtype):
        return None
    return scaled(n * k, x * y)


def _number_times(v: Value, n: float, k: float, x: Value | None, y: Value | None) -> Value | None:
    rest = x if x is not None else y
    if rest is None or n * k == 0:
        return filled(0.0, v.type)
    in_place = x is None and k == 1 and n not in (1, -1)
    if in_place or not usable(n * k, v.type.dtype):
        return None
    return scaled(n * k, rest)


@law(
    "numbers and signs of a quotient",
    "div",
    "dividing by a number is multiplying by its inverse, written in front",
    first_samples([_x / 4, (2 * _x) / (3 * _y), -_x / _y, _x / -_y, 3 / (2 * _y), _x / 1]),
)
def of_quotient(v: Value, table: Table) -> Value | None:
    a, b = v.args
    (n, x), (k, y) = split(a), split(b)
    if y is None:
        inverse = n / k if k else 0.0
        if x is None or not inverse or not usable(inverse, v.type.dtype):
            return None
        return scaled(inverse, x)
    if k == 1 and (n == 1 or x is None):
        return filled(0.0, v.type) if n == 0 else None
    if not k or not usable(n / k, v.type.dtype):
        return None
    return (n / k) / y if x is None else scaled(n / k, x / y)


@law(
    "the opposite of a term",
    "neg",
    "−(n·x) = (−n)·x, −(x − y) = y − x, −(n/x) = (−n)/x",
    first_samples([apply("neg", -_x), -(2 * _x), -(_x - _y), -(3 / _y)]),
)
def opposite(v: Value, table: Table) -> Value | None:
    (x,) = v.args
    n, rest = split(x)
    if rest is not None and n != 1:
        return scaled(-n, rest)
    if x.op.name == "sub":
        return x.args[1] - x.args[0]
    if x.op.name == "div" and (top := number(x.args[0])) is not None:
        return (-top) / x.args[1]
    return None


@law(
    "like terms",
    "add sub",
    "n·x + k·x = (n + k)·x; n·x + n·y = n·(x + y); x + (−y) = x − y",
    first_samples(
        [
            _x + _x, _x - _x, 2 * _x + _x, 3 * _x - 3 * _y, -_x + _y, _x - -_y, -_x - _y,
            _x + 0, 0 - _x, 0 + _x, _x - 0, _x + -2.0, 5 * _x + -5 * _y, _x + -4 * _y, -2 * _x + _y,
        ]
    ),
)  # fmt: skip
def like_terms(v: Value, table: Table) -> Value | None:
    a, b = v.args
    sign = 1.0 if v.op.name == "add" else -1.0
    (n, x), (k, y) = split(a), split(b)
    k *= sign
    if x is None or y is None:
        return _term_and_number(n, k, x, y, v)
    if x is y:
        return filled(0.0, v.type) if n + k == 0 else scaled(n + k, x)
    if n == k and n != 1:
        return scaled(n, x + y)
    if n == -k and n != 1:
        return y - x if n == -1 else scaled(n, x - y)
    if k < 0 < n and sign > 0:
        return scaled(n, x) - scaled(-k, y)
    if n < 0 < k:
        return scaled(k, y) - scaled(-n, x)
    if k > 0 and sign < 0:
        return scaled(n, x) + scaled(k, y)
    return None


def _term_and_number(
    n: float, k: float, x: Value | None, y: Value | None, v: Value
) -> Value | None:
    """x + number or number + y, in which a number of 0 is dropped and its sign is read."""
    a = v.args[0]
    if y is None and k == 0:
        return a
    if x is None and n == 0 and y is not None:
        return scaled(k, y)
    if y is None and x is not None and k < 0 and v.op.name == "add":
        return a - -k
    if y is None and x is not None and k > 0 and v.op.name == "sub":
        return a + k
    if x is None and y is not None and k < 0 and v.op.name == "add":
        return n - scaled(-k, y)
    if x is None and y is not None and k > 0 and v.op.name == "sub":
        return n + scaled(k, y)
    return None


RULES = (of_product, of_quotient, opposite, like_terms)
