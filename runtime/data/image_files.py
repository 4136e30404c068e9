"""The files of a tree of images: a folder for each class, in a directory or in a ZIP archive.

In: a path. Out: the names of the images with their class and part, and a way to read each. Nothing
is unpacked onto the disk, no link is followed, and what a stranger's archive could do to a machine
is refused (E426) before anything is read.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .arguments import Given
from .memory import readable
from .places import unreadable

ENDINGS = (".jpg", ".jpeg", ".png")
PARTS = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "valid": "valid", "val": "valid", "validation": "valid",
}  # fmt: skip
LARGEST = 64 << 20  # bytes of one image file
MOST = 5_000_000  # files
RATIO = 200  # an archive grows no more than this: images hardly shrink when packed
DEPTH = 8  # folders inside folders
_JUNK = ("__MACOSX", "Thumbs.db", "desktop.ini")

Words = tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A file or an empty folder of the tree: its path in words, its size, when it changed."""

    words: Words
    size: int
    stamp: int
    is_folder: bool = False

    @property
    def is_image(self) -> bool:
        return not self.is_folder and self.words[-1].lower().endswith(ENDINGS)

    def __str__(self) -> str:
        return "/".join(self.words)


class Tree(Protocol):
    """Where the files lie."""

    path: Path

    def entries(self, given: Given) -> list[Entry]: ...

    def read(self, entry: Entry) -> bytes: ...


class Folder:
    """A directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, given: Given) -> list[Entry]:
        found: list[Entry] = []
        for entry in self._walk(self.path, (), given):
            found.append(entry)
            if len(found) > MOST:
                raise given.fail("E426", f"`{self.path}` holds more than {MOST:,} files", "path")
        return found

    def _walk(self, folder: Path, words: Words, given: Given) -> Iterator[Entry]:
        try:
            items = sorted(os.scandir(folder), key=lambda item: item.name)
        except OSError as error:
            raise unreadable(given, "path", folder, error) from error
        if not items and words:
            yield Entry(words, 0, 0, is_folder=True)
        for item in items:
            inside = (*words, item.name)
            if _is_junk(item.name):
                continue
            if item.is_symlink():
                raise _link(given, self.path, "/".join(inside))
            if item.is_dir(follow_symlinks=False):
                if len(inside) > DEPTH:
                    message = f"folders of `{self.path}` lie more than {DEPTH} deep"
                    raise given.fail("E423", message, "path", help=_LAYOUT)
                yield from self._walk(Path(item.path), inside, given)
            elif item.is_file(follow_symlinks=False):
                facts = item.stat(follow_symlinks=False)
                yield Entry(inside, facts.st_size, facts.st_mtime_ns)

    def read(self, entry: Entry) -> bytes:
        with self.path.joinpath(*entry.words).open("rb") as file:
            return file.read(LARGEST + 1)


class Archive:
    """A ZIP archive, read in place; several threads may read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip = zipfile.ZipFile(path)
        self._names: dict[Words, zipfile.ZipInfo] = {}

    def entries(self, given: Given) -> list[Entry]:
        members = self._zip.infolist()
        total, packed = sum(m.file_size for m in members), max(1, self.path.stat().st_size)
        if len(members) > MOST:
            raise given.fail("E426", f"`{self.path}` holds more than {MOST:,} files", "path")
        if total > RATIO * packed:
            message = (
                f"`{self.path}` would grow from {readable(packed)} to {readable(total)}, "
                "as no archive of images does"
            )
            raise given.fail("E426", message, "path", help=_TRUST)
        stamp = self.path.stat().st_mtime_ns
        found = []
        for member in members:
            words = self._words(member, given)
            if any(map(_is_junk, words)):
                continue
            found.append(Entry(words, member.file_size, stamp, member.is_dir()))
            self._names[words] = member
        return _without_full_folders(found)

    def _words(self, member: zipfile.ZipInfo, given: Given) -> Words:
        name = member.filename
        words = tuple(filter(None, name.split("/")))
        if not words or name.startswith("/") or ".." in words or "\\" in name or ":" in words[0]:
            message = f"`{self.path.name}:{name}` would lie outside its archive"
            raise given.fail("E426", message, "path", help=_TRUST)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _link(given, self.path, name)
        if member.flag_bits & 1:
            message = f"`{self.path.name}:{name}` is encrypted"
            raise given.fail("E426", message, "path", help="unpack it with its password first")
        if len(words) > DEPTH:
            message = f"folders of `{self.path}` lie more than {DEPTH} deep"
            raise given.fail("E423", message, "path", help=_LAYOUT)
        return words

    def read(self, entry: Entry) -> bytes:
        return self._zip.read(self._names[entry.words])


def _without_full_folders(entries: Sequence[Entry]) -> list[Entry]:
    """Archives may or may not name folders; those that hold something say nothing new."""
    full = {e.words[:depth] for e in entries for depth in range(1, len(e.words))}
    kept = {e.words: e for e in entries if not (e.is_folder and e.words in full)}
    return sorted(kept.values(), key=lambda e: e.words)


_TRUST = "do not use archives from people whom you do not trust"
_LAYOUT = "a folder for each class: `cats/1.jpg`, or `train/cats/1.jpg` and `test/cats/2.jpg`"


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name in _JUNK


def _link(given: Given, path: Path, name: str) -> Exception:
    message = f"`{name}` in `{path}` is a symbolic link, and links are not followed"
    return given.fail("E426", message, "path", help="put a copy of the file there")


# ---------------------------------------------------------------- classes and parts


@dataclass(frozen=True)
class ImageFiles:
    """The images in order (part, class, name), the class of each, and the part each is in."""

    tree: Tree
    entries: tuple[Entry, ...]
    classes: Words
    labels: tuple[int, ...]
    parts: dict[str, range]  # train, valid, test

    def __len__(self) -> int:
        return len(self.entries)

    def name(self, k: int) -> str:
        """As shown to the user."""
        joint = ":" if isinstance(self.tree, Archive) else "/"
        return f"{self.tree.path.name}{joint}{self.entries[k]}"

    def digest(self) -> str:
        """Changes when any file does."""
        found = hashlib.sha256(str(self.tree.path.resolve()).encode())
        for e in self.entries:
            found.update(f"{e}\0{e.size}\0{e.stamp}\n".encode("utf-8", "surrogateescape"))
        return found.hexdigest()


def find_images(path: Path, given: Given) -> ImageFiles:
    """The images below a folder or in a ZIP. Raises E403, E423, E425, E426."""
    tree = _tree(path, given)
    entries = _unwrapped(tree.entries(given))
    heads = {words[0] for words, entry in entries if len(words) > 1 or entry.is_folder}
    split = bool(heads) and all(h.lower() in PARTS for h in heads)
    grouped: dict[str, list[tuple[str, Entry]]] = {"train": [], "valid": [], "test": []}
    for words, entry in entries:
        if len(words) == 1 and not entry.is_folder and not entry.is_image:
            continue  # a README, a licence, a list of labels
        part = PARTS[words[0].lower()] if split and words[0].lower() in PARTS else "train"
        inside = words[1:] if split and words[0].lower() in PARTS else words
        _check_place(inside, entry, tree, given)
        if inside[:-1] or entry.is_folder:
            grouped[part].append((inside[0], entry))
    return _arranged(tree, grouped, given)


def _tree(path: Path, given: Given) -> Tree:
    if path.is_dir():
        return Folder(path)
    try:
        return Archive(path)
    except zipfile.BadZipFile as error:
        message = f"`{path}` is neither a folder nor a ZIP archive: {error}"
        raise given.fail("E425", message, "path", help=_LAYOUT) from error
    except OSError as error:
        raise unreadable(given, "path", path, error) from error


def _unwrapped(entries: Iterable[Entry]) -> list[tuple[Words, Entry]]:
    """Without the one folder that holds everything, as in `cifar10/train/cat/1.jpg`."""
    found = [(e.words, e) for e in entries]
    while found:
        deep = {words[0] for words, _ in found if len(words) > 2}
        images = [words for words, entry in found if entry.is_image or entry.is_folder]
        if len(deep) != 1 or any(len(w) < 3 or w[0] not in deep for w in images):
            break
        (head,) = deep
        if head.lower() in PARTS:
            break
        found = [(w[1:], e) for w, e in found if len(w) > 1 and w[0] == head]
    return found


def _check_place(inside: Words, entry: Entry, tree: Tree, given: Given) -> None:
    """Images lie in the folder of their class, and nothing else does."""
    if entry.is_image and len(inside) == 2 and entry.size <= LARGEST:
        return
    shown = f"`{entry}` in `{tree.path}`"
    if entry.is_folder and len(inside) <= 1:
        way_out = "put its images there, or remove the folder"
        raise given.fail("E423", f"the folder {shown} is empty", "path", help=way_out)
    if entry.is_image and len(inside) == 1:
        raise given.fail("E423", f"{shown} lies in no folder of a class", "path", help=_LAYOUT)
    if len(inside) > 2:
        message = f"{shown} lies deeper than the folder of its class"
        raise given.fail("E423", message, "path", help=_LAYOUT)
    if len(inside) == 2 and not entry.is_image:
        message = f"{shown} is not a JPEG or PNG file"
        raise given.fail("E425", message, "path", help="remove it, or convert it to PNG")
    if entry.is_image:
        message = f"{shown} has {readable(entry.size)}, and {readable(LARGEST)} are the most"
        raise given.fail("E426", message, "path", help="make it smaller")


def _arranged(tree: Tree, grouped: dict[str, list[tuple[str, Entry]]], given: Given) -> ImageFiles:
    if not grouped["train"]:
        there = any(grouped.values())
        message = f"`{tree.path}` holds no {'`train` folder of ' if there else ''}images"
        raise given.fail("E423", message, "path", help=_LAYOUT)
    classes = tuple(sorted({name for name, _ in grouped["train"]}))
    number = {name: k for k, name in enumerate(classes)}
    entries: list[Entry] = []
    labels: list[int] = []
    parts = {}
    for part, items in grouped.items():
        start = len(entries)
        for name, entry in sorted(items, key=lambda item: (item[0], item[1].words)):
            if name not in number:
                message = f"the class `{name}` of `{entry}` is not among those of `train`"
                raise given.fail("E423", message, "path", help=f"they are {_some(classes)}")
            entries.append(entry)
            labels.append(number[name])
        parts[part] = range(start, len(entries))
    return ImageFiles(tree, tuple(entries), classes, tuple(labels), parts)


def _some(classes: Words) -> str:
    rest = f" and {len(classes) - 8} more" if len(classes) > 8 else ""
    return ", ".join(f"`{c}`" for c in classes[:8]) + rest
