"""What is shown of a net, made with its numbers as they are: sheets, clouds of points, texts.

In: a model, an `Exhibit`. Out: a picture [h, w, 3] of bytes, or a text. The noise, the examples and
the range of grey are the same whenever it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .exhibits import PAIRS, TEXT, Exhibit
from .generating import Writer
from .runtime.data.contact_sheet import PAPER
from .sampling import COLUMNS, Sampler, each_class, examples
from .sheets import Look, in_rows, in_units, sheet

if TYPE_CHECKING:
    from .model import Model

Array = NDArray[Any]
PICTURES, PAIRED, POINTS, TEXTS = 64, 16, 500, 4  # where no count is given
SPACE = 24  # pixels between bands of a sheet


class Maker:
    """Keeps what is the same at every epoch: `count` examples, programs, what samples imitate."""

    def __init__(self, model: Model, count: int | None = None) -> None:
        self.model, self.count = model, count
        self._samplers: dict[str, Sampler] = {}
        self._fields: dict[int, dict[str, Array]] = {}

    def make(self, one: Exhibit) -> NDArray[np.uint8] | str:
        """Raises Failure where points are to be drawn without matplotlib, E566."""
        if one.kind == TEXT:
            return self._texts(one)
        if one.look is None:
            return self._points(one)
        return self._pairs(one, one.look) if one.kind == PAIRS else self._samples(one, one.look)

    # ------------------------------------------------------------ pictures

    def _samples(self, one: Exhibit, look: Look) -> NDArray[np.uint8]:
        count = self.count or PICTURES
        look = self._ranged(one, look)
        labels = self._sampler(one).source.given
        if labels:
            found = each_class(self._sampler(one), labels[0].name)
            return sheet(list(found), look)
        return sheet(in_rows(self._sampler(one).samples(count), across(count)), look)

    def _pairs(self, one: Exhibit, look: Look) -> NDArray[np.uint8]:
        """Bands of rows: the examples, below them what the net makes of each."""
        count = self.count or PAIRED
        bands = [in_rows(array, across(count)) for array in self._given_and_found(one, count)]
        look = self._ranged(one, look)
        return stacked([sheet(band, look) for band in zip(*bands, strict=True)])

    def _given_and_found(self, one: Exhibit, count: int) -> list[Array]:
        model, graph = self.model, self.model.evaluation
        fields = self._examples(count)
        found = model.session.predict(fields)
        values = {o.name: o.value for o in graph.of_kind("output")}
        given = in_units(model, graph.leaves[one.source].value, fields[one.source])
        return [given, *(in_units(model, values[n], found[n]) for n in one.outputs)]

    def _ranged(self, one: Exhibit, look: Look) -> Look:
        """Black and white as the data have them, where nothing else tells: not as each epoch's
        least and greatest, or the same picture would change its greys."""
        if look.bounds is not None or not one.source:
            return look
        seen = self._source(one, PICTURES)
        return replace(look, bounds=(float(seen.min()), float(seen.max())))

    # ------------------------------------------------------------ points and texts

    def _points(self, one: Exhibit) -> NDArray[np.uint8]:
        from .viz.scatter import scatter

        count = self.count or POINTS
        if one.kind == PAIRS:
            given, *_, made = self._given_and_found(one, count)
        else:
            made = self._sampler(one).samples(count)
            given = self._source(one, count) if one.source else made
        return scatter(given, made)

    def _texts(self, one: Exhibit) -> str:
        """Texts of the net's `generate` declaration: of its own source and of some examples', where
        the net is given a text."""
        model, count = self.model, self.count or TEXTS
        declared = next(g for g in model.module.generates if g.name.id == one.name)
        writer = Writer(model, declared, {})
        own = writer.settings.source
        sources = [own] if own is not None else []
        sources += writer.sources(self._part)[: count - len(sources)]
        if sources:
            name = next(f.name for f in writer.net.inputs if f.name in model.vocabularies)
            lines = [f"{sources[t.example]} → {t}" for t in writer.write({name: sources})]
        else:
            writer = Writer(model, declared, {"samples": count} if writer.settings.draws else {})
            lines = [str(t).strip("\n") for t in writer.write({})]
        return "\n\n".join(lines) + "\n"

    # ------------------------------------------------------------ what stays the same

    def _sampler(self, one: Exhibit) -> Sampler:
        if one.name not in self._samplers:
            self._samplers[one.name] = Sampler(self.model, one.name)
        return self._samplers[one.name]

    def _source(self, one: Exhibit, count: int) -> Array:
        """Examples of the input that is imitated."""
        value = self.model.evaluation.leaves[one.source].value
        return in_units(self.model, value, self._examples(count)[one.source])

    def _examples(self, count: int) -> dict[str, Array]:
        """From the whole part, evenly: sorted data show all their kinds."""
        if count not in self._fields:
            size = len(self.model.feeder(self._part))
            at = np.linspace(0, size - 1, min(count, size)).round().astype(int)
            self._fields[count] = examples(self.model, at.tolist(), self._part)
        return self._fields[count]

    @property
    def _part(self) -> str:
        parts: Sequence[str] = () if self.model.dataset is None else tuple(self.model.dataset.parts)
        return "valid" if "valid" in parts else "train"


def stacked(bands: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """One above the other, with a space between; the last may be less wide."""
    wide = max(band.shape[1] for band in bands)
    pieces = []
    for band in bands:
        room = ((0, SPACE if band is not bands[-1] else 0), (0, wide - band.shape[1]), (0, 0))
        pieces.append(np.pad(band, room, constant_values=PAPER))
    return np.concatenate(pieces)


def across(count: int) -> int:
    """Columns of a sheet: 8, and more of them for many pictures, so that it stays a square."""
    return min(count, max(COLUMNS, int(np.ceil(np.sqrt(count)))))
