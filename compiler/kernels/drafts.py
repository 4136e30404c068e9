"""Drafts: kernels whose slots name what they hold, before anything has an address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...dsl.source import Span
from ..graph import Output
from ..plan import Access, AnyKernel, Loops, Stage, Write
from ..scalar import Element
from ..value import Value
from .affine import contiguous
from .forms import Normal


@dataclass(frozen=True, slots=True)
class Home:
    """Where a value lies. kind: given, update (the new value of a param or state), output, temp."""

    kind: str
    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Draft:
    """A kernel whose slot i is `homes[i]`. `after`: drafts, by number, that must run first though
    it reads nothing of theirs. `within`: framed homes (first) that are a part of one of its own
    (second), so many steps from its beginning (third)."""

    kernel: AnyKernel
    homes: tuple[Home, ...]
    after: tuple[int, ...] = ()
    within: tuple[tuple[Home, Home, int], ...] = ()


@dataclass(frozen=True)
class Fused:
    """Kernels in a possible order, and where each output of the graph is found."""

    normal: Normal
    drafts: tuple[Draft, ...]
    results: tuple[tuple[Output, Home], ...]


class Slots:
    """Slot numbers of one kernel, in order of first use."""

    def __init__(self, homes_of: Callable[[Value], list[Home]]) -> None:
        self.homes_of = homes_of
        self.number: dict[Home, int] = {}

    def of(self, v: Value) -> int:
        return self.at(self.homes_of(v)[0])

    def at(self, home: Home) -> int:
        return self.number.setdefault(home, len(self.number))

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(range(len(self.number)))

    @property
    def homes(self) -> tuple[Home, ...]:
        return tuple(self.number)


def copying(name: str, v: Value, example: int) -> Loops:
    """Slot 0 into slot 1. `example`: from one example to the next where it is read."""
    axes = (v.type.size,) if v.type.size > 1 else ()
    read = Access(0, v.type.dtype, contiguous(axes), 0, example)
    write = Access(1, v.type.dtype, contiguous(axes), 0, v.type.size if v.type.batched else 0)
    stage = Stage(axes, (read,), (), (Write(write, Element(0)),))
    return Loops(
        name, (0, 1), (v,), v.origin.span, (0,), (1,), (stage,), v.type.batched,
        frame=v.type.frame if v.type.batched else None,
    )  # fmt: skip


def used(stages: Sequence[Stage]) -> tuple[set[int], tuple[int, ...]]:
    """Slots read, slots written."""
    reads = {a.slot for s in stages for a in s.reads if a.slot >= 0}
    writes = {w.access.slot for s in stages for w in s.writes}
    writes |= {f.access.slot for s in stages for f in s.folds}
    return reads, tuple(sorted(writes))


def span_of(values: Sequence[Value]) -> Span | None:
    return next((v.origin.span for v in values if v.origin.span is not None), None)
