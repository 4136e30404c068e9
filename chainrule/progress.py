"""Training as seen on a terminal: a bar while an epoch runs, a line when it is over.

In: what the loop tells its observer. Out: lines on standard output, and, where standard error is a
terminal, a bar there with loss, throughput and time left. On a pipe there are only lines.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import Any

from .console import WIDTH, say
from .runtime.train.observer import EpochDone, Observer, Progress, Started

QUIET_SPELL = 15.0  # seconds after which a long epoch gives a sign of life on a pipe


def number(value: float) -> str:
    """Four significant digits, so that columns stand still: 0.01234, 0.9700, 12.34, 1.2e-05."""
    if value == 0 or not 1e-3 <= abs(value) < 1e6:
        return f"{value:.1e}" if value else "0"
    return f"{value:#.4g}".rstrip(".")


def duration(seconds: float) -> str:
    """`0:07`, `1:02:03`."""
    whole = int(min(max(0.0, seconds), 359_999))
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours}:{minutes:02}:{whole % 60:02}"
    return f"{minutes}:{whole % 60:02}"


def values(facts: Mapping[str, float], limit: int = 2) -> str:
    """`loss 0.3754  accuracy 0.926`: the first few."""
    return "  ".join(f"{name} {number(v)}" for name, v in list(facts.items())[:limit])


class Lines(Observer):
    """A line an epoch, and now and then one inside a long epoch. For pipes and files."""

    def __init__(self) -> None:
        self._digits = 1
        self._last: float | None = None

    def started(self, facts: Started) -> None:
        epochs = f"{facts.epochs:.4g} epoch{'s' if facts.epochs != 1 else ''}"
        self._digits = len(f"{math.ceil(facts.epochs - 1e-9)}")
        say(f"training {facts.net} on {facts.device}: {facts.parameters:,} parameters, "
            f"{facts.examples:,} examples,")  # fmt: skip
        say(f"batch {facts.batch}, {facts.per_epoch:,} steps an epoch, {epochs}")
        if facts.resumed_at:
            say(f"resumed after step {facts.resumed_at:,}")

    def progress(self, facts: Progress) -> None:
        now = time.monotonic()
        if self._last is None:
            self._last = now  # the first step also loads what is compiled
        if now - self._last < QUIET_SPELL:
            return
        self._last = now
        say(f"  step {facts.step:,} of {facts.total:,}  {values(facts.values)}  "
            f"{duration(facts.seconds_left)} left")  # fmt: skip

    def epoch_done(self, facts: EpochDone) -> None:
        self._last = time.monotonic()
        self.line(self.epoch_line(facts))

    def epoch_line(self, facts: EpochDone) -> str:
        """`epoch  3/30  loss 0.3754  accuracy 0.926 | valid loss 0.3186  accuracy 0.9375 *`."""
        total = math.ceil(facts.epochs - 1e-9)
        text = f"epoch {facts.epoch:>{self._digits}}/{total}  {values(facts.train)}"
        if facts.valid:
            text += f" | valid {values(facts.valid)}"
        return text + (" *" if facts.best else "")

    def note(self, text: str) -> None:
        self.line(text)

    def line(self, text: str) -> None:
        """One line of the record."""
        say(text)


class Bar(Lines):
    """The same lines, with a bar below them."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Rich

        console = Console(stderr=True, highlight=False)
        width = min(console.width, WIDTH)
        self._bar = Rich(
            TextColumn("{task.description}"),
            BarColumn(bar_width=max(8, width - 62)),
            TextColumn("{task.fields[facts]}"),
            console=console, transient=True, auto_refresh=False,
        )  # fmt: skip
        self._task: Any = None

    def started(self, facts: Started) -> None:
        super().started(facts)
        self._bar.start()
        self._task = self._bar.add_task("starting", total=facts.per_epoch, facts="")
        self._epochs = facts.epochs

    def progress(self, facts: Progress) -> None:
        loss = values(facts.values, 1)
        speed = f"{facts.examples_per_second:,.0f}/s"
        total = self._bar.tasks[0].total or 1
        self._bar.update(
            self._task, completed=facts.epoch_share * total, refresh=True,
            description=f"epoch {facts.epoch:>{self._digits}}/{math.ceil(self._epochs - 1e-9)}",
            facts=f"{loss:<16.16} {speed:>12} {duration(facts.seconds_left):>8} left",
        )  # fmt: skip

    def line(self, text: str) -> None:
        if sys.stdout.isatty():
            self._bar.console.print(text, markup=False, soft_wrap=True)
        else:
            say(text)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


def observer(quiet: bool) -> Observer:
    """The listener that suits the terminal."""
    if quiet:
        return Observer()
    return Bar() if sys.stderr.isatty() else Lines()
