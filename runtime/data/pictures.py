"""Which fields are pictures, and the `augment` line put onto them.

In: a data set and what an `augment` line asks for. Out: the same set whose pictures are changed in
training and cropped in the middle elsewhere, or E421 and E422 where that cannot be.
"""

from __future__ import annotations

from dataclasses import replace

from ...dsl.diagnostics import Failure, fail
from .dataset import Array, Column, Columns, Dataset, Field, Shape
from .transforms import Augment, crop_extent

Picture = tuple[int, int, int]  # channels, height, width


def picture_shape(column: Column) -> Picture | None:
    """The channels, height and width of a field's rows; None where it holds no pictures."""
    if column.image is not None:
        return column.image
    shape = column.field.shape
    if column.field.classes is not None or column.one_hot or len(shape) not in (2, 3):
        return None
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (1, shape[0], shape[1])


def augmented(dataset: Dataset, augment: Augment) -> Dataset:
    """The set with its pictures changed in training; several pictures of an example alike."""
    found = {
        name: shape
        for name, column in dataset.train.columns.items()
        if not column.field.target and (shape := picture_shape(column)) is not None
    }
    if not found:
        shown = ", ".join(str(field) for field in list(dataset.fields.values())[:12])
        raise fail(
            "E421",
            f"`augment` changes pictures, and `{dataset.name}` has none",
            augment.span,
            note=f"its fields are {shown}",
            help="`-> reshape(image, [1, 28, 28])` says which numbers are a picture",
        )
    for name, shape in found.items():
        _check(augment, name, shape)

    def change(columns: Columns) -> Columns:
        return {n: _changed(c, augment, found[n]) if n in found else c for n, c in columns.items()}

    return dataset.mapped(change)


def _check(augment: Augment, name: str, shape: Picture) -> None:
    """A crop or a hole must fit the picture."""
    _, height, width = shape
    for transform in augment.transforms:
        if transform.name == "crop":
            pad = int(transform.values["pad"])
            h, w = crop_extent(transform)
            if h > height + 2 * pad or w > width + 2 * pad:
                padded = f", {height + 2 * pad} × {width + 2 * pad} with its padding" if pad else ""
                raise _too_large(augment, f"`crop` of {h} × {w}", name, shape, padded)
    h, w = augment.extent(height, width)
    for transform in augment.transforms:
        if transform.name == "cutout" and transform.values["size"] > max(h, w):
            size = transform.values["size"]
            raise _too_large(augment, f"`cutout` of {size} × {size}", name, (shape[0], h, w), "")


def _too_large(augment: Augment, what: str, name: str, shape: Picture, more: str) -> Failure:
    word = what.split("`")[1]
    span = next(t.span for t in augment.transforms if t.name == word)
    _, height, width = shape
    return fail(
        "E422",
        f"{what} is larger than `{name}`, which is {height} × {width}{more}",
        span,
        help=f"write a smaller size, or `crop({height}, pad = 4)`"
        if word == "crop" else f"a hole of a quarter is usual: `cutout({max(1, height // 4)})`",
    )  # fmt: skip


def _changed(column: Column, augment: Augment, shape: Picture) -> Column:
    if column.augment is not None:
        return column  # the set has been through here
    channels, height, width = shape
    h, w = augment.extent(height, width)
    kept = replace(
        column, image=shape, augment=augment, field=resized_field(column.field, (channels, h, w))
    )
    if (h, w) == (height, width) or column.mean is None or column.mean.size <= channels:
        return kept
    # A mean for each pixel: those of the middle.
    assert column.deviation is not None
    mean = _middle(kept, column.mean, 0.0)
    return replace(kept, mean=mean, deviation=_middle(kept, column.deviation, 1.0))


def _middle(column: Column, values: Array, outside: float) -> Array:
    """A number for each pixel, cropped as the pictures are; `outside` in what is padded."""
    assert column.image is not None and column.augment is not None
    rows = values.reshape(1, -1) - outside
    bare = replace(column, raw=rows, unit=1.0, mean=None, deviation=None)
    h, w = column.augment.extent(*column.image[1:])
    return bare.rows(slice(0, 1), "f64").reshape(column.image[0], h, w) + outside


def resized_field(field: Field, picture: Picture) -> Field:
    """[3, 32, 32], [28, 28] and [784] each keep their form."""
    shape: Shape = field.shape
    if len(shape) >= 2:
        return replace(field, shape=(*shape[:-2], *picture[1:]))
    return replace(field, shape=(picture[0] * picture[1] * picture[2],))
