"""Where examples come from: sources, steps, parts, batches, and what a user brings to `predict`.

In: the expression of a `data` declaration. Out: a `Dataset` whose parts give contiguous arrays.
How the arrays are used in training is left to `runtime.train`.
"""

from __future__ import annotations

from .batches import Batches, Chunk, Chunks, Request, chunks, gather, permutation
from .binding import InputSpec, bind
from .dataset import Bucket, Column, Dataset, Field, Part
from .examples import expected_columns, read_examples, write_predictions
from .memory import available_memory, check_fits
from .pictures import augmented
from .pipeline import build_dataset
from .registry import SOURCES, STEPS
from .statistics import apply_statistics, undo_statistics
from .transforms import Augment, Draws, Transform
from .vocabulary import Vocabulary

__all__ = [
    "SOURCES",
    "STEPS",
    "Augment",
    "Batches",
    "Bucket",
    "Chunk",
    "Chunks",
    "Column",
    "Dataset",
    "Draws",
    "Field",
    "InputSpec",
    "Part",
    "Request",
    "Transform",
    "Vocabulary",
    "apply_statistics",
    "augmented",
    "available_memory",
    "bind",
    "build_dataset",
    "check_fits",
    "chunks",
    "expected_columns",
    "gather",
    "permutation",
    "read_examples",
    "undo_statistics",
    "write_predictions",
]
