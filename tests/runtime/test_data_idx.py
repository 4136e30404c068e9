"""IDX files against bytes made by hand, and the real MNIST against its published sums."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from chainrule.dsl.diagnostics import Diagnostic, Failure
from chainrule.dsl.parse import parse_expression
from chainrule.dsl.source import Source
from chainrule.runtime.data import Dataset, build_dataset, memory

MNIST = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "mnist"
needs_mnist = pytest.mark.skipif(not MNIST.is_dir(), reason="no MNIST at ../shared/data/mnist")

IMAGES = b"\0\0\x08\x03" + struct.pack(">3I", 3, 2, 2) + bytes(range(0, 240, 20))
LABELS = b"\0\0\x08\x01" + struct.pack(">I", 3) + bytes([2, 0, 1])


def build(text: str, base: Path, override_root: Path | None = None) -> Dataset:
    expression = parse_expression(Source("test.net", text))
    return build_dataset(expression, base=base, override_root=override_root)


def refusal(text: str, base: Path) -> Diagnostic:
    with pytest.raises(Failure) as caught:
        build(text, base)
    return caught.value.diagnostics[0]


@pytest.mark.parametrize("zipped", [False, True])
def test_hand_made_bytes_are_read_exactly(zipped: bool, tmp_path: Path) -> None:
    (tmp_path / "i").write_bytes(gzip.compress(IMAGES, mtime=0) if zipped else IMAGES)
    (tmp_path / "l").write_bytes(gzip.compress(LABELS, mtime=0) if zipped else LABELS)
    dataset = build('idx("i", "l")', tmp_path)
    expected = np.arange(0, 240, 20).reshape(3, 2, 2) / 255
    np.testing.assert_allclose(dataset.train.array("image", "f64"), expected, rtol=1e-15)
    assert dataset.train.array("label").tolist() == [2, 0, 1]
    assert dataset.fields["label"].classes == 3
    assert isinstance(dataset.train.columns["image"].raw, np.memmap) != zipped


@pytest.mark.parametrize(
    ("code", "layout"), [(0x09, ">b"), (0x0B, ">h"), (0x0C, ">i"), (0x0D, ">f"), (0x0E, ">d")]
)
def test_every_type_of_the_format_is_read_big_endian(
    code: int, layout: str, tmp_path: Path
) -> None:
    body = b"".join(struct.pack(layout, value) for value in (1, -2, 3, 100))
    (tmp_path / "i").write_bytes(bytes([0, 0, code, 2]) + struct.pack(">2I", 2, 2) + body)
    dataset = build('idx("i")', tmp_path)
    assert dataset.train.array("image", "f64").tolist() == [[1, -2], [3, 100]]


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"", "E404", "begins with nothing"),
        (b"\x89PNG and so on", "E404", "89 50 4e 47"),
        (b"\0\0\x07\x01" + bytes(8), "E404", "not an IDX file"),
        (b"\0\0\x08\x03\0\0", "E404", "claims 3 sizes"),
        (b"\0\0\x08\x00", "E404", "claims 0 sizes"),
        (IMAGES[:-1], "E404", "truncated"),
        (IMAGES + b"x", "E404", "longer than it says"),
        (gzip.compress(IMAGES, mtime=0)[:-9], "E405", "ends too early"),
        (gzip.compress(IMAGES, mtime=0)[:-8] + bytes(8), "E405", "CRC"),
        (gzip.compress(IMAGES[:-1], mtime=0), "E404", "truncated"),
        (gzip.compress(IMAGES + b"x", mtime=0), "E404", "longer"),
        (b"\x1f\x8bgarbage", "E405", "damaged gzip"),
        (b"\0\0\x08\x03" + b"\xff" * 12 + bytes(12), "E404", "truncated"),
        (gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12 + bytes(12), mtime=0), "E404", "truncated"),
    ],
)
def test_a_broken_idx_file_is_refused_with_its_reason(
    content: bytes, code: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "i").write_bytes(content)
    found = refusal('idx("i")', tmp_path)
    assert found.code == code and says in found.message
    assert found.span is not None and found.span.text == '"i"'


def test_a_zipped_file_larger_than_memory_is_refused_with_the_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "i").write_bytes(gzip.compress(IMAGES, mtime=0))
    monkeypatch.setattr(memory, "available_memory", lambda: 11)
    found = refusal('idx("i")', tmp_path)
    assert found.code == "E410" and "12 bytes" in found.message and "unpack" in found.help


def test_images_and_labels_must_be_equally_many(tmp_path: Path) -> None:
    (tmp_path / "i").write_bytes(IMAGES)
    (tmp_path / "l").write_bytes(b"\0\0\x08\x01" + struct.pack(">I", 2) + bytes(2))
    found = refusal('idx("i", "l")', tmp_path)
    assert found.code == "E420" and "3 images and 2 labels" in found.message
    assert refusal('idx("i", "i")', tmp_path).code == "E404"


def test_a_label_beyond_the_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "i").write_bytes(IMAGES)
    (tmp_path / "l").write_bytes(LABELS)
    assert refusal('idx("i", "l", classes = 2)', tmp_path).code == "E419"
    assert build('idx("i", "l", classes = 5)', tmp_path).fields["label"].classes == 5


def test_missing_mnist_names_the_place_and_the_way_out(tmp_path: Path) -> None:
    found = refusal('mnist("data/mnist")', tmp_path)
    assert found.code == "E403" and str(tmp_path / "data/mnist") in found.note
    assert "train-images-idx3-ubyte.gz" in found.help
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte").write_bytes(IMAGES)
    assert "train-labels" in refusal('mnist("data/mnist")', tmp_path).message


def test_mnist_files_of_another_size_are_refused(tmp_path: Path) -> None:
    for stem in ("train", "t10k"):
        (tmp_path / f"{stem}-images-idx3-ubyte").write_bytes(IMAGES)
        (tmp_path / f"{stem}-labels-idx1-ubyte").write_bytes(LABELS)
    found = refusal('mnist(".")', tmp_path)
    assert found.code == "E404" and "28 × 28" in found.message


@needs_mnist
def test_mnist_has_the_bytes_that_its_readme_gives() -> None:
    dataset = build(f'mnist("{MNIST}")', Path())
    pixels = {name: dataset.parts[name].columns["image"].raw for name in ("train", "test")}
    labels = {name: dataset.parts[name].array("digit") for name in ("train", "test")}
    assert pixels["train"].shape == (60_000, 784) and pixels["test"].shape == (10_000, 784)
    header = {
        "train": b"\0\0\x08\x03" + struct.pack(">3I", 60_000, 28, 28),
        "test": b"\0\0\x08\x03" + struct.pack(">3I", 10_000, 28, 28),
    }
    sums = {
        "train": ("6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624"),
        "test": ("2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"),
    }
    for name, (image_sum, label_sum) in sums.items():
        images = header[name] + pixels[name].tobytes()
        assert hashlib.md5(images).hexdigest() == image_sum
        count = struct.pack(">I", len(labels[name]))
        kinds = b"\0\0\x08\x01" + count + labels[name].astype(np.uint8).tobytes()
        assert hashlib.md5(kinds).hexdigest() == label_sum
    assert str(dataset.fields["digit"]) == "digit: class[10]"


@needs_mnist
def test_mnist_is_found_under_the_root_given_on_the_command_line(tmp_path: Path) -> None:
    dataset = build('mnist("data/mnist")', tmp_path, override_root=MNIST.parent)
    assert len(dataset.test) == 10_000


@needs_mnist
def test_normalised_mnist_has_its_well_known_mean_and_deviation() -> None:
    dataset = build(f'mnist("{MNIST}") -> normalize', Path())
    facts = dataset.statistics["image"]
    assert facts["mean"] == pytest.approx([0.1307], abs=1e-4)
    assert facts["std"] == pytest.approx([0.3081], abs=1e-4)
    first = dataset.train.rows("image", np.arange(2000))
    assert abs(float(first.mean())) < 0.05 and first.dtype == np.float32


def test_mnist_is_found_in_a_folder_above_the_net_file(tmp_path: Path) -> None:
    folder = tmp_path / "shared" / "data" / "mnist"
    folder.mkdir(parents=True)
    pixels = b"\0\0\x08\x03" + struct.pack(">3I", 3, 28, 28) + bytes(3 * 784)
    for stem in ("train", "t10k"):
        (folder / f"{stem}-images.idx3-ubyte").write_bytes(pixels)
        (folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(LABELS, mtime=0))
    (tmp_path / "project" / "examples").mkdir(parents=True)
    for text in ("mnist", 'mnist("data/mnist")'):
        dataset = build(text, tmp_path / "project" / "examples")
        assert len(dataset.train) == 3 and str(folder) in dataset.note
