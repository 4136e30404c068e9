"""The training loop: epochs of compiled steps, validation, early stopping, checkpoints.

In: a `Job`, an observer, perhaps the wish to resume. Out: an `Outcome`. Between two returns to
Python the device runs a whole stretch of steps, about a tenth of a second long, so that progress is
shown and a request to stop is obeyed promptly while steps of microseconds lose nothing. What the
user sees is left to the observer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compiler.minimize import rate_of
from ...dsl.diagnostics import fail
from ..data.orders import epoch_order
from ..feeding import EpochFeed, Feeder
from ..history import History, Row
from ..schedules import Length, Plateau, PlateauState, combined
from ..session import Means, Session, compile_graph, initial_values, requests_for, sizes_of
from .carrying import check_continuous, for_each_row, is_stateful, row_states
from .diagnose import Stretch, breakdown, run, sound
from .interrupts import Interrupts
from .job import Array, Job, Outcome
from .observer import EpochDone, Observer, Progress, Started
from .state import State
from .store import Store, split_best
from .watch import Monitor, Watch, monitor

STRETCH = 0.12  # seconds of steps between two looks at the clock
SPARE = 0.5  # seconds of work that a crash between two epochs may cost


def train(job: Job, observer: Observer | None = None, *, resume: bool = False) -> Outcome:
    """Run a job to its end, to an early stop, or to an interruption (which saves and returns).

    Raises Failure: E501 where numbers break down, E54x for a checkpoint that does not fit.
    """
    return _Run(job, observer or Observer(), resume).go()


class _Run:
    """One run of a job: its program, its values and its state."""

    def __init__(self, job: Job, observer: Observer, resume: bool) -> None:
        self.job, self.observer = job, observer
        self.settings = job.settings
        count = len(job.dataset.train)
        if count == 0:
            raise fail("E502", "there are no training examples", job.span,
                       help="leave some for training: `split(valid = 0.1)`")  # fmt: skip
        self.batch = count if self.settings.batch is None else min(self.settings.batch, count)
        self.stateful = is_stateful(job.step)
        if self.stateful:
            check_continuous(job)
        per_epoch = count // self.batch if self.stateful else -(-count // self.batch)
        total = self.settings.steps or math.ceil((self.settings.epochs or 1) * per_epoch - 1e-9)
        self.length = Length(per_epoch, total)
        self.program = compile_graph(job.step, self.batch, job.device)
        self.feeder = Feeder(
            job.dataset.train, requests_for(job.step, job.bound),
            seed=self.settings.seed,
        )  # fmt: skip
        self.session = Session(
            job.evaluation, job.device,
            seed=self.settings.seed, values=job.start, folder=job.base,
        )  # fmt: skip
        self.valid = self._valid_feeder()
        self.monitor, self.plateau_monitor = self._monitors()
        self.store = Store(job)
        self.begun: dict[str, Array] = {}  # states of rows, as an epoch begins with them
        self.values = self._initial()
        self.best: dict[str, Array] = {}
        self.state = State(Means(self.program.recorded), self._watch())
        self.history = History(job.folder)
        if resume:
            self._resume()
        self.program.push(self.values)
        self.saved = -math.inf  # when, on the monotonic clock
        self.stretch = 1  # steps; grows until a stretch takes `STRETCH` seconds
        self.speed = 0.0  # examples per second, over the last stretches

    # ------------------------------------------------------------ setting up

    def _valid_feeder(self) -> Feeder | None:
        part = self.job.dataset.valid
        if not len(part):
            return None
        return Feeder(part, requests_for(self.job.evaluation, self.job.bound))

    def _monitors(self) -> tuple[Monitor | None, Monitor | None]:
        losses = [o.name for o in self.job.evaluation.of_kind("loss")]
        metrics = [o.name for o in self.job.evaluation.of_kind("metric")]
        has_valid = self.valid is not None
        stop, plateau = self.settings.stop, self.settings.plateau
        span = self.job.span
        return (
            monitor(stop.monitor, losses, metrics, has_valid, stop.span or span) if stop else None,
            monitor(plateau.monitor, losses, metrics, has_valid, span) if plateau else None,
        )

    def _watch(self) -> Watch:
        return Watch(self.settings.stop.min_delta if self.settings.stop else 0.0)

    def _initial(self) -> dict[str, Array]:
        values = dict(self.session.values)
        fresh = initial_values(self.job.step, self.settings.seed, self.job.base)
        values |= {name: array for name, array in fresh.items() if name not in values}
        self.begun = for_each_row(fresh, row_states(self.job.step), self.batch)
        values |= self.begun
        carried = self.program.carried
        return {n: a for n, a in values.items() if n in carried or n in self.session.values}

    def _resume(self) -> None:
        found = self.store.load(self.values, self.session.values)
        try:
            self.state = State.from_json(
                found.meta["state"], self.program.recorded, self._watch().min_delta
            )
        except (KeyError, TypeError, ValueError) as error:
            message = f"`{found.path}` does not say where its training stood"
            raise fail("E541", message, help="use an earlier checkpoint") from error
        self.values, self.best = split_best(found.tensors)
        # Where nothing is left to train, these are the weights that the run ends with.
        self.session.values = {n: self.values[n] for n in self.session.values}
        if self.job.folder is not None:
            self.history = History.resume(self.job.folder, self.state.step)
        if self.state.step < self.length.total and not self.state.stopped_early:
            self.state.finished = False

    # ------------------------------------------------------------ the run

    def go(self) -> Outcome:
        """Epoch after epoch."""
        self.observer.started(self._facts())
        with Interrupts() as interrupts:
            while not self.state.finished and not interrupts.asked:
                self._epoch(interrupts)
        if not self.state.finished:
            self._take()
            self.store.save(self.values, self.best, self.state)
            return self._outcome(interrupted=True)
        self._finish()
        return self._outcome(interrupted=False)

    def _facts(self) -> Started:
        count = sum(p.value.type.size for p in self.job.step.params)
        return Started(
            self.job.evaluation.name, len(self.job.dataset.train), self.batch,
            self.length.per_epoch, self.length.epochs, count,
            self.job.device.name, self.state.step,
        )  # fmt: skip

    def _epoch(self, interrupts: Interrupts) -> None:
        state = self.state
        order = epoch_order(
            self.job.dataset.train, self.batch, self.settings.seed, state.epoch,
            shuffle=self.settings.shuffle, bucket=self.job.dataset.bucket, stateful=self.stateful,
        )  # fmt: skip
        if state.in_epoch == 0:
            for name in self.begun.keys() & set(self.program.carried):
                self.program.loaded.write(name, self.begun[name])
        began = time.perf_counter()
        seen = state.means.examples
        last = min(self.length.per_epoch, self.length.total - state.step + state.in_epoch)
        with self.feeder.epoch(order, self.batch, state.in_epoch, state.epoch) as feed:
            while state.in_epoch < last:
                if interrupts.asked:
                    state.seconds += time.perf_counter() - began
                    return
                self._run_stretch(feed, min(self.stretch, last - state.in_epoch))
        state.seconds += time.perf_counter() - began
        fresh = state.means.examples - seen
        self._end_epoch(fresh / max(1e-9, time.perf_counter() - began))

    def _run_stretch(self, feed: EpochFeed, steps: int) -> None:
        state = self.state
        began = time.perf_counter()
        fields, rows, lengths = feed.take(steps)
        sizes = sizes_of(len(rows), self.batch)
        rates = self._rates(state.step + 1, len(sizes))
        stretch = Stretch(fields, rows, self.batch, rates, state.step + 1, lengths)
        found = self._checked(stretch)
        state.means.add(found, sizes)
        state.step += len(sizes)
        state.in_epoch += len(sizes)
        took = max(1e-9, time.perf_counter() - began)
        self._adapt(len(sizes), took, len(rows))
        self.observer.progress(self._progress())

    def _checked(self, stretch: Stretch) -> NDArray[np.float64]:
        """Run a stretch; raise E501 where numbers break down in it."""
        before = self.program.loaded.snapshot()
        found = run(self.program, stretch, self.settings.seed)
        if not sound(self.program, found, stretch.steps):
            kept = self.store.checkpoint
            kept = kept if kept is not None and kept.exists() else None
            raise breakdown(
                self.program, before, stretch, self.settings.seed, self.state.epoch, kept
            )
        return found

    def _adapt(self, steps: int, seconds: float, examples: int) -> None:
        """Stretches of `STRETCH` seconds; the first ones are short, as nothing is known yet."""
        wanted = steps * STRETCH / seconds
        self.stretch = int(max(1, min(wanted, 8 * max(steps, self.stretch))))
        now = examples / seconds
        self.speed = now if not self.speed else 0.7 * self.speed + 0.3 * now

    def _progress(self) -> Progress:
        state = self.state
        left = (self.length.total - state.step) * self.batch / max(1e-9, self.speed)
        return Progress(
            state.epoch, state.step, self.length.total,
            state.in_epoch / self.length.per_epoch, state.means.means(), self.speed, left,
        )  # fmt: skip

    # ------------------------------------------------------------ the end of an epoch

    def _take(self) -> None:
        """Fetch what training has changed, for scores, checkpoints and the outcome."""
        self.values |= self.program.pull()
        self.session.values = {n: self.values[n] for n in self.session.values}

    def _end_epoch(self, speed: float) -> None:
        state = self.state
        self._take()
        means = state.means.means()
        scores = self.session.scores(self.valid) if self.valid is not None else {}
        rate = self._last_rate()
        self._record(means, scores, rate, speed)
        is_best = self._watch_epoch(means, scores)
        self._watch_plateau(means, scores)
        epoch, seconds = state.epoch, state.seconds
        state.finished = state.step >= self.length.total or state.stopped_early
        state.epoch, state.in_epoch, state.seconds = epoch + 1, 0, 0.0
        state.means = Means(self.program.recorded)
        shown = self.settings.sample
        if shown is not None and shown.due(epoch, state.finished):
            self.observer.sample(epoch, self.session.values)
        self.observer.epoch_values(epoch, self.session.values)
        if state.finished or epoch % self.settings.checkpoint == 0:
            self._save_epoch()
        self.observer.epoch_done(
            EpochDone(epoch, self.length.epochs, state.step, means, scores, seconds, speed, rate,
                      is_best)
        )  # fmt: skip

    def _save_epoch(self) -> None:
        """Write the checkpoint; not twice a second, where epochs are a blink of an eye."""
        if self.state.finished or time.monotonic() - self.saved >= SPARE:
            self.store.save(self.values, self.best, self.state)
            self.saved = time.monotonic()

    def _last_rate(self) -> float:
        """Of the first `schedule` line."""
        last = self._rates(self.state.step, 1)
        return float(last[rate_of(0)][0]) if last else 1.0

    def _rates(self, first: int, count: int) -> dict[str, NDArray[np.float64]]:
        """The factor that each `schedule` line gives to `count` steps from number `first`."""
        rates = {}
        for number, line in enumerate(self.settings.schedules):
            waits = any(isinstance(schedule, Plateau) for schedule in line)
            plateau = self.state.plateau.rate if waits else 1.0
            rates[rate_of(number)] = combined(line, first, count, self.length, plateau)
        return rates

    def _record(
        self, means: Mapping[str, float], scores: Mapping[str, float], rate: float, speed: float
    ) -> None:
        state = self.state
        self.history.add(Row(state.epoch, state.step, "train", means, rate, state.seconds, speed))
        if scores:
            self.history.add(Row(state.epoch, state.step, "valid", scores))

    def _watch_epoch(self, means: Mapping[str, float], scores: Mapping[str, float]) -> bool:
        stop, watched = self.settings.stop, self.monitor
        if stop is None or watched is None:
            return False
        watch = self.state.watch
        is_best = watch.see(self.state.epoch, watched.value(means, scores))
        if is_best:
            self.best = {n: a.copy() for n, a in self.session.values.items()}
        if watch.waited >= stop.patience:
            self.state.stopped_early = True
            self.observer.note(
                f"stopped early: {watched} has not improved for {stop.patience} epochs"
            )
        return is_best

    def _watch_plateau(self, means: Mapping[str, float], scores: Mapping[str, float]) -> None:
        plateau, watched = self.settings.plateau, self.plateau_monitor
        if plateau is None or watched is None:
            return
        before: PlateauState = self.state.plateau
        after = before.after(plateau, watched.value(means, scores))
        self.state.plateau = after
        if after.rate != before.rate:
            self.observer.note(f"{watched} is on a plateau: learning rate × {after.rate:g}")

    # ------------------------------------------------------------ the end

    def _finish(self) -> None:
        if self.best:
            self.session.values = dict(self.best)
            if self.state.watch.best_epoch != self.state.epoch - 1:
                self.observer.note(f"restored the weights of epoch {self.state.watch.best_epoch}")
        self.store.save_model(self.session.values, self.state)

    def _outcome(self, interrupted: bool) -> Outcome:
        state, has_files = self.state, self.job.folder is not None
        facts: dict[str, Any] = {
            "checkpoint": self.store.checkpoint if has_files else None,
            "model": self.store.model if has_files and not interrupted else None,
        }
        best = state.watch.best_epoch if self.settings.stop else None
        return Outcome(
            dict(self.session.values), self.history, state.step, state.epoch, best,
            state.stopped_early, interrupted, **facts,
        )  # fmt: skip
