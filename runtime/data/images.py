"""The source `images`: JPEG and PNG files in a folder for each class, or a ZIP of such a tree.

In: the arguments of `images(path, size, channels)`. Out: a data set of `image` [C, H, W] in 0…1,
kept as bytes, and `label` class[k] with the names of the folders. A set that memory does not hold
is decoded picture by picture while a net learns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .arguments import Given, Parameter
from .dataset import Column, Dataset, Field, Part, Raw
from .image_files import ImageFiles, find_images
from .memory import available_memory, readable
from .places import candidates, first, missing
from .registry import source

SHARE = 0.4  # of free memory: decoded pictures that take more stay on disk


@source(
    "images",
    Parameter("path", "text"),
    Parameter("size", "sizes", None),
    Parameter("channels", "integer", 3, 1, 3),
)
def images(given: Given) -> Dataset:
    """JPEG and PNG files in a folder for each class: `image` [C, H, W] in 0…1, `label` class[k].

    A folder or a ZIP of one. Folders `train`, `test` and `valid` above those of the classes are
    the parts. `size = [224, 224]` scales and crops every picture; `channels = 1` makes them grey.
    """
    from .decoding import Decoder, Lazy, Wanted  # Pillow is for those who use it

    wanted = Wanted(_channels(given), _size(given))
    written = given.text("path")
    tried = candidates(given.scope, written)
    path = first(tried, lambda place: place.is_dir() or place.is_file())
    if path is None:
        raise missing(given, "path", f"no folder or ZIP archive `{written}`", tried)
    files = find_images(path, given)
    decoder = Decoder(files, wanted, given)
    needed = len(files) * int(np.prod(decoder.shape))
    is_lazy = needed > SHARE * available_memory()
    raw: Raw = Lazy(decoder) if is_lazy else decoder.all(given.scope.progress)
    note = f"decoded from {path} as it is needed ({readable(needed)})" if is_lazy else ""
    return replace(_dataset(files, raw, decoder.shape), note=note or f"read from {path}")


def _channels(given: Given) -> int:
    channels = given.integer("channels")
    if channels == 2:
        message = "`channels` is 3 for colour or 1 for grey, not 2"
        raise given.fail("E409", message, "channels", help="leave it out, or `channels = 1`")
    return channels


def _size(given: Given) -> tuple[int, int] | None:
    if given.values["size"] is None:
        return None
    sizes = given.sizes("size")
    if len(sizes) > 2 or max(sizes) > 8192:
        message = "`size` is a height and a width, each at most 8192"
        raise given.fail("E409", message, "size", help="write `size = [224, 224]`")
    return sizes[0], sizes[-1]


def _dataset(files: ImageFiles, raw: Raw, shape: tuple[int, int, int]) -> Dataset:
    labels = np.array(files.labels, np.int32)
    image = Column(Field("image", shape), raw, unit=255.0, pooled=True, image=shape)
    kind = Field("label", (), "i32", classes=len(files.classes), labels=files.classes, target=True)
    pool = {"image": image, "label": Column(kind, labels)}

    def part(name: str) -> Part:
        # Each its own pool: `split` then knows that a test part comes from the files.
        at = files.parts[name]
        return Part(pool if name == "train" else dict(pool), np.arange(at.start, at.stop))

    has_test = bool(files.parts["test"])
    return Dataset("images", part("train"), part("valid"), part("test"), own_test=has_test)
