"""`train --live`: a local page that shows a training while it runs.

In: what the loop tells its observers. Out: `live.html` in the output folder, written when the run
begins and when it ends, and between them `live.js`, which the open page loads by itself. Training
hears nothing of it: what is written or measured here takes 2% of the time at most, changes no
number of the run, and what goes wrong is a note.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .dsl.diagnostics import Failure
from .plots.curves import gradient_norms, rate
from .progress import duration, number
from .runtime.files import write_text
from .runtime.history import Row, read
from .runtime.train.observer import EpochDone, Observer, Progress, Started
from .showing import found, losses
from .viz.curves import panels
from .viz.live import Live, Norm, Shown, news, page

if TYPE_CHECKING:
    from .model import Model

PAGE, NEWS = "live.html", "live.js"
PATIENCE = 30.0  # seconds of training before gradients are measured the first time
SHARE = 50  # and this many times as long as something took until it is done again: 2% at most
LEAST = 0.5  # seconds between two writes
EPOCHS_SHOWN = 3  # of what the net makes


class LivePage(Observer):
    """Passes on what it hears, and keeps the page up to date."""

    def __init__(self, model: Model, folder: Path, listener: Observer | None = None) -> None:
        self.model, self.folder = model, folder
        self.listener = listener or Observer()
        self.path = folder / PAGE
        self.losses = losses(model)
        self.times, self.rate_name = rate(model)
        self.rows: list[dict[str, Any]] = []
        self.norms: dict[str, list[tuple[float, float]]] = {}
        self.now: dict[str, list[tuple[float, float]]] = {}
        self.words, self.done, self.epochs = "starting", 0.0, 1.0
        self._number = 0
        self._write_again = self._measure_again = 0.0  # on the monotonic clock
        self._values: Mapping[str, NDArray[Any]] = {}
        self._epoch = 0
        self._broken = False

    # ------------------------------------------------------------ what is heard

    def started(self, facts: Started) -> None:
        self.epochs = facts.epochs
        if facts.resumed_at:
            self.rows = [r.as_dict() for r in self._earlier() if r.step <= facts.resumed_at]
            self._epoch = facts.resumed_at // facts.per_epoch
            self.done = min(1.0, facts.resumed_at / (facts.per_epoch * facts.epochs))
        self._measure_again = time.monotonic() + PATIENCE
        self._write(PAGE)
        self.listener.started(facts)
        if not self._broken:
            self.listener.note(f"live page: {self.path}")

    def progress(self, facts: Progress) -> None:
        self.listener.progress(facts)
        self.done = facts.step / max(1, facts.total)
        at = facts.epoch - 1 + facts.epoch_share
        for name, value in facts.values.items():
            self.now.setdefault(name, []).append((at, value))
        first = ", ".join(f"{n} {number(v)}" for n, v in list(facts.values.items())[:2])
        self.words = (
            f"epoch {facts.epoch} of {self.epochs:.4g}, step {facts.step:,} of {facts.total:,};"
            f" {first}; {facts.examples_per_second:,.0f} examples/s,"
            f" {duration(facts.seconds_left)} left"
        )
        if time.monotonic() >= self._write_again:
            self._write(NEWS)

    def sample(self, epoch: int, values: Mapping[str, NDArray[Any]]) -> None:
        self.listener.sample(epoch, values)

    def epoch_values(self, epoch: int, values: Mapping[str, NDArray[Any]]) -> None:
        """Measure the gradients now and then."""
        self.listener.epoch_values(epoch, values)
        self._values, self._epoch = values, epoch
        if time.monotonic() >= self._measure_again:
            self._measure()

    def epoch_done(self, facts: EpochDone) -> None:
        self.listener.epoch_done(facts)
        self.rows.append(Row(facts.epoch, facts.step, "train", facts.train, facts.rate).as_dict())
        if facts.valid:
            self.rows.append(Row(facts.epoch, facts.step, "valid", facts.valid).as_dict())
        self.now = {}
        if time.monotonic() >= self._write_again:
            self._write(NEWS)

    def note(self, text: str) -> None:
        self.listener.note(text)

    def ended(self, how: str) -> None:
        """The last page: it looks for nothing, and the one that is open stops."""
        if how == "finished":
            self.done = 1.0
            if self._values and not self.norms:
                self._measure()
        epochs = {r["epoch"] for r in self.rows}
        self.words = f"{len(epochs)} epoch{'s' if len(epochs) != 1 else ''} in the history"
        self._write(NEWS, how)
        self._write(PAGE, how)

    # ------------------------------------------------------------ what is made of it

    def _earlier(self) -> list[Row]:
        try:
            return read(self.folder / "history.jsonl")
        except Failure:
            return []  # the run itself says so

    def _measure(self) -> None:
        """‖∂L/∂θ‖ of each layer, over the same examples each time."""
        began = time.monotonic()
        session = self.model.session
        before = session.values
        session.values = dict(self._values)
        try:
            measured = gradient_norms(self.model) if self.losses else []
        except Failure:
            self._measure_again = float("inf")
            return
        finally:
            session.values = before
        for one in measured:
            self.norms.setdefault(one.layer, []).append((float(self._epoch), one.value))
        now = time.monotonic()
        self._measure_again = now + SHARE * (now - began)

    def _write(self, name: str, state: str = "running") -> None:
        if self._broken:
            return
        began = time.monotonic()
        self._number += 1
        live = self._live(state)
        try:
            if name == PAGE and state == "running":  # nothing of an earlier run
                (self.folder / NEWS).unlink(missing_ok=True)
            write_text(self.folder / name, page(live) if name == PAGE else news(live, self._number))
        except (Failure, OSError) as error:
            self._broken = True
            self.listener.note(f"the live page cannot be written: {error}")
        now = time.monotonic()
        self._write_again = now + max(LEAST, SHARE * (now - began))

    def _live(self, state: str) -> Live:
        rates = [(float(r["epoch"]), float(r["lr"]) * self.times)
                 for r in self.rows if r.get("lr") is not None]  # fmt: skip
        return Live(
            self.model.name, state, self.words, self.done, panels(self.rows, self.losses),
            dict(self.now), rates, self.rate_name,
            [Norm(layer, points) for layer, points in self.norms.items()], self._shown(),
        )  # fmt: skip

    def _shown(self) -> list[Shown]:
        if self.model.settings.sample is None:
            return []
        files: dict[str, list[tuple[int, Path]]] = {}
        for epoch, name, path in found(self.folder):
            files.setdefault(name, []).append((epoch, path))
        shown = []
        for name, known in files.items():
            for epoch, path in known[-EPOCHS_SHOWN:]:
                title = f"{name}, epoch {epoch}".lstrip(", ")
                if path.suffix == ".txt":
                    text = path.read_text(encoding="utf-8", errors="replace")
                    shown.append(Shown(title, text=text))
                else:
                    shown.append(Shown(title, file=path.relative_to(self.folder).as_posix()))
        return shown
