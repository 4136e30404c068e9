"""Checkpoints: tensors and what training needs to continue, in one safetensors file.

In: named arrays and a mapping of JSON values. Out: a file written whole or not at all, and read
back only when it is complete, ours, and fits the net. Any safetensors reader can open it; other
programs' files give weights by name (`load_weights`) but are no checkpoints. What the values in
`meta` mean is the trainer's business.
Format: https://github.com/huggingface/safetensors (u64 header length, JSON header, data).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ..dsl.diagnostics import Failure, fail
from .data.memory import check_fits
from .files import write_atomically

Array = NDArray[Any]

FORMAT = 1
_KEY = "chainrule"  # where `meta` stands in the safetensors metadata
_HEADER_LIMIT = 100_000_000  # the format's own
_NAMES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds."""

    tensors: dict[str, Array]
    meta: dict[str, Any]
    path: Path


def save(path: Path, tensors: Mapping[str, Array], meta: Mapping[str, object]) -> None:
    """Write a checkpoint; a failure (E544) leaves the file that was there untouched."""
    arrays = {name: _storable(name, array) for name, array in sorted(tensors.items())}
    facts = {**meta, "format": FORMAT, "crc32": _checksum(arrays)}
    header = _header(arrays, {"format": "np", _KEY: json.dumps(facts)})

    def write(file: BinaryIO) -> None:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for array in arrays.values():
            file.write(_bytes(array))

    write_atomically(path, write)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint that `save` wrote; E540 to E545 say why a file is refused."""
    tensors, metadata = _read(path)
    if _KEY not in metadata:
        raise fail(
            "E542",
            f"`{path}` was not written by chainrule: it holds weights but no training state",
            help="its weights can be loaded by name, but training cannot be resumed from it",
        )
    meta = _meta(path, metadata[_KEY])
    if meta.get("crc32") != _checksum(tensors):
        message = f"`{path}` is damaged: its numbers do not match their checksum"
        raise fail("E541", message, help="use an earlier checkpoint")
    return Checkpoint(tensors, meta, path)


def load_weights(path: Path) -> dict[str, Array]:
    """The arrays of any safetensors file, ours or another program's."""
    tensors, metadata = _read(path)
    return load(path).tensors if _KEY in metadata else tensors


def signature(tensors: Mapping[str, Array], optimizer: str = "") -> str:
    """A hash of names, shapes, dtypes and optimizer: equal where states can be exchanged."""
    facts = [[name, list(a.shape), str(a.dtype)] for name, a in sorted(tensors.items())]
    return hashlib.sha256(json.dumps([facts, optimizer]).encode()).hexdigest()


def check_signature(
    checkpoint: Checkpoint, expected: Mapping[str, Array], optimizer: str = ""
) -> None:
    """Raise E543 unless the checkpoint holds exactly what the net and its optimizer need.

    `expected`: arrays of the right names, shapes and dtypes; their values do not matter.
    """
    check_tensors(checkpoint.path, checkpoint.tensors, expected)
    written = str(checkpoint.meta.get("optimizer", optimizer))
    if optimizer and written != optimizer:
        raise fail(
            "E543",
            f"`{checkpoint.path}` was trained with {written}, and the `.net` file says {optimizer}",
            help="resume with the same optimizer, or start afresh from its weights",
        )


def check_tensors(path: Path, found: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    """Raise E543 with every name and shape that differs."""
    missing = sorted(set(expected) - set(found))
    unexpected = sorted(set(found) - set(expected))
    differing = [
        f"`{name}` is {_type(found[name])} in the file and {_type(expected[name])} in the net"
        for name in sorted(set(expected) & set(found))
        if _type(found[name]) != _type(expected[name])
    ]
    facts = []
    if missing:
        facts.append(f"missing: {_listed(missing)}")
    if unexpected:
        facts.append(f"unexpected: {_listed(unexpected)}")
    if differing:
        facts.append("; ".join(differing[:8]) + ("; …" if len(differing) > 8 else ""))
    if facts:
        message = f"`{path}` does not fit this net: {'; '.join(facts)}"
        way_out = "it belongs to a net with other layers, sizes or settings; nothing was changed"
        raise fail("E543", message, help=way_out)


# ---------------------------------------------------------------- writing


def _storable(name: str, array: Array) -> Array:
    plain = np.asarray(array, order="C")
    if plain.dtype.name not in _NAMES:
        raise ValueError(f"{name}: {plain.dtype} cannot be stored")
    return plain.astype(plain.dtype.newbyteorder("<"), copy=False)


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _header(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": metadata}
    offset = 0
    for name, array in arrays.items():
        end = offset + array.nbytes
        kind = _NAMES[array.dtype.name]
        entries[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)  # data start at a multiple of 8


def _checksum(tensors: Mapping[str, Array]) -> int:
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(name.encode(), crc)
        crc = zlib.crc32(_bytes(np.asarray(tensors[name], order="C")), crc)
    return crc


# ---------------------------------------------------------------- reading


def _read(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    _check_file(path)
    tensors: dict[str, Array] = {}
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            for name in file.keys():  # noqa: SIM118  (not a mapping)
                kind = file.get_slice(name).get_dtype()
                read = kind in _NAMES.values()
                tensors[name] = file.get_tensor(name) if read else _other(path, name, kind)
    except OSError as error:
        raise _unreadable(path, error) from error
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, str(error)) from error
    return tensors, metadata


def _other(path: Path, name: str, kind: str) -> Array:
    """An array of an element type that NumPy has not: a bf16 is the upper half of an f32."""
    if kind != "BF16":
        message = f"`{name}` in `{path}` has the element type {kind}, which cannot be read"
        raise fail("E549", message, help="save it as f32, f16 or bf16")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[name]
        begin, end = entry["data_offsets"]
        file.seek(8 + length + begin)
        halves = np.frombuffer(file.read(end - begin), "<u2")
    upper = halves.astype(np.uint32) << 16
    return upper.view(np.float32).reshape(entry["shape"])


def _check_file(path: Path) -> None:
    """Is it a regular file whose stated sizes it can hold, and which memory can hold?"""
    try:
        if not path.is_file():
            reason = "is not a regular file" if path.exists() else "does not exist"
            raise fail("E540", f"the checkpoint `{path}` {reason}")
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    length = int.from_bytes(start[:8], "little")
    if len(start) < 9 or start[8:9] != b"{":
        raise _damaged(path, "it does not begin like one")
    if length > _HEADER_LIMIT or length + 8 > size:
        raise _damaged(path, f"its header should take {length} bytes and the file has {size}")
    check_fits(size, f"the checkpoint `{path.name}`", None, "free some memory")


def _unreadable(path: Path, error: Exception) -> Failure:
    reason = getattr(error, "strerror", None) or error
    return fail("E540", f"cannot read the checkpoint `{path}`: {reason}")


def _damaged(path: Path, reason: str) -> Failure:
    return fail(
        "E541",
        f"`{path}` is not a complete safetensors file: {reason}",
        help="it was cut short or is of another kind; use an earlier checkpoint",
    )


def _meta(path: Path, text: str) -> dict[str, Any]:
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "its description is not JSON") from error
    if not isinstance(meta, dict) or not isinstance(meta.get("format"), int):
        raise _damaged(path, "its description lacks the format number")
    if meta["format"] > FORMAT:
        message = (
            f"`{path}` has checkpoint format {meta['format']}, and this version reads {FORMAT}"
        )
        raise fail("E545", message, help="install the newer chainrule that wrote it")
    return meta


def _type(array: Array) -> str:
    return f"[{', '.join(map(str, array.shape))}] {array.dtype}"


def _listed(names: Iterable[str]) -> str:
    every = [f"`{name}`" for name in names]
    return ", ".join(every[:8]) + (f" and {len(every) - 8} more" if len(every) > 8 else "")
