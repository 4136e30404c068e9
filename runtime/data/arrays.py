"""NumPy files: `.npz` archives in memory, `.npy` arrays through memory maps.

In: a path. Out: columns, one for each array. Pickled objects are refused: reading one runs code.
"""

from __future__ import annotations

import math
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...dsl.diagnostics import Failure, did_you_mean, fail
from ...dsl.source import Span
from .arguments import Given, Parameter
from .dataset import Array, Column, Dataset, Field, Part
from .memory import check_fits
from .places import find_file
from .registry import source

_TARGETS = ("y", "target", "label", "labels")
_PARTS = ("train", "valid", "test")
_NO_PICKLE = "save plain arrays of numbers: `np.savez(path, x=x, y=y)`"


def read_npz(path: Path, span: Span | None) -> dict[str, Array]:
    """Every array of an archive, after a check that they fit in memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            needed = sum(item.file_size for item in members)
            check_fits(needed, f"`{path.name}`", span, "store the arrays apart, for `npy(…)`")
            return {item.filename.removesuffix(".npy"): _member(archive, item) for item in members}
    except Failure:
        raise
    except OSError as error:
        raise fail("E403", f"cannot read `{path}`: {error.strerror or error}", span) from error
    except Exception as error:  # zipfile, zlib, lzma and NumPy's parser raise at least ten kinds
        raise _refused(path, error, span) from error


def _member(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> Array:
    with archive.open(item) as file:
        _check_header(file, item.file_size, item.filename)
    with archive.open(item) as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def map_npy(path: Path, span: Span | None) -> Array:
    """The array in a `.npy` file, as a memory map."""
    try:
        with path.open("rb") as file:
            _check_header(file, path.stat().st_size, path.name)
        loaded: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise fail("E403", f"cannot read `{path}`: {error.strerror or error}", span) from error
    except Exception as error:  # NumPy's header parser raises at least five kinds
        raise _refused(path, error, span) from error
    return loaded


def _check_header(file: IO[bytes], size: int, name: str) -> None:
    """ValueError unless the header is sound and the data are as long as it says."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"`{name}` has the unusual version {version}")
    if dtype.hasobject:
        raise ValueError(f"`{name}` holds objects")
    stated = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size - file.tell() != stated:
        raise ValueError(f"`{name}` should hold {stated} bytes and holds {size - file.tell()}")


def _refused(path: Path, error: Exception, span: Span | None) -> Failure:
    if "holds objects" in str(error):
        message = f"`{path}` holds pickled objects, which are refused: reading them runs code"
        return fail("E411", message, span, help=_NO_PICKLE)
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    message = f"`{path}` is not a sound NumPy file: {reason}"
    return fail("E411", message, span, help="write it with `np.save` or `np.savez`")


@source(
    "npz",
    Parameter("file", "text"),
    Parameter("target", "names", None),
    Parameter("classes", "integer", None, 1),
)
def npz(given: Given) -> Dataset:
    """An archive of NumPy arrays: every array is a field of its name.

    `target` names the targets (default `y`, `target`, `label`). Arrays called `x_train`,
    `x_test`, `y_train`, `y_test` (and `_valid`) are the parts of `x` and `y`.
    """
    arrays = read_npz(find_file(given, "file"), given.place("file"))
    if not arrays:
        raise given.fail("E411", "the archive holds no arrays", "file")
    for name, values in arrays.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0][0]) if values.ndim else 0
            raise given.fail("E419", f"`{name}` holds NaN or infinity in example {row}", "file")
    split = _by_part(arrays)
    names = list(next(iter(split.values())))
    targets = _targets(given, names)
    return _dataset(given, "npz", split, targets)


@source("npy", extra="pairs")
def npy(given: Given) -> Dataset:
    """NumPy files, read through memory maps: `npy(image = "x.npy", digit = "y.npy")`.

    Each named file is a field; where there are several, the last is the target.
    """
    if not given.values:
        raise given.fail("E409", "`npy` needs at least one field", help='`npy(image = "x.npy")`')
    arrays = {}
    for name in given.values:
        arrays[name] = map_npy(find_file(given, name), given.place(name))
    targets = tuple(arrays)[-1:] if len(arrays) > 1 else ()
    return _dataset(given, "npy", {"train": arrays}, targets)


def _by_part(arrays: dict[str, Array]) -> dict[str, dict[str, Array]]:
    """`x_train`, `x_test` → the parts of `x`; without such names everything is one pool."""
    split: dict[str, dict[str, Array]] = {}
    for name, values in arrays.items():
        stem, _, part = name.rpartition("_")
        if part not in _PARTS or not stem:
            return {"train": arrays}
        split.setdefault(part, {})[stem] = values
    if "train" not in split or any(set(s) != set(split["train"]) for s in split.values()):
        return {"train": arrays}
    return split


def _targets(given: Given, names: list[str]) -> tuple[str, ...]:
    asked = given.names("target")
    for name in asked or ():
        if name not in names:
            near = did_you_mean(name, names)
            shown = ", ".join(f"`{n}`" for n in names)
            message = f"the archive has no array `{name}`"
            raise given.fail("E408", message, "target", help=near or f"it holds {shown}")
    return asked or tuple(name for name in names if name in _TARGETS and len(names) > 1)


def _dataset(
    given: Given, name: str, split: dict[str, dict[str, Array]], targets: tuple[str, ...]
) -> Dataset:
    pools: dict[str, dict[str, Column]] = {}
    for field, values in ((f, v) for arrays in split.values() for f, v in arrays.items()):
        if values.ndim == 0:
            at = field if field in given.places else "file"
            raise given.fail("E420", f"`{field}` is one number, not a row of examples", at)
    for part, arrays in split.items():
        counts = {field: len(values) for field, values in arrays.items()}
        if len(set(counts.values())) != 1:
            shown = ", ".join(f"`{field}` has {n}" for field, n in counts.items())
            raise given.fail("E420", f"the numbers of examples differ: {shown}", "file")
        pools[part] = {f: _column(given, f, v, f in targets) for f, v in arrays.items()}
    return _counted(given, name, pools)


def _column(given: Given, name: str, values: Array, target: bool) -> Column:
    kind = values.dtype.kind
    at = name if name in given.places else "file"
    if kind not in "fiub":
        message = f"`{name}` holds {values.dtype}, and a field holds numbers"
        raise given.fail("E411", message, at, help=_NO_PICKLE)
    shape = values.shape[1:]
    if kind == "f" or shape:
        wide = values.dtype.itemsize == 8 and kind == "f"
        return Column(Field(name, shape, "f64" if wide else "f32", target=target), values)
    if len(values) and int(values.min()) < 0:
        return Column(Field(name, shape, "f32", target=target), values)
    top = int(values.max()) if len(values) else 0
    if top >= 2**31 - 1:
        raise given.fail("E419", f"`{name}` holds the label {top}, which is too large", at)
    return Column(Field(name, (), "i32", classes=top + 1, target=target), values)


def _counted(given: Given, name: str, pools: dict[str, dict[str, Column]]) -> Dataset:
    """Parts agree in shape, and on as many classes as the part with the most."""
    train: dict[str, Any] = pools["train"]
    for field, column in train.items():
        others = [pool[field].field for pool in pools.values()]
        if any(f.shape != column.field.shape for f in others):
            shown = ", ".join(str(f) for f in others)
            raise given.fail("E420", f"the parts of `{field}` differ in shape: {shown}", "file")
        counts = [f.classes for f in others]
        found = None if None in counts else max(c for c in counts if c is not None)
        asked = given.values.get("classes")
        if isinstance(asked, int) and found is not None and column.field.target:
            if asked < found:
                message = f"`{field}` holds the label {found - 1}, and `classes` is {asked}"
                raise given.fail("E419", message, "classes")
            found = asked
        for pool in pools.values():
            dtype = (
                column.field.dtype if found is not None or column.field.dtype != "i32" else "f32"
            )
            described = replace(pool[field].field, classes=found, dtype=dtype)
            pool[field] = replace(pool[field], field=described)

    def part(which: str) -> Part:
        pool = pools.get(which, train)
        count = len(next(iter(pool.values()))) if which in pools else 0
        return Part(pool, np.arange(count, dtype=np.int64))

    return Dataset(name, part("train"), part("valid"), part("test"), own_test="test" in pools)
