"""A net's profile: its steps compiled, run on random examples, and told as a table or as JSON.

In: a model, a batch. Out: a `Profile` of `runtime.profile`, a table of 80 columns, JSON, and shares
for the diagram. No data are needed: what kernels cost does not depend on the numbers. (Sizes that
only the data fix are the exception.)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compiler.graph import Graph
from .compiler.pipeline import step
from .compiler.plan import Plan
from .console import WIDTH, table
from .dsl.diagnostics import fail
from .runtime.gradcheck import random_inputs
from .runtime.profile import Peaks, Profile, Row, measure_peaks, profile, report
from .runtime.session import compile_graph, initial_values, part_of

if TYPE_CHECKING:
    from .model import Model

BATCH = 64  # where neither the file nor the command line names one
BAR = 4  # characters
WHAT = 6  # the column that is cut to the width of the table
BARS = " ▏▎▍▌▋▊▉█"


def profile_model(
    model: Model, *, batch: int | None = None, forward: bool = False, seconds: float = 1.0
) -> Profile:
    """Time the training step of a model, or its prediction where it has no training.

    Raises Failure E631 for a device without kernels, E632 for a net that computes nothing.
    """
    size = batch or model.settings.batch or BATCH
    graph = _graph(model, forward)
    program = compile_graph(graph, size, model.device)
    program.push(initial_values(graph, model.settings.seed, model.module.folder))
    fields = random_inputs(graph, size, model.settings.seed)
    before = _peaks(model, program.loaded.plan, size)
    times = profile(program.loaded, fields, size, seconds=seconds)
    after = _peaks(model, program.loaded.plan, size)
    peaks = before.best(after) if before is not None and after is not None else None
    return report(times, graph.places, peaks)


def means_nothing(model: Model) -> bool:
    """Whether the device only simulates another."""
    if model.device.name != "cuda":
        return False
    from .runtime.cuda_toolkit import simulated

    return simulated()


def _graph(model: Model, forward: bool) -> Graph:
    if model.declaration is not None and not forward:
        return step(model.module, model.declaration, dtype=model.dtype, sizes=model.sizes)
    graph = part_of(model.evaluation, "output")
    graph = graph if graph.outputs else model.evaluation
    if not graph.outputs:
        raise fail("E632", f"`{model.name}` computes nothing that could be timed",
                   model.net.name.span, help="add `output …` or `loss …` to the net")  # fmt: skip
    return graph


def _peaks(model: Model, plan: Plan, batch: int) -> Peaks | None:
    """The roofs for the plan's element type, and memory as it is for their working set."""
    from .runtime.cpu import CpuDevice

    if not isinstance(model.device, CpuDevice):
        return None
    used = {i for kernel in plan.kernels for i in kernel.slots}
    working_set = sum(plan.buffers[i].nbytes(batch) for i in used)
    types = {b.type.dtype for b in plan.buffers}
    dtype = "f64" if "f64" in types else "f32"
    return measure_peaks(model.device.threads, dtype, working_set)


# ------------------------------------------------------------------------------------ as text


def as_text(found: Profile, name: str, by: str, top: int) -> str:
    """The table, with what it was measured against."""
    rows = found.rows(by)
    shown, rest = rows[:top], rows[top:]
    here = {r.span.source.name for r in shown if r.span is not None}
    places = [_place(r, len(here) > 1) for r in shown]
    cells = [["share", "", "time", "GFLOP/s", "GB/s", "peak", "what", "line"]]
    for row, place in zip(shown, places, strict=True):
        cells.append([*_numbers(row), _what(row), place])
    if rest:
        share, seconds = sum(r.share for r in rest), sum(r.seconds for r in rest)
        cells.append([*_share(share), time(seconds), "", "", "", f"{len(rest)} more", ""])
    others = [max(len(c[k]) for c in cells) + 2 for k in range(len(cells[0])) if k != WHAT]
    for c in cells:
        c[WHAT] = _cut(c[WHAT], WIDTH - sum(others))
    head = [_cut(line, WIDTH) for line in _head(found, name, here)]
    lines = [*head, "", table(cells, right={0, 2, 3, 4, 5, 7}), ""]
    return "\n".join([*lines, *_foot(found)])


def _head(found: Profile, name: str, files: set[str]) -> list[str]:
    first = found.times
    where = f"{first.threads} threads" if first.threads > 1 else "1 thread"
    device = f"cpu, {where}" if first.device == "cpu" else first.device
    of = f" of {Path(next(iter(files))).name}" if len(files) == 1 else ""
    lines = [f"{name}{of}: a step of {first.batch} examples on {device}"]
    peaks = found.peaks
    if peaks is not None:
        lines.append(
            f"peak: {peaks.flops / 1e9:,.0f} GFLOP/s ({peaks.dtype}), {peaks.nbytes / 1e9:,.0f} "
            f"GB/s in a working set of {_bytes(peaks.working_set)}"
        )
    return lines


def _foot(found: Profile) -> list[str]:
    flops = sum(t.flops for t in found.launches)
    count = len(found.launches)
    lines = [f"all parts   {time(found.total)}, {count} kernel{'s' * (count != 1)}"]
    lines.append(
        f"a step      {time(found.step)} without stamps: {found.examples / found.step:,.0f} "
        f"examples/s, {flops / found.step / 1e9:,.1f} GFLOP/s"
    )
    if found.alone is not None:
        lines.append(f"1 thread    {time(found.alone)} a step")
    if found.peaks is not None:
        lines.append("peak: c, bound by computation; m, by memory (docs/profiling.md)")
    return lines


def _numbers(row: Row) -> list[str]:
    rates = ["", "", ""]
    if row.seconds and not row.overhead:
        rates = [_rate(row.flops / row.seconds), _rate(row.nbytes / row.seconds), ""]
        if row.percent is not None:
            rates[2] = f"{min(row.percent, 999):.0f}% {row.bound[:1]}"
    return [*_share(row.share), time(row.seconds), *rates]


def _share(share: float) -> tuple[str, str]:
    eighths = round(8 * BAR * min(1.0, max(0.0, share)))
    bar = BARS[-1] * (eighths // 8) + (BARS[eighths % 8] if eighths % 8 else "")
    return f"{100 * share:.1f}%", bar.ljust(BAR)


def _what(row: Row) -> str:
    return f"{row.launches} × {row.what}" if row.launches > 1 else row.what


def _place(row: Row, with_file: bool) -> str:
    if row.span is None:
        return ""
    file = Path(row.span.source.name).name[-12:]
    return f"{file}:{row.span.line}" if with_file else str(row.span.line)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1].rstrip("… ") + "…"


def time(seconds: float) -> str:
    """1.23 ms, with three figures."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            return f"{seconds / scale:#.3g}".rstrip(".") + f" {unit}"
    return f"{seconds * 1e9:.0f} ns"


def _rate(rate: float) -> str:
    return f"{rate / 1e9:.1f}" if rate < 1e13 else f"{rate / 1e9:.0f}"


def _bytes(size: int) -> str:
    from .runtime.data.memory import readable

    return readable(size)


# ------------------------------------------------------------------------------------ as JSON


def as_json(found: Profile, name: str, by: str) -> dict[str, Any]:
    """Every row, in SI units; shares sum to 1."""
    first, peaks = found.times, found.peaks
    return {
        "net": name,
        "device": first.device,
        "threads": first.threads,
        "batch": first.batch,
        "steps_timed": first.steps,
        "step_seconds": found.step,
        "step_seconds_on_one_thread": found.alone,
        "parts_seconds": found.total,
        "peak": None if peaks is None else {
            "flops_per_second": peaks.flops, "bytes_per_second": peaks.nbytes,
            "working_set_bytes": peaks.working_set, "dtype": peaks.dtype,
        },
        "by": by,
        "rows": [_row_json(r) for r in found.rows(by)],
    }  # fmt: skip


def _row_json(row: Row) -> dict[str, Any]:
    known = bool(row.seconds) and not row.overhead
    return {
        "what": row.what,
        "kind": "overhead" if row.overhead else "kernel",
        "layer": row.layer,
        "passes": list(row.roles),
        "file": row.span.source.name if row.span is not None else None,
        "line": row.span.line if row.span is not None else None,
        "launches": row.launches,
        "seconds": row.seconds,
        "share": row.share,
        "flops": row.flops,
        "bytes": row.nbytes,
        "flops_per_second": row.flops / row.seconds if known else None,
        "bytes_per_second": row.nbytes / row.seconds if known else None,
        "percent_of_peak": row.percent,
        "bound": row.bound or None,
    }
