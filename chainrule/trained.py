"""What a file of weights tells besides the weights: how its net's data were prepared.

In: a file of `train` or of `Model.save`; other programs' files tell nothing. Out: normalisation and
vocabularies by the net's inputs, the fields of the data, the sizes that the data fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .dsl.diagnostics import fail
from .runtime.checkpoint import load
from .runtime.data import Dataset, Field, Vocabulary

Statistics = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Trained:
    """`statistics` None: nothing is known of it. `fields` by name, `bound`: input -> field."""

    statistics: Statistics | None = None
    fields: Mapping[str, Field] = field(default_factory=dict)
    bound: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """By field."""
        known = {name: f.vocabulary for name, f in self.fields.items()}
        return {name: v for name, v in known.items() if v is not None}

    def check(self, dataset: Dataset | None) -> None:
        """Raise E432 where data are in use already that were numbered otherwise."""
        for name, words in (dataset.vocabularies if dataset is not None else {}).items():
            if self.vocabularies.get(name, words) != words:
                message = f"these weights were trained with another vocabulary of `{name}`"
                raise fail("E432", message, help="load them before the data are used")

    def as_json(self) -> dict[str, Any]:
        """What is read back of fields and inputs."""
        return {"fields": [f.as_json() for f in self.fields.values()], "bound": dict(self.bound)}


def trained_facts(path: Path) -> Trained:
    """What the file tells; nothing where it is another program's."""
    try:
        return _read(load(path).meta)
    except Exception:  # another program's file: weights, and nothing else
        return Trained()


def _read(meta: Mapping[str, Any]) -> Trained:
    bound = {str(name): str(f) for name, f in meta.get("bound", {}).items()}
    fields = {f.name: f for f in map(Field.from_json, meta.get("fields", []))}
    sizes = {str(name): int(n) for name, n in meta.get("sizes", {}).items()}
    statistics = meta.get("input_statistics")
    if statistics is None:
        by_field = meta.get("statistics", {})
        statistics = {n: by_field[f] for n, f in bound.items() if f in by_field}
    return Trained(statistics, fields, bound, sizes)
