"""Sums: numbers and factors that do not vary come out; repeated elements are counted."""

from __future__ import annotations

from math import prod
from typing import Any

from ..graph import leaf
from ..op import apply, build
from ..patterns import factors, law, product, scaled, split
from ..rewrite import Table, first_samples, fitted
from ..types import Type
from ..value import Value

_x = leaf("input", "x", Type((3, 5), "f64", True))
_c = leaf("input", "c_positive", Type((3, 1), "f64"))
_s = leaf("input", "s", Type((), "f64"))


def options(y: Value, **more: Any) -> dict[str, Any]:
    """The reduction `y`'s axes as a user would give them."""
    over = (*y.attrs["axes"], "batch") if y.attrs["batch"] else y.attrs["axes"]
    return {"over": over, "keep": y.attrs["keep"], **more}


def steady(f: Value, y: Value) -> bool:
    """Is the factor f of `y`'s operand the same along everything that `y` folds?"""
    if y.attrs["batch"] and f.type.batched:
        return False
    missing = len(y.args[0].shape) - len(f.shape)
    return all(k < missing or f.shape[k - missing] == 1 for k in y.attrs["axes"])


def squeezed(f: Value, y: Value) -> Value:
    """A steady factor without the axes that `y` drops."""
    if y.attrs["keep"]:
        return f
    missing = len(y.args[0].shape) - len(f.shape)
    shape = tuple(n for k, n in enumerate(f.shape) if k + missing not in y.attrs["axes"])
    return f if shape == f.shape else apply("reshape", f, shape=shape)


@law(
    "a number before a sum",
    "sum",
    "Σ n·x = n·Σ x",
    first_samples([apply("sum", 3 * _x, axis=1), apply("sum", -_x, over=("batch", 0))]),
)
def number_out(v: Value, table: Table) -> Value | None:
    n, x = split(v.args[0])
    if n == 1 or x is None or x.type != v.args[0].type:
        return None
    return scaled(n, build(v.op, (x,), options(v)))


@law(
    "a factor that does not vary comes before the sum",
    "sum",
    "Σᵢ c·xᵢ = c·Σᵢ xᵢ",
    first_samples(
        [
            apply("sum", _x * _c, axis=1),
            apply("sum", (_x * _s) / _c, axis=1, keep=True),
            apply("sum", _x * _c, over="batch"),
        ]
    ),
)
def factor_out(v: Value, table: Table) -> Value | None:
    (x,) = v.args
    if x.op.name not in ("mul", "div"):
        return None
    below = []
    while x.op.name == "div":
        below.append(x.args[1])
        x = x.args[0]
    # A quotient inside the product stays whole: it may be known (x̂ of a normalisation).
    n, above, _ = factors(x, quotients=False)
    x = v.args[0]
    out = [f for f in above if steady(f, v)]
    under = [f for f in below if steady(f, v)]
    inner = [f for f in above if not steady(f, v)]
    if not inner or (not out and not under):
        return None
    rest = product(1.0, inner, [f for f in below if not steady(f, v)], x.type.dtype)
    if rest.type != x.type:
        return None  # the factor also gave the result its shape
    total = build(v.op, (rest,), options(v))
    for f in out:
        total = squeezed(f, v) * total
    for f in under:
        total = total / squeezed(f, v)
    return scaled(n, total)


@law(
    "a sum of equal elements",
    "sum",
    "Σ over n equal elements is n times one of them",
    lambda: [
        apply("sum", apply("broadcast", _s, shape=(3, 5), batch=True), over=("batch", 0)),
        apply("sum", apply("broadcast", _c, shape=(3, 5)), axis=1),
        apply("sum", apply("broadcast", _c, shape=(2, 3, 5)), axis=(0, 1)),
        apply("sum", apply("broadcast", _c, shape=(3, 5)), axis=(0, 1), keep=True),
    ],
)
def equal_elements(v: Value, table: Table) -> Value | None:
    (r,) = v.args
    if r.op.name != "broadcast":
        return None
    (x,) = r.args
    shape = (1,) * (len(r.shape) - len(x.shape)) + x.shape
    axes = v.attrs["axes"]
    one = x if shape == x.shape else apply("reshape", x, shape=shape)
    over: list[Any] = [k for k in axes if shape[k] == r.shape[k] > 1]
    if v.attrs["batch"] and x.type.batched:
        over.append("batch")
    if over:
        one = apply("sum", one, over=tuple(over), keep=True)
    one = scaled(float(prod(r.shape[k] for k in axes if shape[k] != r.shape[k])), one)
    if v.attrs["batch"] and not x.type.batched:
        one = one * apply("batch_size", dtype=v.type.dtype)
    if not v.attrs["keep"]:
        left = tuple(n for k, n in enumerate(one.shape) if k not in axes)
        one = apply("reshape", one, shape=left)
    return fitted(one, v.type)


@law(
    "a sum over one element",
    "sum max min",
    "folding axes of size 1 only takes them away",
    first_samples([apply("sum", _c, axis=1), apply("max", _c, axis=1, keep=True)]),
)
def one_element(v: Value, table: Table) -> Value | None:
    (x,) = v.args
    if v.attrs["batch"] or any(x.shape[k] != 1 for k in v.attrs["axes"]):
        return None
    return x if v.shape == x.shape else apply("reshape", x, shape=v.shape)


RULES = (number_out, factor_out, equal_elements, one_element)
