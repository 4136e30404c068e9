"""Examples in memory or on disk: fields, columns, parts and the data set they form.

In: raw arrays from a source. Out: contiguous arrays of the dtype and shape that a net asks for.
A column keeps its file's own bytes (often a memory map of uint8) and applies scale and
normalisation as rows are taken, so that a set larger than memory is never copied whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .memory import check_fits, readable
from .pixels import render
from .transforms import Augment, Draws, centred, draw
from .vocabulary import Lexicon, Vocabulary
from .windows import Windows

Array = NDArray[Any]
Indices = NDArray[np.int64]
Shape = tuple[int, ...]

NUMPY: Mapping[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    "i32": np.dtype(np.int32),
}
LENGTH = ".length"  # ends the name of what says how long the sequences of a field are
_BLOCK = 4 << 20  # bytes converted at a time: stays in cache, bounds the temporary


def shape_text(shape: Shape) -> str:
    """`[1, 28, 28]`, as written in a `.net` file."""
    return f"[{', '.join(map(str, shape))}]"


@dataclass(frozen=True)
class Field:
    """What one named part of every example is: the type that a net's input must meet."""

    name: str
    shape: Shape
    dtype: str = "f32"
    classes: int | None = None
    labels: tuple[str, ...] = ()  # the names of the classes, in order
    columns: tuple[str, ...] = ()  # the names of the features, in order
    target: bool = False
    sequence: bool = False  # the first axis is the steps: shorter examples end in zeros
    vocabulary: Vocabulary | None = None  # what its numbers mean

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def is_tokens(self) -> bool:
        """A class for each step, not one for each example."""
        return self.dtype == "i32" and len(self.shape) == 1

    def reshaped(self, shape: Shape) -> Field:
        """The same numbers seen with another shape of equal size."""
        if int(np.prod(shape, dtype=np.int64)) != self.size:
            raise ValueError(f"{shape_text(self.shape)} and {shape_text(shape)} differ in size")
        return replace(self, shape=tuple(shape))

    def __str__(self) -> str:
        if self.classes is not None and not self.shape:
            return f"{self.name}: class[{self.classes}]"
        if self.is_tokens and self.classes is not None:
            return f"{self.name}: tokens[{self.shape[0]}, {self.classes}]"
        suffix = "" if self.dtype == "f32" else f" {self.dtype}"
        return f"{self.name}: {shape_text(self.shape)}{suffix}"

    def as_json(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, for `predict`."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "classes": self.classes,
            "labels": list(self.labels),
            "columns": list(self.columns),
            "target": self.target,
            "sequence": self.sequence,
            "vocabulary": self.vocabulary.as_json() if self.vocabulary is not None else None,
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Field:
        words = facts.get("vocabulary")
        return cls(
            str(facts["name"]),
            tuple(int(n) for n in facts["shape"]),
            str(facts["dtype"]),
            None if facts["classes"] is None else int(facts["classes"]),
            tuple(str(label) for label in facts["labels"]),
            tuple(str(column) for column in facts["columns"]),
            bool(facts["target"]),
            bool(facts.get("sequence", False)),
            None if words is None else Vocabulary.from_json(words),
        )


class Raw(Protocol):
    """Rows of numbers: an array, or pictures that are decoded as they are taken."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> Any: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


@dataclass(frozen=True)
class Column:
    """A field and its numbers, one row an example, as the source has them.

    The value of a row is `(raw / unit - mean) / deviation`. Where `image` says that a row is a
    picture, mean and deviation are arranged as it is, or broadcast to it.
    """

    field: Field
    raw: Raw
    unit: float = 1.0  # 255 for bytes that mean 0…1
    pooled: bool = False  # an image: its features share one mean and deviation
    normalize: str = ""  # "feature", "channel" or "field": computed when the parts are known
    mean: Array | None = None
    deviation: Array | None = None
    one_hot: bool = False
    image: tuple[int, int, int] | None = None  # channels, height and width of a raw row
    augment: Augment | None = None  # training changes the pictures so; else their middle is taken
    lengths: NDArray[np.int32] | None = None  # steps of each row; None where all have all
    lexicon: Lexicon | None = None  # what the raw numbers mean until there is a vocabulary

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def plain(self) -> bool:
        """Are the raw numbers the values?"""
        return self.unit == 1.0 and self.mean is None and not self.one_hot

    def rows(self, index: slice | Indices, dtype: str | None = None) -> Array:
        """The values of some rows, C-contiguous; a view where nothing must be computed."""
        wanted = NUMPY[dtype or self.field.dtype]
        raw = self.pictures(self.raw[index])
        if self.augment is not None:
            raw = self._middle(raw)
        if self.one_hot:
            out: Array = np.zeros((len(raw), self.field.size), wanted)
            out[np.arange(len(raw)), raw.astype(np.int64)] = 1
        elif self.plain:
            out = np.ascontiguousarray(raw, dtype=wanted)
        else:
            out = self._computed(raw, wanted)
            if self.lengths is not None and self.mean is not None:
                steps = np.arange(out.shape[1]) >= self.lengths[index][:, None]
                out[steps] = 0  # what follows a sequence is 0, not minus the mean
        return out.reshape((len(raw), *self.field.shape))

    def length_column(self) -> Column:
        """How many steps each row has, as a field of its own."""
        steps = self.field.shape[0] if self.field.shape else 1
        lengths = self.lengths
        if lengths is None:
            lengths = np.broadcast_to(np.int32(steps), (len(self),))
        return Column(Field(self.field.name + LENGTH, (), "i32"), lengths)

    def pictures(self, raw: Array) -> Array:
        """Rows in the arrangement of their pictures, where they are some."""
        return raw if self.image is None else raw.reshape(len(raw), *self.image)

    def _middle(self, raw: Array) -> Array:
        """What measuring and predicting see where training crops: the middle of the picture."""
        assert self.augment is not None and self.image is not None
        (_, height, width), extent = self.image, self.augment.extent(*self.image[1:])
        if extent == (height, width):
            return raw
        if extent[0] <= height and extent[1] <= width:
            top, left = (height - extent[0]) // 2, (width - extent[1]) // 2
            return raw[:, :, top : top + extent[0], left : left + extent[1]]
        which, one = np.arange(len(raw)), np.ones(1)
        return render(raw, which, centred(len(raw), extent, height, width), one * 0, one)

    def changed(self, index: Indices, dtype: str | None, draws: Draws) -> Array:
        """The values of some rows as training sees them in an epoch."""
        assert self.augment is not None and self.image is not None
        pictures, which = self.raw, index
        if not (isinstance(pictures, np.ndarray) and _is_direct(pictures)):
            rows = pictures[index]
            pictures = rows if rows.dtype == np.uint8 else rows.astype(np.float32)
            which = np.arange(len(index))
        drawn = draw(self.augment, draws, index, *self.image[1:])
        shift, scale = self._affine(np.float32)
        shift = np.zeros(scale.shape, np.float32) if shift is None else shift
        found = render(self.pictures(pictures), which, drawn, shift, scale)
        wanted = NUMPY[dtype or self.field.dtype]
        return found.astype(wanted, copy=False).reshape((len(index), *self.field.shape))

    def _computed(self, raw: Array, wanted: np.dtype[Any]) -> Array:
        # float64 features keep their precision until after the mean is taken away.
        work = np.float32 if raw.dtype.itemsize <= 2 and wanted == np.float32 else np.float64
        shift, scale = self._affine(work)
        out = np.empty(raw.shape, wanted)
        width = max(1, raw[:1].size) * 8
        for start in range(0, len(raw), max(1, _BLOCK // width)):
            block = slice(start, start + max(1, _BLOCK // width))
            values: NDArray[np.floating[Any]] = raw[block].astype(work)
            if shift is not None:
                np.subtract(values, shift, out=values)
            np.divide(values, scale, out=out[block], casting="same_kind")
        return out

    def _affine(self, work: type[np.floating[Any]]) -> tuple[Array | None, Array]:
        """(x/u − m)/d = (x − m·u)/(d·u)."""
        if self.mean is None or self.deviation is None:
            return None, np.asarray(self.unit, work)
        return (self.mean * self.unit).astype(work), (self.deviation * self.unit).astype(work)


def _is_direct(raw: Array) -> bool:
    """Can the compiled loop read it where it lies?"""
    return raw.dtype in (np.uint8, np.float32) and bool(raw.flags.c_contiguous)


Columns = dict[str, Column]


@dataclass(frozen=True)
class Part:
    """Some of the examples: `train`, `valid` or `test`."""

    columns: Columns
    indices: Indices

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def _index(self) -> slice | Indices:
        """A slice where the rows stand side by side, so that maps pass through uncopied."""
        n = len(self.indices)
        if n == 0:
            return slice(0, 0)
        first, last = int(self.indices[0]), int(self.indices[-1])
        if last - first != n - 1 or not np.array_equal(self.indices, np.arange(first, last + 1)):
            return self.indices
        return slice(first, last + 1)

    def column(self, field: str) -> Column:
        """A field's numbers; `text.length` tells how long the sequences of `text` are."""
        found = self.columns.get(field)
        if found is None and field.endswith(LENGTH):
            found = self.columns[field.removesuffix(LENGTH)].length_column()
        return found if found is not None else self.columns[field]

    def lengths(self, field: str) -> NDArray[np.int64]:
        """How many steps each example of a sequence has."""
        return self.array(field + LENGTH).astype(np.int64)

    @property
    def varying(self) -> tuple[str, ...]:
        """The fields whose sequences differ in length."""
        return tuple(n for n, c in self.columns.items() if c.lengths is not None)

    @cached_property
    def is_continuous(self) -> bool:
        """Do all examples go on where the one before them ends?"""
        windows = [c.raw for c in self.columns.values() if isinstance(c.raw, Windows)]
        steps = np.diff(self.indices)
        return (
            bool(windows)
            and all(w.stride == w.window for w in windows)
            and bool((steps == 1).all())
        )

    def array(self, field: str, dtype: str | None = None, shape: Shape | None = None) -> Array:
        """All values of one field, C-contiguous `[n, *shape]`; a map passes through uncopied."""
        column = self.column(field)
        is_array = isinstance(column.raw, np.ndarray)
        passes = isinstance(self._index, slice) and column.plain and is_array
        if not (passes and column.raw.dtype == NUMPY[dtype or column.field.dtype]):
            check_fits(self.bytes(field, dtype), f"`{field}` as one array", None, _BY_CHUNKS)
        return _shaped(column.rows(self._index, dtype), shape, column.field)

    def rows(
        self,
        field: str,
        positions: Indices,
        dtype: str | None = None,
        shape: Shape | None = None,
        draws: Draws | None = None,
    ) -> Array:
        """The values at some positions of this part, gathered side by side.

        With `draws`, pictures are changed at random as the data set says.
        """
        column, index = self.column(field), self.indices[positions]
        if draws is not None and column.augment is not None:
            return _shaped(column.changed(index, dtype, draws), shape, column.field)
        return _shaped(column.rows(index, dtype), shape, column.field)

    def bytes(self, field: str, dtype: str | None = None) -> int:
        """What `array` takes."""
        described = self.column(field).field
        return len(self) * described.size * NUMPY[dtype or described.dtype].itemsize


_BY_CHUNKS = "train with batches read from the file, or `-> take(n)`"


def _shaped(rows: Array, shape: Shape | None, field: Field) -> Array:
    """The rows in the shape that is wanted; sequences get zeros up to as many steps."""
    if shape is None:
        return rows
    if not field.sequence or not shape or shape[0] <= field.shape[0]:
        return rows.reshape((len(rows), *shape))
    out: Array = np.zeros((len(rows), *shape), rows.dtype)
    out[:, : field.shape[0]] = rows.reshape(len(rows), field.shape[0], *shape[1:])
    return out


@dataclass(frozen=True)
class Bucket:
    """Batches of sequences whose lengths differ by less than `width`, by the lengths of `fields`
    (those that vary, where there are none)."""

    width: int
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """What a `data` declaration means."""

    name: str
    train: Part
    valid: Part
    test: Part
    own_test: bool = False  # the source came with a test part
    note: str = ""
    gap: int | None = None  # a text: parts are blocks of it, so many examples apart
    bucket: Bucket | None = None  # batches of examples of similar length

    @property
    def fields(self) -> dict[str, Field]:
        return {name: column.field for name, column in self.train.columns.items()}

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(name for name, f in self.fields.items() if not f.target)

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(name for name, f in self.fields.items() if f.target)

    @property
    def statistics(self) -> dict[str, dict[str, list[float]]]:
        """Mean and deviation of each normalised field, for a checkpoint to carry."""
        return {
            name: {"mean": column.mean.ravel().tolist(), "std": column.deviation.ravel().tolist()}
            for name, column in self.train.columns.items()
            if column.mean is not None and column.deviation is not None
        }

    @property
    def vocabulary(self) -> dict[str, list[str]]:
        """The class names of each field that has them."""
        return {name: list(f.labels) for name, f in self.fields.items() if f.labels}

    @property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """What the numbers of each field of tokens mean."""
        known = ((name, f.vocabulary) for name, f in self.fields.items())
        return {name: vocabulary for name, vocabulary in known if vocabulary is not None}

    @property
    def parts(self) -> dict[str, Part]:
        """The parts that hold examples."""
        every = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: part for name, part in every.items() if len(part)}

    def with_parts(self, changed: Mapping[str, Part]) -> Dataset:
        """The same set with some parts replaced."""
        return replace(
            self,
            train=changed.get("train", self.train),
            valid=changed.get("valid", self.valid),
            test=changed.get("test", self.test),
        )

    def mapped(self, change: Callable[[Columns], Columns]) -> Dataset:
        """The same parts over changed columns; parts that shared columns still do."""
        done: dict[int, Columns] = {}
        parts = {}
        for name, part in (("train", self.train), ("valid", self.valid), ("test", self.test)):
            key = id(part.columns)
            if key not in done:
                done[key] = change(part.columns)
            parts[name] = Part(done[key], part.indices)
        return self.with_parts(parts)

    def describe(self) -> str:
        """Parts, fields and sizes in a few lines."""
        counts = ", ".join(f"{len(part):,} {name}" for name, part in self.parts.items())
        lines = [f"{self.name}: {counts or 'no'} examples"]
        for column in self.train.columns.values():
            role = "target" if column.field.target else "input"
            size = sum(part.bytes(column.field.name) for part in self.parts.values())
            is_held = type(column.raw) in (np.ndarray, Windows)
            where = "" if is_held else ", on disk"
            scaled = ", normalized" if column.mean is not None else ""
            changed = f", augmented: {column.augment}" if column.augment is not None else ""
            lines.append(f"  {column.field}  ({role}, {readable(size)}{where}{scaled}{changed})")
            if column.lengths is not None and len(self.train):
                steps = self.train.lengths(column.field.name)
                lines[-1] += (
                    f", {steps.min()} to {steps.max()} steps, {steps.mean():.1f} on average"
                )
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))


def whole(
    name: str, columns: list[Column], test: list[Column] | None = None, note: str = ""
) -> Dataset:
    """A set of one pool, or of a train and a test pool."""
    pool = {column.field.name: column for column in columns}
    train = Part(pool, np.arange(len(columns[0]), dtype=np.int64))
    nothing = Part(pool, np.arange(0, dtype=np.int64))
    if test is None:
        return Dataset(name, train, nothing, nothing, note=note)
    apart = {column.field.name: column for column in test}
    own = Part(apart, np.arange(len(test[0]), dtype=np.int64))
    return Dataset(name, train, nothing, own, own_test=True, note=note)
