"""IDX files, the format of MNIST and its kin: a magic number, the sizes, the bytes.

In: a path, plain or gzipped. Out: an array of the stored type, memory-mapped when the file is
plain. Every size is checked against the file before anything is allocated.
Format: http://yann.lecun.com/exdb/mnist/ (0, 0, type, dimensions; sizes as big-endian u32; data).
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...dsl.diagnostics import Failure
from .arguments import Given, Parameter, Scope
from .dataset import Array, Column, Dataset, Field, whole
from .memory import check_fits, readable
from .places import candidates, find_file, first, missing, unreadable
from .registry import source

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_DEFLATE_LIMIT = 1032  # deflate never gains more than this factor
_STEP = 1 << 20


def read_idx(path: Path, given: Given, at: str) -> Array:
    """The array in an IDX file; `at` is the argument that complaints point at."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == _GZIP
        return _read_gzip(path, given, at) if zipped else _read_plain(path, given, at)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise given.fail(
            "E405",
            f"`{path}` is a damaged gzip file: {_reason(error)}",
            at,
            help="fetch the file again; a broken download is the usual cause",
        ) from error
    except OSError as error:
        raise unreadable(given, at, path, error) from error


def _reason(error: Exception) -> str:
    return "it ends too early" if isinstance(error, EOFError) else str(error)


def _read_plain(path: Path, given: Given, at: str) -> Array:
    with path.open("rb") as file:
        dtype, shape, offset = _header(file, path, given, at)
    expected = offset + math.prod(shape) * dtype.itemsize
    actual = path.stat().st_size
    if actual != expected:
        raise _wrong_size(path, shape, expected, actual, given, at)
    if math.prod(shape) == 0:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", offset, shape)


def _read_gzip(path: Path, given: Given, at: str) -> Array:
    with gzip.open(path) as file:
        dtype, shape, offset = _header(file, path, given, at)
        needed = math.prod(shape) * dtype.itemsize
        packed = path.stat().st_size
        if needed > packed * _DEFLATE_LIMIT:
            most = packed * _DEFLATE_LIMIT
            raise _wrong_size(path, shape, offset + needed, most, given, at, "at most ")
        way_out = "unpack the file: plain IDX files are read through a memory map"
        check_fits(needed, f"`{path.name}`, unpacked,", given.place(at), way_out)
        array = np.empty(math.prod(shape), dtype)
        filled = _fill(file, array.view(np.uint8).data)
        if filled != needed or file.read(1):
            got = offset + filled + (filled == needed)
            raise _wrong_size(path, shape, offset + needed, got, given, at)
        return array.reshape(shape)


def _fill(file: BinaryIO | gzip.GzipFile, target: memoryview) -> int:
    done = 0
    while done < len(target):
        piece = file.read(min(_STEP, len(target) - done))
        if not piece:
            break
        target[done : done + len(piece)] = piece
        done += len(piece)
    return done


def _header(
    file: BinaryIO | gzip.GzipFile, path: Path, given: Given, at: str
) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        raise given.fail(
            "E404",
            f"`{path}` is not an IDX file: it begins with {magic.hex(' ') or 'nothing'}",
            at,
            help="an IDX file begins with 00 00, a type (08 for bytes) and the number of sizes",
        )
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3] or not 1 <= magic[3] <= 8:
        message = f"`{path}` claims {magic[3]} sizes and does not hold them"
        raise given.fail("E404", message, at)
    return np.dtype(_TYPES[magic[2]]), struct.unpack(f">{magic[3]}I", sizes), 4 + len(sizes)


def _wrong_size(
    path: Path,
    shape: tuple[int, ...],
    expected: int,
    actual: int,
    given: Given,
    at: str,
    most: str = "",
) -> Failure:
    sizes = " × ".join(map(str, shape))
    state = "truncated" if actual < expected else "longer than it says"
    return given.fail(
        "E404",
        f"`{path}` is {state}: {sizes} values take {readable(expected)} ({expected} bytes), "
        f"it holds {most}{actual} bytes",
        at,
        help="fetch the file again; a broken download is the usual cause",
    )


# ---------------------------------------------------------------- sources


@source(
    "idx",
    Parameter("images", "text"),
    Parameter("labels", "text", None),
    Parameter("test_images", "text", None),
    Parameter("test_labels", "text", None),
    Parameter("classes", "integer", None, 1),
)
def idx(given: Given) -> Dataset:
    """Any IDX files: `image` (bytes become 0…1) and, where given, `label` class[k]."""
    train = _columns(given, "images", "labels", ("image", "label"))
    tested = given.values["test_images"] is not None
    test = _columns(given, "test_images", "test_labels", ("image", "label")) if tested else None
    if test is not None and len(test) != len(train):
        raise given.fail("E409", "`labels` and `test_labels` go together", "test_images")
    if test is not None and test[0].field.shape != train[0].field.shape:
        message = f"train images are {train[0].field}, test images {test[0].field}"
        raise given.fail("E404", message, "test_images")
    return _with_classes(given, "idx", train, test)


def _columns(given: Given, images: str, labels: str, names: tuple[str, str]) -> list[Column]:
    pixels = read_idx(find_file(given, images), given, images)
    columns = [_image_column(names[0], pixels)]
    if given.values[labels] is not None:
        kinds = read_idx(find_file(given, labels), given, labels)
        columns.append(_label_column(given, labels, names[1], kinds, pixels))
    return columns


def _image_column(name: str, pixels: Array, size: tuple[int, ...] = ()) -> Column:
    """Pixels as a field; `size` is that of the pictures, where the rows are flat."""
    size = size or pixels.shape[1:]
    whole_bytes = pixels.dtype.itemsize == 1 and pixels.dtype.kind == "u"
    dtype = "f64" if pixels.dtype.itemsize == 8 else "f32"
    return Column(
        Field(name, pixels.shape[1:], dtype),
        pixels,
        unit=255.0 if whole_bytes else 1.0,
        pooled=True,
        image=(1, size[0], size[1]) if len(size) == 2 else None,
    )


def _label_column(given: Given, at: str, name: str, kinds: Array, images: Array) -> Column:
    if kinds.ndim != 1 or kinds.dtype.kind not in "iu":
        sizes = " × ".join(map(str, kinds.shape))
        raise given.fail("E404", f"labels are one whole number each, this file is {sizes}", at)
    if len(kinds) != len(images):
        message = f"{len(images)} images and {len(kinds)} labels do not go together"
        raise given.fail("E420", message, at)
    if len(kinds) and int(kinds.min()) < 0:
        raise given.fail("E419", f"a label is {int(kinds.min())}; labels count from 0", at)
    return Column(Field(name, (), "i32", target=True), np.asarray(kinds, np.int32))


def _with_classes(
    given: Given, name: str, train: list[Column], test: list[Column] | None
) -> Dataset:
    if len(train) == 1:
        return whole(name, train, test)
    used = [np.asarray(c[1].raw) for c in (train, test) if c is not None and len(c[1])]
    top = max((int(raw.max()) for raw in used), default=0)
    classes = given.share("classes") if "classes" in given.values else 10
    if classes is not None and top >= classes:
        message = f"a label is {top}, and {int(classes)} classes go from 0 to {int(classes) - 1}"
        raise given.fail("E419", message, "labels")
    count = top + 1 if classes is None else int(classes)

    def counted(columns: list[Column]) -> list[Column]:
        label = columns[1]
        return [columns[0], replace(label, field=replace(label.field, classes=count))]

    return whole(name, counted(train), None if test is None else counted(test))


_MNIST = ("train-images", "train-labels", "t10k-images", "t10k-labels")


@source("mnist", Parameter("folder", "text", None))
def mnist(given: Given) -> Dataset:
    """MNIST's four files, gzipped or not: `image` [784] in 0…1, `digit` class[10].

    60,000 to train and 10,000 to test. Sets of the same form (Fashion-MNIST, KMNIST) are read too.
    A relative folder is looked for beside the `.net` file, then in the folders above it.
    """
    return mnist_dataset(given)


def mnist_dataset(given: Given) -> Dataset:
    """The set in the argument `folder`. Raises E403 to E405."""
    folders = _mnist_folders(given)
    folder = first(folders, lambda place: _file_in(place, _MNIST[0]) is not None)
    if folder is None:
        written = given.optional_text("folder")
        message = f"no MNIST files in `{written}`" if written else "no MNIST files found"
        failure = missing(given, "folder", message, folders)
        raise given.fail(
            "E403",
            message,
            "folder",
            note=failure.diagnostics[0].note,
            help="put train-images-idx3-ubyte.gz and the other three files there, or say where "
            'they are: `mnist("path/to/folder")` or `--data FOLDER`',
        )
    return replace(_read_mnist(given, folder), note=f"read from {folder}")


def _read_mnist(given: Given, folder: Path) -> Dataset:
    arrays: list[Array] = []
    for stem in _MNIST:
        path = _file_in(folder, stem)
        if path is None:
            kind = "idx3" if "images" in stem else "idx1"
            raise missing(
                given,
                "folder",
                f"`{stem}-{kind}-ubyte` is missing",
                [folder / f"{stem}-{kind}-ubyte.gz"],
            )
        arrays.append(read_idx(path, given, "folder"))
    for stem, images in zip(_MNIST[::2], arrays[::2], strict=True):
        if images.shape[1:] != (28, 28):
            sizes = " × ".join(map(str, images.shape))
            message = f"`{stem}` in `{folder}` is {sizes}, and MNIST's images are 28 × 28"
            raise given.fail(
                "E404", message, "folder", help="read other sizes with `idx(images, labels)`"
            )
    pools = []
    for images, labels in (arrays[:2], arrays[2:]):
        flat = images.reshape(len(images), 784)
        label = _label_column(given, "folder", "digit", labels, images)
        pools.append([_image_column("image", flat, (28, 28)), label])
    return _with_classes(given, "mnist", pools[0], pools[1])


def _file_in(folder: Path, stem: str) -> Path | None:
    kind = "idx3" if "images" in stem else "idx1"
    names = [f"{stem}{joint}{kind}-ubyte{end}" for joint in "-." for end in ("", ".gz")]
    return first([folder / name for name in names], Path.is_file)


def _mnist_folders(given: Given) -> list[Path]:
    """The folder asked for, at the `.net` file or above it, as a project keeps its data."""
    scope: Scope = given.scope
    written = given.optional_text("folder")
    root = [scope.override_root] if scope.override_root is not None else []
    places = candidates(scope, written) if written else []
    places += [place / tail for place in root for tail in ("", "mnist")]
    if written and Path(written).is_absolute():
        return places
    base = scope.base.absolute()
    tails = [written] if written else ["mnist", "data/mnist"]
    for place in (base, *base.parents):
        places += [place / tail for tail in tails]
        places += [place / "shared" / tail for tail in tails]
    return list(dict.fromkeys(places))
