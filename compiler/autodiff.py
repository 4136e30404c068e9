"""Reverse-mode differentiation: gradients are graphs, built by the operations' own rules.

In: a value and what to differentiate by. Out: one value for each, built of ordinary operations, so
a gradient can be drawn, printed, simplified and differentiated again. Leaves simplification to
`rules`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .graph import topological
from .op import apply, constant
from .types import ShapeError
from .value import Origin, Value, origin


def gradient(y: Value, wrt: Sequence[Value], seed: Value | None = None) -> list[Value]:
    """∂y/∂x for each x of `wrt`, each of x's own type.

    `y` is a scalar, or one scalar per example: then an x that is per example gets its example's
    gradient, and an x shared by the batch gets the sum over the batch. `seed` stands for ∂L/∂y when
    `y` is not the end of the chain; by default 1. What y does not depend on has gradient zero.
    Raises ShapeError (E311) if y is not a scalar and no seed is given.
    """
    if seed is None:
        if y.shape != ():
            raise ShapeError(
                f"only a scalar has a gradient, got {y.type}",
                code="E311",
                help="reduce it first: `sum(…)` or `mean(…)`",
            )
        seed = like(constant(1.0, y.type.dtype), y)
    return backpropagated({y: [seed]}, wrt)


def backpropagated(seeds: Mapping[Value, Sequence[Value]], wrt: Sequence[Value]) -> list[Value]:
    """Σ over the `seeds` of (∂y/∂x)ᵀ·seed for each x of `wrt`: several ends of a chain at once."""
    order = topological(seeds)
    relevant = _depends_on(order, set(wrt))
    pending: dict[Value, list[Value]] = {y: list(parts) for y, parts in seeds.items()}
    scans: dict[Value, dict[int, Value]] = {}  # what arrives at each result of a scan
    wanted = set(wrt)
    found: dict[Value, Value] = {}
    for v in reversed(order):
        if v not in relevant or (v not in pending and v not in scans):
            continue
        place = Origin(
            v.origin.span, v.origin.instance, v.origin.block, v.origin.name, "backward", v
        )
        with origin(place):
            if v.op.family == "scan":
                for x, part in zip(v.args, _through_scan(v, scans.pop(v), relevant), strict=True):
                    if part is not None:
                        pending.setdefault(x, []).append(like(part, x))
                continue
            g = _add_up(pending.pop(v))
            if v in wanted:
                found[v] = g
            if v.op.family == "part":
                (scan,) = v.args
                arrived = scans.setdefault(scan, {})
                index = v.attrs["index"]
                arrived[index] = arrived[index] + g if index in arrived else g
                continue
            for x, part in zip(v.args, _parts(g, v, relevant), strict=True):
                if part is not None:
                    pending.setdefault(x, []).append(like(part, x))
    return [found[x] if x in found else like(constant(0.0, x.type.dtype), x) for x in wrt]


def _through_scan(v: Value, arrived: dict[int, Value], relevant: set[Value]) -> Sequence[Any]:
    from .scans.gradient import scan_gradient  # it differentiates bodies with this module

    return scan_gradient(v, arrived, [a in relevant for a in v.args])


def _depends_on(order: Sequence[Value], wrt: set[Value]) -> set[Value]:
    """The floating-point values on a path from `wrt`."""
    reached: set[Value] = set()
    for v in order:
        if v.type.is_float and (v in wrt or any(a in reached for a in v.args)):
            reached.add(v)
    return reached


def _parts(g: Value, v: Value, relevant: set[Value]) -> Sequence[Value | None]:
    if not any(a in relevant for a in v.args):
        return (None,) * len(v.args)
    parts = v.op.grad(g, v, *v.args)
    return [p if a in relevant else None for p, a in zip(parts, v.args, strict=True)]


def _add_up(parts: list[Value]) -> Value:
    """A value used several times gets the sum of what its uses send back (the fan-out rule)."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def like(g: Value, x: Value) -> Value:
    """`g` summed, or repeated, to the shape and batching of `x` (the transpose of broadcasting)."""
    extra = len(g.shape) - len(x.shape)
    over: list[Any] = ["batch"] if g.type.batched and not x.type.batched else []
    over += range(max(extra, 0))
    over += [
        k + extra for k, n in enumerate(x.shape) if k + extra >= 0 and n == 1 != g.shape[k + extra]
    ]
    if over:
        g = apply("sum", g, over=tuple(over), keep=extra <= 0)
    if g.type.size == x.type.size and g.shape != x.shape:
        g = apply("reshape", g, shape=x.shape)
    if g.shape != x.shape or (x.type.batched and not g.type.batched):
        g = apply("broadcast", g, shape=x.shape, batch=x.type.batched)
    return g
