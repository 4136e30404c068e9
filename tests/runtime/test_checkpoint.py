"""Checkpoints: exact, atomic, and suspicious of everything they did not write."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from chainrule.dsl.diagnostics import Diagnostic, Failure
from chainrule.runtime import checkpoint, files
from chainrule.runtime.checkpoint import check_signature, load, load_weights, save, signature

TENSORS: dict[str, Any] = {
    "dense.W": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "dense.b": np.array([0.1, -0.0, np.nan]),
    "step": np.array(7, np.int64),
    "empty": np.zeros((0, 3), np.float32),
    "transposed": np.arange(6, dtype=np.int32).reshape(2, 3).T,
}
META = {"net": "digits", "epoch": 3, "seed": 2**63, "optimizer": "adam(lr = 0.001)", "é": [1.5]}


def saved(folder: Path) -> Path:
    path = folder / "model.safetensors"
    save(path, TENSORS, META)
    return path


def refusal(path: Path) -> Diagnostic:
    with pytest.raises(Failure) as caught:
        load(path)
    return caught.value.diagnostics[0]


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path) -> None:
    found = load(saved(tmp_path))
    assert set(found.tensors) == set(TENSORS)
    for name, array in TENSORS.items():
        assert found.tensors[name].dtype == array.dtype and found.tensors[name].shape == array.shape
        assert found.tensors[name].tobytes() == array.tobytes()
    assert {key: found.meta[key] for key in META} == META


def test_the_reference_library_reads_our_files(tmp_path: Path) -> None:
    theirs = load_file(saved(tmp_path))
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(theirs[name], array)


def test_a_file_cut_anywhere_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    data = saved(tmp_path).read_bytes()
    short = tmp_path / "short.safetensors"
    for length in [*range(0, len(data), 97), 7, 8, 9, len(data) - 1]:
        short.write_bytes(data[:length])
        assert refusal(short).code == "E541", length
        assert short.read_bytes() == data[:length]


def test_bytes_too_many_and_bits_turned_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data + b"x")
    assert refusal(path).code == "E541"
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    found = refusal(path)
    assert found.code == "E541" and "checksum" in found.message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 a zip file",
        (2**63).to_bytes(8, "little") + b"{}",
        (200).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{x",
    ],
)
def test_a_lying_or_foreign_header_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert refusal(path).code == "E541"


def with_header(path: Path, header: dict[str, Any], body: bytes) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def test_sizes_that_the_file_does_not_hold_are_refused(tmp_path: Path) -> None:
    huge = {"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    assert refusal(with_header(tmp_path / "a", huge, b"")).code == "E541"
    uneven = {"w": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}
    assert refusal(with_header(tmp_path / "b", uneven, bytes(8))).code == "E541"


def test_a_file_that_is_not_there_or_not_a_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none").code == "E540"
    assert refusal(tmp_path).code == "E540"
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe").code == "E540"


def test_another_programs_file_gives_weights_and_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"w": np.ones(3, np.float32)}, path)
    found = refusal(path)
    assert found.code == "E542" and "not written by chainrule" in found.message
    assert load_weights(path)["w"].tolist() == [1, 1, 1]
    assert set(load_weights(saved(tmp_path))) == set(TENSORS)


def test_a_newer_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    path = saved(tmp_path)
    monkeypatch.undo()
    assert refusal(path).code == "E545"


@pytest.mark.parametrize("text", ["[]", "{", '{"format": "one"}', "[" * 100_000])
def test_a_description_that_is_not_ours_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"w": np.ones(2)}, path, {"chainrule": text})
    assert refusal(path).code == "E541"


# ---------------------------------------------------------------- atomic writing


@pytest.mark.parametrize("failing", ["replace", "fsync"])
def test_a_failure_while_saving_leaves_the_old_file(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, failing, full)
    with pytest.raises(Failure) as caught:
        save(path, {"w": np.zeros(5)}, {})
    assert caught.value.diagnostics[0].code == "E544"
    assert "No space left" in caught.value.diagnostics[0].message
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_an_interruption_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()
    original = checkpoint._bytes
    calls: list[int] = []

    def interrupted(array: Any) -> Any:
        calls.append(1)
        if len(calls) > 4:  # past the checksum, within the second write
            raise KeyboardInterrupt
        return original(array)

    monkeypatch.setattr(checkpoint, "_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(path, {"a": np.zeros(5), "b": np.ones(3), "c": np.ones(3)}, {})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_folder_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        save(tmp_path, TENSORS, META)
    assert caught.value.diagnostics[0].code == "E544" and tmp_path.is_dir()


def test_missing_folders_are_made_and_permissions_kept(tmp_path: Path) -> None:
    path = tmp_path / "out" / "run" / "m.safetensors"
    save(path, TENSORS, META)
    path.chmod(0o640)
    save(path, TENSORS, META)
    assert path.stat().st_mode & 0o777 == 0o640


# ---------------------------------------------------------------- fitting a net


def test_a_mismatch_lists_names_and_both_shapes(tmp_path: Path) -> None:
    found = load(saved(tmp_path))
    expected = dict(found.tensors)
    check_signature(found, expected, "adam(lr = 0.001)")
    expected["dense.W"] = np.zeros((3, 5), np.float32)
    del expected["step"]
    expected["more.W"] = np.zeros(2)
    with pytest.raises(Failure) as caught:
        check_signature(found, expected)
    message = caught.value.diagnostics[0].message
    assert caught.value.diagnostics[0].code == "E543"
    assert "missing: `more.W`" in message and "unexpected: `step`" in message
    assert "[3, 4] float32 in the file and [3, 5] float32 in the net" in message


def test_another_optimizer_is_refused(tmp_path: Path) -> None:
    found = load(saved(tmp_path))
    with pytest.raises(Failure) as caught:
        check_signature(found, found.tensors, "sgd(lr = 0.1)")
    assert "adam" in caught.value.diagnostics[0].message


def test_a_signature_ignores_values_and_sees_shapes() -> None:
    a = {"w": np.zeros(3), "b": np.ones(2)}
    assert signature(a, "sgd") == signature({"b": np.zeros(2), "w": np.ones(3)}, "sgd")
    others = [
        signature({**a, "w": np.zeros(4)}, "sgd"),
        signature({**a, "w": np.zeros(3, np.float32)}, "sgd"),
        signature({"v": a["w"], "b": a["b"]}, "sgd"),
        signature(a, "adam"),
    ]
    assert signature(a, "sgd") not in others and len(set(others)) == 4
