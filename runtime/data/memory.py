"""How much memory there is, and refusals that say the figure before anything is allocated."""

from __future__ import annotations

import os
from pathlib import Path

from ...dsl.diagnostics import fail
from ...dsl.source import Span


def available_memory() -> int:
    """Bytes that can be had now without swapping: the machine's, or the container's if less."""
    found = [_machine()]
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        total, now = _number(limit), _number(used)
        if total is not None and now is not None:
            found.append(max(0, total - now))
    return min(found)


def check_fits(needed: int, what: str, span: Span | None, way_out: str) -> None:
    """Raise E410 when `needed` bytes are more than there are."""
    available = available_memory()
    if needed > available:
        raise fail(
            "E410",
            f"{what} needs {readable(needed)} of memory, and {readable(available)} are available",
            span,
            help=way_out,
        )


def readable(size: int) -> str:
    """`1.5 GB`: a size for people, in powers of 1000."""
    value, unit = float(size), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if value < 1000 or unit == "PB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.3g} {unit}"


def _machine() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 1 << 62  # unknown: nothing can be refused


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # `max`, or no such controller
        return None
