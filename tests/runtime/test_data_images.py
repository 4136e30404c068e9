"""Trees of images against arrays made here: folders, archives, bad files, and what is refused."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chainrule.dsl.diagnostics import Diagnostic, Failure
from chainrule.dsl.parse import parse_expression
from chainrule.dsl.source import Source
from chainrule.runtime.data import (
    Dataset,
    Request,
    apply_statistics,
    build_dataset,
    decoding,
    image_files,
    images,
    statistics,
)  # fmt: skip
from chainrule.runtime.feeding import Feeder

CIFAR = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "cifar10" / "cifar10.zip"


def build(text: str, base: Path) -> Dataset:
    return build_dataset(parse_expression(Source("test.net", text)), base=base)


def refusal(text: str, base: Path) -> Diagnostic:
    with pytest.raises(Failure) as caught:
        build(text, base)
    (found,) = caught.value.diagnostics
    return found


def pixels(k: int, height: int = 4, width: int = 6) -> np.ndarray:
    return np.random.default_rng(k).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(path: Path, array: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def tree(root: Path, split: bool = True) -> Path:
    """Two classes, three pictures each, numbered 0 to 5; a test part of two more."""
    for k in range(6):
        head = root / "train" if split else root
        write(head / ("cat" if k < 3 else "Dog") / f"{k}.png", pixels(k))
    if split:
        write(root / "test" / "cat" / "6.png", pixels(6))
        write(root / "test" / "Dog" / "7.png", pixels(7))
    return root


def zipped(root: Path, to: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(to, "w") as archive:
        for path in sorted(root.rglob("*"), reverse=True):
            archive.write(path, inside + str(path.relative_to(root)))
    return to


# ---------------------------------------------------------------- what is read


def test_a_tree_gives_the_pixels_the_classes_and_the_parts(tmp_path: Path) -> None:
    tree(tmp_path / "pets")
    data = build('images("pets")', tmp_path)
    assert [str(f) for f in data.fields.values()] == ["image: [3, 4, 6]", "label: class[2]"]
    assert data.vocabulary == {"label": ["Dog", "cat"]}
    assert {n: len(p) for n, p in data.parts.items()} == {"train": 6, "test": 2}
    assert data.train.array("label").tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test.array("label").tolist() == [0, 1]
    expected = np.stack([pixels(k).transpose(2, 0, 1) for k in (3, 4, 5, 0, 1, 2)]) / 255
    np.testing.assert_allclose(data.train.array("image", "f64"), expected, rtol=1e-15)
    assert data.train.columns["image"].raw.dtype == np.uint8


@pytest.mark.parametrize("inside", ["", "pets/", "a/b/"])
def test_an_archive_gives_what_its_folder_gives(tmp_path: Path, inside: str) -> None:
    root = tree(tmp_path / "pets")
    (root / "README.txt").write_text("pets")
    (root / ".DS_Store").write_text("")
    zipped(root, tmp_path / "pets.zip", inside)
    folder, archive = (build(f'images("{name}")', tmp_path) for name in ("pets", "pets.zip"))
    for part in ("train", "test"):
        one, other = folder.parts[part], archive.parts[part]
        np.testing.assert_array_equal(one.array("image"), other.array("image"))
        np.testing.assert_array_equal(one.array("label"), other.array("label"))
    assert folder.vocabulary == archive.vocabulary


def test_a_tree_without_parts_is_split_and_one_with_a_valid_folder_is_not(tmp_path: Path) -> None:
    tree(tmp_path / "pets", split=False)
    data = build('images("pets") -> split(valid = 2, test = 1)', tmp_path)
    assert [len(p) for p in (data.train, data.valid, data.test)] == [3, 2, 1]
    tree(tmp_path / "more")
    (tmp_path / "more" / "test").rename(tmp_path / "more" / "val")
    assert list(build('images("more")', tmp_path).parts) == ["train", "valid"]
    assert refusal('images("more") -> split(valid = 2)', tmp_path).code == "E412"


def test_size_and_channels_bring_all_pictures_to_one_form(tmp_path: Path) -> None:
    write(tmp_path / "p" / "a" / "0.png", pixels(0, 8, 8))
    write(tmp_path / "p" / "b" / "1.jpg", pixels(1, 9, 17), quality=95)
    write(tmp_path / "p" / "b" / "2.png", pixels(2, 5, 3)[:, :, 0])
    data = build('images("p", size = [4, 4], channels = 1)', tmp_path)
    assert str(data.fields["image"]) == "image: [1, 4, 4]"
    grey = np.asarray(Image.fromarray(pixels(0, 8, 8)).convert("L"))
    boxes = grey.reshape(4, 2, 4, 2).mean(axis=(1, 3)) / 255
    # Bilinear with its support doubled is not quite the mean of a box.
    np.testing.assert_allclose(data.train.array("image")[0, 0], boxes, atol=0.25)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "I;16", "CMYK"])
def test_every_mode_of_the_formats_becomes_colour(tmp_path: Path, mode: str) -> None:
    whole = Image.fromarray(pixels(0))
    if mode == "I;16":
        deep = np.asarray(whole.convert("L")).astype(np.uint16) * 256 + 77
        image = Image.fromarray(deep)
    else:
        image = whole.convert(mode)
    name = "0.jpg" if mode == "CMYK" else "0.png"
    (tmp_path / "p" / "a").mkdir(parents=True)
    image.save(tmp_path / "p" / "a" / name)
    found = build('images("p")', tmp_path).train.columns["image"].raw[0]
    wanted = whole.convert("L").convert("RGB") if mode == "I;16" else image.convert("RGB")
    np.testing.assert_allclose(
        found.transpose(1, 2, 0).astype(int), np.asarray(wanted).astype(int),
        atol=60 if mode == "CMYK" else 0,
    )  # fmt: skip


def test_a_camera_held_sideways_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise to see it upright
    write(tmp_path / "p" / "a" / "0.png", pixels(0), exif=exif)
    found = build('images("p")', tmp_path).train.columns["image"].raw[0]
    np.testing.assert_array_equal(found.transpose(1, 2, 0), np.rot90(pixels(0), -1))


def test_the_number_of_threads_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path / "pets")
    monkeypatch.setattr(decoding, "AT_ONCE", 1)
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(decoding, "_threads", lambda n=threads: n)
        found.append(build('images("pets")', tmp_path).train.array("image"))
    np.testing.assert_array_equal(*found)


# ---------------------------------------------------------------- memory, cache, progress


def test_what_memory_does_not_hold_is_decoded_as_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path / "pets")
    held = build('images("pets") -> normalize', tmp_path)
    monkeypatch.setattr(images, "SHARE", 0.0)
    lazy = build('images("pets") -> normalize', tmp_path)
    raw = lazy.train.columns["image"].raw
    assert isinstance(raw, decoding.Lazy) and "decoded from" in lazy.describe()
    np.testing.assert_array_equal(raw[[5, 0]], held.train.columns["image"].raw[[5, 0]])
    assert lazy.statistics == held.statistics
    order = np.array([4, 1, 0, 3], np.int64)
    requests = {"x": Request("image", "f32", (3, 4, 6))}
    with Feeder(lazy.train, requests, stream=True).epoch(order, 2) as feed:
        fields, rows, _ = feed.take(2)
        np.testing.assert_array_equal(fields["x"][rows], held.train.array("image")[order])


def test_a_large_lazy_set_is_measured_on_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path / "pets", split=False)
    monkeypatch.setattr(images, "SHARE", 0.0)
    monkeypatch.setattr(statistics, "SAMPLE", 2)
    found = build('images("pets") -> normalize', tmp_path).statistics["image"]["mean"]
    means = [pixels(k).mean(axis=(0, 1)) / 255 for k in (3, 4, 5, 0, 1, 2)]
    pairs = [(means[i] + means[j]) / 2 for i in range(6) for j in range(i)]
    assert any(np.allclose(found, pair) for pair in pairs)


def test_decoded_pictures_are_kept_until_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "pets")
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(decoding, "WORTH_KEEPING", -1.0)
    fresh = build('images("pets")', tmp_path)
    (kept,) = (tmp_path / "cache" / "images").iterdir()
    again = build('images("pets")', tmp_path)
    assert isinstance(again.train.columns["image"].raw, np.memmap)
    np.testing.assert_array_equal(again.train.array("image"), fresh.train.array("image"))
    kept.write_bytes(kept.read_bytes()[:-9])  # damaged: decoded anew
    assert not isinstance(build('images("pets")', tmp_path).train.columns["image"].raw, np.memmap)
    write(root / "train" / "cat" / "0.png", pixels(99))
    os.utime(root / "train" / "cat" / "0.png", ns=(1, 1))
    changed = build('images("pets")', tmp_path).train.columns["image"].raw
    np.testing.assert_array_equal(changed[3].transpose(1, 2, 0), pixels(99))


def test_the_least_used_sets_make_room_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(decoding, "WORTH_KEEPING", -1.0)
    monkeypatch.setattr(decoding, "KEPT_ALL", 1200)
    tree(tmp_path / "pets")
    for channels in (3, 1, 3):
        build(f'images("pets", channels = {channels})', tmp_path)
    sizes = [p.stat().st_size for p in (tmp_path / "cache" / "images").iterdir()]
    assert sum(sizes) <= 1200


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    tree(tmp_path / "pets")
    told: list[tuple[str, int, int]] = []
    build_dataset(
        parse_expression(Source("t", 'images("pets")')), base=tmp_path,
        progress=lambda *facts: told.append(facts),
    )  # fmt: skip
    assert told[-1] == ("decoding pets", 8, 8)


# ---------------------------------------------------------------- normalisation


def test_channels_are_normalised_by_the_train_part_alone(tmp_path: Path) -> None:
    tree(tmp_path / "pets")
    data = build('images("pets") -> normalize', tmp_path)
    train = np.stack([pixels(k) for k in range(6)]).astype(np.float64) / 255
    mean, deviation = train.mean(axis=(0, 1, 2)), train.std(axis=(0, 1, 2))
    np.testing.assert_allclose(data.statistics["image"]["mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(data.statistics["image"]["std"], deviation, rtol=1e-10)
    test = np.stack([pixels(7), pixels(6)]).transpose(0, 3, 1, 2) / 255
    wanted = (test - mean[:, None, None]) / deviation[:, None, None]
    np.testing.assert_allclose(data.test.array("image", "f64"), wanted, rtol=1e-9)
    given = apply_statistics(
        {"image": test, "flat": test.reshape(2, -1)},
        dict.fromkeys(("image", "flat"), data.statistics["image"]),
    )
    np.testing.assert_allclose(given["image"], wanted, rtol=1e-9)
    np.testing.assert_allclose(given["flat"], wanted.reshape(2, -1), rtol=1e-9)


def test_channels_of_other_arrays_are_normalised_alike(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((20, 2, 3, 4))
    np.savez(tmp_path / "a.npz", x=x)
    data = build('npz("a.npz") -> normalize(x, per = "channel")', tmp_path)
    np.testing.assert_allclose(data.statistics["x"]["mean"], x.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(data.statistics["x"]["std"], x.std(axis=(0, 2, 3)))
    assert refusal('wine() -> normalize(per = "channel")', tmp_path).code == "E409"


# ---------------------------------------------------------------- refusals


def test_sizes_that_differ_are_named_with_their_files(tmp_path: Path) -> None:
    tree(tmp_path / "pets")
    write(tmp_path / "pets" / "train" / "cat" / "1.png", pixels(1, 5, 7))
    found = refusal('images("pets")', tmp_path)
    assert found.code == "E424" and found.help == ("give all of them one size: `size = [4, 6]`")
    assert "`pets/train/Dog/3.png` is 4 × 6, `pets/train/cat/1.png` is 5 × 7" in found.message
    assert len(build('images("pets", size = [4, 6])', tmp_path).train) == 6


def png(width: int, height: int) -> bytes:
    """The head of a picture of any claimed size, and nothing behind it."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(head)) + chunk
        + struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 1000) + b"IDAT"
    )  # fmt: skip


def whole_png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(1)).save(buffer, "PNG")
    return buffer.getvalue()


def gif() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(1)[:, :, 0]).save(buffer, "GIF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a JPEG or PNG"),
        (b"a text", "not a JPEG or PNG"),
        (gif(), "not a JPEG or PNG"),
        (whole_png()[:-30], "truncated"),
        (png(30_000, 30_000), "pixels"),
        (png(9000, 9000), "pixels are too many"),
        (png(0, 3), ""),
        (b"\xff\xd8\xff\xe0" + bytes(50), ""),
    ],
)
def test_a_file_that_is_no_picture_is_named(tmp_path: Path, data: bytes, reason: str) -> None:
    tree(tmp_path / "pets")
    (tmp_path / "pets" / "train" / "cat" / "1.png").write_bytes(data)
    for name in ("pets", zipped(tmp_path / "pets", tmp_path / "p.zip").name):
        found = refusal(f'images("{name}")', tmp_path)
        assert found.code == "E425" and "train/cat/1.png" in found.message
        assert reason in found.message


def test_a_random_change_of_a_file_gives_pixels_or_a_refusal(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(pixels(0, 16, 16)).save(buffer, "JPEG")
    for whole in (buffer.getvalue(), whole_png()):
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(int(draw.integers(1, 6))):
                data[draw.integers(len(data))] = draw.integers(256)
            try:
                found = decoding.picture(bytes(data), decoding.Wanted(3, (8, 8)))
            except decoding.BadPicture:
                continue
            assert found.shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (lambda r: (r / "train" / "bird").mkdir(), "E423", "empty"),
        (lambda r: write(r / "train" / "0.png", pixels(0)), "E423", "no folder of a class"),
        (lambda r: write(r / "train" / "cat" / "x" / "0.png", pixels(0)), "E423", "deeper"),
        (lambda r: write(r / "test" / "bird" / "0.png", pixels(0)), "E423", "`bird`"),
        (lambda r: (r / "train" / "cat" / "a.txt").write_text(""), "E425", "not a JPEG or PNG"),
        (lambda r: (r / "train" / "cat" / "l.png").symlink_to("/etc/passwd"), "E426", "link"),
        (lambda r: (r / "train" / "bird").symlink_to(r / "train" / "cat"), "E426", "link"),
    ],
)  # fmt: skip
def test_what_is_out_of_place_is_named(tmp_path: Path, make, code: str, said: str) -> None:
    make(tree(tmp_path / "pets"))
    found = refusal('images("pets")', tmp_path)
    assert found.code == code and said in found.message and found.help


def test_no_images_at_all_say_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert refusal('images("none")', tmp_path).code == "E423"
    assert refusal('images("nowhere")', tmp_path).code == "E403"
    write(tmp_path / "flat" / "0.png", pixels(0))
    assert "no folder of a class" in refusal('images("flat")', tmp_path).message
    write(tmp_path / "part" / "test" / "a" / "0.png", pixels(0))
    assert "no `train` folder" in refusal('images("part")', tmp_path).message


def archive(path: Path, *members: tuple[str, bytes], mode: int = 0, flags: int = 0) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(info, data)
    if flags:
        data = bytearray(path.read_bytes())
        at = data.index(b"PK\x01\x02")
        data[at + 8] |= flags
        path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "name", ["../a/0.png", "/etc/a/0.png", "a/../../b/0.png", "a\\..\\0.png", "C:/a/0.png"]
)
def test_a_name_that_leads_out_of_its_archive_is_refused(tmp_path: Path, name: str) -> None:
    archive(tmp_path / "p.zip", (name, whole_png()))
    found = refusal('images("p.zip")', tmp_path)
    assert found.code == "E426" and "outside" in found.message


def test_archives_that_could_do_harm_are_refused(tmp_path: Path) -> None:
    archive(tmp_path / "link.zip", ("a/0.png", b"/etc/passwd"), mode=0o120777)
    assert "symbolic link" in refusal('images("link.zip")', tmp_path).message
    archive(tmp_path / "bomb.zip", *((f"a/{k}.png", bytes(1 << 22)) for k in range(3)))
    assert "would grow" in refusal('images("bomb.zip")', tmp_path).message
    archive(tmp_path / "locked.zip", ("a/0.png", whole_png()), flags=1)
    assert "encrypted" in refusal('images("locked.zip")', tmp_path).message
    (tmp_path / "no.zip").write_bytes(b"PK\3\4 and nothing")
    assert refusal('images("no.zip")', tmp_path).code == "E425"


def test_a_file_too_large_and_too_many_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path / "pets")
    zipped(tmp_path / "pets", tmp_path / "p.zip")
    for limit in ("LARGEST", "MOST"):
        with monkeypatch.context() as context:
            context.setattr(image_files, limit, 3)
            for name in ("pets", "p.zip"):
                assert refusal(f'images("{name}")', tmp_path).code == "E426"


def test_a_damaged_member_of_an_archive_is_named(tmp_path: Path) -> None:
    zipped(tree(tmp_path / "pets"), tmp_path / "p.zip")
    data = bytearray((tmp_path / "p.zip").read_bytes())
    data[data.index(b"IDAT") + 6] ^= 0xFF
    (tmp_path / "p.zip").write_bytes(bytes(data))
    found = refusal('images("p.zip")', tmp_path)
    assert found.code == "E425" and ".png" in found.message


@pytest.mark.parametrize(
    "arguments", ["size = [0, 4]", "size = [1, 2, 3]", "size = 9000", "channels = 2", "colour = 1"]
)
def test_wrong_arguments_are_refused(tmp_path: Path, arguments: str) -> None:
    tree(tmp_path / "pets")
    assert refusal(f'images("pets", {arguments})', tmp_path).code == "E409"


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR.is_file(), reason="no CIFAR-10 at ../shared/data/cifar10")
def test_the_real_cifar10_is_read_with_its_published_moments(tmp_path: Path) -> None:
    data = build(f'images("{CIFAR}") -> normalize', tmp_path)
    assert (len(data.train), len(data.test), data.fields["label"].classes) == (50_000, 10_000, 10)
    mean, deviation = data.statistics["image"]["mean"], data.statistics["image"]["std"]
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=1e-3)
    np.testing.assert_allclose(deviation, [0.2470, 0.2435, 0.2616], atol=3e-3)
