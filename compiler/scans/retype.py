"""Values on operands of other types: what was shared by the batch becomes one for each example.

In: values, and others that take the place of some of their leaves. Out: the same computation, with
types inferred anew, through the bodies of scans; a carried value becomes per example where a step
makes it so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..autodiff import like
from ..graph import topological
from ..op import apply
from ..ops.scan import bound, slice_type
from ..types import Type
from ..value import Value, origin
from .build import Recurrence, part, pieces


def retyped(roots: Sequence[Value], new: Mapping[Value, Value]) -> list[Value]:
    """`roots` with the values of `new` exchanged, whose types may differ in being batched."""
    done: dict[Value, Value] = dict(new)
    for v in topological(roots):
        if v in done:
            continue
        args = tuple(done[a] for a in v.args)
        if all(a is b for a, b in zip(args, v.args, strict=True)):
            done[v] = v
        elif v.op.family == "scan":
            done[v] = _scan(v, args)
        elif v.op.family == "part":
            with origin(v.origin):
                done[v] = part(args[0], v.attrs["index"], v.origin.name)
        else:
            done[v] = v.with_args(args)
    return [done[r] for r in roots]


def batched_throughout(p: Recurrence) -> None:
    """What a step makes per example is carried per example."""
    for _ in range(len(p.carries) + 1):
        short = [k for k, (b, _) in enumerate(p.carries) if p.next[k].type.batched > b.type.batched]
        if not short:
            break
        new: dict[Value, Value] = {}
        for k in short:
            b, first = p.carries[k]
            start = apply("broadcast", first, shape=first.shape, batch=True)
            new[b] = _placeholder(b, b.type.with_(batched=True))
            p.carries[k] = (new[b], start)
        _exchange(p, new)
    p.next = [like(v, b) for v, (b, _) in zip(p.next, p.carries, strict=True)]


def _scan(v: Value, args: tuple[Value, ...]) -> Value:
    p = pieces(v)
    n, m = len(p.carries), len(p.carries) + len(p.sequences)
    new: dict[Value, Value] = {}

    def pair(b: Value, a: Value, type: Type) -> tuple[Value, Value]:
        if type.batched != b.type.batched:
            new[b] = _placeholder(b, b.type.with_(batched=type.batched))
        return new.get(b, b), a

    p = replace(
        p,
        carries=[pair(b, a, a.type) for (b, _), a in zip(p.carries, args[:n], strict=True)],
        sequences=[
            pair(b, a, slice_type(a.type, p.steps))
            for (b, _), a in zip(p.sequences, args[n:m], strict=True)
        ],
        shared=[pair(b, a, a.type) for (b, _), a in zip(p.shared, args[m:], strict=True)],
    )
    with origin(v.origin):
        _exchange(p, new)
        batched_throughout(p)
        return p.value()


def _placeholder(b: Value, type: Type) -> Value:
    return bound(b.origin.name or "value", type, b.origin)


def _exchange(p: Recurrence, new: Mapping[Value, Value]) -> None:
    results = retyped([*p.next, *p.yields, *p.sums], new)
    n, m = len(p.next), len(p.next) + len(p.yields)
    p.next, p.yields, p.sums = results[:n], results[n:m], results[m:]
