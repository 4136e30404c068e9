"""The derivative of a scan: backpropagation through time, which is a scan again.

In: a scan, and what arrives at its results. Out: what goes to its operands. The derived scan walks
the steps the other way; it carries ∂L/∂(carried value), takes ∂L/∂(yield) and the values of the
forward step that its equations need as sequences, yields ∂L/∂(slice), and sums its contributions
to what all steps share: ∂L/∂W = Σₜ (Werbos, 1990).

The forward values come from a scan that yields them in addition; `tidy` makes one of it and of the
original. What is cheap to compute from others that are kept is computed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..autodiff import backpropagated, like
from ..graph import substituted, topological
from ..kernels.forms import COSTS, HOIST
from ..op import Elementwise, apply, constant
from ..ops.scan import bound, inside, slice_type
from ..scalar import Call, Element
from ..value import Origin, Value, current_origin, origin
from .build import Recurrence, depends, part, pieces


def scan_gradient(
    scan: Value, arrived: Mapping[int, Value], wanted: Sequence[bool]
) -> list[Value | None]:
    """∂L/∂operand for each operand of `scan` that is `wanted`, from ∂L/∂(result) by index."""
    f = pieces(scan)
    here = current_origin()
    back = Recurrence(steps=f.steps, clock=f.clock, reverse=not f.reverse, truncate=0, framed=False)
    seeds: dict[Value, list[Value]] = {}

    def seed(value: Value, g: Value) -> None:
        if value.type.is_float:
            seeds.setdefault(value, []).append(like(g, value))

    moving = [k for k, (b, _) in enumerate(f.carries) if b.type.is_float]
    for k in moving:
        b = f.carries[k][0]
        d = _bound(b, "d", b)
        first = arrived.get(k)
        back.carries.append((d, like(constant(0.0, b.type.dtype) if first is None else first, b)))
        seed(f.next[k], d)
    n = len(f.carries)
    for k, y in enumerate(f.yields):
        if n + k in arrived:
            g = _bound(y, "g", y)
            back.sequences.append((g, arrived[n + k]))
            seed(y, g)
    for k, s in enumerate(f.sums):
        index = n + len(f.yields) + k
        if index in arrived:
            g = _bound(s, "g", s)
            back.shared.append((g, arrived[index]))
            seed(s, g)
    own = {b for b, _ in (*back.carries, *back.sequences, *back.shared)}

    m = n + len(f.sequences)
    wrt_carries = [f.carries[k][0] for k in moving]
    sliced = [k for k in range(len(f.sequences)) if wanted[n + k]]
    shared = [k for k in range(len(f.shared)) if wanted[m + k]]
    wrt = [
        *wrt_carries,
        *(f.sequences[k][0] for k in sliced),
        *(f.shared[k][0] for k in shared),
    ]
    found = backpropagated(seeds, wrt)
    back.next = found[: len(wrt_carries)]
    if f.truncate:
        back.next = _truncated(back, f, back.next)
    back.yields = found[len(wrt_carries) : len(wrt_carries) + len(sliced)]
    back.sums = found[len(wrt_carries) + len(sliced) :]
    _supply(scan, f, back, own, here)
    if not back.sequences and not back.carries:
        return [None] * len(scan.args)
    if not back.sequences:
        back.sequences = f.sequences[:1]
    made = back.value()
    result: list[Value | None] = [None] * len(scan.args)
    for place, k in enumerate(moving):
        if wanted[k]:
            result[k] = part(made, place, _named("∂", f.carries[k][0]))
    for place, k in enumerate(sliced, len(moving)):
        result[n + k] = part(made, place)
    for place, k in enumerate(shared, len(moving) + len(sliced)):
        result[m + k] = part(made, place)
    return result


def _bound(like_value: Value, word: str, named: Value) -> Value:
    """A placeholder for ∂L/∂(value)."""
    where = replace(named.origin, role="backward", of=named)
    return bound(f"{word}_{named.origin.name}", like_value.type.with_(classes=None), where)


def _named(prefix: str, v: Value) -> str:
    return f"{prefix}{v.origin.name}" if v.origin.name else ""


def _truncated(back: Recurrence, f: Recurrence, gradients: list[Value]) -> list[Value]:
    """No gradient passes from step t to the one before where t is a multiple of `truncate`."""
    numbers = apply("positions", shape=(f.steps,), dtype="f32")
    t = bound("t", slice_type(numbers.type, f.steps))
    back.sequences.append((t, numbers))
    k = float(f.truncate)
    # Steps are counted from where the scan begins.
    count = apply("sub", float(f.steps - 1), t) if f.reverse else t
    goes_on = apply("gt", count - k * apply("floor", count * (1.0 / k) + 0.5 / k), 0.5)
    return [like(apply("where", goes_on, g, like(constant(0.0, g.type.dtype), g)), g)
            for g in gradients]  # fmt: skip


def _supply(scan: Value, f: Recurrence, back: Recurrence, own: set[Value], here: Origin) -> None:
    """Give the backward body what it uses of the forward one: slices and shared values as they
    are, what changes from step to step from the forward scan's additional yields."""
    results = [*back.next, *back.yields, *back.sums]
    order = [v for v in topological(results) if v not in own]
    backward = depends(order, own)
    carried = {b for b, _ in f.carries}
    slices = {b for b, _ in f.sequences}
    changing = depends(order, carried | slices)
    frontier: dict[Value, None] = {}
    for v in order:
        if v in backward:
            frontier.update(dict.fromkeys(a for a in v.args if _forward(a, backward, changing)))
    frontier.update(dict.fromkeys(r for r in results if _forward(r, backward, changing)))
    kept = _kept(list(frontier), carried, slices, order)
    if kept:
        _replace_by_residuals(scan, f, back, kept, here)
    # What is still used of the forward body's placeholders is supplied as it is.
    used = set(topological([*back.next, *back.yields, *back.sums]))
    known = {b for b, _ in back.sequences}
    back.sequences += [p for p in f.sequences if p[0] in used and p[0] not in known]
    back.shared += [p for p in f.shared if p[0] in used]


def _forward(v: Value, backward: set[Value], changing: set[Value]) -> bool:
    return v not in backward and v in changing


def _kept(
    frontier: list[Value], carried: set[Value], slices: set[Value], order: Sequence[Value]
) -> list[Value]:
    """The forward values to keep: what is expensive, and what cannot be computed cheaply from that,
    from what is carried, from slices and from shared values."""
    have: dict[Value, None] = {}
    later = []
    for v in frontier:
        if v in slices:
            continue
        if v in carried or not _is_cheap(v):
            have[v] = None
        else:
            later.append(v)
    place = {v: k for k, v in enumerate(order)}
    for v in sorted(later, key=lambda v: place.get(v, -1)):
        missing = _missing(v, have, carried, slices)
        have.update(dict.fromkeys([v] if missing is None else missing))
    return list(have)


def _is_cheap(v: Value) -> bool:
    """An element costs a few operations, or none."""
    if v.op.family in ("view", "assemble"):
        return True
    if v.op.family == "leaf":
        return True
    if not isinstance(v.op, Elementwise):
        return False
    terms = [Element(k) for k in range(len(v.args))]
    e = v.op.expression(v, *terms)
    return not isinstance(e, Call) or _cost(e) < HOIST


def _cost(e: object) -> int:
    if not isinstance(e, Call):
        return 0
    return COSTS.get(e.function, 1) + sum(map(_cost, e.arguments))


def _missing(
    v: Value, have: Mapping[Value, None], carried: set[Value], slices: set[Value]
) -> list[Value] | None:
    """The carried values that v follows cheaply from, with what is there; None if it does not."""
    waiting, seen, missing = [v], {v}, []
    while waiting:
        w = waiting.pop()
        if w in have or w in slices:
            continue
        if w in carried:
            missing.append(w)
            continue
        if not _is_cheap(w) or len(seen) > 16:
            return None
        for a in w.args:
            if a not in seen:
                seen.add(a)
                waiting.append(a)
    return missing


def _replace_by_residuals(
    scan: Value, f: Recurrence, back: Recurrence, kept: list[Value], here: Origin
) -> None:
    """The forward scan once more, yielding `kept`; the backward body reads these."""
    with origin(replace(scan.origin, of=None)):
        more = replace(f, yields=[*f.yields, *kept])
        again = more.value()
        first = len(f.carries) + len(f.yields)
        new: dict[Value, Value] = {}
        for k, v in enumerate(kept):
            new[v] = bound(v.origin.name or "value", v.type, v.origin)
            back.sequences.append((new[v], part(again, first + k, v.origin.name)))
    results = substituted([*back.next, *back.yields, *back.sums], new)
    n, m = len(back.next), len(back.next) + len(back.yields)
    back.next, back.yields, back.sums = results[:n], results[n:m], results[m:]


__all__ = ["inside", "scan_gradient"]
