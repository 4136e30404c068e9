"""A training run on disk: the checkpoint that `--resume` continues, and the finished model.

In: a job, its state and values. Out: `checkpoint.safetensors` (everything), `model.safetensors`
(the net's parameters and states), or a `Failure` that says why a checkpoint does not belong to the
job.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...dsl.diagnostics import fail
from ..checkpoint import Checkpoint, check_signature, load, save
from ..data import Dataset
from .job import Array, Job
from .state import State

CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"
_BEST = "best/"


class Store:
    """The files of one job; nothing is written where it has no folder."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._fresh = True

    @property
    def checkpoint(self) -> Path | None:
        return self.job.folder / CHECKPOINT if self.job.folder else None

    @property
    def model(self) -> Path | None:
        return self.job.folder / MODEL if self.job.folder else None

    def facts(self) -> dict[str, Any]:
        """What every file tells about the run."""
        job = self.job
        return {
            **job.facts,
            "optimizer": job.optimizer,
            "seed": job.settings.seed,
            "batch": job.settings.batch,
            "shuffle": job.settings.shuffle,
            "examples": len(job.dataset.train),
            "augment": str(job.settings.augment or "none"),
            "bucket": str(job.dataset.bucket or "none"),
            "words": _digest(job.dataset),
            "bound": dict(job.bound),
            "fields": [f.as_json() for f in job.dataset.fields.values()],
            "statistics": job.dataset.statistics,
        }

    def save(self, values: Mapping[str, Array], best: Mapping[str, Array], state: State) -> None:
        """Write the checkpoint. The first one of a fresh run moves an earlier run's aside."""
        path = self.checkpoint
        if path is None:
            return
        if self._fresh and path.is_file():
            with contextlib.suppress(OSError):
                os.replace(path, path.with_name(PREVIOUS))
        self._fresh = False
        tensors = {**values, **{_BEST + name: array for name, array in best.items()}}
        save(path, tensors, {**self.facts(), "state": state.as_json()})

    def save_model(self, values: Mapping[str, Array], state: State) -> None:
        """Write the net as it is at the end."""
        if self.model is not None:
            save(self.model, values, {**self.facts(), "state": state.as_json()})

    def load(self, expected: Mapping[str, Array], best: Mapping[str, Array]) -> Checkpoint:
        """The checkpoint to resume from. `best` names what it may hold as best values.

        Raises Failure E540 to E545 (no sound checkpoint of this net) and E547 (of another run).
        """
        path = self.checkpoint
        if path is None or not path.exists():
            where = f" in `{self.job.folder}`" if self.job.folder else ""
            raise fail(
                "E540",
                f"there is no checkpoint to resume from{where}",
                help="train without `--resume`, or name the run's folder with `--out`",
            )
        found = load(path)
        wanted = dict(expected)
        if any(name.startswith(_BEST) for name in found.tensors):
            wanted |= {_BEST + name: array for name, array in best.items()}
        check_signature(found, wanted, self.job.optimizer)
        self._check_run(found)
        self._fresh = False
        return found

    def _check_run(self, found: Checkpoint) -> None:
        ours = self.facts()
        names = {
            "net": "the net", "seed": "the seed", "batch": "the batch size",
            "shuffle": "shuffling", "examples": "the number of training examples",
            "augment": "the augmentation", "bucket": "the bucketing",
            "words": "the digest of the vocabularies",
            "bound": "the fields that feed the inputs", "settings": "the settings of the net",
        }  # fmt: skip
        for key, what in names.items():
            if key in ours and key in found.meta and found.meta[key] != ours[key]:
                message = (
                    f"`{found.path}` belongs to another run: {what} was {found.meta[key]}, "
                    f"and is {ours[key]} now"
                )
                raise fail("E547", message, help="resume with the same settings, or train afresh")


def _digest(dataset: Dataset) -> str:
    """Tells vocabularies apart; "" where there are none."""
    known = dataset.vocabularies
    if not known:
        return ""
    facts = json.dumps({n: v.as_json() for n, v in sorted(known.items())}, sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def split_best(tensors: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """The current values, and the best ones."""
    best = {n[len(_BEST) :]: a for n, a in tensors.items() if n.startswith(_BEST)}
    return {n: a for n, a in tensors.items() if not n.startswith(_BEST)}, best
