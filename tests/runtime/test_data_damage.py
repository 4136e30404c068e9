"""Damaged files of every kind: a diagnostic or sound data, and never another exception."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chainrule.dsl.diagnostics import Failure
from chainrule.dsl.parse import parse_expression
from chainrule.dsl.source import Source
from chainrule.runtime import checkpoint, history
from chainrule.runtime.data import Field, build_dataset, read_examples

FIELDS = [Field("x", (2,)), Field("k", (), "i32", classes=2, labels=("a", "b"))]
IDX = b"\0\0\x08\x03" + struct.pack(">3I", 3, 2, 2) + bytes(12)


def npy(array: np.ndarray, header: str = "") -> bytes:
    """A `.npy` file, with a header of one's own if given."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    data = buffer.getvalue()
    if not header:
        return data
    text = header.encode().ljust(118) + b"\n"
    return data[:8] + struct.pack("<H", len(text)) + text + data[128:]


def npz(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def header(shape: str) -> str:
    return f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"


THREE = np.arange(3.0)
NPY = [
    npy(THREE),
    npy(THREE, header("(1099511627776,)")),
    npy(THREE, header("(-3,)")),
    npy(THREE, "__import__('os').abort()"),
    npy(np.array(3.0)),
    npy(np.zeros((0, 3))),
    npy(np.array(["a", "b"])),
    npy(np.zeros(2, complex)),
]
NPZ = [npz(x=data) for data in NPY] + [npz(x=b"not an array"), npz()]
SAMPLES: dict[str, list[bytes]] = {
    "d.npy": NPY,
    "d.npz": NPZ,
    "d.idx": [IDX, gzip.compress(IDX, mtime=0), b"\0\0\x08\x01\0\0\0\0", IDX[:8] + bytes(8)],
    "d.csv": [b"a,b\n1,2\n3,4\n", b'a,b\r\n"1","x\ny"\r\n', b"a\n\0\n", b'"' + b"x" * 200_000],
    "d.txt": [b"ab cd\n" * 9, gzip.compress(b"ab c\n" * 9), "\ufeffé\r\n\u2028x".encode()],
    "d.tsv": [b"a b\tc\nd\te\n", gzip.compress(b"a\tb\n", mtime=0), b"\t\n", b"a\tb\tc"],
    "s.csv": [b"a,b\n1 2;3 4,1\n5 6,2\n", b'a,b\n"1;2",x\n', b"a,b\n;,1\n"],
    "d.json": [b'{"x": [[1, 2]]}', b"[" * 100_000, b'{"x": 1e999}', b'[{"x": [1]}, 3]', b"null"],
    "d.jsonl": [b'{"epoch": 1, "step": 2, "split": "train", "loss": 1}\n', b"[]\n", b"{}\n"],
}
DECLARATIONS = {
    "d.npy": 'npy(x = "d.npy") -> normalize',
    "d.npz": 'npz("d.npz") -> normalize',
    "d.idx": 'idx("d.idx") -> normalize',
    "d.csv": 'csv("d.csv", target = b) -> normalize',
    "d.txt": 'text("d.txt", window = 2, unit = "word")',
    "d.tsv": 'pairs("d.tsv") -> bucket',
    "s.csv": 'csv("s.csv", target = b, sequence = a) -> normalize(a)',
}


def readers(path: Path) -> list[Callable[[], object]]:
    found: list[Callable[[], object]] = []
    if path.name in DECLARATIONS:
        text = Source("t.net", DECLARATIONS[path.name])
        found.append(lambda: build_dataset(parse_expression(text), base=path.parent))
    if path.suffix in (".csv", ".npz", ".json"):
        found += [lambda: read_examples(path, FIELDS), lambda: read_examples(path, FIELDS[:1])]
    if path.suffix == ".safetensors":
        found.append(lambda: checkpoint.load(path))
    if path.suffix == ".jsonl":
        found.append(lambda: history.read(path))
    return found


def damaged(data: bytes, draw: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(max(1, len(out)))
        kind = draw.randrange(3)
        if kind == 0 and out:
            out[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del out[place : place + draw.randint(1, 20)]
        else:
            out[place:place] = bytes(draw.choices(b'0123456789,"\n\0-e.[]{}', k=3))
    return bytes(out)


@pytest.mark.parametrize("name", [*SAMPLES, "d.safetensors"])
def test_damage_gives_a_diagnostic_or_sound_data(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "d.safetensors":
        checkpoint.save(path, {"w": np.ones((2, 3)), "n": np.arange(3)}, {"net": "n"})
    samples = SAMPLES.get(name) or [path.read_bytes()]
    draw = random.Random(name)
    for sample in samples:
        for data in [sample, *(damaged(sample, draw) for _ in range(40))]:
            path.write_bytes(data)
            for read in readers(path):
                try:
                    read()
                except Failure as failure:
                    assert all(d.code and d.render() for d in failure.diagnostics)
