"""A block that is applied several times, drawn once: a discriminator of real and of made images.

In: the boxes of a layer diagram, in order. Out: the boxes, those of the further applications moved
into those of the first (`Box.repeats`). Two boxes belong to the same application where one takes
what the other gives. Blocks whose applications differ in what they do, or feed each other, stay
as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..compiler.value import Value
from .blocks import Box


def applied_once(found: Sequence[Box]) -> list[Box]:
    """The boxes with every block drawn once, the outermost first."""
    result = list(found)
    for path in sorted(_paths(found), key=lambda p: (p.count("."), p)):
        own = [b for b in result if _belongs(b, path)]
        groups = _groups(own)
        if len(groups) < 2 or any(b.inside for b in own):
            continue
        first = max(groups, key=len)  # of a gradient's application the last layers may be missing
        others = [_aligned(g, first) for g in groups if g is not first]
        if not any(b.params for b in first) or any(g is None for g in others):
            continue
        for k, b in enumerate(first):
            b.repeats = [g[k] for g in others if g is not None]
            b.inside = path
            b.shared = False
        gone = {id(b) for g in groups if g is not first for b in g}
        result = [b for b in result if id(b) not in gone]
    return result


def application(b: Box, v: Value) -> int:
    """Which application of the box gives the value: 0 for the first."""
    return next((k for k, x in enumerate(b.applications) if any(s.value is v for s in x.steps)), 0)


def _paths(found: Sequence[Box]) -> set[str]:
    """Blocks with boxes inside, and closed ones."""
    paths: set[str] = set()
    for b in found:
        path = b.path if b.composite else b.path.rpartition(".")[0]
        while path:
            paths.add(path)
            path = path.rpartition(".")[0]
    return paths


def _belongs(b: Box, path: str) -> bool:
    return b.path.startswith(f"{path}.") or (b.composite and b.path == path)


def _groups(own: Sequence[Box]) -> list[list[Box]]:
    """Boxes that are joined by values of examples."""
    makers = {v: b for b in own for v in b.values}
    group = {id(b): k for k, b in enumerate(own)}
    for b in own:
        for v in b.inputs:
            if v in makers and v.type.batched:
                a, z = group[id(makers[v])], group[id(b)]
                group = {key: min(a, z) if k in (a, z) else k for key, k in group.items()}
    return [[b for b in own if group[id(b)] == k] for k in sorted(set(group.values()))]


def _aligned(group: Sequence[Box], first: Sequence[Box]) -> list[Box] | None:
    """The boxes of another application beside those of the first; empty ones where a layer is not
    reached. None where it is not the same block with the same parameters."""
    found: list[Box] = []
    rest = list(group)
    for b in first:
        if rest and _kind(rest[0]) == _kind(b):
            found.append(rest.pop(0))
        else:
            found.append(Box(b.path, b.block))
    return None if rest else found


def _kind(b: Box) -> tuple[object, ...]:
    return (b.path, tuple(b.params), b.signature[:4])
