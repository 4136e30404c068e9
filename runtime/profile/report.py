"""What the times of a profile mean: rows by launch, kernel, layer or line, against the roofs.

In: `StepTimes` of every step of a training turn, where each block instance was written, the
machine's peaks. Out: `Row`s whose shares sum to 1, greatest first. A kernel belongs to the layer of
its heaviest value: what is fused into it costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...compiler.elaborate.scope import LIBRARY
from ...compiler.plan import AnyKernel
from ...compiler.plan_report import kernel_cost
from ...compiler.value import Origin, Value
from ...dsl.source import Span
from .peaks import Peaks
from .steps import StepTimes

BY = ("launch", "kernel", "layer", "line")
OVERHEAD = (
    ("waiting", "waiting for other threads"),
    ("calls", "calls of the kernels"),
    ("between", "examples in, losses out"),
)


@dataclass(frozen=True)
class Timed:
    """One launch: what it is, where it comes from, what it costs and how long it took."""

    kernel: AnyKernel
    what: str
    layer: str  # path of the instance, "" for equations of the net's own
    role: str  # forward, backward, update
    span: Span | None  # the user's line, not the library's
    applied: Span | None  # where the outermost block around it is applied
    seconds: float
    flops: int
    nbytes: int


@dataclass
class Row:
    """Launches taken together. `overhead` rows are no kernels."""

    what: str
    layer: str
    roles: tuple[str, ...]
    span: Span | None
    launches: int = 0
    seconds: float = 0.0
    flops: int = 0
    nbytes: int = 0
    share: float = 0.0
    overhead: bool = False
    least: float = 0.0  # seconds that the roofs leave at least
    compute: float = 0.0  # of these, seconds of arithmetic

    @property
    def percent(self) -> float | None:
        """Of the roof that bounds it; None where no roof is known."""
        return 100 * self.least / self.seconds if self.seconds and self.least else None

    @property
    def bound(self) -> str:
        """By which roof: compute or memory."""
        if not self.least:
            return ""
        return "compute" if self.compute > self.least / 2 else "memory"


@dataclass(frozen=True)
class Profile:
    """The launches of a step and what comes beside them."""

    launches: tuple[Timed, ...]
    times: StepTimes
    peaks: Peaks | None

    @property
    def total(self) -> float:
        """Seconds of all parts."""
        return self.times.total

    @property
    def step(self) -> float:
        """Seconds of a step without time stamps."""
        return self.times.step

    @property
    def examples(self) -> int:
        """In a step."""
        return self.times.batch

    @property
    def alone(self) -> float | None:
        """Seconds of a step on one thread, where it was tried."""
        return self.times.alone

    def rows(self, by: str = "launch") -> list[Row]:
        """Greatest share first; what is no kernel has rows of its own, where it takes time."""
        key = _KEYS[by]
        found: dict[object, Row] = {}
        for number, t in enumerate(self.launches):
            chosen = key(number, t)
            row = found.get(chosen)
            if row is None:
                span = t.applied or t.span if by == "layer" else t.span
                row = found[chosen] = Row(_words(by, t), t.layer, (), span)
            _add(row, t, self.peaks)
        kernels = list(found.values())
        rows = [*kernels, *self._overhead()]
        total = self.total or 1.0
        for row in rows:
            row.share = row.seconds / total
        return sorted(rows, key=lambda r: -r.seconds)

    def _overhead(self) -> list[Row]:
        rows = []
        for name, words in OVERHEAD:
            seconds = getattr(self.times, name)
            rows.append(Row(words, "", (), None, seconds=seconds, overhead=True))
        return [r for r in rows if r.seconds]

    def by_place(self) -> dict[tuple[str, int], float]:
        """Seconds by (path of the instance, line), for a diagram."""
        found: dict[tuple[str, int], float] = {}
        for t in self.launches:
            key = (t.layer, t.span.line if t.span is not None else 0)
            found[key] = found.get(key, 0.0) + t.seconds
        return found


def report(times: StepTimes, places: Mapping[str, Span], peaks: Peaks | None) -> Profile:
    """`places`: where the block instances of the step were written (`Graph.places`)."""
    launches = [
        _timed(times, number, kernel, places) for number, kernel in enumerate(times.plan.kernels)
    ]
    return Profile(tuple(launches), times, peaks)


def _timed(times: StepTimes, number: int, kernel: AnyKernel, places: Mapping[str, Span]) -> Timed:
    origin = heaviest(kernel, times.batch)
    cost = kernel_cost(times.plan, kernel, times.batch)
    words = kernel.label
    shown = next((v.origin.instance for v in kernel.values if words.startswith(
        f"{v.origin.instance}: ")), "")  # fmt: skip
    if shown:
        words = words.removeprefix(f"{shown}: ")
    return Timed(
        kernel, words, origin.instance, origin.role, written_at(origin, places),
        places.get(_top(origin.instance)),
        float(times.kernels[number]), cost.flops, cost.nbytes,
    )  # fmt: skip


def heaviest(kernel: AnyKernel, batch: int) -> Origin:
    """Where the value comes from that costs most."""
    found = max(kernel.values, key=lambda v: _weight(v, batch), default=None)
    return found.origin if found is not None else Origin()


def _weight(v: Value, batch: int) -> int:
    per_example = v.type.batched or any(a.type.batched for a in v.args)
    return v.op.flops(v) * (batch if per_example else 1)


def written_at(origin: Origin, places: Mapping[str, Span]) -> Span | None:
    """The user's line: of the equation itself, else of the innermost block that the user applied;
    None for what only the library wrote."""
    if origin.span is not None and not _library(origin.span):
        return origin.span
    path = origin.instance
    while path:
        span = places.get(path)
        if span is not None and not _library(span):
            return span
        path = path.rpartition(".")[0]
    return written_at(origin.of.origin, places) if origin.of is not None else None


def _library(span: Span) -> bool:
    return span.source.name.startswith(LIBRARY)


def _add(row: Row, t: Timed, peaks: Peaks | None) -> None:
    row.launches += 1
    row.seconds += t.seconds
    row.flops += t.flops
    row.nbytes += t.nbytes
    if t.role not in row.roles:
        row.roles = (*row.roles, t.role)
    if peaks is None:
        return
    compute, memory = t.flops / peaks.flops, t.nbytes / peaks.nbytes
    row.least += max(compute, memory)
    row.compute += compute if compute >= memory else 0.0


def _top(path: str) -> str:
    return path.partition(".")[0]


def _line(t: Timed) -> tuple[str, int]:
    return (t.span.source.name, t.span.line) if t.span is not None else ("", 0)


_KEYS: dict[str, Callable[[int, Timed], object]] = {
    "launch": lambda number, t: number,
    "kernel": lambda number, t: t.kernel.key,
    "layer": lambda number, t: _top(t.layer) or _line(t),
    "line": lambda number, t: _line(t),
}


def _words(by: str, t: Timed) -> str:
    """What a row is called, after its first launch."""
    if by == "layer":
        return _top(t.layer) or _source(t.span) or t.what
    if by == "line":
        return _source(t.span) or "no line of the file"
    return f"{t.layer}: {t.what}" if t.layer and not t.what.startswith("update ") else t.what


def _source(span: Span | None) -> str:
    return span.source.line(span.line).strip() if span is not None else ""
