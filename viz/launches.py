"""A plan as its launches: what each reads and writes, to which part of the step it belongs, and for
which line of the net.

In: a `Plan` and the graph of its step. Out: a `Launch` for each kernel, in order; words for bytes,
values and lines. What is drawn of them is the business of the views of kernels and of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..compiler.graph import Graph
from ..compiler.plan import AnyKernel, Buffer, Plan, Recurrence
from ..compiler.plan_report import Cost, kernel_cost
from ..compiler.value import Value
from ..dsl.source import Span

PARTS = ("forward", "backward", "update")


@dataclass(frozen=True)
class Held:
    """A buffer as one kernel sees it: its number, and the value that lies in it."""

    index: int
    buffer: Buffer
    value: Value
    nbytes: int


@dataclass(frozen=True)
class Launch:
    """One kernel of a step. `number` from 1; `epoch`: how many barriers are before it. `parts`: of
    forward, backward and update those that it does work of. `line`: where the net says what it
    computes, None for what the optimizer needs besides."""

    number: int
    epoch: int
    kernel: AnyKernel
    parts: tuple[str, ...]
    line: Span | None
    reads: tuple[Held, ...]
    writes: tuple[Held, ...]
    cost: Cost

    @property
    def part(self) -> str:
        """The first of its parts: a kernel that makes the softmax and, since it is at hand, its
        gradient belongs to the forward pass."""
        return self.parts[0]

    @property
    def form(self) -> str:
        """What kind of kernel it is, in a word."""
        kind = type(self.kernel).__name__.lower()
        return f"recurrence over {self.kernel.over.steps} steps" if isinstance(
            self.kernel, Recurrence) else kind  # fmt: skip

    @cached_property
    def touched(self) -> tuple[Held, ...]:
        """Each buffer that it reads or writes, once."""
        return tuple({h.index: h for h in (*self.reads, *self.writes)}.values())


def launches(plan: Plan, graph: Graph) -> tuple[Launch, ...]:
    """The kernels of a plan in order. `graph`: any of its stages, for the places of its blocks."""
    found = []
    epoch = 0
    for i, kernel in enumerate(plan.kernels):
        epoch += plan.barriers[i]
        reads = _held(plan, i, kernel.reads)
        writes = _held(plan, i, kernel.writes)
        values = [h.value for h in writes] + list(kernel.values)
        parts = _parts(writes)
        tied = parts != ("update",) or any(h.buffer.kind == "param" for h in writes)
        line = line_of(values, kernel.span, graph) if tied else None
        found.append(
            Launch(
                i + 1, epoch, kernel, parts, line,
                reads, writes, kernel_cost(plan, kernel, plan.capacity),
            )
        )  # fmt: skip
    return tuple(found)


def _held(plan: Plan, i: int, slots: Sequence[int]) -> tuple[Held, ...]:
    """What lies behind slots, each buffer once; parts of a buffer count as that buffer."""
    found: dict[int, Held] = {}
    for s in slots:
        index = plan.kernels[i].slots[s]
        while plan.buffers[index].within >= 0:
            index = plan.buffers[index].within
        buffer = plan.buffers[index]
        found.setdefault(
            index, Held(index, buffer, plan.contents[i][s], buffer.nbytes(plan.capacity))
        )
    return tuple(found.values())


def _parts(writes: Sequence[Held]) -> tuple[str, ...]:
    """A kernel that changes a parameter belongs to the update, though it may make the gradient on
    its way."""
    if any(h.buffer.kind == "param" for h in writes):
        return ("update",)
    found = {part_of(h.value) for h in writes}
    return tuple(p for p in PARTS if p in found) or ("forward",)


def part_of(v: Value) -> str:
    """Of which part of the step a value is a result."""
    span = v.origin.span
    if span is not None and span.source.name.endswith("/optimizers.net"):
        return "update"
    return v.origin.role if v.origin.role in PARTS else "forward"


def line_of(values: Sequence[Value], span: Span | None, graph: Graph) -> Span | None:
    """The place in the user's file for which values are computed: where one of them is written, or
    the block that it belongs to; None for what no line asks for."""
    for v in values:
        found = place_of(v, graph)
        if found is not None:
            return found
    return span if span is not None and _is_users(span) else None


def place_of(v: Value, graph: Graph) -> Span | None:
    """Where the user's file says what a value is: its own equation, or the application of the
    innermost block that is not the library's."""
    if v.origin.span is not None and _is_users(v.origin.span):
        return v.origin.span
    path = v.origin.instance
    while path:
        found = graph.places.get(path)
        if found is not None and _is_users(found):
            return found
        path = path.rpartition(".")[0]
    if v.origin.of is not None and v.origin.of is not v:
        return place_of(v.origin.of, graph)
    return None


def _is_users(span: Span) -> bool:
    return not span.source.name.startswith("<chainrule>")


def source_line(span: Span, width: int = 52) -> str:
    """`digits.net:8  h = image -> dense(128)`: the line as it is written."""
    name = span.source.name.replace("\\", "/").rpartition("/")[2]
    text = " ".join(span.source.text.split("\n")[span.line - 1].split("#")[0].split())
    return f"{name}:{span.line}  {cut(text, width)}"


def cut(text: str, width: int) -> str:
    """A text of at most so many letters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def byte_words(n: float) -> str:
    """1536 as `1.54 kB`, three figures."""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n:.0f} B"


def value_words(held: Held) -> str:
    """What to call what lies in a buffer: the leaf's or the user's name, `δ h` for the gradient of
    a named value, else the operation."""
    v, b = held.value, held.buffer
    if b.kind != "temp" and b.name:
        return b.name
    if v.op.name == "transpose" and v.args[0].op.family == "leaf":
        return f"{v.args[0].attrs['name']}ᵀ"
    if part_of(v) == "update":
        return f"optimizer ({v.op.name})"
    if v.origin.role == "backward":
        of = v.origin.of
        return f"δ {of.origin.name}" if of is not None and of.origin.name else f"δ ({v.op.name})"
    if v.origin.paths or v.origin.name:
        return _short(v.origin.paths[-1] if v.origin.paths else v.origin.name)
    return f"{_short(v.origin.instance)} ({v.op.name})".lstrip()


def _short(path: str) -> str:
    """The last two names of a path."""
    return ".".join(path.split(".")[-2:])
