"""Which kernel computes what a stop tells, and its text.

In: the plan of a training step. Out: `Told` kernels with their number and source, and for values
of the readable graph the kernel that computes them: passes make new values, but keep where a value
comes from, so both are compared by their origins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...compiler.emit.cpu import Target, title, write
from ...compiler.plan import Along, AnyKernel, Plan, Recurrence
from ...compiler.value import Value

LONGEST = 160  # lines of a kernel's text


@dataclass(frozen=True)
class Told:
    """A kernel: its place in the order of a step, what it is called, its text."""

    number: str
    label: str
    words: str
    text: str


@dataclass
class Kernels:
    """The kernels of a plan, each with where its values come from."""

    plan: Plan

    def __post_init__(self) -> None:
        self.all: list[tuple[str, AnyKernel]] = []
        for k, kernel in enumerate(self.plan.kernels, start=1):
            self.all.append((str(k), kernel))
            if isinstance(kernel, Recurrence):
                inside = enumerate(kernel.inside, start=1)
                self.all += [(f"{k}.{n}", each) for n, each in inside]
        self.origins = [_origins(kernel.values) for _, kernel in self.all]

    def of(self, values: Sequence[Value], in_scan: bool) -> int | None:
        """The kernel that computes most of these values; of a step of a scan one that runs for each
        step."""
        weights = {("forward", *_place(v)): 1 for v in values}
        found = self._best(weights, in_scan)
        if found is None and values and values[0].origin.instance:
            # Rewritten into other operations of the same block: softmax before a logarithm.
            return self._best({("forward", values[0].origin.instance): 1}, in_scan)
        return found

    def of_gradient(self, v: Value, readers: Sequence[Value], in_scan: bool) -> int | None:
        """The kernel that computes ∂L/∂v: the rules of what reads v make it, and the rule of v uses
        it, rather in the same kernel."""
        is_param = v.op.name == "param"
        weights: dict[tuple[object, ...], int] = {("backward", *_place(x)): 2 for x in readers}
        weights["backward", *_place(v)] = 3 if is_param else 1
        return self._best(weights, in_scan and not is_param)

    def _best(self, weights: Mapping[tuple[object, ...], int], in_scan: bool) -> int | None:
        best, found = 0, None
        for k, origins in enumerate(self.origins):
            score = sum(weight for key, weight in weights.items() if key in origins)
            score += 100 if score and in_scan and "." in self.all[k][0] else 0
            if score > best:
                best, found = score, k
        return found

    def updating(self, param: str) -> int | None:
        """The kernel that writes the new value of a parameter."""
        found = None
        for k, (number, kernel) in enumerate(self.all):
            if "." in number:
                continue  # its slots are those of the recurrence
            if any(self.plan.buffers[kernel.slots[i]].name == param for i in kernel.writes):
                found = k
        return found

    def told(self, k: int) -> Told:
        """A kernel for a reader."""
        number, kernel = self.all[k]
        label = re.sub(r"~\d+", "", kernel.label)  # numbers that tell leaves of bodies apart
        if isinstance(kernel, Recurrence):
            steps = f"{len(kernel.turns)} kernels for each of {kernel.over.steps} steps"
            return Told(number, label, steps, "")
        if isinstance(kernel, Along):
            return Told(number, label, "Steps become an axis.", "")
        text = write(kernel, self.plan.capacity, Target(), "simd").text
        rows = text.strip("\n").split("\n")
        if len(rows) > LONGEST:
            rows = [*rows[:LONGEST], f"# … {len(rows) - LONGEST} more lines"]
        return Told(number, label, title(kernel), "\n".join(rows))


def _place(v: Value) -> tuple[object, ...]:
    o = v.origin
    where = (o.span.source.name, o.span.start) if o.span is not None else ()
    return (o.instance, v.op.name if v.op.family == "leaf" else "", where, v.attrs.get("name", ""))


def _origins(values: Iterable[Value]) -> set[tuple[object, ...]]:
    found: set[tuple[object, ...]] = set()
    for v in values:
        role, of = v.origin.role, v.origin.of
        source = of if role == "backward" and of is not None else v
        found |= {(role, *_place(source)), (role, source.origin.instance)}
    return found
