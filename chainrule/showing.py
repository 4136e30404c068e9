"""What a net makes while it learns, as files beside its curves.

In: a model, the `sample` line of its `train`, a folder; then, at the epochs asked for, the net's
numbers. Out: `samples/epoch-005.png` (or `.txt`), and from time to time, as at the end, the picture
of the whole run, `progress.svg` and `.png`. Noise and examples are the same at every epoch, so that
one sees the same samples grow. Training hears nothing of it: draws are counted from their own
seed, and what goes wrong here is a note.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .dsl.diagnostics import Failure
from .exhibits import Exhibit, check_names, exhibits
from .making import Maker
from .runtime.files import write_text
from .runtime.history import read
from .runtime.train.observer import EpochDone, Observer, Progress, Started
from .sheets import write_png

if TYPE_CHECKING:
    from .model import Model
    from .runtime.train.settings import Sample

FOLDER = "samples"
NAME = re.compile(r"epoch-(\d+)(?:-(.+))?\.(png|txt)")
PATIENCE = 30.0  # seconds of training before the picture of the run is drawn the first time
SHARE = 50  # and this many times as long as drawing takes between two drawings: 2% at most


class Showing(Observer):
    """Passes on what it hears, and shows what the net makes."""

    def __init__(
        self,
        model: Model,
        wanted: Sample,
        shown: Sequence[Exhibit],
        folder: Path,
        listener: Observer | None = None,
    ) -> None:
        self.model, self.wanted, self.shown, self.folder = model, wanted, shown, folder
        self.listener = listener or Observer()
        self.maker = Maker(model, wanted.count)
        self._again = 0.0  # when the picture of the run may be drawn, on the monotonic clock
        self._told: set[str] = set()

    # ------------------------------------------------------------ what is only passed on

    def progress(self, facts: Progress) -> None:
        self.listener.progress(facts)

    def epoch_values(self, epoch: int, values: Mapping[str, NDArray[Any]]) -> None:
        self.listener.epoch_values(epoch, values)

    def epoch_done(self, facts: EpochDone) -> None:
        self.listener.epoch_done(facts)

    def note(self, text: str) -> None:
        self.listener.note(text)

    # ------------------------------------------------------------ what is made of it

    def started(self, facts: Started) -> None:
        """Of an earlier run, or of epochs that will come again, nothing is left to be mixed up."""
        done = facts.resumed_at // facts.per_epoch
        for epoch, name, path in found(self.folder):
            keep = epoch <= done and epoch % self.wanted.every == 0
            if not keep or name not in {self._suffix(e) for e in self.shown}:
                path.unlink(missing_ok=True)
        self._again = time.monotonic() + PATIENCE
        self.listener.started(facts)

    def sample(self, epoch: int, values: Mapping[str, NDArray[Any]]) -> None:
        """Show the net with these numbers."""
        session = self.model.session
        before = session.values
        session.values = dict(values)
        try:
            for one in self.shown:
                self._write(one, epoch)
            self._draw()
        except Failure as failure:
            said = failure.diagnostics[0].message
            if said not in self._told:
                self._told.add(said)
                self.listener.note(f"nothing to show: {said}")
        finally:
            session.values = before

    def _write(self, one: Exhibit, epoch: int) -> None:
        name = self._suffix(one)
        stem = f"epoch-{epoch:03}" + (f"-{name}" if name else "")
        made = self.maker.make(one)
        if isinstance(made, str):
            write_text(self.folder / FOLDER / f"{stem}.txt", made)
        else:
            write_png(self.folder / FOLDER / f"{stem}.png", made)

    def _suffix(self, one: Exhibit) -> str:
        return one.name if len(self.shown) > 1 else ""

    def _draw(self) -> None:
        """The picture of the run so far, so seldom that it costs training nothing to speak of."""
        began = time.monotonic()
        if began < self._again:
            return
        rows = [row.as_dict() for row in read(self.folder / "history.jsonl")]
        try:
            progress(rows, self.folder, losses(self.model))
        except Failure as failure:
            if failure.diagnostics[0].code != "E566":
                raise
            self._again = math.inf  # without matplotlib: it is told at the end
            return
        now = time.monotonic()
        self._again = now + SHARE * (now - began)


def showing(
    model: Model, wanted: Sample, folder: Path | None, listener: Observer | None
) -> Observer:
    """The listener that also shows what `sample` asks for; nothing is shown without a folder.

    Raises Failure E293 where there is no such output, and E294 where there is a folder, but nothing
    to show: numbers of arrays from Python need not be a picture.
    """
    if folder is None:
        check_names(model.evaluation, model.module, wanted)
        return listener or Observer()
    return Showing(model, wanted, exhibits(model, wanted), folder, listener)


def losses(model: Model) -> list[str]:
    """Which values of a history are losses."""
    return [o.name for o in model.evaluation.of_kind("loss")]


def found(folder: Path) -> Iterator[tuple[int, str, Path]]:
    """Epoch, name and file of what is shown in a folder, in order."""
    for path in sorted((folder / FOLDER).glob("epoch-*")):
        if (parts := NAME.fullmatch(path.name)) is not None:
            yield int(parts[1]), parts[2] or "", path


def progress(
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
    losses: Sequence[str],
    theme: str = "light",
) -> list[Path]:
    """`progress.svg` and `progress.png` of a run's folder. Raises Failure E566 without
    matplotlib."""
    from PIL import Image

    from .viz.progress import Shown, chosen
    from .viz.progress import progress as draw

    made: dict[str, dict[int, Path]] = {}
    for epoch, name, path in found(folder):
        made.setdefault(name, {})[epoch] = path
    shown = []
    for name, files in made.items():
        cells: dict[int, Any] = {}
        for epoch in chosen(files):
            path = files[epoch]
            if path.suffix == ".txt":
                cells[epoch] = path.read_text(encoding="utf-8")
            else:
                cells[epoch] = np.asarray(Image.open(path).convert("RGB"))
        shown.append(Shown(name, cells))
    return draw(rows, shown, folder, theme=theme, losses=losses)
