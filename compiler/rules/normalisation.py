"""Deviations from a mean sum to zero: what gives batch and layer normalisation their short form.

With x̂ = (x − mean x)/σ the derivative is (γ/σ)·(g − mean(g) − x̂·mean(g·x̂)).
"""

from __future__ import annotations

from math import isclose, prod

from ..graph import leaf
from ..op import apply, build
from ..patterns import factors, filled, law
from ..rewrite import Table
from ..types import Type
from ..value import Value
from .sums import options, steady


def _samples() -> list[Value]:
    x = leaf("input", "x", Type((3, 5), "f64", True))
    g = leaf("input", "g", Type((3, 5), "f64", True))
    s = leaf("input", "s_positive", Type((5,), "f64"))
    m = apply("batch_size", dtype="f64")
    over_batch = x - apply("sum", x, over="batch") / m
    over_axis = x - apply("sum", x, axis=1, keep=True) / 5
    return [
        apply("sum", over_batch, over="batch"),
        apply("sum", (over_batch / s), over="batch"),
        apply("sum", over_axis, axis=1),
        apply("sum", g - 3 * over_axis, axis=1, keep=True),
        apply("sum", g + over_batch * s, over="batch"),
    ]


@law(
    "deviations from the mean sum to zero",
    "sum",
    "Σ (x − mean x) = Σx − n·(Σx)/n = 0",
    _samples,
)
def deviations(v: Value, table: Table) -> Value | None:
    (x,) = v.args
    if vanishes(x, v):
        return filled(0.0, v.type)
    if x.op.name not in ("add", "sub"):
        return None
    a, b = x.args
    if a.type == x.type and vanishes(b, v):
        return build(v.op, (a,), options(v))
    if b.type == x.type and vanishes(a, v):
        total = build(v.op, (b,), options(v))
        return total if x.op.name == "add" else -total
    return None


def vanishes(t: Value, y: Value) -> bool:
    """Is t a deviation from its mean, times what does not vary along what `y` folds?"""
    if t.type.shape != y.args[0].shape or t.type.batched != y.args[0].type.batched:
        return False
    if t.op.name not in ("sub", "mul", "div", "neg"):
        return False
    _, above, below = factors(t)
    varying = [f for f in above if not steady(f, y)]
    if len(varying) != 1 or not all(steady(f, y) for f in below):
        return False
    (c,) = varying
    return c.op.name == "sub" and c.type == t.type and _is_mean(c.args[1], c.args[0], y)


def _is_mean(mean: Value, x: Value, y: Value) -> bool:
    """mean = (1/n)·Σx, over exactly what `y` folds?"""
    n, above, below = factors(mean)
    if len(above) != 1 or above[0].op.name != "sum":
        return False
    (total,) = above
    if total.args[0] is not x or total.attrs["axes"] != y.attrs["axes"]:
        return False
    batch = y.attrs["batch"]
    if total.attrs["batch"] != batch or [f.op.name for f in below] != ["batch_size"] * batch:
        return False
    return isclose(n * prod(x.shape[k] for k in y.attrs["axes"]), 1.0, rel_tol=1e-9)


RULES = (deviations,)
